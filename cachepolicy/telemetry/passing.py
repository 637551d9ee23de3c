"""What stands in for spans that are none of ours: it only says what is current."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Token

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span

from cachepolicy.telemetry.spans import NO_SPAN, Attribute, LookupSpan, Telling, Witness


class _Passing:
    """No span of ours; but something of the application's is current while it is entered."""

    __slots__ = ("_context", "_token")
    is_recording = False

    def __init__(self, context: Context) -> None:
        self._context = context
        self._token: Token[Context] | None = None

    def enter(self) -> None:
        self._token = context.attach(self._context)

    def leave(self) -> None:
        if self._token is not None:
            reset(self._token)
            self._token = None

    def end(self, attributes: Mapping[str, Attribute], error: str | None) -> None:  # noqa: ARG002 - it is none
        self.leave()

    def child(self, name: str) -> LookupSpan:  # noqa: ARG002 - nothing is begun
        return NO_SPAN

    def link(self, other: LookupSpan) -> None: ...
    def told(self, name: str, attributes: Mapping[str, Attribute]) -> None: ...
    def retried(self, attempt: int, fault: str) -> None: ...
    def turned(self, state: str) -> None: ...


class _Dropped(_Passing):
    """The span of a lookup that the sampler drops: what the function traces is dropped with it."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span
        self._token = None

    def enter(self) -> None:
        self._token = context.attach(trace.set_span_in_context(self._span))

    def child(self, name: str) -> LookupSpan:  # noqa: ARG002 - nothing is begun
        return _Dropped(self._span)


def dropped(span: Span) -> LookupSpan:
    """Return what stands for a span that nobody reads."""
    return NO_SPAN if span is trace.INVALID_SPAN else _Dropped(span)


def passing(span: Span, under: Context | None) -> LookupSpan:
    """Return what makes a span current that is not ours to end."""
    return _Passing(trace.set_span_in_context(span, under))


def parted() -> LookupSpan:
    """Return what parts whoever traces in it from the call that began it, which has ended."""
    return _Passing(Context())


class NoTracing:
    """``telemetry.enabled: false``, ``spans: none``."""

    telling = Telling()
    here: Witness = NO_SPAN

    def start(self, namespace: str) -> LookupSpan:  # noqa: ARG002 - nothing is started
        """Return the span that does nothing."""
        return NO_SPAN

    def part(self, name: str, namespace: str) -> LookupSpan:  # noqa: ARG002 - as above
        """Return the span that does nothing."""
        return NO_SPAN

    def apart(self, name: str, namespace: str, cause: LookupSpan) -> LookupSpan:  # noqa: ARG002 - as above
        """Return what only parts."""
        return parted()


def reset(token: Token[Context]) -> None:
    """Undo what made something current; nothing in another context than that was in."""
    try:
        token.var.reset(token)  # as ``context.detach``, which would log what is expected here
    except ValueError:  # a flow that was thrown away is closed in whatever context that happens
        return
