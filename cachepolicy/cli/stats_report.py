"""What ``cachepolicy stats`` tells: the counts of the whole fleet over a time, as numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class Answers:
    """How calls were answered, by where the answer came from.

    Attributes:
        l1: by the process's own tier, out of date or not.
        l2: by Redis, out of date or not.
        shared: by another caller's call, which was under way.
        origin: by the function itself.
    """

    l1: int = 0
    l2: int = 0
    shared: int = 0
    origin: int = 0

    @property
    def calls(self) -> int:
        """All of them."""
        return self.l1 + self.l2 + self.shared + self.origin

    @property
    def spared(self) -> int:
        """Those for which the function was not called."""
        return self.l1 + self.l2 + self.shared

    @property
    def hit_rate(self) -> float | None:
        """Their share, 0 to 1; None where nobody called."""
        return self.spared / self.calls if self.calls else None

    def __add__(self, other: Answers) -> Answers:
        return Answers(
            self.l1 + other.l1, self.l2 + other.l2, self.shared + other.shared, self.origin + other.origin
        )


@dataclass(frozen=True, slots=True)
class Usage:
    """The calls of one namespace; ``stale``, ``bypass`` and ``fault`` are part of its answers."""

    namespace: str
    answers: Answers
    stale: int = 0
    bypass: int = 0
    fault: int = 0


@dataclass(frozen=True, slots=True)
class Saving:
    """What answers of one model spared a namespace. No model: the answers named none."""

    namespace: str
    model: str = ""
    tenant: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = None
    currency: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Limited:
    """What one rule decided; ``exceeded`` are calls that were refused, whoever decided."""

    namespace: str
    rule: str
    allowed: int = 0
    denied: int = 0
    shadow: int = 0
    degraded: int = 0
    exceeded: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """Faults of one class that calls survived."""

    namespace: str
    error: str
    count: int


@dataclass(frozen=True, slots=True)
class SessionCount:
    """The sessions of a namespace: how many live, as was seen last, and how many ended meanwhile."""

    namespace: str
    active: int | None = None
    ended: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True)
class Moment:
    """The calls of one step of time."""

    start: datetime
    answers: Answers


@dataclass(frozen=True, slots=True)
class Report:
    """All of it.

    Attributes:
        app: whose counts these are.
        since: where they begin: the start of a step, in UTC.
        until: when they were read, in UTC.
        step: of the timeline.
    """

    app: str
    since: datetime
    until: datetime
    step: timedelta
    usage: tuple[Usage, ...] = ()
    savings: tuple[Saving, ...] = ()
    limits: tuple[Limited, ...] = ()
    failures: tuple[Failure, ...] = ()
    sessions: tuple[SessionCount, ...] = ()
    timeline: tuple[Moment, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was counted."""
        return not (self.usage or self.savings or self.limits or self.failures or self.sessions)

    @property
    def answers(self) -> Answers:
        """The calls of all namespaces together."""
        return sum((each.answers for each in self.usage), Answers())


def money(savings: Iterable[Saving]) -> dict[str, Decimal]:
    """Add up money, each currency for itself."""
    sums: dict[str, Decimal] = {}
    for saving in savings:
        if saving.cost is not None:
            sums[saving.currency] = sums.get(saving.currency, Decimal(0)) + saving.cost
    return sums


def as_json(report: Report) -> dict[str, Any]:
    """Return a report as plain data: money as text, so that it stays exact, times by ISO 8601."""
    told: dict[str, Any] = _plain(asdict(report))
    told["step"] = int(report.step.total_seconds())
    for usage, each in zip(told["usage"], report.usage, strict=True):
        usage |= {"calls": each.answers.calls, "hit_rate": each.answers.hit_rate}
    return {"version": 1, **told}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return format(value, "f") if isinstance(value, Decimal) else value
