"""What Redis says of sessions, read."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, NamedTuple

from cachepolicy.tiers.commands import no_reply

_ENTRY: Final = 42  # three numbers: when a session was made, used, and ends


class Loaded(NamedTuple):
    """A session that was found.

    Attributes:
        now: the server's time, in ms since the epoch.
        used: when it was used last, in ms.
        touched: whether that was written by this.
        newest: whether the token is the last that it was given.
        fields: all that it holds, by name.
    """

    now: int
    used: int
    touched: bool
    newest: bool
    fields: dict[bytes, bytes]


class Created(NamedTuple):
    """A session that was made.

    Attributes:
        created: when, in µs since the epoch.
        used: the same in ms.
        ends: when it ends without use, in ms.
        ended: the ids of those that ended because its user had too many.
    """

    created: int
    used: int
    ends: int
    ended: tuple[str, ...]


class Listed(NamedTuple):
    """A session in the list of its user: as in ``Created``; ``device``: as it was given."""

    id: str
    created: int
    used: int
    ends: int
    device: bytes


class Unpatched(Enum):
    """Why a patch was not made."""

    WHOLE = auto()  # all that the session holds is one value
    TOO_MUCH = auto()  # it would hold more than it may


class Changed(NamedTuple):
    """What was not replaced: somebody else changed it; ``now``: what is there."""

    now: Loaded


def _loaded(reply: object) -> Loaded:
    match reply:
        case [int(), int(now), int(used), int(touched), int(newest), list(flat)] if len(flat) % 2 == 0:
            return Loaded(now, used, touched == 1, newest == 1, dict(zip(flat[::2], flat[1::2], strict=True)))
        case _:
            raise no_reply(reply)


def loaded_or_none(reply: object) -> Loaded | None:
    """Read a session; None where there is none."""
    return None if reply is None else _loaded(reply)


def patched(reply: object) -> Loaded | Unpatched | None:
    """Read what became of a patch."""
    match reply:
        case [2]:
            return Unpatched.WHOLE
        case [3]:
            return Unpatched.TOO_MUCH
        case _:
            return loaded_or_none(reply)


def replaced(reply: object) -> Loaded | Changed | None:
    """Read what became of a replacement."""
    match reply:
        case [2, *_]:
            return Changed(_loaded(reply))
        case _:
            return loaded_or_none(reply)


def created(reply: object) -> Created | None:
    """Read a session that was made; None where there are too many."""
    match reply:
        case [0]:
            return None
        case [1, int(created), int(used), int(ends), [*ended]]:
            return Created(created, used, ends, tuple(_text(one) for one in ended))
        case _:
            raise no_reply(reply)


def times(reply: object) -> tuple[int, int] | None:
    """Read when a session was used, and when it ends; None where there is none."""
    match reply:
        case None:
            return None
        case [int(used), int(ends)]:
            return used, ends
        case _:
            raise no_reply(reply)


def moment(reply: object) -> int | None:
    """Read when a session was made; None where there is none."""
    if reply is None or isinstance(reply, int):
        return reply
    raise no_reply(reply)


def listing(reply: object) -> list[Listed]:
    """Read the sessions of a user, without those that are over."""
    match reply:
        case [int(now), [*flat]] if len(flat) % 2 == 0:
            every = [_listed(name, entry) for name, entry in zip(flat[::2], flat[1::2], strict=True)]
            return [listed for listed in every if listed.ends > now]
        case _:
            raise no_reply(reply)


def _listed(name: object, entry: object) -> Listed:
    if isinstance(entry, bytes) and entry[:_ENTRY].isdigit() and len(entry) >= _ENTRY:
        return Listed(_text(name), int(entry[:16]), int(entry[16:29]), int(entry[29:42]), entry[_ENTRY:])
    raise no_reply(entry)


def _text(word: object) -> str:
    if isinstance(word, bytes) and word.isascii():
        return word.decode()
    raise no_reply(word)
