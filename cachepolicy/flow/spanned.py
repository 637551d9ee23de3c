"""Flows with a span around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from cachepolicy.flow.effects import Attempt, CallOrigin, Flow
from cachepolicy.telemetry.spans import Attribute, LookupSpan

T = TypeVar("T")


def spanned(span: LookupSpan, told: Mapping[str, Attribute], flow: Flow[T]) -> Flow[T]:
    """Run a flow while a span is current, and close that however it ends.

    Args:
        span: just begun.
        told: in the end; the flow may add to it.
        flow: not begun yet.
    """
    failure: str | None = None
    span.enter()
    try:
        return (yield from flow)
    except BaseException as error:
        failure = type(error).__name__
        raise
    finally:
        span.end(told, failure)


def spanned_origin(span: LookupSpan, told: Mapping[str, Attribute], call: CallOrigin) -> Flow[Attempt]:
    """Call the decorated function while a span is current; what it raised is told by its class."""
    failure: str | None = None
    span.enter()
    try:
        attempt: Attempt = yield call
    except BaseException as error:
        failure = type(error).__name__
        raise
    else:
        failure = None if attempt.error is None else type(attempt.error).__name__
        return attempt
    finally:
        span.end(told, failure)
