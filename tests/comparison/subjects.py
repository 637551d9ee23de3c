"""What makes a key of a request: this library, and the peers that can be asked for theirs."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from cachepolicy import llm_cached
from tests.comparison.requests import Request

MakeKey = Callable[[Request], str]


def of_cachepolicy() -> MakeKey:
    """Ask a decorated function that passes on what it is given."""

    @llm_cached
    def ask(**request: Any) -> str:
        return "Paris"

    return lambda request: ask.key(**request)


def of_litellm() -> MakeKey:
    """Ask litellm's cache as its client does."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    from litellm.caching.caching import Cache

    cache = Cache()
    return lambda request: str(cache.get_cache_key(**request))


def of_langchain() -> MakeKey:
    """Make the pair that LangChain looks up, as its chat models do."""
    from langchain_core.load import dumps
    from langchain_core.messages import HumanMessage, SystemMessage
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    kinds: dict[str, type[SystemMessage | HumanMessage]] = {"system": SystemMessage, "user": HumanMessage}

    def make(request: Request) -> str:
        rest = dict(request)
        messages = [kinds[each["role"]](content=each["content"]) for each in rest.pop("messages")]
        chat = ChatOpenAI(model=rest.pop("model"), api_key=SecretStr("none"))
        return dumps(messages) + chat._get_llm_string(stop=rest.pop("stop", None), **rest)

    return make
