"""How use is counted over time: the arithmetic of limits, in whole numbers, as the script in Redis does it.

Each count belongs to one limit of one subject. It holds no more than was used; how much is allowed is handed
in, so that a limit may change and what was used stays.
"""

from __future__ import annotations

import datetime
from typing import Final, Protocol

from cachepolicy.tiers.limits import Algorithm, Limit, Row

NEVER: Final = -1  # more than may be used at once: no waiting helps
_HOUR: Final = 3_600_000
_DAY: Final = 86_400_000


class Count(Protocol):
    """What one limit knows of one subject. Times are ms since the epoch, costs whole numbers."""

    def fits_at(self, limit: Limit, cost: int, now: int) -> int:
        """Return the first time, from ``now`` on, when ``cost`` can be charged; ``NEVER``."""
        ...

    def add(self, limit: Limit, cost: int, now: int, at: int) -> None:
        """Charge for a time ``at``; a negative cost gives back what was charged, and no more than that."""
        ...

    def left(self, limit: Limit, now: int) -> int:
        """Return how much can be charged at once."""
        ...

    def ends_at(self, limit: Limit, now: int) -> int:
        """Return when nothing is used any more."""
        ...


class Debt:
    """``gcra``: what was used is a debt, which drains steadily.

    A cost of one is a debt of ``period``, and ``amount`` drains each ms: no fraction arises, and no rounding.
    """

    __slots__ = ("_debt", "_last")

    def __init__(self) -> None:
        self._debt = 0
        self._last = 0

    def fits_at(self, limit: Limit, cost: int, now: int) -> int:
        """See :class:`Count`."""
        if cost > limit.burst:
            return NEVER
        over = self._now(limit, now) + (cost - limit.burst) * limit.period
        return now + max(0, -(-over // limit.amount))

    def add(self, limit: Limit, cost: int, now: int, at: int) -> None:  # noqa: ARG002  its turn is in the debt
        """See :class:`Count`."""
        self._debt = max(0, self._now(limit, now) + cost * limit.period)
        self._last = max(self._last, now)

    def left(self, limit: Limit, now: int) -> int:
        """See :class:`Count`."""
        return max(0, (limit.burst * limit.period - self._now(limit, now)) // limit.period)

    def ends_at(self, limit: Limit, now: int) -> int:
        """See :class:`Count`."""
        return now - (-self._now(limit, now) // limit.amount)

    def _now(self, limit: Limit, now: int) -> int:
        return max(0, self._debt - max(0, now - self._last) * limit.amount)


class Window:
    """``window``: a period is cut in buckets, and the oldest that it touches is counted in full.

    So no period of time, wherever it begins, holds more than ``amount``.
    """

    __slots__ = ("_used",)

    def __init__(self) -> None:
        self._used: dict[int, int] = {}  # by bucket; the buckets in order

    def fits_at(self, limit: Limit, cost: int, now: int) -> int:
        """See :class:`Count`."""
        if cost > limit.amount:
            return NEVER
        over = self._sum(limit, now) + cost - limit.amount
        width, count = _cut(limit)
        for bucket in self._within(limit, now):
            if over <= 0:
                break
            over -= self._used[bucket]
            now = (bucket + count + 1) * width
        return now

    def add(self, limit: Limit, cost: int, now: int, at: int) -> None:
        """See :class:`Count`."""
        width, _ = _cut(limit)
        self._used = {bucket: self._used[bucket] for bucket in self._within(limit, now)}
        bucket = max([at // width, *self._used])  # a clock that steps back does not move what was used
        if cost >= 0:
            self._used[bucket] = self._used.get(bucket, 0) + cost
            return
        for newest in sorted(self._used, reverse=True):
            given = min(-cost, self._used[newest])
            self._used[newest] -= given
            cost += given

    def left(self, limit: Limit, now: int) -> int:
        """See :class:`Count`."""
        return max(0, limit.amount - self._sum(limit, now))

    def ends_at(self, limit: Limit, now: int) -> int:
        """See :class:`Count`."""
        width, count = _cut(limit)
        used = [bucket for bucket in self._within(limit, now) if self._used[bucket]]
        return (max(used) + count + 1) * width if used else now

    def _within(self, limit: Limit, now: int) -> list[int]:
        width, count = _cut(limit)
        oldest = now // width - count
        return sorted(bucket for bucket in self._used if bucket >= oldest)

    def _sum(self, limit: Limit, now: int) -> int:
        return sum(self._used[bucket] for bucket in self._within(limit, now))


class Calendar:
    """``calendar``: by the hour, day or month of UTC."""

    __slots__ = ("_used",)

    def __init__(self) -> None:
        self._used: dict[int, int] = {}  # by the time that it begins

    def fits_at(self, limit: Limit, cost: int, now: int) -> int:
        """See :class:`Count`."""
        if cost > limit.amount:
            return NEVER
        begin, end = span(limit.calendar, now)
        while self._used.get(begin, 0) + cost > limit.amount:
            now = end
            begin, end = span(limit.calendar, now)
        return now

    def add(self, limit: Limit, cost: int, now: int, at: int) -> None:
        """See :class:`Count`."""
        begin, _ = span(limit.calendar, now)
        self._used = {start: used for start, used in self._used.items() if start >= begin}
        begin, _ = span(limit.calendar, at)
        self._used[begin] = max(0, self._used.get(begin, 0) + cost)

    def left(self, limit: Limit, now: int) -> int:
        """See :class:`Count`."""
        return max(0, limit.amount - self._used.get(span(limit.calendar, now)[0], 0))

    def ends_at(self, limit: Limit, now: int) -> int:
        """See :class:`Count`."""
        begin, end = span(limit.calendar, now)
        return end if self._used.get(begin, 0) else now


def new_count(limit: Limit) -> Count:
    """Return a count of nothing."""
    match limit.algorithm:
        case Algorithm.GCRA:
            return Debt()
        case Algorithm.WINDOW:
            return Window()
        case Algorithm.CALENDAR:
            return Calendar()


def row(count: Count, limit: Limit, now: int, fits_at: int = 0) -> Row:
    """Return what became of a limit, whose cost ``fits_at`` a time; 0: it was charged."""
    retry = NEVER if fits_at == NEVER else max(0, fits_at - now)
    return Row(count.left(limit, now), retry, count.ends_at(limit, now) - now)


def span(calendar: str, at: int) -> tuple[int, int]:
    """Return the hour, day or month of UTC around a time: when it begins, and when the next does."""
    if calendar != "month":
        length = _HOUR if calendar == "hour" else _DAY
        return at // length * length, at // length * length + length
    day = datetime.datetime.fromtimestamp(at // 1000, datetime.UTC)
    first = day.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    after = (first + datetime.timedelta(days=31)).replace(day=1)
    return int(first.timestamp()) * 1000, int(after.timestamp()) * 1000


def _cut(limit: Limit) -> tuple[int, int]:
    """Return how long a bucket is, and how many whole ones cover the period."""
    width = -(-limit.period // limit.buckets)
    return width, -(-limit.period // width)
