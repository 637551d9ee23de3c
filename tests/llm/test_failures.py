"""Errors of providers are told apart by what they say, whatever library raised them; what they ask for."""

from __future__ import annotations

import asyncio
import socket
import types
from collections.abc import Mapping
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest

from cachepolicy.errors import OriginTimeout
from cachepolicy.flow.failure import Failure, FailureKind, any_failure
from cachepolicy.llm.failures import classify
from cachepolicy.llm.retry_after import LONGEST, retry_after

TRANSIENT, DETERMINISTIC, AUTH, OTHER = FailureKind


def _response(status: int, headers: Mapping[str, str] | None = None) -> Any:
    request = httpx2.Request("POST", "http://localhost")
    return httpx2.Response(status, headers=headers, request=request)


def _openai(status: int, code: str | None = None, kind: str | None = None, **headers: str) -> Exception:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"message": "no", "code": code, "type": kind}
    return openai.APIStatusError("no", response=_response(status, sent), body=body)


def _anthropic(status: int, kind: str | None = None, code: str | None = None) -> Exception:
    body = {"type": "error", "error": {"type": kind, "message": "no", "details": {"error_code": code}}}
    return anthropic.APIStatusError("no", response=_response(status), body=body)


def _foreign(module: str, name: str, bases: tuple[type, ...] = (Exception,), **held: object) -> Exception:
    """Make an error of a library that need not be installed."""
    error: Exception = types.new_class(name, bases, {}, lambda body: body.update(__module__=module))("no")
    vars(error).update(held)
    return error


REQUEST = httpx2.Request("POST", "http://localhost")
CASES = {
    TRANSIENT: [
        *map(_openai, (408, 409, 425, 429, 500, 502, 503, 529)),
        *map(_anthropic, (408, 429, 500, 504, 529)),
        _openai(429, "rate_limit_exceeded"),
        openai.APITimeoutError(REQUEST),
        openai.APIConnectionError(request=REQUEST),
        anthropic.APITimeoutError(REQUEST),
        anthropic.APIConnectionError(request=REQUEST),
        openai.APIError("in a stream", REQUEST, body={"code": "server_error"}),
        _anthropic(200, "overloaded_error"),  # an event in a stream
        TimeoutError(),
        ConnectionResetError(),
        socket.gaierror(),
        OriginTimeout("no"),
        httpx.ConnectTimeout("no"),
        httpx2.ReadError("no"),
        httpx2.RemoteProtocolError("no"),
        httpx.HTTPStatusError("no", request=httpx.Request("GET", "http://x"), response=httpx.Response(503)),
        _foreign("requests.exceptions", "Timeout"),
        _foreign("aiohttp.client_exceptions", "ClientConnectionError"),
        _foreign("litellm.exceptions", "ServiceUnavailableError", status_code=503),
        _foreign("pydantic_ai.exceptions", "ModelHTTPError", status_code=429, body=None),
        _foreign("google.genai.errors", "ServerError", code=503),
        _foreign(
            "botocore.exceptions", "ClientError", response={"ResponseMetadata": {"HTTPStatusCode": 429}}
        ),
        _foreign("shop.errors", "Unavailable", status_code=503),
    ],
    DETERMINISTIC: [
        *map(_openai, (400, 413, 422)),
        *map(_anthropic, (400, 413, 422)),
        _openai(400, "context_length_exceeded", "invalid_request_error"),
        openai.APIError("in a stream", REQUEST, body={"code": "context_length_exceeded"}),
        _foreign("litellm.exceptions", "ContextWindowExceededError", status_code=400),
    ],
    AUTH: [
        *map(_openai, (401, 402, 403)),
        *map(_anthropic, (401, 402, 403)),
        _openai(429, "insufficient_quota", "insufficient_quota"),
        _openai(400, "billing_hard_limit_reached"),
        _anthropic(400, "invalid_request_error", "organization_on_hold"),
        _anthropic(200, "authentication_error"),
        _foreign("shop.errors", "Forbidden", status_code=403),
    ],
    OTHER: [
        *map(_openai, (404, 405, 499)),
        _anthropic(404, "not_found_error"),
        KeyError("x"),
        ValueError("x"),
        httpx2.LocalProtocolError("no"),
        httpx2.UnsupportedProtocol("no"),
        _foreign("shop.errors", "BadOrder", status_code=400),  # of no provider: it may be about anything
        _foreign("shop.errors", "BadOrder", code=503),
        _foreign("shop.errors", "BadOrder", code="server_error"),
        _foreign("shop.errors", "BadOrder", status_code=True, code=["x"], body={"error": 1}, type={}),
        _foreign("shop.errors", "ConnectionError"),
    ],
}


@pytest.mark.parametrize(
    ("error", "kind"),
    [(error, kind) for kind, errors in CASES.items() for error in errors],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_errors_are_told_apart(error: Exception, kind: FailureKind) -> None:
    """Each error is of the kind that says whether it passes, comes again, is the account's or the code's."""
    assert classify(error).kind is kind


def test_named_causes_count_and_contexts_do_not() -> None:
    """What is raised ``from`` a provider's error is judged by it; what a handler raises is not."""
    wrapped, bug = RuntimeError("no"), KeyError("no")
    wrapped.__cause__ = ValueError("no")
    wrapped.__cause__.__cause__ = _openai(429, retry_after="3")
    bug.__context__ = _openai(429)
    assert classify(wrapped) == Failure(TRANSIENT, 3.0)
    assert classify(bug) == Failure(OTHER)


def test_a_circle_of_causes_ends() -> None:
    """Errors that are each other's causes are judged all the same."""
    one, other = ValueError("no"), KeyError("no")
    one.__cause__, other.__cause__ = other, one
    assert classify(one) == Failure(OTHER)


def test_interruptions_are_nobodys_fault() -> None:
    """A cancellation or an interrupt is never stood in for, of whichever function."""
    for error in (asyncio.CancelledError(), KeyboardInterrupt(), SystemExit(429)):
        assert classify(error) == any_failure(error) == Failure(OTHER)


def test_properties_that_raise_are_not_there() -> None:
    """An error whose own properties fail is judged by the rest of it."""

    class Odd(TimeoutError):
        @property
        def response(self) -> object:
            raise RuntimeError("not set")

    assert classify(Odd()) == Failure(TRANSIENT)


@pytest.mark.parametrize(
    ("headers", "status", "seconds"),
    [
        ({"retry-after": "7"}, 503, 7.0),
        ({"retry-after": " 1.5 "}, 429, 1.5),
        ({"retry-after": "7", "retry-after-ms": "250"}, 429, 0.25),
        ({"retry-after": "-3"}, 429, 0.0),
        ({"retry-after": "86400"}, 429, LONGEST),
        ({"retry-after": "inf"}, 429, None),
        ({"retry-after": "nan"}, 429, None),
        ({"retry-after": "soon"}, 429, None),
        ({"retry-after": ""}, 429, None),
        ({"retry-after": 7}, 429, None),
        (
            {"retry-after": "Wed, 21 Oct 2026 07:28:10 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"},
            503,
            10.0,
        ),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 503, 0.0),
        ({"retry-after": "Wed, 21 Oct 2099 07:28:00 GMT"}, 503, LONGEST),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m2.5s"}, 429, 62.5),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "20ms",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "6s",
            },
            429,
            6.0,
        ),
        ({"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "6s"}, 429, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6s"}, 503, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6 s"}, 429, None),
        ({}, 429, None),
    ],
)
def test_what_a_provider_asks_for(headers: Mapping[str, object], status: int, seconds: float | None) -> None:
    """Seconds, milliseconds, dates and resets are read, what makes no sense is not, and all are bounded."""
    assert retry_after(headers, status) == seconds


def test_headers_are_found_by_any_case_and_holder() -> None:
    """The header is read off the response of an SDK, and off an error that holds its headers itself."""
    assert classify(_openai(429, Retry_After="4")).retry_after == 4.0
    held = _foreign("pydantic_ai.exceptions", "ModelHTTPError", status_code=429, headers={"retry-after": "5"})
    assert classify(held).retry_after == 5.0
    assert classify(_openai(401, retry_after="6")).retry_after == 0.0
