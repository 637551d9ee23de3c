"""What limits say, reckoned with fractions and dates, without a server: what Redis is measured against."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Protocol

from cachepolicy.tiers.limits import Algorithm, Charged, Limit, Row

MOST = 2**53 - 1  # figures stay there
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Count(Protocol):
    """What is used of one limit; every moment is in ms."""

    def wait(self, limit: Limit, cost: int, now: int) -> int: ...
    def add(self, limit: Limit, cost: int, now: int, wait: int) -> None: ...
    def give(self, limit: Limit, cost: int, now: int, made: int, wait: int) -> None: ...
    def left(self, limit: Limit, now: int) -> int: ...
    def reset(self, limit: Limit, now: int) -> int: ...


@dataclass
class Drained:
    """``gcra``: units that drain steadily."""

    amount: int
    period: int
    used: Fraction = Fraction(0)
    since: int = 0  # there has been something used all the time

    def pass_time(self, now: int, elapsed: int) -> None:
        self.used = max(Fraction(0), self.used - Fraction(elapsed * self.amount, self.period))
        if not self.used:
            self.since = now

    def wait(self, limit: Limit, cost: int, now: int) -> int:
        if cost > limit.burst:
            return -1
        over = min(Fraction(MOST, limit.period), self.used + cost - limit.burst)
        return max(0, math.ceil(over * limit.period / limit.amount))

    def add(self, limit: Limit, cost: int, now: int, wait: int) -> None:
        self.used = min(Fraction(MOST, limit.period), self.used + cost)

    def give(self, limit: Limit, cost: int, now: int, made: int, wait: int) -> None:
        if not made or self.since <= made:
            self.used = max(Fraction(0), self.used - cost)
            if not self.used:
                self.since = now

    def left(self, limit: Limit, now: int) -> int:
        return max(0, math.floor(limit.burst - self.used))

    def reset(self, limit: Limit, now: int) -> int:
        return math.ceil(self.used * self.period / self.amount)


@dataclass
class Parts:
    """``window``: what was used in each part; a window holds so many whole parts, and the one before them."""

    width: int
    held: int
    counts: dict[int, int] = field(default_factory=dict)

    def prune(self, now: int) -> None:
        oldest = now // self.width - self.held
        self.counts = {part: count for part, count in self.counts.items() if part >= oldest and count}

    def _used(self, first: int, until: int) -> int:
        return sum(count for part, count in self.counts.items() if first <= part <= until)

    def last(self) -> int:
        return max(self.counts, default=-1)

    def wait(self, limit: Limit, cost: int, now: int) -> int:
        if cost > limit.amount:
            return -1
        part = until = now // self.width
        if cost:
            part = until = max(part, self.last())
        while self._used(part - self.held, until) + cost > limit.amount:
            part += 1
        return max(0, part * self.width - now)

    def add(self, limit: Limit, cost: int, now: int, wait: int) -> None:
        if cost:
            part = max((now + wait) // self.width, self.last())
            self.counts[part] = self.counts.get(part, 0) + cost

    def give(self, limit: Limit, cost: int, now: int, made: int, wait: int) -> None:
        for part in sorted(self.counts):
            if not made or part == (made + wait) // self.width:
                given = min(cost, self.counts[part])
                self.counts[part] -= given
                cost -= given
        self.counts = {part: count for part, count in self.counts.items() if count}

    def left(self, limit: Limit, now: int) -> int:
        return 0 if self.last() > now // self.width else max(0, limit.amount - sum(self.counts.values()))

    def reset(self, limit: Limit, now: int) -> int:
        return (self.last() + self.held + 1) * self.width - now if self.counts else 0


@dataclass
class Dated:
    """``calendar``: what was used in one hour, day or month."""

    kind: str
    begin: int
    used: int = 0

    @staticmethod
    def at(kind: str, now: int) -> int:
        """Return when the hour, day or month of a moment began."""
        moment = (_EPOCH + timedelta(milliseconds=now)).replace(minute=0, second=0, microsecond=0)
        if kind != "hour":
            moment = moment.replace(hour=0)
        if kind == "month":
            moment = moment.replace(day=1)
        return int(moment.timestamp()) * 1000

    def end(self) -> int:
        """Return when it is over."""
        longest = {"hour": 1, "day": 24, "month": 24 * 31}[self.kind]
        return self.at(self.kind, self.begin + longest * 3_600_000)

    def wait(self, limit: Limit, cost: int, now: int) -> int:
        if cost > limit.amount:
            return -1
        if self.used + cost > limit.amount:
            return self.end() - now
        return max(0, self.begin - now) if cost else 0

    def add(self, limit: Limit, cost: int, now: int, wait: int) -> None:
        begin = self.at(self.kind, now + wait)
        if cost and begin > self.begin:
            self.begin, self.used = begin, 0
        self.used += cost

    def give(self, limit: Limit, cost: int, now: int, made: int, wait: int) -> None:
        if not made or self.at(self.kind, made + wait) == self.begin:
            self.used = max(0, self.used - cost)

    def left(self, limit: Limit, now: int) -> int:
        return 0 if self.begin > now else max(0, limit.amount - self.used)

    def reset(self, limit: Limit, now: int) -> int:
        return self.end() - now if self.used else 0


class Subject:
    """One subject: the same calls as of ``tiers.limits``, each with the server's time in ms."""

    def __init__(self) -> None:
        self._last = 0
        self._counts: dict[str, Count] = {}
        self._reserved: dict[str, tuple[int, int, dict[str, int]]] = {}

    def charge(
        self,
        now: int,
        limits: Sequence[Limit],
        costs: Sequence[int],
        most_wait: int = 0,
        reservation: str = "",
    ) -> Charged:
        """Charge a call to all limits, or to none."""
        there = self._at(now)
        counts = there.take(limits)
        waits = [
            count.wait(limit, cost, there._last)
            for count, limit, cost in zip(counts, limits, costs, strict=True)
        ]
        allowed = min(waits, default=0) >= 0 and max(waits, default=0) <= max(0, most_wait)
        wait = 0
        if allowed and most_wait >= 0:
            wait = max(waits, default=0)
            for count, limit, cost in zip(counts, limits, costs, strict=True):
                count.add(limit, cost, there._last, wait)
            if reservation:
                named = {limit.name: cost for limit, cost in zip(limits, costs, strict=True)}
                there._reserved[reservation] = (there._last, wait, named)
            self.__dict__ = there.__dict__
        rows = [
            Row(count.left(limit, there._last), waiting, count.reset(limit, there._last))
            for count, limit, waiting in zip(counts, limits, waits, strict=True)
        ]
        return Charged(allowed, now, wait, tuple(rows))

    def peek(self, now: int, limits: Sequence[Limit], costs: Sequence[int]) -> Charged:
        """Tell what would become of a call."""
        return self.charge(now, limits, costs, -1)

    def settle(self, now: int, limits: Sequence[Limit], reservation: str, actual: Sequence[int]) -> bool:
        """Put what was used in the place of what was reserved, once."""
        found = self._reserved.pop(reservation, None)
        if found is None:
            return False
        made, wait, costs = found
        self.__dict__ = self._at(now).__dict__
        for count, limit, used in zip(self.take(limits, as_stored=True), limits, actual, strict=True):
            more = used - costs.get(limit.name, 0)
            if more > 0:
                count.add(limit, more, self._last, 0)
            elif more < 0:
                count.give(limit, -more, self._last, made, wait)
        return True

    def give_back(self, now: int, limits: Sequence[Limit], costs: Sequence[int], made: int = 0) -> None:
        """Give back what was charged for nothing."""
        if not self._counts:
            return
        self.__dict__ = self._at(now).__dict__
        for count, limit, cost in zip(self.take(limits, as_stored=True), limits, costs, strict=True):
            count.give(limit, cost, self._last, made, 0)

    def reset(self) -> bool:
        """Forget what was used."""
        known = bool(self._counts)
        self._last, self._counts = 0, {}
        return known

    def _at(self, now: int) -> Subject:
        """Return the subject as it is at a moment; its time never goes back."""
        there = copy.deepcopy(self)
        there._last = max(now, self._last)
        for count in there._counts.values():
            if isinstance(count, Drained):
                count.pass_time(there._last, there._last - self._last)
            elif isinstance(count, Parts):
                count.prune(there._last)
            elif isinstance(count, Dated) and count.begin < Dated.at(count.kind, there._last):
                count.begin, count.used = Dated.at(count.kind, there._last), 0
        return there

    def take(self, limits: Sequence[Limit], *, as_stored: bool = False) -> list[Count]:
        """Return the counts of limits; one that a rule has changed keeps what was used."""
        asked = {limit.name for limit in limits}
        counts = []
        for limit in limits:
            known = self._counts.get(limit.name)
            if limit.algorithm is Algorithm.GCRA:
                count: Count = self._drained(limit, known, asked, as_stored=as_stored)
            elif limit.algorithm is Algorithm.WINDOW:
                count = self._parts(limit, known, asked)
            else:
                count = known or Dated(limit.calendar, Dated.at(limit.calendar, self._last))
            self._counts[limit.name] = count
            counts.append(count)
        return counts

    def _drained(self, limit: Limit, known: Count | None, asked: set[str], *, as_stored: bool) -> Drained:
        if isinstance(known, Drained):
            if known.amount != limit.amount and not as_stored:
                known.amount, known.used = limit.amount, min(known.used, Fraction(limit.burst))
            return known
        count = Drained(limit.amount, limit.period, since=self._last)
        former = self._former(limit, asked)
        if isinstance(former, Drained):
            used = Fraction(math.ceil(former.used * limit.period), limit.period)
            count.used, count.since = min(used, Fraction(limit.burst)), former.since
        return count

    def _parts(self, limit: Limit, known: Count | None, asked: set[str]) -> Parts:
        width = -(-limit.period // limit.buckets)
        found = known or self._former(limit, asked)
        count = Parts(width, -(-limit.period // width))
        if isinstance(found, Parts) and found.width == width:
            count.counts = dict(found.counts)
        elif isinstance(found, Parts):
            for part, used in found.counts.items():
                end = (part + 1) * found.width - 1
                if part * found.width <= self._last:
                    end = min(end, self._last)
                count.counts[end // width] = count.counts.get(end // width, 0) + used
        count.prune(self._last)
        return count

    def _former(self, limit: Limit, asked: set[str]) -> Count | None:
        def parsed(name: str) -> tuple[str, int]:
            found = re.fullmatch(r"(\D+)(\d+)(m?)", name)
            return (found[1], int(found[2]) * (1 if found[3] else 1000)) if found else ("", 1)

        kind, period = parsed(limit.name)
        others = [name for name in self._counts if name not in asked and parsed(name)[0] == kind]
        if not others:
            return None
        return self._counts[min(others, key=lambda name: abs(math.log(parsed(name)[1] / period)))]
