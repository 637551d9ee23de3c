"""What flows know of spans; without OpenTelemetry they are nothing at all.

A hit must never look like a billable model call, so nothing of ``gen_ai.*`` or ``llm.*`` is ever set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

Attribute = str | bool | int | float


class Witness(Protocol):
    """Hears what a call's commands meet on their way to Redis."""

    def retried(self, attempt: int, fault: str) -> None:
        """Hear that a command is sent again.

        Args:
            attempt: which one it is; the first is 1.
            fault: what the last one met.
        """
        ...

    def turned(self, state: str) -> None:
        """Hear that the breaker has become ``open`` or ``closed``."""
        ...


class LookupSpan(Witness, Protocol):
    """The span of one lookup, or of a part of it."""

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

    def child(self, name: str) -> LookupSpan:
        """Begin the span of a part of it; ``name`` has ``{namespace}`` in it."""
        ...

    def told(self, name: str, attributes: Mapping[str, Attribute]) -> None:
        """Tell of a part that took from its beginning until now."""
        ...

    def end(self, attributes: Mapping[str, Attribute], error: str | None) -> None:
        """Say what became of the lookup and close the span; ``error`` is the class of the origin's error."""
        ...


@dataclass(frozen=True, slots=True)
class Telling:
    """What spans tell beside what all do.

    Attributes:
        openinference: what kind of step each is, in OpenInference's words.
        content: arguments and results.
        key_hash: the beginning of the key's hash.
        commands: each command to Redis, as a span of its own.
    """

    openinference: bool = False
    content: bool = False
    key_hash: bool = False
    commands: bool = False


class Tracing(Protocol):
    """Where spans come from."""

    @property
    def telling(self) -> Telling:
        """What they tell."""
        ...

    @property
    def here(self) -> Witness:
        """Hears for whatever span is current when there is something to hear."""
        ...

    def start(self, namespace: str) -> LookupSpan:
        """Begin the span of a lookup."""
        ...

    def part(self, name: str, namespace: str) -> LookupSpan:
        """Begin a span of another name, a part of what is current; ``name`` has ``{namespace}`` in it."""
        ...

    def apart(self, name: str, namespace: str, cause: LookupSpan) -> LookupSpan:
        """Begin a trace: of what was begun on behalf of a call, and outlives it; it points to its cause."""
        ...


class _NoSpan:
    __slots__ = ()
    is_recording = False

    def enter(self) -> None: ...
    def leave(self) -> None: ...
    def link(self, other: LookupSpan) -> None: ...
    def told(self, name: str, attributes: Mapping[str, Attribute]) -> None: ...
    def end(self, attributes: Mapping[str, Attribute], error: str | None) -> None: ...
    def retried(self, attempt: int, fault: str) -> None: ...
    def turned(self, state: str) -> None: ...

    def child(self, name: str) -> LookupSpan:  # noqa: ARG002 - nothing is begun
        return self


NO_SPAN: Final = _NoSpan()


class Together:
    """The span of a call for many items, as each of them has it: it is not theirs to begin or to end."""

    __slots__ = ("_linked", "_span")
    is_recording = False

    def __init__(self, span: LookupSpan) -> None:
        self._span = span
        self._linked: set[int] = set()

    @property
    def whole(self) -> LookupSpan:
        """The span itself, to be pointed to."""
        return self._span

    def link(self, other: LookupSpan) -> None:
        """Point to another caller, once."""
        if id(other) not in self._linked:
            self._linked.add(id(other))
            self._span.link(other)

    def retried(self, attempt: int, fault: str) -> None:
        """Tell of it on the whole."""
        self._span.retried(attempt, fault)

    def turned(self, state: str) -> None:
        """Tell of it on the whole."""
        self._span.turned(state)

    def child(self, name: str) -> LookupSpan:  # noqa: ARG002 - the whole has its own parts
        """Begin nothing: a span for each item would be too many."""
        return NO_SPAN

    def enter(self) -> None:
        """Do nothing: items take turns in one context."""

    def leave(self) -> None:
        """Do nothing."""

    def told(self, name: str, attributes: Mapping[str, Attribute]) -> None:
        """Do nothing, as ``child``."""

    def end(self, attributes: Mapping[str, Attribute], error: str | None) -> None:
        """Do nothing: the whole goes on."""
