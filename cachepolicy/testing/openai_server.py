"""A local HTTP server that speaks OpenAI's wire format, for tests and for trying things out.

It answers with what it was given, whole or streamed, and says honestly that it is no model when asked
anything else. It thinks for a while, as a model does, keeps what it is asked, and fails when told to.

>>> from openai import OpenAI
>>> with OpenAIServer(answers={"ping": "pong"}, think=0) as server:
...     with OpenAI(base_url=server.base_url, api_key="any") as client:
...         messages = [{"role": "user", "content": "ping"}]
...         answer = client.chat.completions.create(model="gpt-4.1-mini", messages=messages)
...         answer.choices[0].message.content, server.requests
('pong', 1)
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from cachepolicy.testing import openai_embeddings
from cachepolicy.testing.loopback import Request, Response
from cachepolicy.testing.openai_responses import RESPONSES
from cachepolicy.testing.openai_wire import CHAT
from cachepolicy.testing.provider import ProviderServer, bearer_token
from cachepolicy.testing.replies import WireError
from cachepolicy.testing.wire import event

# What a client asks for, and what the wire says answered: the provider resolves an alias to a dated model.
MODELS: Mapping[str, str] = MappingProxyType(
    {
        "gpt-4.1": "gpt-4.1-2025-04-14",
        "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
        "gpt-4o": "gpt-4o-2024-08-06",
        "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    }
)


class OpenAIServer(ProviderServer):
    """OpenAI, as far as a client can tell; its ``api_key`` comes as bearer token."""

    wire = "the OpenAI"
    path = "/v1"
    known: ClassVar[Mapping[str, str]] = MODELS

    def _headers(self) -> dict[str, str]:
        return {
            "openai-version": "2020-10-01",
            "x-request-id": f"req_{secrets.token_hex(16)}",
        }

    def _error(self, error: WireError) -> dict[str, Any]:
        fields = {"message": str(error), "type": error.kind, "param": error.param, "code": error.code}
        return {"error": fields}

    def _route(self, request: Request) -> Response:
        self._authorize(bearer_token(request))
        endpoints: dict[str, Callable[[bytes], Response]] = {
            "chat/completions": self._complete,
            "embeddings": self._embed,
            "responses": self._answer,
        }
        match request.method, request.path.split("/")[1:]:
            case "POST", ["v1", *rest] if answer := endpoints.get("/".join(rest)):
                return answer(request.body)
            case _, ["v1", *rest] if "/".join(rest) in endpoints:
                raise WireError(405, "Only POST requests are accepted.", code="method_not_supported")
            case "GET", ["v1", "models"]:
                return _at_once({"object": "list", "data": [_describe(name) for name in self._names()]})
            case "GET", ["v1", "models", name]:
                if name not in openai_embeddings.MODELS:
                    self._resolve(name)
                return _at_once(_describe(name))
            case _:
                raise WireError(404, f"Invalid URL ({request.method} {request.path})")

    def _authorize(self, key: str) -> None:
        if not key:
            raise WireError(401, "You didn't provide an API key: send it as Authorization: Bearer YOUR_KEY.")
        if not self._check_key(key):
            raise WireError(401, "Incorrect API key provided.", code="invalid_api_key")

    def _complete(self, body: bytes) -> Response:
        return self._converse(body, CHAT, lambda error, _: event(self._error(error)))

    def _answer(self, body: bytes) -> Response:
        return self._converse(body, RESPONSES, _broken_response)

    def _embed(self, body: bytes) -> Response:
        data, _ = self._asked(body)
        asked = openai_embeddings.parse(data)
        return self._whole(openai_embeddings.embeddings(asked), asked.inputs[0])

    def _names(self) -> list[str]:
        return [*self._models, *openai_embeddings.MODELS]


def _broken_response(error: WireError, number: int) -> bytes:
    fields = {"code": error.code or error.kind, "message": str(error), "param": error.param}
    return event({"type": "error", "sequence_number": number, **fields}, "error")


def _at_once(answer: Mapping[str, Any]) -> Response:
    return Response(200, json.dumps(answer).encode())


def _describe(model: str) -> dict[str, Any]:
    return {"id": model, "object": "model", "created": 0, "owned_by": "cachepolicy"}
