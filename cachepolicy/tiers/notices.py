"""What processes tell each other over Redis' channels, and its bytes.

::

    {app}:~changes   source, number, tail, key   a key changed; without a key, nothing did
    {app}:~leases    r key                       the holder of a lease renewed it
                     d key                       a lease ended without a value
    {app}:~canary:…  anything                    a watch's own, to hear whether it still hears

A source (8 bytes) numbers what it says (8 bytes): 1, 2, 3, … One who misses a number has missed a change.
The tail (its length in one byte) is how the new value ends; empty where there is none, or it is not said.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

_SOURCE: Final = 8
_NUMBERED: Final = 16
_HEADER: Final = 17
_BUCKET: Final = 2  # hexadecimal digits: how many watches have to be told of one canary


class Names(NamedTuple):
    """Where the processes of one ``app`` hear of each other."""

    changes: str
    leases: str
    canaries: str

    @classmethod
    def of(cls, app: str) -> Names:
        """Name the channels of an app."""
        return cls(f"{app}:~changes", f"{app}:~leases", f"{app}:~canary:")

    def canary(self, source: bytes) -> str:
        """Name the key, or the channel, of one watch's own canary."""
        return self.canaries + source.hex()

    def canary_prefix(self, source: bytes) -> str:
        """Return a prefix of that key.

        Each prefix costs every write of the server a comparison, and each canary is told to all who share a
        prefix: so there are 256 of them.
        """
        return self.canaries + source.hex()[:_BUCKET]


def shortest(prefixes: Sequence[str]) -> list[str]:
    """Leave out prefixes that begin with another: the server refuses those that overlap."""
    kept: list[str] = []
    for prefix in sorted(prefixes):
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return kept


class Change(NamedTuple):
    """A message about a key; the key is empty where the number tells of nothing."""

    source: bytes
    number: int
    tail: bytes
    key: str


class Numbering:
    """What one process says of its changes: numbered, under a name of its own. Any thread may use it."""

    def __init__(self) -> None:
        self.source: Final = secrets.token_bytes(_SOURCE)
        self.given = 0
        self._lock = threading.Lock()

    def next(self, key: str = "", tail: bytes = b"") -> bytes:
        """Lay out the next message; without a key it only tells that all numbers before it were given."""
        with self._lock:
            self.given += 1
            number = self.given
        return b"%b%b%c%b%b" % (self.source, number.to_bytes(8, "big"), len(tail), tail, key.encode())


def void(message: bytes) -> bytes:
    """Return what to say in place of a message that is not said, so that nobody misses its number."""
    return message[:_NUMBERED] + b"\0"


def read_change(message: bytes) -> Change | None:
    """Read a message; None where it is none of ours."""
    if len(message) < _HEADER:
        return None
    number = int.from_bytes(message[_SOURCE:_NUMBERED], "big")
    end = _HEADER + message[_NUMBERED]
    return Change(message[:_SOURCE], number, message[_HEADER:end], message[end:].decode(errors="replace"))


class Lease(Enum):
    """What becomes of a lease, by the first byte of a message about it."""

    RENEWED = b"r"
    RELEASED = b"d"

    def say(self, key: str) -> bytes:
        """Lay out a message."""
        return self.value + key.encode()


def read_lease(message: bytes) -> tuple[Lease, str] | None:
    """Read a message; None where it is none of ours."""
    for lease in Lease:
        if message.startswith(lease.value):
            return lease, message[1:].decode(errors="replace")
    return None
