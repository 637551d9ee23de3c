"""Limits counted in this process alone, for ``on_fault: local``: Redis is out, and calls are still limited.

Each process counts its share of a limit, so that all of them together keep to the whole. What this process
has counted is forgotten with it, and Redis does not learn of it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Final, TypeAlias

from cachepolicy.clock import Clock
from cachepolicy.flow.counting import NEVER, Count, new_count, row
from cachepolicy.tiers.limits import Charged, Limit, Part, Row

_MOST_SHARES: Final = 10_000  # limits whose share is remembered; policies have a few, overrides may have many


class _Subject:
    """What is known of one subject.

    Attributes:
        counts: one for each of its limits.
        seen: the latest time that it was counted at; a clock that steps back does not refill.
    """

    __slots__ = ("counts", "seen")

    def __init__(self) -> None:
        self.counts: dict[tuple[str, int], Count] = {}
        self.seen = 0


class LocalLimits:
    """Counts calls in this process, by the arithmetic of the script in Redis.

    Args:
        clock: its wall time counts: calendars follow it.
        share: of each limit that is this process's; one at least is allowed, however small the share.
        most: how many subjects are remembered; those asked about longest ago are forgotten.
    """

    def __init__(self, clock: Clock, share: Fraction, most: int = 10_000) -> None:
        self._wall = clock.wall
        self._share = share
        self._most = most
        self._subjects: OrderedDict[str, _Subject] = OrderedDict()
        self._shares: dict[Limit, Limit] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._subjects)

    def charge(self, parts: Sequence[Part], most_wait: int = 0) -> Charged:
        """Charge a call to every limit of every part, or to none.

        Args:
            parts: the subjects, each with its limits and costs.
            most_wait: ms that the call may be booked ahead.
        """
        return self._decide(parts, most_wait, charges=True)

    def peek(self, parts: Sequence[Part]) -> Charged:
        """Tell what ``charge`` would; nothing is charged."""
        return self._decide(parts, 0, charges=False)

    def settle(
        self, key: str, limits: Sequence[Limit], charged: Sequence[int], actual: Sequence[int]
    ) -> None:
        """Charge what was used instead of what had been charged; more than is allowed becomes a debt."""
        with self._lock:
            for limit, before, after in zip(limits, charged, actual, strict=True):
                self._change(key, limit, after - before, 0)

    def give_back(self, key: str, limits: Sequence[Limit], costs: Sequence[int], *, made: int = 0) -> None:
        """Give back what was charged and not used.

        Args:
            key: the subject.
            limits: that were charged.
            costs: how much of it, one for each limit.
            made: ``Charged.now`` of the charge: nothing is given back where it has ended since. 0: not known.
        """
        with self._lock:
            for limit, cost in zip(limits, costs, strict=True):
                self._change(key, limit, -cost, made)

    def reset(self, key: str) -> bool:
        """Forget a subject; tell whether it was known."""
        with self._lock:
            return self._subjects.pop(key, None) is not None

    def clear(self) -> None:
        """Forget everybody: Redis counts again."""
        with self._lock:
            self._subjects.clear()

    def after_fork(self) -> None:
        """Start anew: another thread may have held the lock when this process was forked."""
        self._lock = threading.Lock()
        self._subjects = OrderedDict()

    def _decide(self, parts: Sequence[Part], most_wait: int, *, charges: bool) -> Charged:
        with self._lock:
            subjects = [self._subject(part.key) or _Subject() for part in parts]
            now = max([self._now(), *(subject.seen for subject in subjects)])
            counted = [
                (_count(subject, mine), mine, cost)
                for subject, part in zip(subjects, parts, strict=True)
                for mine, cost in zip(map(self._mine, part.limits), part.costs, strict=True)
            ]
            turns = [count.fits_at(mine, cost, now) for count, mine, cost in counted]
            turn = max([now, *turns])
            if NEVER in turns or turn - now > most_wait:
                return Charged(allowed=False, now=now, wait=0, rows=_rows(counted, now, turns))
            if charges:
                for part, subject in zip(parts, subjects, strict=True):
                    self._keep(part.key, subject, now)
                for count, mine, cost in counted:
                    count.add(mine, cost, now, turn)
            return Charged(allowed=True, now=now, wait=turn - now, rows=_rows(counted, now, turns))

    def _change(self, key: str, limit: Limit, cost: int, made: int) -> None:
        subject, mine = self._subject(key), self._mine(limit)
        if subject is None:
            if cost <= 0:
                return
            subject = _Subject()
        now = max(self._now(), subject.seen)
        self._keep(key, subject, now)
        if cost > 0:
            _count(subject, mine).add(mine, cost, now, now)
        else:
            _count(subject, mine).give(mine, -cost, now, made)

    def _subject(self, key: str) -> _Subject | None:
        subject = self._subjects.get(key)
        if subject is not None:
            self._subjects.move_to_end(key)
        return subject

    def _keep(self, key: str, subject: _Subject, now: int) -> None:
        subject.seen = now
        self._subjects[key] = subject
        self._subjects.move_to_end(key)
        if len(self._subjects) > self._most:
            self._subjects.popitem(last=False)

    def _now(self) -> int:
        return int(self._wall() * 1000)

    def _mine(self, limit: Limit) -> Limit:
        mine = self._shares.get(limit)
        if mine is None:
            if len(self._shares) >= _MOST_SHARES:
                self._shares.clear()
            amount, burst = (max(1, int(whole * self._share)) for whole in (limit.amount, limit.burst))
            mine = self._shares[limit] = replace(limit, amount=amount, burst=burst)
        return mine


_Counted: TypeAlias = Sequence[tuple[Count, Limit, int]]


def _count(subject: _Subject, limit: Limit) -> Count:
    key = (limit.name, limit.buckets)
    count = subject.counts.get(key)
    if count is None:
        count = subject.counts[key] = new_count(limit)
    return count


def _rows(counted: _Counted, now: int, turns: Sequence[int]) -> tuple[Row, ...]:
    return tuple(row(count, mine, now, turn) for (count, mine, _), turn in zip(counted, turns, strict=True))
