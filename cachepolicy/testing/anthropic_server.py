"""A local HTTP server that speaks Anthropic's messages wire format, for tests and for trying things out.

It answers with what it was given, whole or streamed, and says honestly that it is no model when asked
anything else. It thinks for a while, as a model does, keeps what it is asked, and fails when told to.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from cachepolicy.testing.anthropic_wire import MESSAGES
from cachepolicy.testing.loopback import Request, Response
from cachepolicy.testing.provider import ProviderServer, bearer_token
from cachepolicy.testing.replies import WireError
from cachepolicy.testing.wire import event

# What a client asks for, and what the wire says answered: the provider resolves an alias to a dated model.
MODELS: Mapping[str, str] = MappingProxyType(
    {
        "claude-haiku-4-5": "claude-haiku-4-5-20251001",
        "claude-opus-4-5": "claude-opus-4-5-20251101",
        "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
    }
)
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class AnthropicServer(ProviderServer):
    """Anthropic, as far as a client can tell; its ``api_key`` comes as ``x-api-key`` or bearer token."""

    wire = "the Anthropic"
    known: ClassVar[Mapping[str, str]] = MODELS

    def _headers(self) -> dict[str, str]:
        return {"request-id": f"req_{secrets.token_hex(12)}"}

    def _error(self, error: WireError) -> dict[str, Any]:
        kind = _KINDS.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")
        details = {} if error.code is None else {"details": {"error_code": error.code}}
        return {"type": "error", "error": {"type": kind, "message": str(error), **details}}

    def _route(self, request: Request) -> Response:
        key = request.headers.get("x-api-key") or bearer_token(request)
        if not key:
            raise WireError(401, "x-api-key header is required")
        if not self._check_key(key):
            raise WireError(401, "invalid x-api-key")
        match request.method, request.path:
            case "POST", "/v1/messages":
                if "anthropic-version" not in request.headers:
                    raise WireError(400, "anthropic-version: header is required")
                return self._converse(request.body, MESSAGES, self._broken)
            case _, "/v1/messages":
                raise WireError(405, "Method Not Allowed")
            case "GET", "/v1/models":
                models = [_describe(name) for name in self._models]
                page = {"data": models, "has_more": False, "first_id": None, "last_id": None}
                return Response(200, json.dumps(page).encode())
            case _:
                raise WireError(404, f"Not Found: {request.path}")

    def _broken(self, error: WireError, _: int) -> bytes:
        return event(self._error(error), "error")


def _describe(model: str) -> dict[str, Any]:
    return {"type": "model", "id": model, "display_name": model, "created_at": "1970-01-01T00:00:00Z"}
