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
        """Return the first time, from ``now`` on, when ``cost`` has its turn; ``NEVER``."""
        ...

    def add(self, limit: Limit, cost: int, now: int, at: int) -> None:
        """Charge what has its turn at a time."""
        ...

    def give(self, limit: Limit, cost: int, now: int, made: int) -> None:
        """Give back what was charged at a time, unless that has ended since; 0: it is not known when."""
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

    __slots__ = ("_debt", "_last", "_since")

    def __init__(self) -> None:
        self._debt = 0
        self._last = 0
        self._since = 0  # there has been debt without a break since then

    def fits_at(self, limit: Limit, cost: int, now: int) -> int:
        """See :class:`Count`."""
        if cost > limit.burst:
            return NEVER
        over = self._now(limit, now) + (cost - limit.burst) * limit.period
        return now + max(0, -(-over // limit.amount))

    def add(self, limit: Limit, cost: int, now: int, at: int) -> None:  # noqa: ARG002  its turn is in the debt
        """See :class:`Count`."""
        debt = self._now(limit, now)
        if not debt:
            self._since = now
        self._debt, self._last = debt + cost * limit.period, now

    def give(self, limit: Limit, cost: int, now: int, made: int) -> None:
        """See :class:`Count`."""
        debt = self._now(limit, now)
        if not made or (debt and self._since <= made):
            self._debt, self._last = max(0, debt - cost * limit.period), now

    def left(self, limit: Limit, now: int) -> int:
        """See :class:`Count`."""
        return max(0, (limit.burst * limit.period - self._now(limit, now)) // limit.period)

    def ends_at(self, limit: Limit, now: int) -> int:
        """See :class:`Count`."""
        return now - (-self._now(limit, now) // limit.amount)

    def _now(self, limit: Limit, now: int) -> int:
        return max(0, self._debt - (now - self._last) * limit.amount)


class Window:
    """``window``: a period is cut in parts, and the oldest that it touches is counted in full.

    So no period of time, wherever it begins, holds more than ``amount``.
    """

    __slots__ = ("_used",)

    def __init__(self) -> None:
        self._used: dict[int, int] = {}  # by part, in their order; none is zero

    def fits_at(self, limit: Limit, cost: int, now: int) -> int:
        """See :class:`Count`."""
        if cost > limit.amount:
            return NEVER
        width, count = _cut(limit)
        used = self._within(limit, now)
        total, present = sum(used.values()), now // width
        turn = max([present, *used]) if cost else present  # turns come in their order
        for part, held in used.items():
            if part + count >= turn:
                if total + cost <= limit.amount:
                    break
                turn = part + count + 1
            total -= held
        return turn * width if turn > present else now

    def add(self, limit: Limit, cost: int, now: int, at: int) -> None:
        """See :class:`Count`."""
        self._used = self._within(limit, now)
        if cost:
            part = max([at // _cut(limit)[0], *self._used])
            self._used[part] = self._used.get(part, 0) + cost

    def give(self, limit: Limit, cost: int, now: int, made: int) -> None:
        """See :class:`Count`."""
        kept = {}
        for part, held in self._within(limit, now).items():
            given = min(held, cost) if not made or part == made // _cut(limit)[0] else 0
            cost -= given
            if held > given:
                kept[part] = held - given
        self._used = kept

    def left(self, limit: Limit, now: int) -> int:
        """See :class:`Count`."""
        used = self._within(limit, now)
        is_ahead = any(part > now // _cut(limit)[0] for part in used)
        return 0 if is_ahead else max(0, limit.amount - sum(used.values()))

    def ends_at(self, limit: Limit, now: int) -> int:
        """See :class:`Count`."""
        width, count = _cut(limit)
        used = self._within(limit, now)
        return (max(used) + count + 1) * width if used else now

    def _within(self, limit: Limit, now: int) -> dict[int, int]:
        width, count = _cut(limit)
        oldest = now // width - count
        return {part: held for part, held in self._used.items() if part >= oldest}


class Calendar:
    """``calendar``: by the hour, day or month of UTC."""

    __slots__ = ("_begin", "_used")

    def __init__(self) -> None:
        self._begin = 0  # of the last that something was charged to
        self._used = 0

    def fits_at(self, limit: Limit, cost: int, now: int) -> int:
        """See :class:`Count`."""
        if cost > limit.amount:
            return NEVER
        begin, end, used = self._now(limit, now)
        if used + cost > limit.amount:
            return end
        return max(now, begin) if cost else now

    def add(self, limit: Limit, cost: int, now: int, at: int) -> None:
        """See :class:`Count`."""
        begin, _, used = self._now(limit, now)
        turn = span(limit.calendar, at)[0]
        if cost and turn > begin:
            begin, used = turn, 0
        self._begin, self._used = begin, used + cost

    def give(self, limit: Limit, cost: int, now: int, made: int) -> None:
        """See :class:`Count`."""
        begin, _, used = self._now(limit, now)
        if not made or span(limit.calendar, made)[0] == begin:
            self._begin, self._used = begin, max(0, used - cost)

    def left(self, limit: Limit, now: int) -> int:
        """See :class:`Count`."""
        begin, _, used = self._now(limit, now)
        return 0 if begin > now else max(0, limit.amount - used)

    def ends_at(self, limit: Limit, now: int) -> int:
        """See :class:`Count`."""
        _, end, used = self._now(limit, now)
        return end if used else now

    def _now(self, limit: Limit, now: int) -> tuple[int, int, int]:
        begin, end = span(limit.calendar, now)
        if self._begin < begin:
            return begin, end, 0
        return self._begin, span(limit.calendar, self._begin)[1], self._used


def new_count(limit: Limit) -> Count:
    """Return a count of nothing."""
    match limit.algorithm:
        case Algorithm.GCRA:
            return Debt()
        case Algorithm.WINDOW:
            return Window()
        case Algorithm.CALENDAR:
            return Calendar()


def row(count: Count, limit: Limit, now: int, fits_at: int) -> Row:
    """Return what became of a limit, where a cost has its turn at a time."""
    retry = NEVER if fits_at == NEVER else fits_at - now
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
    """Return how long a part is, and how many whole ones cover the period."""
    width = -(-limit.period // limit.buckets)
    return width, -(-limit.period // width)
