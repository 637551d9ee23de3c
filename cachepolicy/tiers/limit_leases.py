"""Calls that run at once: each has a place on a lease, so a crash costs one for no longer than that."""

from __future__ import annotations

from typing import Final, NamedTuple

from cachepolicy.keys.layout import running_key
from cachepolicy.tiers import scripts
from cachepolicy.tiers.commands import Command, Repeat, flag, no_reply

_ENTER: Final = scripts.load("clock", "limits", "enter")
_STAY: Final = scripts.load("clock", "limits", "stay")


class Entered(NamedTuple):
    """What became of asking for a place.

    Attributes:
        allowed: whether it was given.
        now: the server's time, ms since the epoch.
        running: how many places are taken, this one among them.
        retry: ms until a place is free at the latest, where none was.
    """

    allowed: bool
    now: int
    running: int
    retry: int


def enter(key: str, lease_id: str, limit: int, lease_ms: int) -> Command[Entered]:
    """Take a place among those that run at once; asking twice takes one.

    Args:
        key: of the subject, from ``keys.layout.limit_key``.
        lease_id: nobody else's.
        limit: how many places there are.
        lease_ms: for how long the place is held without being renewed; at least 1.
    """
    return _ENTER.call([running_key(key)], [lease_id, limit, lease_ms], _entered, Repeat.WRITE)


def stay(key: str, lease_id: str, lease_ms: int) -> Command[bool]:
    """Keep a place; tells whether it was still there to be kept."""
    return _STAY.call([running_key(key)], [lease_id, lease_ms], flag, Repeat.WRITE)


def leave(key: str, lease_id: str) -> Command[bool]:
    """Give a place back; tells whether it was still there."""
    running = running_key(key)
    return Command(("ZREM", running, lease_id), running, flag, Repeat.WRITE)


def _entered(reply: object) -> Entered:
    match reply:
        case [int(allowed), int(now), int(running), int(retry)]:
            return Entered(allowed == 1, now, running, retry)
        case _:
            raise no_reply(reply)
