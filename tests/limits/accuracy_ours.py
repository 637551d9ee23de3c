"""The algorithms of this package under attack, by the arithmetic that Redis and each process share."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from cachepolicy.clock import ManualClock
from cachepolicy.flow.local_limits import LocalLimits
from cachepolicy.tiers.limits import Algorithm, Limit, Part, Unit
from tests.support.limit_attacks import Limited, sustained, worst

AMOUNT: Final = 100
HOUR: Final = 3_600_000


@dataclass(frozen=True)
class Contender:
    """An algorithm, and what is promised of it.

    Attributes:
        limit: how it is set up, for 100 in an hour.
        most: what any hour holds at most, over 100.
        least: what a caller gets who never stops, over 100 an hour.
        promise: the same, for people.
    """

    limit: Limit
    most: float
    least: float
    promise: str


def _gcra(amount: int, burst: int) -> Limit:
    return Limit(Unit.REQUESTS, Algorithm.GCRA, amount, HOUR, burst=burst)


def _window(buckets: int) -> Limit:
    return Limit(Unit.REQUESTS, Algorithm.WINDOW, AMOUNT, HOUR, buckets=buckets)


CONTENDERS: Final[Mapping[str, Contender]] = MappingProxyType(
    {
        "gcra, burst 100%": Contender(_gcra(100, 100), 2.0, 1.0, "burst + rate: 2.00"),
        "gcra, burst 10%": Contender(_gcra(100, 10), 1.1, 1.0, "burst + rate: 1.10"),
        "gcra, 80/hour, burst 25%": Contender(_gcra(80, 20), 1.0, 0.8, "burst + rate: 1.00"),
        "window, 20 buckets": Contender(_window(20), 1.0, 0.9, "1.00"),
        "window, 60 buckets": Contender(_window(60), 1.0, 0.95, "1.00"),
        "calendar": Contender(
            Limit(Unit.REQUESTS, Algorithm.CALENDAR, AMOUNT, HOUR, calendar="hour"),
            2.0,
            1.0,
            "1.00 in each hour of the clock, 2.00 across two",
        ),
    }
)


class Ours:
    """A subject counted by the arithmetic of this package, on a clock that moves when told to."""

    def __init__(self, limit: Limit) -> None:
        self._time = ManualClock(now_wall=1_699_999_200.0)  # an hour begins
        self._limits = LocalLimits(self._time.clock, Fraction(1))
        self._parts = [Part("k", (limit,), (1,))]

    def now(self) -> float:
        """See :class:`Limited`."""
        return int(self._time.now_wall * 1000)

    def wait(self, ms: float) -> None:
        """See :class:`Limited`."""
        self._time.advance(round(ms) / 1000)

    def hit(self) -> bool:
        """See :class:`Limited`."""
        return self._limits.charge(self._parts).allowed


def measured(contender: Contender, randoms: int) -> tuple[float, str, float]:
    """Return the most that any hour held, by which attack, and what a caller gets who never stops."""
    subjects: Iterator[Limited] = (Ours(contender.limit) for _ in itertools.count())
    most, attack = worst(subjects, AMOUNT, HOUR, randoms=randoms)
    return most, attack, sustained(Ours(contender.limit), AMOUNT, HOUR)
