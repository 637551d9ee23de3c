"""Errors that an SDK makes of an HTTP response: described as data, and made again in any process.

What they hold, a response and a request, cannot be stored. Of these is kept what the error says: status,
body, a few headers, method and address. Of what was sent nothing is kept: no credentials, no cookies, and no
prompt that the body does not quote. Nothing is imported: where the SDK is not loaded no error is made.

::

    describe ──▶ [message, status, headers, content, body, client, method, address, state]
    remake   ──▶ class(message, response=…, body=…), or, where its constructor takes something else, its state
"""

from __future__ import annotations

import sys
from typing import Any, Final

from cachepolicy.codec.equality import same

_BASE: Final = "APIStatusError"
_SDKS: Final = frozenset({"anthropic", "openai"})  # whose base class makes an error one of these
_ROOTS: Final = _SDKS | {"langchain_anthropic", "langchain_openai", "litellm"}  # where classes are looked for
_CLIENTS: Final = frozenset({"httpx", "httpx2"})  # whose responses are made
_HEADERS: Final = (
    "anthropic-workspace-id", "content-type", "date", "openai-processing-ms", "openai-version", "request-id",
    "retry-after", "retry-after-ms", "x-request-id", "x-should-retry",
)  # fmt: skip
_FIELDS: Final = frozenset({
    "body", "code", "llm_provider", "max_retries", "message", "model", "num_retries", "param", "request_id",
    "status_code", "type",
})  # fmt: skip
# What an error holds besides and comes back without: litellm notes the whole prompt, and all headers.
_BLANK: Final = frozenset({"litellm_debug_info", "litellm_response_headers"})
_LEFT_OUT: Final = _BLANK | {"__notes__", "request", "response"}


def is_status_error(kind: type[BaseException]) -> bool:
    """Tell whether a class is one of an SDK's errors that carry an HTTP response."""
    return any(base.__name__ == _BASE and _root(base.__module__) in _SDKS for base in kind.__mro__)


def find(name: str) -> type[Exception] | None:
    """Return a class of such errors by its full name; None where its package is not loaded, or has none."""
    module, _, attribute = name.rpartition(".")
    loaded = sys.modules.get(module) if _root(module) in _ROOTS else None
    kind = None if loaded is None else vars(loaded).get(attribute)
    if not (isinstance(kind, type) and issubclass(kind, Exception) and is_status_error(kind)):
        return None
    return kind if f"{kind.__module__}.{kind.__qualname__}" == name else None


def describe(error: Any, *, whole: bool = False) -> list[object]:
    """Return what such an error can be made of again.

    Args:
        error: one of a class that ``is_status_error``.
        whole: with the fields that it holds, for a class whose constructor does not make it again.
    """
    response, request = error.response, error.response.request
    headers = [[name, response.headers[name]] for name in _HEADERS if name in response.headers]
    address = request.url.copy_with(username=None, password=None, query=None, fragment=None)
    return [
        error.args[0],
        response.status_code,
        headers,
        response.content,
        error.body,
        _root(type(response).__module__),
        request.method,
        str(address),
        _fields(error) if whole else None,
    ]


def remake(kind: Any, told: list[Any]) -> Exception:
    """Make an error of its description.

    Raises:
        LookupError: the HTTP client whose response it holds is not loaded.
        Exception: whatever the class' constructor raises.
    """
    message, status, headers, content, body, name, method, address, state = told
    client: Any = sys.modules[name] if name in _CLIENTS else None
    if client is None:
        raise LookupError(name)
    request = client.Request(method, address)
    response = client.Response(status, headers=headers, content=content, request=request)
    if state is None:
        made: Exception = kind(message, response=response, body=body)
        return made
    bare: Exception = kind.__new__(kind, message)
    vars(bare).update(state, request=request, response=response)
    return bare


def alike(error: Any, again: Any) -> bool:
    """Tell whether an error was made again as it was; of its response, whether it says the same."""
    return (
        type(error) is type(again)
        and str(error) == str(again)
        and same(error.args, again.args)
        and same(_state(error), _state(again))
        and error.response.status_code == again.response.status_code
        and error.response.content == again.response.content
    )


def _fields(error: Exception) -> dict[str, object]:
    """Return what may be stored of what an error holds; another field is not, and the error is refused."""
    held = vars(error)
    return {**dict.fromkeys(_BLANK & held.keys()), **{name: held[name] for name in _FIELDS & held.keys()}}


def _state(error: Exception) -> dict[str, object]:
    return {name: value for name, value in vars(error).items() if name not in _LEFT_OUT}


def _root(module: str) -> str:
    return module.partition(".")[0]
