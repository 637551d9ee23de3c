"""One and the same conversation with a provider, through this library and through the peers."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from importlib import import_module
from typing import Any, Protocol, cast

from openai import AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from cachepolicy import llm_cached
from tests.support.waiting import rest

MODEL = "gpt-4o"


class Client(Protocol):
    """A way to ask a provider, with a cache in between."""

    async def ask(self, url: str, messages: list[dict[str, Any]]) -> Any:
        """Ask; return what the way gives its callers."""
        ...

    def text(self, answer: Any) -> str:
        """Return what an answer says."""
        ...

    def spoil(self, answer: Any) -> None:
        """Change an answer, as a careless caller does."""
        ...

    def stream(self, url: str, messages: list[dict[str, Any]]) -> AsyncIterator[str]:
        """Ask for a stream; give the text of each chunk."""
        ...


class CachePolicy:
    """This library."""

    async def ask(self, url: str, messages: list[dict[str, Any]]) -> ChatCompletion:
        """Ask through a decorated function."""
        async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
            return await _answer(client, model=MODEL, messages=messages, temperature=0)

    def text(self, answer: ChatCompletion) -> str:
        """Return what it says."""
        return answer.choices[0].message.content or ""

    def spoil(self, answer: ChatCompletion) -> None:
        """Overwrite its text."""
        answer.choices[0].message.content = "spoiled"

    async def stream(self, url: str, messages: list[dict[str, Any]]) -> AsyncIterator[str]:
        """Ask through a decorated function."""
        async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
            chunks = await _stream(client, model=MODEL, messages=messages, temperature=0)
            async with chunks:
                async for chunk in chunks:
                    yield chunk.choices[0].delta.content or "" if chunk.choices else ""


@llm_cached
async def _answer(client: AsyncOpenAI, **request: Any) -> ChatCompletion:
    answer: ChatCompletion = await client.chat.completions.create(**request)
    return answer


@llm_cached
async def _stream(client: AsyncOpenAI, **request: Any) -> AsyncStream[ChatCompletionChunk]:
    chunks: AsyncStream[ChatCompletionChunk] = await client.chat.completions.create(**request, stream=True)
    return chunks


class LiteLLM:
    """litellm with its cache in memory."""

    def __init__(self) -> None:
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
        from litellm.caching.caching import Cache

        self._litellm = cast(
            "Any", import_module("litellm")
        )  # its settings are attributes that it does not declare
        self._litellm.cache = Cache()
        self._litellm.enable_cache()
        self._litellm.suppress_debug_info = True

    async def ask(self, url: str, messages: list[dict[str, Any]]) -> Any:
        """Ask through its client, which stores answers behind the caller's back: give it a moment."""
        answer = await self._complete(url, messages)
        await rest(0.05)
        return answer

    def text(self, answer: Any) -> str:
        """Return what it says."""
        return answer.choices[0].message.content or ""

    def spoil(self, answer: Any) -> None:
        """Overwrite its text."""
        answer.choices[0].message.content = "spoiled"

    async def stream(self, url: str, messages: list[dict[str, Any]]) -> AsyncIterator[str]:
        """Ask through its client."""
        chunks = await self._complete(url, messages, stream=True)
        async for chunk in chunks:
            yield chunk.choices[0].delta.content or "" if chunk.choices else ""
        await rest(0.05)

    async def _complete(self, url: str, messages: list[dict[str, Any]], **more: Any) -> Any:
        return await self._litellm.acompletion(
            model=f"openai/{MODEL}",
            messages=messages,
            temperature=0,
            api_base=url,
            api_key="none",
            max_retries=0,
            caching=True,
            **more,
        )


class LangChain:
    """LangChain's OpenAI chat model with its cache in memory."""

    def __init__(self) -> None:
        from langchain_core.caches import InMemoryCache
        from langchain_core.globals import set_llm_cache

        set_llm_cache(InMemoryCache())

    async def ask(self, url: str, messages: list[dict[str, Any]]) -> Any:
        """Ask through a chat model."""
        return await self._model(url).ainvoke(_turns(messages))

    def text(self, answer: Any) -> str:
        """Return what it says."""
        return str(answer.content)

    def spoil(self, answer: Any) -> None:
        """Overwrite its text."""
        answer.content = "spoiled"

    async def stream(self, url: str, messages: list[dict[str, Any]]) -> AsyncIterator[str]:
        """Ask through a chat model."""
        async with aclosing(self._model(url).astream(_turns(messages))) as chunks:
            async for chunk in chunks:
                yield str(chunk.content)

    def _model(self, url: str) -> Any:
        from langchain_openai import ChatOpenAI
        from pydantic import SecretStr

        key = SecretStr("none")
        return ChatOpenAI(model=MODEL, base_url=url, api_key=key, temperature=0, max_retries=0)


def _turns(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in messages]
