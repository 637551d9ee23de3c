"""Limits as Redis counts them: a hash for each subject, and one script that decides and charges.

All that a subject has used lies under one key, so that any number of its limits are looked at and charged in
one step and one slot. Numbers are whole: requests, tokens, millionths of money; times are milliseconds of the
server's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from cachepolicy.errors import Fault, StoreUnavailable
from cachepolicy.tiers import scripts
from cachepolicy.tiers.commands import Command, Repeat, unlink
from cachepolicy.tiers.resp import Word

_CHARGE: Final = scripts.load("limits", "charge")


class Algorithm(StrEnum):
    """How use is counted over time."""

    GCRA = "gcra"  # it drains steadily; a burst at once
    WINDOW = "window"  # never above the limit in any window
    CALENDAR = "calendar"  # by UTC hour, day or month


class Unit(StrEnum):
    """What is counted."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"
    MONEY = "money"  # in millionths


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of a subject.

    Attributes:
        unit: what it counts; for money, ``currency`` says of which.
        algorithm: how.
        amount: how much in a period.
        period: its length in ms; of a calendar's, the longest that it can be.
        burst: how much at once, for ``gcra``.
        buckets: into how many parts a window is cut, for ``window``.
        calendar: ``hour``, ``day`` or ``month``, for ``calendar``.
        currency: of money.
        name: what it is called in Redis: another algorithm, unit or window is another count.
        spec: all of it, as the scripts read it.
    """

    unit: Unit
    algorithm: Algorithm
    amount: int
    period: int
    burst: int = 0
    buckets: int = 0
    calendar: str = ""
    currency: str = ""
    name: str = field(init=False, compare=False, repr=False)
    spec: bytes = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        seconds, rest = divmod(self.period, 1000)
        window = self.calendar[:1] or (f"{self.period}m" if rest else str(seconds))
        name = f"{self.algorithm[0]}{self.unit[0]}{self.currency}{window}"
        object.__setattr__(self, "name", name)
        size = self.buckets or self.burst
        object.__setattr__(self, "spec", f"{name} {self.amount} {self.period} {size}".encode())


class Row(NamedTuple):
    """What became of one limit.

    Attributes:
        remaining: how much is left at once, after this.
        retry: ms until as much could be charged; 0: now; -1: never, it is more than may be used at once.
        reset: ms until nothing is used any more.
    """

    remaining: int
    retry: int
    reset: int


class Charged(NamedTuple):
    """What became of one call.

    Attributes:
        allowed: whether it was charged to every limit; else it was to none.
        now: the server's time, ms since the epoch.
        wait: ms until its turn, where it was booked ahead; else 0.
        rows: one for each limit, in their order.
    """

    allowed: bool
    now: int
    wait: int
    rows: tuple[Row, ...]


class Part(NamedTuple):
    """What one call costs one subject.

    Attributes:
        key: of the subject, from ``keys.layout.limit_key``.
        limits: that it has under the rule.
        costs: of the call, one for each limit.
    """

    key: str
    limits: Sequence[Limit]
    costs: Sequence[int]


def charge(parts: Sequence[Part], *, most_wait: int = 0) -> Command[Charged]:
    """Charge a call to all limits of all parts, or to none, in one step.

    Args:
        parts: at least one; on a cluster, of one slot.
        most_wait: ms that the caller would wait for its turn. Above 0 it gets the next free one, unless that
            is later: turns come in the order in which they are given.
    """
    return _CHARGE.call([part.key for part in parts], _words(parts, most_wait), _charged)


def peek(parts: Sequence[Part]) -> Command[Charged]:
    """Tell what would become of a call; nothing is charged."""
    return _CHARGE.call([part.key for part in parts], _words(parts, -1), _charged, Repeat.READ)


def reset(key: str) -> Command[bool]:
    """Forget what a subject has used; tells whether that was anything."""
    return unlink(key)


def _words(parts: Sequence[Part], most_wait: int) -> list[Word]:
    words: list[Word] = [most_wait]
    for part in parts:
        words.append(len(part.limits))
        for limit, cost in zip(part.limits, part.costs, strict=True):
            words.append(limit.spec)
            words.append(cost)
    return words


def _charged(reply: object) -> Charged:
    match reply:
        case [int(allowed), int(now), int(wait), *rest] if len(rest) % 3 == 0:
            rows = tuple(map(Row, rest[::3], rest[1::3], rest[2::3]))
            return Charged(allowed == 1, now, wait, rows)
        case _:
            raise StoreUnavailable(f"Redis gives no usable answer: {type(reply).__name__}", Fault.PROTOCOL)
