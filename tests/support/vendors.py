"""Models of two vendors, each served by its local server and asked through its real SDK, in either colour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import anthropic
import openai

from cachepolicy.testing.anthropic_server import AnthropicServer
from cachepolicy.testing.openai_server import OpenAIServer
from cachepolicy.testing.provider import ProviderServer
from tests.support.colour import Colour

API_KEY: Final = "sk-of-nobody-else"
_GPT: Final = "gpt-4.1-mini"
_CLAUDE: Final = "claude-haiku-4-5"
_MANY: Final = 1000


@dataclass(frozen=True)
class Vendor:
    """One SDK, the server that speaks to it, and how a model is asked through it."""

    sdk: ModuleType
    server: type[ProviderServer]
    ask: Callable[[Provider, str], str]
    ask_async: Callable[[Provider, str], Any]


@dataclass
class Provider:
    """A vendor's model as an application asks it.

    Attributes:
        vendor: whose it is.
        server: where it is asked; may be exchanged.
        timeout: how long the SDK waits, in seconds or in its own terms.
        gone: nobody listens where it is asked.
    """

    vendor: Vendor
    server: ProviderServer
    timeout: Any = 20.0
    gone: bool = False

    def fail(self, status: int, code: str | None = None) -> None:
        """Fail from now on."""
        self.server.fail_with(status, _MANY, code=code)

    def asker(self, colour: Colour) -> Callable[[str], Any]:
        """Return a function in a colour that asks the model and returns its text."""
        if colour.is_async:

            async def later(question: str) -> str:
                text: str = await self.vendor.ask_async(self, question)
                return text

            return later

        def answer(question: str) -> str:
            return self.vendor.ask(self, question)

        return answer


def _options(provider: Provider, http_client: Any) -> dict[str, Any]:
    return {
        "base_url": "http://127.0.0.1:1" if provider.gone else provider.server.base_url,
        "api_key": API_KEY,
        "max_retries": 0,
        "timeout": provider.timeout,
        "http_client": http_client,  # one that reads no certificates, which takes a while
    }


def _ask_openai(provider: Provider, question: str) -> str:
    with openai.OpenAI(**_options(provider, openai.DefaultHttpxClient(verify=False))) as client:
        answer = client.chat.completions.create(model=_GPT, messages=[{"role": "user", "content": question}])
    return answer.choices[0].message.content or ""


async def _ask_openai_async(provider: Provider, question: str) -> str:
    options = _options(provider, openai.DefaultAsyncHttpxClient(verify=False))
    async with openai.AsyncOpenAI(**options) as client:
        answer = await client.chat.completions.create(
            model=_GPT, messages=[{"role": "user", "content": question}]
        )
    return answer.choices[0].message.content or ""


def _ask_anthropic(provider: Provider, question: str) -> str:
    with anthropic.Anthropic(**_options(provider, anthropic.DefaultHttpxClient(verify=False))) as client:
        answer = client.messages.create(
            model=_CLAUDE, max_tokens=100, messages=[{"role": "user", "content": question}]
        )
    return str(answer.content[0].model_dump()["text"])


async def _ask_anthropic_async(provider: Provider, question: str) -> str:
    options = _options(provider, anthropic.DefaultAsyncHttpxClient(verify=False))
    async with anthropic.AsyncAnthropic(**options) as client:
        answer = await client.messages.create(
            model=_CLAUDE, max_tokens=100, messages=[{"role": "user", "content": question}]
        )
    return str(answer.content[0].model_dump()["text"])


OPENAI: Final = Vendor(openai, OpenAIServer, _ask_openai, _ask_openai_async)
ANTHROPIC: Final = Vendor(anthropic, AnthropicServer, _ask_anthropic, _ask_anthropic_async)
