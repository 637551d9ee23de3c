"""A provider that answers or fails as it is told, asked through the real SDKs of OpenAI and Anthropic."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final, Self

import anthropic
import openai

from cachepolicy.testing.loopback import LoopbackServer, Request, Response
from tests.support.colour import Colour

API_KEY: Final = "sk-of-nobody-else"
COOKIE: Final = "session-of-nobody-else"
CLAUDE: Final = "claude-of-tests"  # the SDK warns of models that end
_PATIENCE: Final = 20.0


class Provider:
    """One server for both wire formats, within a ``with``; answers by the number of the request.

    Attributes:
        requests: how many there were.
        gate: while it is not set, no request is answered.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.gate = threading.Event()
        self.gate.set()
        self._fault: Response | None = None
        self._http = LoopbackServer(self._respond)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._http.server_port}"

    def fail(self, status: int, *, code: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        """Fail from now on."""
        text = f"The provider was told to fail with {status}."
        error = {"message": text, "type": "some_error", "param": None, "code": code}
        sent = {"x-request-id": "req_1", "request-id": "req_1", "set-cookie": COOKIE, **(headers or {})}
        self._fault = _json(status, {"type": "error", "error": error, "request_id": "req_1"}, sent)

    def recover(self) -> None:
        """Answer from now on."""
        self._fault = None

    def close(self) -> None:
        """Refuse connections from now on. Closing twice is fine."""
        self.gate.set()
        self._http.close()

    def __enter__(self) -> Self:
        self._http.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _respond(self, request: Request) -> Response:
        self.requests += 1
        number = self.requests
        assert self.gate.wait(_PATIENCE)
        if self._fault is not None:
            return self._fault
        return _json(200, _message(number) if request.path == "/v1/messages" else _completion(number), {})


@dataclass(frozen=True)
class Vendor:
    """One SDK: its module, and how a model is asked through it; ``timeout`` in seconds."""

    sdk: ModuleType
    ask: Callable[..., str]
    ask_async: Callable[..., Any]

    def asker(self, colour: Colour, provider: Provider, timeout: float = 20.0) -> Callable[[str], Any]:
        """Return a function in a colour that asks this provider and returns the answer's text."""
        if colour.is_async:

            async def later(question: str) -> str:
                text: str = await self.ask_async(provider.url, question, timeout)
                return text

            return later

        def answer(question: str) -> str:
            return self.ask(provider.url, question, timeout)

        return answer


def _options(timeout: float, http_client: Any) -> dict[str, Any]:
    return {"api_key": API_KEY, "max_retries": 0, "timeout": timeout, "http_client": http_client}


def ask_openai(url: str, question: str, timeout: float) -> str:
    """Ask for a chat completion."""
    with openai.OpenAI(
        base_url=f"{url}/v1", **_options(timeout, openai.DefaultHttpxClient(verify=False))
    ) as client:
        answer = client.chat.completions.create(
            model="gpt-4.1-mini", messages=[{"role": "user", "content": question}]
        )
    return answer.choices[0].message.content or ""


async def ask_openai_async(url: str, question: str, timeout: float) -> str:
    """Ask for a chat completion."""
    async with openai.AsyncOpenAI(
        base_url=f"{url}/v1", **_options(timeout, openai.DefaultAsyncHttpxClient(verify=False))
    ) as client:
        answer = await client.chat.completions.create(
            model="gpt-4.1-mini", messages=[{"role": "user", "content": question}]
        )
    return answer.choices[0].message.content or ""


def ask_anthropic(url: str, question: str, timeout: float) -> str:
    """Ask for a message."""
    with anthropic.Anthropic(
        base_url=url, **_options(timeout, anthropic.DefaultHttpxClient(verify=False))
    ) as client:
        answer = client.messages.create(
            model=CLAUDE, max_tokens=10, messages=[{"role": "user", "content": question}]
        )
    return str(answer.content[0].model_dump()["text"])


async def ask_anthropic_async(url: str, question: str, timeout: float) -> str:
    """Ask for a message."""
    async with anthropic.AsyncAnthropic(
        base_url=url, **_options(timeout, anthropic.DefaultAsyncHttpxClient(verify=False))
    ) as client:
        answer = await client.messages.create(
            model=CLAUDE, max_tokens=10, messages=[{"role": "user", "content": question}]
        )
    return str(answer.content[0].model_dump()["text"])


OPENAI: Final = Vendor(openai, ask_openai, ask_openai_async)
ANTHROPIC: Final = Vendor(anthropic, ask_anthropic, ask_anthropic_async)


def _json(status: int, body: object, headers: Mapping[str, str]) -> Response:
    return Response(status, json.dumps(body).encode(), {"content-type": "application/json", **headers})


def _completion(number: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": f"answer {number}"}
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 0,
        "model": "gpt-4.1-mini",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }


def _message(number: int) -> dict[str, Any]:
    return {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": CLAUDE,
        "content": [{"type": "text", "text": f"answer {number}"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
