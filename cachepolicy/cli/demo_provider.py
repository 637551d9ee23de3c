"""Who answers the demo: a real provider if there is a key for it, else a local server; and why not."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import openai

from cachepolicy.cli.demo_questions import ANSWERS
from cachepolicy.testing.openai_server import OpenAIServer

DEFAULT_MODEL = "gpt-4.1-mini"


@dataclass(frozen=True, slots=True)
class Provider:
    """Who is asked, in words and as the environment that the SDK's client reads."""

    model: str
    name: str
    environment: Mapping[str, str]


@contextmanager
def find_provider(think: float) -> Generator[Provider]:
    """Take the provider that OPENAI_API_KEY is for, or run a local server meanwhile."""
    model = os.environ.get("OPENAI_MODEL") or DEFAULT_MODEL
    if os.environ.get("OPENAI_API_KEY"):
        host = urlsplit(os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com").hostname
        yield Provider(model, f"{model} at {host}", dict(os.environ))
        return
    with OpenAIServer(answers=ANSWERS, think=think) as server:
        local = {
            "OPENAI_API_KEY": "any",
            "OPENAI_BASE_URL": server.base_url,
            "NO_PROXY": "127.0.0.1",  # a proxy for the world outside must not be asked for this machine
            "no_proxy": "127.0.0.1",
        }
        name = f"a local server plays {model} (set OPENAI_API_KEY to ask a real one)"
        yield Provider(model, name, {**os.environ, **local})


def why(error: openai.OpenAIError, model: str) -> str:
    """Say in a sentence why the provider did not answer. A refused key is never repeated."""
    match error:
        case openai.AuthenticationError():
            return "the provider refused the key in OPENAI_API_KEY (401)."
        case openai.NotFoundError():
            return f"the provider does not serve the model {model!r} (404): set OPENAI_MODEL to one it does."
        case openai.RateLimitError():
            return "the provider's rate limit or quota is used up (429): try again later."
        case openai.APIConnectionError():
            return "the provider cannot be reached: check the network, and OPENAI_BASE_URL."
        case openai.APIStatusError():
            return f"the provider refused the request ({error.status_code}): {_detail(error)}"
        case _:
            return f"the provider did not answer: {error}"


def _detail(error: openai.APIStatusError) -> str:
    body = error.body  # what the wire calls error: a mapping, if the provider keeps to the format
    return str(cast("dict[str, object]", body).get("message")) if isinstance(body, dict) else error.message
