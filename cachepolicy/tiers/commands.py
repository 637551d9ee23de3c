"""What is asked of Redis: the words of a command, how its reply is read, and whether it may be repeated.

Values are read in two steps, so that a large one cannot hold up the small ones that share its connection:
``head`` brings the first 64 KiB, and only where that is not all, ``get`` brings the whole over the lane for
large values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Generic, TypeVar

from cachepolicy.errors import Fault, StoreUnavailable
from cachepolicy.tiers.resp import Word, layout, pack

T = TypeVar("T")

HEAD: Final = 64 * 1024
"""How many bytes of a value ``head`` brings; a value as long as this, or longer, is a large one."""


class Repeat(Enum):
    """What may be done again after a failure that leaves open whether it was done."""

    READ = auto()
    WRITE = auto()  # idempotent: the same value under the same key
    ONCE = auto()  # a counter, a script: only when it was never sent


@dataclass(slots=True, eq=False)
class Command(Generic[T]):
    """One command.

    Attributes:
        words: as they go to the server.
        key: what decides its slot.
        read: makes the reply into a result; raises StoreUnavailable for a reply that cannot be one.
        repeat: whether it may be sent again.
        bulk: it, or its reply, is large: it goes by the lane for large values.
        source: of the script that it calls by digest.
        layout: lays out the bytes of a command whose key alone varies.
    """

    words: tuple[Word, ...]
    key: str
    read: Callable[[object], T]
    repeat: Repeat
    bulk: bool = False
    source: str | None = None
    layout: Callable[[str], bytes] | None = None

    def packed(self) -> bytes:
        """Return the bytes to send."""
        return pack(self.words) if self.layout is None else self.layout(self.key)

    def with_source(self) -> Command[T]:
        """Return the command that brings its script along, for a server that does not know it."""
        if self.source is None:
            return self
        words = ("EVAL", self.source, *self.words[2:])
        return Command(words, self.key, self.read, self.repeat, self.bulk)


_HEAD: Final = layout("GETRANGE", 0, HEAD - 1)
_GET: Final = layout("GET")
_UNLINK: Final = layout("UNLINK")


def head(key: str) -> Command[bytes | None]:
    """Ask for the first bytes under a key; None where there are none."""
    return Command(("GETRANGE", key, 0, HEAD - 1), key, _bytes_or_none, Repeat.READ, False, None, _HEAD)  # noqa: FBT003 - made on every lookup, and keywords cost


def get(key: str) -> Command[bytes | None]:
    """Ask for all bytes under a key, however many."""
    return Command(("GET", key), key, _bytes_or_none, Repeat.READ, bulk=True, layout=_GET)


def get_all(keys: Sequence[str]) -> Command[list[bytes | None]]:
    """Ask for all bytes under each of several keys, which are on one server; at least one."""

    def result(reply: object) -> list[bytes | None]:
        if isinstance(reply, list) and len(reply) == len(keys):
            return [_bytes_or_none(item) for item in reply]
        raise no_reply(reply)

    return Command(("MGET", *keys), keys[0], result, Repeat.READ, bulk=True)


def put(key: str, value: bytes, ttl: float) -> Command[None]:
    """Store a value for ``ttl`` seconds."""
    words = ("SET", key, value, "PX", max(1, math.ceil(ttl * 1000)))
    return Command(words, key, _nothing, Repeat.WRITE, bulk=len(value) >= HEAD)


def unlink(key: str) -> Command[bool]:
    """Remove a key; tells whether it was there."""
    return Command(("UNLINK", key), key, flag, Repeat.WRITE, layout=_UNLINK)


def scan(cursor: int, prefix: str, count: int) -> Command[tuple[int, list[str]]]:
    """Ask for some keys that begin so: where to go on (0: nowhere), and the keys. Not for a request's path.

    Args:
        cursor: where to begin; 0 at first.
        prefix: what the keys begin with; no character of it is a pattern's.
        count: how many keys to look at.
    """
    return Command(("SCAN", cursor, "MATCH", f"{prefix}*", "COUNT", count), "", _page, Repeat.READ)


def time(key: str) -> Command[float]:
    """Ask for the time, in seconds since the epoch, on the server that holds a key."""
    return Command(("TIME",), key, _time, Repeat.READ)


def _time(reply: object) -> float:
    match reply:
        case [bytes() as seconds, bytes() as micros] if seconds.isdigit() and micros.isdigit():
            return int(seconds) + int(micros) / 1e6
        case _:
            raise no_reply(reply)


def _page(reply: object) -> tuple[int, list[str]]:
    match reply:
        case [bytes() as cursor, [*keys]] if cursor.isdigit():
            return int(cursor), [key.decode(errors="replace") for key in keys if isinstance(key, bytes)]
        case _:
            raise no_reply(reply)


def _bytes_or_none(reply: object) -> bytes | None:
    """Check the reply: a crossed connection may answer with anything. An empty value is none of ours."""
    if isinstance(reply, bytes):
        return reply or None
    if reply is None:
        return None
    raise no_reply(reply)


def flag(reply: object) -> bool:
    """Read a count: was anything done?"""
    if isinstance(reply, int):
        return reply > 0
    raise no_reply(reply)


def _nothing(reply: object) -> None:
    if reply != b"OK":
        raise no_reply(reply)


def no_reply(reply: object) -> StoreUnavailable:
    """Return the fault of a reply that cannot be one to the command."""
    return StoreUnavailable(f"Redis gives no usable answer: {type(reply).__name__}", Fault.PROTOCOL)
