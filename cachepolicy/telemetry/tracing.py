"""Spans of OpenTelemetry, started without a context manager: even the no-op one costs twenty L1 hits.

Whatever fails here is the application's telemetry: counted, and no trouble of its callers.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import Token
from functools import lru_cache
from typing import Final

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode

from cachepolicy.telemetry import faults
from cachepolicy.telemetry.names import (
    ATTRIBUTE_ATTEMPT,
    ATTRIBUTE_ERROR,
    ATTRIBUTE_SPAN_KIND,
    ATTRIBUTE_STATE,
    EVENT_BREAKER,
    EVENT_RETRY,
    SCOPE,
    SPAN_GET,
)
from cachepolicy.telemetry.passing import dropped, parted, passing, reset
from cachepolicy.telemetry.spans import NO_SPAN, Attribute, LookupSpan, Telling, Together, Witness

CHAIN: Final = "CHAIN"
"""OpenInference's kind of step that calls no model itself, and so costs nothing."""

FAILED: Final = "telemetry"
"""What a failure of the application's telemetry is counted as."""


@lru_cache(1024)
def _named(name: str, namespace: str) -> str:
    return name.format(namespace=namespace)


class OpenTelemetry:
    """Spans of the application's tracer provider; no-ops while it has none.

    Args:
        name: of them all, with ``{namespace}`` in it.
        telling: what they tell.
    """

    def __init__(self, name: str = SPAN_GET, telling: Telling = Telling()) -> None:  # noqa: B008 - it is frozen
        self.telling = telling
        self.here: Witness = _Here()
        self._tracer = trace.get_tracer(SCOPE)
        self._begin = self._tracer.start_span
        self._is_proxy = isinstance(self._tracer, trace.ProxyTracer)
        self._names = _Names(name)

    def start(self, namespace: str) -> LookupSpan:
        """Begin the span of a lookup."""
        if self._is_proxy and getattr(trace, "_TRACER_PROVIDER", self) is None:  # nobody would ever see it
            return NO_SPAN
        try:
            span = self._begin(self._names[namespace])
        except Exception:  # noqa: BLE001 - processors are the application's code
            failed(namespace)
            return NO_SPAN
        if self.telling.commands and span is not trace.INVALID_SPAN:
            ours = OpenTelemetrySpan(span, self, namespace)
            ours.enter()  # for them to hang on
            return ours
        return OpenTelemetrySpan(span, self, namespace) if span.is_recording() else dropped(span)

    def part(self, name: str, namespace: str) -> LookupSpan:
        """Begin a span of another name, a part of what is current."""
        return self._start(_named(name, namespace), namespace)

    def apart(self, name: str, namespace: str, cause: LookupSpan) -> LookupSpan:
        """Begin a trace of its own."""
        caller = cause.whole if isinstance(cause, Together) else cause
        links = [Link(caller.span.get_span_context())] if isinstance(caller, OpenTelemetrySpan) else None
        span = self._start(_named(name, namespace), namespace, Context(), links=links)
        return parted() if span is NO_SPAN else span

    def begin(
        self, name: str, namespace: str, parent: Span, since: int | None = None
    ) -> OpenTelemetrySpan | None:
        """Begin a part of a span; None: it could not be.

        Args:
            name: with ``{namespace}`` in it.
            namespace: that it is about.
            parent: that it is a part of.
            since: when it began, in ns since the epoch; None: now.
        """
        span = self._start(_named(name, namespace), namespace, trace.set_span_in_context(parent), since=since)
        return span if isinstance(span, OpenTelemetrySpan) else None

    def _start(
        self,
        name: str,
        namespace: str,
        under: Context | None = None,
        *,
        links: list[Link] | None = None,
        since: int | None = None,
    ) -> LookupSpan:
        try:
            span = self._tracer.start_span(name, under, SpanKind.INTERNAL, None, links, since)
            if span is trace.INVALID_SPAN:
                return NO_SPAN
            ours = OpenTelemetrySpan(span, self, namespace)
            if links is not None:
                ours.under = under
        except Exception:  # noqa: BLE001 - processors are the application's code
            failed(namespace)
            return NO_SPAN
        else:
            return ours


class OpenTelemetrySpan:
    """A span, and what of it is current where.

    Attributes:
        span: of the SDK.
        under: what is current together with it; None: whatever is.
    """

    is_recording = True  # it is to be ended, at least
    under: Context | None = None
    _tokens: tuple[Token[Context], ...] = ()

    def __init__(self, span: Span, tracing: OpenTelemetry, namespace: str) -> None:
        self.span = span
        self._tracing = tracing
        self._namespace = namespace

    def enter(self) -> None:
        """Make it current."""
        self._tokens += (context.attach(trace.set_span_in_context(self.span, self.under)),)

    def leave(self) -> None:
        """Undo the last ``enter``; nothing where that was in another context, which is gone with its task."""
        if self._tokens:
            *others, token = self._tokens
            self._tokens = tuple(others)
            reset(token)

    def link(self, other: LookupSpan) -> None:
        """Point to another span."""
        caller = other.whole if isinstance(other, Together) else other
        if isinstance(caller, OpenTelemetrySpan) and caller is not self:
            try:
                self.span.add_link(caller.span.get_span_context())
            except Exception:  # noqa: BLE001 - the SDK is the application's
                failed(self._namespace)

    def child(self, name: str) -> LookupSpan:
        """Begin the span of a part; where this one is dropped, the part only hands on that it is."""
        if not self.span.is_recording():
            return passing(self.span, self.under)
        return self._tracing.begin(name, self._namespace, self.span) or NO_SPAN

    def told(self, name: str, attributes: Mapping[str, Attribute]) -> None:
        """Tell of a part that took from its beginning until now."""
        if self.span.is_recording():
            since = getattr(self.span, "start_time", None) or time.time_ns()
            part = self._tracing.begin(name, self._namespace, self.span, since)
            if part is not None:
                part.end(attributes, None)

    def retried(self, attempt: int, fault: str) -> None:
        """Tell that a command is sent again."""
        if self.span.is_recording():
            add_event(self.span, EVENT_RETRY, {ATTRIBUTE_ATTEMPT: attempt, ATTRIBUTE_ERROR: fault})

    def turned(self, state: str) -> None:
        """Tell what the breaker has become."""
        if self.span.is_recording():
            add_event(self.span, EVENT_BREAKER, {ATTRIBUTE_STATE: state})

    def end(self, attributes: Mapping[str, Attribute], error: str | None) -> None:
        """Close it."""
        while self._tokens:
            self.leave()
        span = self.span
        try:
            span.set_attributes(attributes)
            if self._tracing.telling.openinference:
                span.set_attribute(ATTRIBUTE_SPAN_KIND, CHAIN)
            if error is not None:
                span.set_status(Status(StatusCode.ERROR, error))
            span.end()
        except Exception:  # noqa: BLE001 - processors are the application's code
            failed(self._namespace)


class _Names(dict[str, str]):
    """Names of spans by namespace."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __missing__(self, namespace: str) -> str:
        name = self[namespace] = self._name.format(namespace=namespace)
        return name


class _Here:
    """Adds events to the current span."""

    __slots__ = ()

    def retried(self, attempt: int, fault: str) -> None:
        span = trace.get_current_span()
        if span.is_recording():
            add_event(span, EVENT_RETRY, {ATTRIBUTE_ATTEMPT: attempt, ATTRIBUTE_ERROR: fault})

    def turned(self, state: str) -> None:
        span = trace.get_current_span()
        if span.is_recording():
            add_event(span, EVENT_BREAKER, {ATTRIBUTE_STATE: state})


def add_event(span: Span, name: str, attributes: Mapping[str, Attribute]) -> None:
    """Add an event to a span; a failure is counted."""
    try:
        span.add_event(name, attributes)
    except Exception:  # noqa: BLE001 - the SDK is the application's
        failed("")


def failed(namespace: str) -> None:
    """Count a failure of the application's telemetry."""
    faults.errors(namespace)[FAILED] += 1
