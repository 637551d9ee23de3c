"""Errors of model providers, told apart without loading any SDK: by status, by code, by the names of classes.

::

    error ──▶ says whose fault it is? ──no──▶ its __cause__ ──▶ … ──▶ OTHER: the function's own
              insufficient_quota, 401, 402, 403 ──▶ AUTH
              408, 409, 425, 429, 5xx, timeout, no connection ──▶ TRANSIENT, and for how long
              400, 413, 422 of a provider's SDK ──▶ DETERMINISTIC
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from typing import Final

from cachepolicy.flow.failure import Failure, FailureKind
from cachepolicy.llm.retry_after import retry_after

_DEEPEST: Final = 10  # causes of causes
_STATUSES: Final = range(400, 600)
_NAMES: Final = ("code", "type", "error_code")  # under which providers say what is wrong

# What is in none of them, 404 too, is nobody's: a model that is not there is there once it is deployed or
# allowed, and an old answer would hide that it is gone.
_AUTH: Final = frozenset({401, 402, 403, 407})
_TRANSIENT: Final = frozenset({408, 409, 425, 429})  # 409: a lock that was not had, which SDKs retry as well
_DETERMINISTIC: Final = frozenset({400, 413, 422})

# Codes and types of errors, as providers write them. An account's come with 400 and 429 too.
_AUTH_WORDS: Final = frozenset({
    "access_terminated", "account_deactivated", "authentication_error", "billing_error",
    "billing_hard_limit_reached", "billing_not_active", "contract_spend_limit_reached",
    "enforced_spend_limit_reached", "insufficient_quota", "invalid_api_key", "organization_on_hold",
    "permission_error",
})  # fmt: skip
_TRANSIENT_WORDS: Final = frozenset({
    "api_error", "overloaded_error", "rate_limit_error", "rate_limit_exceeded", "server_error",
    "server_is_overloaded", "slow_down", "timeout_error",
})  # fmt: skip
_DETERMINISTIC_WORDS: Final = frozenset({
    "content_filter", "content_policy_violation", "context_length_exceeded", "invalid_request_error",
    "string_above_max_length",
})  # fmt: skip

_PROVIDERS: Final = frozenset({
    "anthropic", "cohere", "google", "groq", "langchain_anthropic", "langchain_core", "langchain_openai",
    "litellm", "mistralai", "openai", "pydantic_ai", "together",
})  # fmt: skip
_CLIENTS: Final = frozenset({
    "aiohttp", "botocore", "httpcore", "httpcore2", "httpx", "httpx2", "requests", "urllib3",
})  # fmt: skip
_TRANSIENT_CLASSES: Final = frozenset({
    "APIConnectionError", "ClientConnectionError", "ConnectionClosedError", "ConnectionError",
    "HTTPClientError", "MaxRetryError", "ModelConnectionError", "ModelRequestTimeout", "NetworkError",
    "NewConnectionError", "ProtocolError", "ProxyError", "Timeout", "TimeoutError", "TimeoutException",
})  # fmt: skip
_OWN_FAULTS: Final = frozenset({"LocalProtocolError"})  # under one of the above


def classify(error: BaseException) -> Failure:
    """Tell what an error of a function that asks a model comes from; never raises.

    Only causes that code itself names (``raise … from error``) are followed: what is raised while an error
    is handled is the function's own.
    """
    chain = list(_chain(error))
    kind = next((found for found in map(_kind, chain) if found is not None), FailureKind.OTHER)
    if kind is not FailureKind.TRANSIENT:
        return Failure(kind)
    waits = (retry_after(headers, _status(one)) for one in chain for headers in _headers(one))
    return Failure(kind, next((wait for wait in waits if wait is not None), 0.0))


def _chain(error: BaseException | None) -> Iterator[Exception]:
    for _ in range(_DEEPEST):
        if not isinstance(error, Exception):
            return
        yield error
        error = error.__cause__


def _kind(error: Exception) -> FailureKind | None:
    """Return what one error says by itself; None where it says nothing."""
    status, words, classes = _status(error), _words(error), type(error).__mro__
    is_providers = any(_root(kind) in _PROVIDERS for kind in classes)
    if status in _AUTH or (is_providers and words & _AUTH_WORDS):
        return FailureKind.AUTH
    if status is not None:
        if status >= 500 or status in _TRANSIENT:
            return FailureKind.TRANSIENT
        refused = is_providers and status in _DETERMINISTIC
        return FailureKind.DETERMINISTIC if refused else FailureKind.OTHER
    if _never_arrived(error, classes) or (is_providers and words & _TRANSIENT_WORDS):
        return FailureKind.TRANSIENT
    return FailureKind.DETERMINISTIC if is_providers and words & _DETERMINISTIC_WORDS else None


def _never_arrived(error: Exception, classes: tuple[type, ...]) -> bool:
    """Tell whether the request, or its answer, was lost on the way."""
    if isinstance(error, TimeoutError | ConnectionError | socket.gaierror):
        return True
    names = {kind.__name__ for kind in classes if _root(kind) in _PROVIDERS or _root(kind) in _CLIENTS}
    return bool(names & _TRANSIENT_CLASSES) and not names & _OWN_FAULTS


def _status(error: Exception) -> int | None:
    """Return the HTTP status that an error carries, where it is one of an error."""
    response = _look(error, "response")
    told = [_look(error, "status_code"), _look(response, "status_code"), _look(error, "status")]
    if _root(type(error)) in _PROVIDERS:
        told.append(_look(error, "code"))
    if isinstance(response, Mapping):  # botocore's
        told.append(_inner(response, "ResponseMetadata").get("HTTPStatusCode"))
    return next((int(one) for one in told if isinstance(one, int) and one in _STATUSES), None)


def _words(error: Exception) -> set[object]:
    """Return the codes and types that an error and its body name."""
    body = _look(error, "body")
    told = [_look(error, name) for name in _NAMES]
    if isinstance(body, Mapping):
        inner = _inner(body, "error")
        for part in (body, inner, _inner(inner, "details")):
            told += [part.get(name) for name in _NAMES]
    return {word for word in told if isinstance(word, str)}


def _inner(outer: Mapping[object, object], name: str) -> Mapping[object, object]:
    inner = outer.get(name)
    return inner if isinstance(inner, Mapping) else {}


def _headers(error: Exception) -> Iterator[Mapping[str, object]]:
    for holder in (_look(error, "response"), error):
        headers = _look(holder, "headers")
        if isinstance(headers, Mapping):
            yield headers


def _look(owner: object, name: str) -> object:
    """Return an attribute of somebody else's object; None where it is not there, or raises."""
    try:
        return getattr(owner, name, None)
    except Exception:  # noqa: BLE001 - foreign code; what the call failed with is what counts
        return None


def _root(kind: type) -> str:
    return kind.__module__.partition(".")[0]
