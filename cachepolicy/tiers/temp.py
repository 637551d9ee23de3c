"""Temporary files in Redis: a manifest, its chunks, and how much who keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from cachepolicy.tiers import scripts
from cachepolicy.tiers.commands import Command, Repeat, flag, no_reply

_BEGIN: Final = scripts.load("clock", "temp_begin")
_COMMIT: Final = scripts.load("clock", "temp_commit")
_CLAIM: Final = scripts.load("clock", "temp_claim")
_RENEW: Final = scripts.load("temp_renew")
_EXPIRE: Final = scripts.load("temp_expire")
_RESERVE: Final = scripts.load("clock", "temp_kept", "temp_reserve")
_RELEASE: Final = scripts.load("clock", "temp_kept", "temp_release")
_USAGE: Final = scripts.load("clock", "temp_kept", "temp_usage")

How = Literal["exactly", "at_least", "at_most"]


class Entry(NamedTuple):
    """What stands in a manifest.

    Attributes:
        is_ready: its upload has ended.
        sealed: what is known of the file.
        expires: ms since the epoch; 0 while it is uploaded.
        holder: who reads such a file; None: nobody yet.
    """

    is_ready: bool
    sealed: bytes
    expires: int
    holder: bytes | None


class Committed(NamedTuple):
    """What became of the end of an upload: 1 done, 0 a chunk is missing, -1 there is no upload."""

    outcome: int
    expires: int


def begin(key: str, sealed: bytes, resumable_ms: int) -> Command[int]:
    """Begin a file; returns the server's time, ms since the epoch.

    Args:
        key: of the manifest.
        sealed: what is known of it.
        resumable_ms: for how long the upload can be resumed.
    """
    return _BEGIN.call([key], [sealed, resumable_ms], number, Repeat.WRITE)


def look(key: str) -> Command[Entry | None]:
    """Read a manifest."""
    return Command(("HMGET", key, "s", "m", "x", "k"), key, _entry, Repeat.READ)


def renew(key: str, resumable_ms: int) -> Command[bytes | None]:
    """Keep an upload; returns its state, ``u`` or ``r``; None: there is none."""
    return _RENEW.call([key], [resumable_ms], _state, Repeat.WRITE)


def commit(key: str, chunks: Sequence[str], sealed: bytes, life_ms: int, slack_ms: int) -> Command[Committed]:
    """End an upload.

    Args:
        key: of the manifest.
        chunks: those in its slot.
        sealed: what is known of the file.
        life_ms: for how long it is kept.
        slack_ms: for how much longer its chunks are: who has begun to read can end.
    """
    return _COMMIT.call([key, *chunks], [sealed, life_ms, slack_ms], _committed, Repeat.WRITE)


def claim(key: str, who: str, lease_ms: int) -> Command[bool]:
    """Be the one who reads a file that can be read once; tells whether one is."""
    return _CLAIM.call([key], [who, lease_ms], flag, Repeat.WRITE)


def store(key: str, sealed: bytes, life_ms: int) -> Command[bool]:
    """Store a chunk that is not there; tells whether it was not.

    What is there stays as it is: a late repetition must not change a file that is being read.
    """
    return Command(("SET", key, sealed, "NX", "PX", life_ms), key, _stored, Repeat.WRITE, bulk=True)


def is_there(key: str) -> Command[bool]:
    """Ask whether a chunk is stored."""
    return Command(("EXISTS", key), key, flag, Repeat.READ)


def expire(chunks: Sequence[str], life_ms: int, how: How) -> Command[int]:
    """Say for how long chunks of one slot are kept; returns how many are there."""
    return _EXPIRE.call(chunks, [life_ms, how], number, Repeat.WRITE)


def unlink_all(keys: Sequence[str]) -> Command[bool]:
    """Remove keys of one slot, by the lane that chunks take: behind those that are still on their way."""
    return Command(("UNLINK", *keys), keys[0], flag, Repeat.WRITE, bulk=True)


def reserve(account: tuple[str, str], name: str, size: int, most: int | None, life_ms: int) -> Command[bool]:
    """Take room for a file, or change how much it has; tells whether there was room.

    Args:
        account: the keys of whoever keeps it.
        name: of the file.
        size: of it, in bytes.
        most: how much may be kept.
        life_ms: for how long it is kept.
    """
    return _RESERVE.call(account, [name, size, most or 0, life_ms], flag, Repeat.WRITE)


def release(account: tuple[str, str], name: str) -> Command[bool]:
    """Give a file's room back; tells whether it had any."""
    return _RELEASE.call(account, [name], flag, Repeat.WRITE)


def usage(account: tuple[str, str]) -> Command[int]:
    """Ask how many bytes are kept."""
    return _USAGE.call(account, [], number, Repeat.WRITE)


def number(reply: object) -> int:
    """Read a whole number."""
    match reply:
        case int(value):
            return value
        case bytes() as text if text.isdigit():
            return int(text)
        case _:
            raise no_reply(reply)


def _entry(reply: object) -> Entry | None:
    match reply:
        case [None, None, None, None]:
            return None
        case [b"u", bytes() as sealed, None, None]:
            return Entry(is_ready=False, sealed=sealed, expires=0, holder=None)
        case [b"r", bytes() as sealed, bytes() as expires, None | bytes() as holder] if expires.isdigit():
            return Entry(is_ready=True, sealed=sealed, expires=int(expires), holder=holder)
        case [_, _, _, _]:
            return Entry(is_ready=True, sealed=b"", expires=0, holder=None)  # it was altered: nobody reads it
        case _:
            raise no_reply(reply)


def _state(reply: object) -> bytes | None:
    if reply is None or isinstance(reply, bytes):
        return reply
    raise no_reply(reply)


def _committed(reply: object) -> Committed:
    match reply:
        case [int(outcome), int(expires)]:
            return Committed(outcome, expires)
        case _:
            raise no_reply(reply)


def _stored(reply: object) -> bool:
    if reply is None or reply == b"OK":
        return reply is not None
    raise no_reply(reply)
