"""Keep up to date what is known of a model, by how the calls of a decorated function do.

A process tells of a model at most every few seconds; what happens in between is told with the next call
after that. Redis makes the average, so no process loses what another has told.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cachepolicy.llm.model_info import OK, key_of, told
from cachepolicy.llm.usage import usage_of

if TYPE_CHECKING:
    from cachepolicy.flow.effects import Attempt, Flow
    from cachepolicy.flow.plan import Call, Plan
    from cachepolicy.flow.stores import Site

EVERY: Final = 5.0
"""Seconds between two reports of a process about one model."""

WEIGHT: Final = 0.2
"""Of one response time beside the average: after ten calls what was before them counts for a tenth."""

_MOST_MODELS: Final = 1000  # in a process; more are not told of


@dataclass(slots=True)
class _Unsaid:
    """What was not told yet of a model. A lost update under threads is accepted."""

    due: float = float("-inf")  # monotonic
    answers: int = 0
    seconds: float = 0.0


_UNSAID: Final[weakref.WeakKeyDictionary[Site, dict[str, _Unsaid]]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Reporter:
    """Hears how a function's calls do.

    Args:
        provider: who serves its models.
    """

    provider: str

    def __call__(self, plan: Plan, call: Call, attempt: Attempt, seconds: float, /) -> Flow[None] | None:
        """Return what tells of it; None: not now, or it says nothing of a model."""
        from cachepolicy.flow.accounting import model_of  # loaded with the first plan
        from cachepolicy.tiers.models import Facts

        error = attempt.error
        if error is not None and not isinstance(error, Exception):
            return None  # it was interrupted
        model = model_of(plan, call)
        if not model:
            usage = usage_of(attempt.value)
            model = "" if usage is None else usage.model
        if not model:
            return None
        key = key_of(plan.prefix, self.provider, model)
        unsaid = _of(plan.site, key)
        if unsaid is None:
            return None
        if error is None:
            unsaid.answers += 1
            unsaid.seconds += seconds
        now = plan.clock.monotonic()
        if now < unsaid.due:
            return None
        answers, total = unsaid.answers, unsaid.seconds
        unsaid.answers, unsaid.seconds, unsaid.due = 0, 0.0, now + EVERY
        status = OK if error is None else type(error).__name__
        facts = Facts(status, plan.clock.wall(), total / answers if answers else None)
        return told(plan, key, facts, 1 - (1 - WEIGHT) ** answers)


def _of(site: Site, key: str) -> _Unsaid | None:
    known = _UNSAID.setdefault(site, {})
    unsaid = known.get(key)
    if unsaid is None and len(known) < _MOST_MODELS:
        unsaid = known.setdefault(key, _Unsaid())
    return unsaid
