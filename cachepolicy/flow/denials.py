"""Refusals that are remembered: who is over a limit is refused in this process until it could be allowed.

A refusal says how long a cost must wait. For ``gcra`` that is a straight line, so it is known of every cost:
who may not spend a thousand tokens may still spend one. For the others a smaller cost is asked about anew.

It never refuses what Redis would have allowed, as long as use only grows. Where less turns out to be used
elsewhere (settled, refunded, reset, a raised limit), this process learns of it when the refusal ends: after
``life`` seconds at the most.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final, TypeAlias

from cachepolicy.clock import Clock
from cachepolicy.flow.counting import NEVER, span
from cachepolicy.tiers.limits import Algorithm, Charged, Limit, Row

LIFE: Final = 1.0
"""How long a refusal is believed (seconds): what a change elsewhere waits for."""

_NO_TIME: Final = float("-inf")
_NO_END: Final = float("inf")
_Line: TypeAlias = tuple[float, float, int, float, int, int, int]  # of one limit; see _line()
_made: Final = tuple.__new__  # a named tuple's own way takes twice as long


class _Denial:
    """One refusal.

    Attributes:
        asked: when it was asked for, in ms of the process's clock, as all times are.
        end: when it is no longer believed.
        lines: what is known of each limit; see ``_line``.
        server: what the server's clock said, in ms.
        told: what was last answered: to which costs, until when, and what; an answer is good for a ms.
    """

    __slots__ = ("asked", "end", "lines", "server", "told")

    def __init__(self, asked: float, end: float, lines: Sequence[_Line], server: int) -> None:
        self.asked = asked
        self.end = end
        self.lines = lines
        self.server = server
        self.told: tuple[Sequence[int], float, Charged] | None = None


class Denials:
    """The refusals of one rule, by subject.

    Args:
        clock: its monotonic reading rules.
        most: how many subjects are remembered; the first refused are forgotten first.
        life: how long a refusal is believed, in seconds.
    """

    def __init__(self, clock: Clock, most: int = 10_000, life: float = LIFE) -> None:
        self._clock = clock.monotonic
        self._most = most
        self._life = life
        self._denials: dict[str, _Denial] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._denials)

    def denied(self, key: str, costs: Sequence[int], most_wait: int = 0) -> Charged | None:
        """Return the refusal of a call, or None where Redis must be asked.

        Args:
            key: the subject.
            costs: of the call, one for each limit.
            most_wait: ms that the call would wait; it is refused only where that is too short.
        """
        denial = self._denials.get(key)
        if denial is None:
            return None
        now = self._clock() * 1000
        told = denial.told
        if told is not None and now < told[1] and told[0] == costs and not most_wait:
            return told[2]
        if now >= denial.end:
            self._denials.pop(key, None)
            return None
        return _refused(denial, costs, now, most_wait)

    def learn(
        self,
        key: str,
        limits: Sequence[Limit],
        costs: Sequence[int],
        charged: Charged,
        *,
        asked: float | None = None,
        exact: bool = True,
    ) -> None:
        """Remember a refusal; what was allowed is none.

        Args:
            key: the subject.
            limits: its limits.
            costs: of the call that was refused.
            charged: what Redis said.
            asked: the monotonic reading, in seconds, before Redis was asked: a refusal ends no later than it
                does in Redis. Without it, a refusal may last longer by the time that the reply took.
            exact: whether ``limits`` are what Redis counted by; False where a subject may have others.
        """
        if charged.allowed or not self._most:
            return
        now = (self._clock() if asked is None else asked) * 1000
        lines = [
            _line(limit, cost, row, now, charged.now, exact=exact and not row.amount)
            for limit, cost, row in zip(limits, costs, charged.rows, strict=True)
        ]
        denial = _Denial(now, now + self._life * 1000, lines, charged.now)
        with self._lock:
            self._denials.pop(key, None)  # the newest is last
            while len(self._denials) >= self._most:
                del self._denials[next(iter(self._denials))]
            self._denials[key] = denial

    def forget(self, key: str) -> None:
        """Believe no refusal of a subject: less is used than was."""
        self._denials.pop(key, None)

    def clear(self) -> None:
        """Believe no refusal: the limits have changed."""
        with self._lock:
            self._denials.clear()

    def after_fork(self) -> None:
        """Replace a lock that another thread held when this process was forked."""
        self._lock = threading.Lock()


def _line(limit: Limit, cost: int, row: Row, asked: float, server: int, *, exact: bool) -> _Line:
    """Return what a refusal says of one limit.

    A ms is taken off: the server counts in whole ones, and a part of one may have gone by when it answered.
    Two, where a retry that was rounded up is the measure of other costs.

    Returns:
        ``start, slope, least, most`` and the figures of the row: a cost of ``least`` or more is refused until
        ``start + slope * cost``, in ms of the process's clock; one above ``most`` is never allowed.
    """
    until = asked + row.retry - 1 if row.retry > 0 else _NO_TIME
    if not exact:  # nothing is known but of what was asked
        return (
            until,
            0.0,
            cost,
            cost - 1 if row.retry == NEVER else _NO_END,
            row.remaining,
            row.reset,
            row.amount,
        )
    over = row.remaining + 1  # a cost that is refused now
    match limit.algorithm:
        case Algorithm.GCRA:
            slope = limit.period / limit.amount
            start = (until - 1 - slope * cost) if row.retry > 0 else (asked - 1 - slope * over)
            return start, slope, over, limit.burst, row.remaining, row.reset, row.amount
        case Algorithm.CALENDAR:
            end = asked + span(limit.calendar, server)[1] - server - 1
            return end, 0.0, over, limit.amount, row.remaining, row.reset, row.amount
        case Algorithm.WINDOW:
            return until, 0.0, cost, limit.amount, row.remaining, row.reset, row.amount


def _refused(denial: _Denial, costs: Sequence[int], now: float, most_wait: int) -> Charged | None:
    """Return the refusal, if any limit refuses for longer than the call would wait; ``now`` in ms."""
    until = 0.0
    since = int(now - denial.asked)
    rows = []
    for (start, slope, least, most, remaining, reset, amount), cost in zip(denial.lines, costs, strict=True):
        retry = 0
        if cost >= least:
            end = start + slope * cost
            if cost > most:
                retry, until = NEVER, denial.end
            elif end > now:
                retry = int(end - now) + 1
                if retry > most_wait and end > until:
                    until = end
        left = remaining + int(since / slope) if slope else remaining  # some has drained meanwhile
        rows.append(_made(Row, (left, retry, reset - since if reset > since else 0, amount)))
    if not until:
        return None
    charged = Charged(allowed=False, now=denial.server + since, wait=0, rows=tuple(rows))
    if not most_wait:
        denial.told = (costs, min(now + 1.0, until, denial.end), charged)
    return charged
