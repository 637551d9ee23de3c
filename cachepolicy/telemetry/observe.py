"""Recorded outcomes: what ``with observe() as seen:`` collects."""

from __future__ import annotations

from contextvars import ContextVar, Token
from dataclasses import dataclass

from cachepolicy.telemetry.names import Outcome, Reason, Tier


@dataclass(frozen=True, slots=True)
class Observation:
    """One decorated call.

    Attributes:
        namespace: the policy's namespace.
        function: ``module.qualname`` of the decorated function.
        outcome: how the call was answered.
        tier: where the answer came from.
        age: seconds since the answer was made; None when it has no age.
        key: the key in Redis: a digest, or what the ``key=`` template made readable.
        duration: seconds that the call took.
        reason: why the call went past its cache, if it did.
        error: the class of the exception that the call raised, if it did.
        fault: the class of the store's fault that the call survived, if there was one.
    """

    namespace: str
    function: str
    outcome: Outcome
    tier: Tier
    age: float | None
    key: str
    duration: float
    reason: Reason | None = None
    error: str | None = None
    fault: str | None = None


_Collectors = tuple[list[Observation], ...]
_COLLECTORS: ContextVar[_Collectors] = ContextVar("cachepolicy_observers", default=())


def collectors() -> _Collectors:
    """Return the lists that observations of this context go into."""
    return _COLLECTORS.get()


def push(collector: list[Observation]) -> Token[_Collectors]:
    """Add a collector to this context; return what ``pop`` needs."""
    return _COLLECTORS.set((*_COLLECTORS.get(), collector))


def pop(token: Token[_Collectors]) -> None:
    """Undo ``push``."""
    _COLLECTORS.reset(token)
