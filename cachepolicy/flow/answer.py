"""What a call is answered with."""

from __future__ import annotations

from types import TracebackType
from typing import Final, NamedTuple

from cachepolicy.codec.serialize import Serialized
from cachepolicy.telemetry.names import Outcome, Reason, Tier
from cachepolicy.telemetry.spans import LookupSpan
from cachepolicy.telemetry.usage import Usage


class Missing:
    """The type of ``MISS``: absence has a sentinel of its own, so that None and "" are values."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISS"

    def __bool__(self) -> bool:
        return False


MISS: Final = Missing()


class Answer(NamedTuple):
    """A value or an error, and how it came about.

    ``value`` is the object itself; ``shared`` makes it safe for one more caller.
    """

    outcome: Outcome
    tier: Tier
    value: object = None
    error: BaseException | None = None
    traceback: TracebackType | None = None
    serialized: Serialized | None = None  # None: lend the value as it is
    age: float | None = None
    reason: Reason | None = None
    fault: str | None = None  # the class of the store's fault that the call survived
    span: LookupSpan | None = None  # of the caller whose lookup this answer came from
    cost: float = 0.0  # how long the function took for it, in seconds
    usage: Usage | None = None  # what the model took for it

    def take(self) -> object:
        """Return the value or raise the error, as the function itself would have."""
        if self.error is None:
            return self.value
        try:
            raise self.error.with_traceback(self.traceback)
        finally:
            del self  # this frame is in the traceback: it must not hold the error that holds it


class Spare(NamedTuple):
    """A stored value that is out of date, kept in mind in case there is nothing better.

    Attributes:
        serialized: its bytes: each caller that it serves gets a value of its own.
        created: when its load began, wall clock.
        until: when it is of no more use, wall clock.
        cost: how long the function took for it, in seconds.
        usage: what the model took for it.
    """

    serialized: Serialized
    created: float
    until: float
    cost: float
    usage: Usage | None
