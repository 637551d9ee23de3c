"""How many sessions live, as all processes know it together: what they tell is noted, and counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from cachepolicy.tiers import scripts
from cachepolicy.tiers.commands import Command, Repeat, no_reply
from cachepolicy.tiers.resp import Word

_TELL: Final = scripts.load("clock", "census_tell")
_COUNT: Final = scripts.load("clock", "census_count")

REMEMBERED: Final = 600_000
"""ms for which it is known that a session was ended: what is told of it later than that is told too late."""

LATE: Final = 300_000
"""ms after its end at which one that is over is taken out: others may be about to tell that it was used."""

_AT_ONCE: Final = 250  # are taken out

MEMBER: Final = 24
"""Characters that a session is known by here: twelve of its user's tag, twelve of its id."""


class Event(NamedTuple):
    """What happened to a session.

    Attributes:
        what: ``b`` it began, ``t`` it was touched, ``e`` it was ended, ``a`` all of its user's were.
        member: it; with ``a``: its user.
        first: ``b``: when it was made; ``t``: when it ends; ``e``: when it was made, if that is known;
            ``a``: the one that was not. Times are in ms since the epoch.
        second: ``b``: when it ends.
        at: when this was heard of, in seconds of the process's clock.
    """

    what: str
    member: str
    first: Word
    second: Word
    at: float


class Counted(NamedTuple):
    """What was counted: how many sessions live; and how long those lived, in ms, that are over."""

    living: int
    lived: list[int]

    @property
    def is_all(self) -> bool:
        """Whether no more are over than were taken out."""
        return len(self.lived) < _AT_ONCE


def tell(keys: Sequence[str], kept: int, events: Sequence[Event], now: float) -> Command[list[int]]:
    """Note what happened; returns how long those sessions lived, in ms, that ended by it.

    Args:
        keys: of these sessions.
        kept: for how long all is kept unless more is told, in ms.
        events: in the order in which they happened.
        now: the time, on the clock of the events.
    """
    words: list[Word] = [kept, REMEMBERED]
    for what, member, first, second, at in events:
        words += (what, member, first, second, max(0, round((now - at) * 1000)))
    return _TELL.call(keys, words, _whole_numbers, Repeat.WRITE)


def count(keys: Sequence[str], late: int = LATE) -> Command[Counted]:
    """Count, and take out what has been over for ``late`` ms."""
    return _COUNT.call(keys[:2], [late, _AT_ONCE], _counted, Repeat.ONCE)


def _counted(reply: object) -> Counted:
    match reply:
        case [int(living), list(lived)]:
            return Counted(living, _whole_numbers(lived))
        case _:
            raise no_reply(reply)


def _whole_numbers(reply: object) -> list[int]:
    if isinstance(reply, list) and all(isinstance(number, int) for number in reply):
        return reply
    raise no_reply(reply)
