"""Spans: one INTERNAL ``cache.get {namespace}`` per lookup that leaves L1.

A hit must never look like a billable model call, so nothing of ``gen_ai.*`` or ``llm.*`` is set here.
Spans are started without a context manager: even the no-op one costs twenty L1 hits.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Token
from typing import Final, Protocol

from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from cachepolicy.telemetry.names import SCOPE, SPAN_GET

Attribute = str | bool | int | float


class LookupSpan(Protocol):
    """The span of one lookup."""

    @property
    def is_recording(self) -> bool:
        """Tell whether anybody reads what is told."""
        ...

    def enter(self) -> None:
        """Make it the current span of this context, for the origin's spans to hang on."""
        ...

    def leave(self) -> None:
        """Undo ``enter`` in the same context."""
        ...

    def link(self, other: LookupSpan) -> None:
        """Point to the span of the caller whose answer this one shares."""
        ...

    def end(self, attributes: Mapping[str, Attribute], error: str | None) -> None:
        """Say what became of the lookup and close the span; ``error`` is the class of the origin's error."""
        ...


class Tracing(Protocol):
    """Where spans come from."""

    def start(self, namespace: str) -> LookupSpan:
        """Begin the span of a lookup."""
        ...


class _NoSpan:
    __slots__ = ()
    is_recording = False

    def enter(self) -> None: ...
    def leave(self) -> None: ...
    def link(self, other: LookupSpan) -> None: ...
    def end(self, attributes: Mapping[str, Attribute], error: str | None) -> None: ...


NO_SPAN: Final = _NoSpan()


class OpenTelemetry:
    """Spans of the application's tracer provider; no-ops while it has none.

    Args:
        name: of them all, with ``{namespace}`` in it.

    A span processor that raises is the application's trouble, not its callers': ``failures`` counts.
    """

    def __init__(self, name: str = SPAN_GET) -> None:
        self.failures = 0
        self._name = name
        self._tracer = trace.get_tracer(SCOPE)
        self._is_proxy = isinstance(self._tracer, trace.ProxyTracer)
        self._names: dict[str, str] = {}

    def start(self, namespace: str) -> LookupSpan:
        """Begin the span of a lookup."""
        if self._is_proxy and getattr(trace, "_TRACER_PROVIDER", self) is None:  # nobody would ever see it
            return NO_SPAN
        name = self._names.get(namespace)
        if name is None:
            name = self._names[namespace] = self._name.format(namespace=namespace)
        try:
            span = self._tracer.start_span(name, kind=SpanKind.INTERNAL)
        except Exception:  # noqa: BLE001 - processors are the application's code
            self.failures += 1
            return NO_SPAN
        return NO_SPAN if span is trace.INVALID_SPAN else _OpenTelemetrySpan(span, self)


class _OpenTelemetrySpan:
    __slots__ = ("_token", "_tracing", "span")

    def __init__(self, span: Span, tracing: OpenTelemetry) -> None:
        self.span = span
        self._tracing = tracing
        self._token: Token[context.Context] | None = None

    @property
    def is_recording(self) -> bool:
        return self.span.is_recording()

    def enter(self) -> None:
        self._token = context.attach(trace.set_span_in_context(self.span))

    def leave(self) -> None:
        if self._token is not None:
            context.detach(self._token)
            self._token = None

    def link(self, other: LookupSpan) -> None:
        if isinstance(other, _OpenTelemetrySpan):
            self.span.add_link(other.span.get_span_context())

    def end(self, attributes: Mapping[str, Attribute], error: str | None) -> None:
        try:
            if self.span.is_recording():
                self.span.set_attributes(attributes)
                if error is not None:
                    self.span.set_status(Status(StatusCode.ERROR, error))
            self.span.end()
        except Exception:  # noqa: BLE001 - processors are the application's code
            self._tracing.failures += 1


class NoTracing:
    """``telemetry.enabled: false``."""

    def start(self, namespace: str) -> LookupSpan:  # noqa: ARG002 - nothing is started
        """Return the span that does nothing."""
        return NO_SPAN
