"""Which tokens are revoked: one by one, all that a holder was given until a moment, or a whole family."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from cachepolicy.tiers import scripts
from cachepolicy.tiers.commands import Command, Repeat, flag, no_reply

_REVOKE: Final = scripts.load("clock", "revoke")
_NOT_BEFORE: Final = scripts.load("clock", "not_before")
_BEGIN: Final = scripts.load("clock", "family_begin")
_USE: Final = scripts.load("clock", "family_use")
_REVOKE_FAMILY: Final = scripts.load("family_revoke")


class Used(Enum):
    """What became of a refresh token."""

    DEAD = 0  # it belongs to no family that lives
    TURNED = 1  # it is spent now, and the next one is current
    REUSED = 2  # it was spent before: its family is revoked


class Turn(NamedTuple):
    """What became of a refresh token, and when, by the server's clock (ms since the epoch)."""

    used: Used
    now: int


class Family(NamedTuple):
    """A family of refresh tokens.

    Attributes:
        begun: when, by the server's clock; ms since the epoch.
        revoked: whether all its tokens are.
    """

    begun: int
    revoked: bool


def revoke(key: str, ends: int, least: int, leeway: int) -> Command[int]:
    """Revoke a token; doing so again never shortens it.

    Args:
        key: of the token, from ``keys.layout.revoked_key``.
        ends: when it expires by itself, ms since the epoch; 0 where it does not say.
        least: for how many ms it is remembered at least; 0 where ``ends`` is sure.
        leeway: by how many ms clocks may differ.

    Returns until when it is remembered, ms since the epoch; 0: it has expired, and nothing is.
    """
    return _REVOKE.call([key], [ends, least, leeway], _moment, Repeat.WRITE)


def revoked_until(key: str) -> Command[int | None]:
    """Ask until when a token is revoked, ms since the epoch; None: it is not."""
    return Command(("GET", key), key, _moment_or_none, Repeat.READ)


def revoke_holder(key: str, moment: int | None, lives: int) -> Command[int]:
    """Revoke all that a holder was given until a moment, ms since the epoch; None: now.

    Args:
        key: of the holder, from ``keys.layout.not_before_key``.
        moment: never earlier than one that was said before.
        lives: for how many ms a token lives at most.

    Returns the moment that holds.
    """
    words = ["" if moment is None else moment, lives]
    return _NOT_BEFORE.call([key], words, _moment, Repeat.WRITE)


def not_before(key: str) -> Command[int | None]:
    """Ask until when all that a holder was given is revoked, ms since the epoch; None: nothing is."""
    return Command(("GET", key), key, _moment_or_none, Repeat.READ)


def begin(key: str, shared: str, first: str, lives: int) -> Command[int]:
    """Begin a family of refresh tokens; returns the server's time, ms since the epoch.

    Args:
        key: of the family, from ``keys.layout.family_key``; nobody else's.
        shared: digest of what all its tokens share.
        first: digest of its first token.
        lives: for how many ms a token lives at most.
    """
    return _BEGIN.call([key], [shared, first, lives], _moment, Repeat.WRITE)


def use(keys: tuple[str, str], shared: str, token: str, following: str, lives: int) -> Command[Turn]:
    """Spend a refresh token; the same words again, after a lost reply, spend nothing more.

    Args:
        keys: of the family and of its holder.
        shared: digest of what all tokens of the family share.
        token: digest of the token.
        following: digest of the next one, which was made for this.
        lives: for how many ms a token lives at most.
    """
    return _USE.call(keys, [shared, token, following, lives], _turn, Repeat.WRITE)


def family(key: str) -> Command[Family | None]:
    """Ask for a family; None: there is none."""
    return Command(("HMGET", key, "begun", "revoked"), key, _family, Repeat.READ)


def revoke_family(key: str, lives: int) -> Command[bool]:
    """Revoke all tokens of a family; tells whether there is one. ``lives`` is as of ``begin``."""
    return _REVOKE_FAMILY.call([key], [lives], flag, Repeat.WRITE)


def _moment(reply: object) -> int:
    if isinstance(reply, int):
        return reply
    raise no_reply(reply)


def _moment_or_none(reply: object) -> int | None:
    if reply is None:
        return None
    if isinstance(reply, bytes) and reply.isdigit():
        return int(reply)
    raise no_reply(reply)  # what cannot be read is no "not revoked"


def _turn(reply: object) -> Turn:
    match reply:
        case [int(used), int(now)] if 0 <= used <= 2:
            return Turn(Used(used), now)
        case _:
            raise no_reply(reply)


def _family(reply: object) -> Family | None:
    match reply:
        case [None, None]:
            return None
        case [bytes() as begun, None | b"1" as revoked] if begun.isdigit():
            return Family(int(begun), revoked is not None)
        case _:
            raise no_reply(reply)
