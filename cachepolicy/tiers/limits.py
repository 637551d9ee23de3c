"""Limits as Redis counts them: a key for each subject, and one script that decides and charges.

All that a subject has used lies under it, so that any number of its limits are looked at and charged in
one step and one slot. Numbers are whole: requests, tokens, millionths of money; times are milliseconds of the
server's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import starmap
from typing import Any, Final, NamedTuple

from cachepolicy.keys.layout import overrides_key, reservation_key
from cachepolicy.tiers import scripts
from cachepolicy.tiers.commands import Command, Repeat, flag, no_reply, unlink
from cachepolicy.tiers.resp import Word, layout_around

_COUNTING: Final = ("clock", "limits", "gcra", "window", "calendar")
_CHARGE: Final = scripts.load("clock", "charge_gcra", *_COUNTING[1:], "charge")
_SETTLE: Final = scripts.load(*_COUNTING, "settle")
_GIVE_BACK: Final = scripts.load(*_COUNTING, "give_back")

_made: Final = tuple.__new__  # a named tuple's own way takes twice as long
_WHOLE: Final = {int}


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
        window = f"{self.period}m" if rest else str(seconds)
        if self.algorithm is Algorithm.CALENDAR:
            window = self.calendar[0]
        name = f"{self.algorithm[0]}{self.unit[0]}{self.currency}{window}"
        object.__setattr__(self, "name", name)
        size = {Algorithm.GCRA: self.burst, Algorithm.WINDOW: self.buckets}.get(self.algorithm, 0)
        object.__setattr__(self, "spec", f"{name} {self.amount} {self.period} {size}".encode())


class Row(NamedTuple):
    """What became of one limit.

    Attributes:
        remaining: how much is left at once, after this.
        retry: ms until as much could be charged; 0: now; -1: never, it is more than may be used at once. Of a
            call that was booked ahead, ms until its turn under this limit.
        reset: ms until nothing is used any more.
        amount: of the limit, where a subject may have its own; else 0: it is as the rule says.
    """

    remaining: int
    retry: int
    reset: int
    amount: int = 0


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
        key: of the subject, from ``keys.layout.limit_key``; no two parts of a call have the same.
        limits: that it has under the rule.
        costs: of the call, one for each limit.
        overridden: the subject may have amounts of its own: see ``limit_overrides``.
    """

    key: str
    limits: Sequence[Limit]
    costs: Sequence[int]
    overridden: bool = False


def charge(
    parts: Sequence[Part], *, most_wait: int = 0, reservation: str = "", held: int = 0
) -> Command[Charged]:
    """Charge a call to all limits of all parts, or to none, in one step.

    Args:
        parts: at least one; on a cluster, of one slot.
        most_wait: ms that the caller would wait for its turn. Above 0 it gets the next free one, unless that
            is later: turns come in the order in which they are given.
        reservation: a name of its own, for a call whose cost is an estimate: see ``settle``.
        held: ms that the reservation is remembered; at least 1 where there is one.

    Raises:
        ValueError: a cost is negative.
    """
    return _command(parts, most_wait, reservation, held if reservation else 0, Repeat.ONCE)


def charging(limits: Sequence[Limit], costs: Sequence[int]) -> Callable[[str], Command[Charged]]:
    """Return what charges a subject, by its key: all else is laid out once, for what is asked most.

    Args:
        limits: of the subject.
        costs: of the call, one for each limit.
    """
    command = charge((Part("", limits, costs),))
    before, after, source = command.words[:3], command.words[4:], command.source
    lay_out = layout_around(before, after)

    def make(key: str) -> Command[Charged]:
        return Command((*before, key, *after), key, _charged, Repeat.ONCE, False, source, lay_out)  # noqa: FBT003 - made for every decision, and keywords cost

    return make


def peek(parts: Sequence[Part]) -> Command[Charged]:
    """Tell what would become of a call; nothing is charged."""
    return _command(parts, -1, "", 0, Repeat.READ)


def settle(key: str, limits: Sequence[Limit], reservation: str, actual: Sequence[int]) -> Command[bool]:
    """Put what a call has used in the place of its estimate, which may have been exceeded.

    What was estimated too high is given back, unless it has drained since.

    Args:
        key: of the subject.
        limits: as the call was charged to them.
        reservation: its name.
        actual: what it used, one for each limit.

    Raises:
        ValueError: a figure is negative.

    Returns whether it was settled: False the second time, or when the reservation has been forgotten.
    """
    keys = [key, reservation_key(key, reservation)]
    return _SETTLE.call(keys, _with_costs([], limits, actual), flag)


def refund(key: str, limits: Sequence[Limit], reservation: str) -> Command[bool]:
    """Settle a call that has used nothing."""
    return settle(key, limits, reservation, (0,) * len(limits))


def give_back(key: str, limits: Sequence[Limit], costs: Sequence[int], *, made: int = 0) -> Command[None]:
    """Give back what was charged, without a reservation, for nothing.

    Args:
        key: of the subject.
        limits: that were charged.
        costs: how much of it, one for each limit.
        made: ``Charged.now`` of the charge: what has drained since, or was of another window, stays. 0: it
            is not known; then nothing looks at that.
    """
    return _GIVE_BACK.call([key], _with_costs([made], limits, costs), _nothing)


def reset(key: str) -> Command[bool]:
    """Forget what a subject has used; tells whether that was anything.

    Reservations stay: what is settled of them later counts, and a calendar's are given back in the same hour,
    day or month.
    """
    return unlink(key)


def _command(
    parts: Sequence[Part], most_wait: int, reservation: str, held: int, repeat: Repeat
) -> Command[Charged]:
    words: list[Word] = [most_wait, held]
    keys: list[str] = []
    read = _charged
    for key, limits, costs, overridden in parts:
        keys.append(key)
        if overridden:
            keys.append(overrides_key(key))
            read = _charged_with_overrides
        if held:
            keys.append(reservation_key(key, reservation))
        words.append(-len(limits) if overridden else len(limits))
        _with_costs(words, limits, costs)
    return _CHARGE.call(keys, words, read, repeat)


def _with_costs(words: list[Word], limits: Sequence[Limit], costs: Sequence[int]) -> list[Word]:
    """Add limits and what each is charged.

    Raises:
        ValueError: one is negative: it would be a gift.
    """
    for limit, cost in zip(limits, costs, strict=True):
        if cost < 0:
            raise ValueError("expected costs of at least 0")
        words.append(limit.spec)
        words.append(cost)
    return words


def _charged(reply: object) -> Charged:
    if type(reply) is not list or len(reply) % 3 or set(map(type, reply)) != _WHOLE:
        raise no_reply(reply)
    if len(reply) == 6:
        allowed, now, wait, left, retry, reset = reply
        return _made(Charged, (allowed == 1, now, wait, (_made(Row, (left, retry, reset, 0)),)))
    allowed, now, wait = reply[:3]
    return Charged(allowed == 1, now, wait, tuple(map(Row, reply[3::3], reply[4::3], reply[5::3])))


def _charged_with_overrides(reply: object) -> Charged:
    match reply:
        case [int(allowed), int(now), int(wait), *rest] if len(rest) % 4 == 0:
            rows: Any = zip(rest[::4], rest[1::4], rest[2::4], rest[3::4], strict=True)
            return Charged(allowed == 1, now, wait, tuple(starmap(Row, rows)))
        case _:
            raise no_reply(reply)


def _nothing(reply: object) -> None:
    flag(reply)
