"""A local HTTP server that speaks OpenAI's chat-completions wire format, for tests and for trying things out.

It answers with the texts it was given, and says honestly that it is no model when asked anything else.
It thinks for a while, as a model does, counts what it is asked, and fails when told to.

>>> from openai import OpenAI
>>> with OpenAIServer(answers={"ping": "pong"}, think=0) as server:
...     client = OpenAI(base_url=server.base_url, api_key="any")
...     messages = [{"role": "user", "content": "ping"}]
...     answer = client.chat.completions.create(model="gpt-4.1-mini", messages=messages)
...     answer.choices[0].message.content, server.requests
('pong', 1)
"""

from __future__ import annotations

import json
import secrets
import threading
import zlib
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Self

from cachepolicy.clock import SYSTEM
from cachepolicy.testing.loopback import LoopbackServer, Request, Response
from cachepolicy.testing.openai_wire import WireError, completion, parse

# What a client asks for, and what the wire says answered: the provider resolves an alias to a dated model.
MODELS: Mapping[str, str] = MappingProxyType(
    {
        "gpt-4.1": "gpt-4.1-2025-04-14",
        "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
        "gpt-4o": "gpt-4o-2024-08-06",
        "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    }
)
_NO_ANSWERS: Mapping[str, str] = MappingProxyType({})


class OpenAIServer:
    """One server on a free loopback port, from ``start`` (or ``with``) to ``close``; threads may share it.

    Args:
        answers: the text for each question; the question is the last message of role ``user``.
        think: seconds an answer takes, 15 % more or less by question; the same question always takes as long.
        api_key: the only bearer token to accept; any, when not given.
        models: the names to serve, each with the dated name it resolves to.
    """

    def __init__(
        self,
        *,
        answers: Mapping[str, str] = _NO_ANSWERS,
        think: float = 1.0,
        api_key: str | None = None,
        models: Mapping[str, str] = MODELS,
    ) -> None:
        self._answers = dict(answers)
        self._think = think
        self._api_key = api_key
        self._models = dict(models)
        self._asked = threading.Condition()
        self._requests = 0
        self._faults: deque[tuple[int, float | None]] = deque()
        self._closing = threading.Event()
        self._http: LoopbackServer | None = None

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as its ``base_url``."""
        if self._http is None:
            raise RuntimeError("the server is not running: call start(), or use it in a with statement")
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    @property
    def requests(self) -> int:
        """How many chat completions were asked for, refused and failed ones included."""
        return self._requests

    def wait_for(self, requests: int, timeout: float = 5.0) -> bool:
        """Wait until that many chat completions were asked for; False when they were not in time."""
        with self._asked:
            return self._asked.wait_for(lambda: self._requests >= requests, timeout)

    def fail_with(self, status: int, times: int = 1, *, retry_after: float | None = None) -> None:
        """Answer the next ``times`` chat completions with an error; further calls queue up behind."""
        with self._asked:
            self._faults.extend([(status, retry_after)] * times)

    def start(self) -> Self:
        """Listen; when this returns, the server answers."""
        if self._http is not None:
            raise RuntimeError("the server is already running")
        self._closing.clear()
        self._http = LoopbackServer(self._respond)
        self._http.start()
        return self

    def close(self) -> None:
        """Stop at once, dropping whoever still waits for an answer. Closing twice is fine."""
        http, self._http = self._http, None
        if http is not None:
            self._closing.set()
            http.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _respond(self, request: Request) -> Response:
        started = SYSTEM.monotonic()
        headers = {
            "Content-Type": "application/json",
            "openai-version": "2020-10-01",
            "x-request-id": f"req_{secrets.token_hex(16)}",
        }
        try:
            status, answer = 200, self._route(request)
        except WireError as error:
            status, answer = error.status, error.body
            if error.retry_after is not None:
                headers["retry-after"] = f"{error.retry_after:g}"
        headers["openai-processing-ms"] = str(round((SYSTEM.monotonic() - started) * 1000))
        return Response(status, json.dumps(answer).encode(), headers)

    def _route(self, request: Request) -> dict[str, Any]:
        self._authorize(request.headers.get("authorization", ""))
        match request.method, request.path.split("/")[1:]:
            case "POST", ["v1", "chat", "completions"]:
                return self._complete(request.body)
            case _, ["v1", "chat", "completions"]:
                raise WireError(405, "Only POST requests are accepted.", code="method_not_supported")
            case "GET", ["v1", "models"]:
                return {"object": "list", "data": [_describe(name) for name in self._models]}
            case "GET", ["v1", "models", name]:
                self._resolve(name)
                return _describe(name)
            case _:
                raise WireError(404, f"Invalid URL ({request.method} {request.path})")

    def _authorize(self, header: str) -> None:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise WireError(401, "You didn't provide an API key: send it as Authorization: Bearer YOUR_KEY.")
        if self._api_key is not None and not secrets.compare_digest(
            token.strip().encode(), self._api_key.encode()
        ):
            raise WireError(401, "Incorrect API key provided.", code="invalid_api_key")

    def _complete(self, body: bytes) -> dict[str, Any]:
        """Answer one chat completion: count it, fail it if told to, think, answer."""
        with self._asked:
            self._requests += 1
            self._asked.notify_all()
            fault = self._faults.popleft() if self._faults else None
        if fault is not None:
            raise _injected(*fault)
        request = parse(body)
        model = self._resolve(request.model)
        share = zlib.crc32(request.question.encode(errors="replace")) / 0xFFFFFFFF
        if self._closing.wait(self._think * (0.85 + 0.3 * share)):
            raise ConnectionAbortedError
        text = self._answers.get(request.question) or (
            "No model thinks here: this is a local server that speaks the OpenAI wire format, "
            f"and it was given no answer to the question “{request.question}”."
        )
        identity = f"chatcmpl-{secrets.token_hex(14)}"
        return completion(request, text, identity=identity, model=model, created=int(SYSTEM.wall()))

    def _resolve(self, model: str) -> str:
        """Name the dated model that serves ``model``; a dated one serves itself."""
        if model in self._models:
            return self._models[model]
        if model in self._models.values():
            return model
        text = f"The model `{model}` does not exist or you do not have access to it."
        raise WireError(404, text, code="model_not_found")


def _injected(status: int, retry_after: float | None) -> WireError:
    kinds = {429: "rate_limit_error", 500: "server_error"}
    kind = kinds.get(min(status, 500), "invalid_request_error")
    return WireError(
        status, f"The server was told to fail with {status}.", kind=kind, retry_after=retry_after
    )


def _describe(model: str) -> dict[str, Any]:
    return {"id": model, "object": "model", "created": 0, "owned_by": "cachepolicy"}
