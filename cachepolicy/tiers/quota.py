"""How much the entries of a cache may take in Redis: counted, and made room for, by scripts that write.

What each takes stands in one hash, so this needs all keys on one server. Who was used last is known to the
server itself: reads are what they are without a quota.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cachepolicy.tiers import scripts
from cachepolicy.tiers.commands import Command, Repeat, no_reply

_ADOPT: Final = scripts.load("quota", "quota_adopt")
_NO_ROOM: Final = 2


@dataclass(slots=True, eq=False)
class Quota:
    """How much one namespace may take, and what this process has heard of it.

    Attributes:
        key: where it stands what each entry takes.
        most: bytes that all of them may take.
        life: ms that an entry can stay.
        evicted: how many went to make room for what this process stored.
        refused: how many values found no room.
        uncounted: entries may be there that nobody has counted: the count began anew.
    """

    key: str
    most: int
    life: int
    evicted: int = 0
    refused: int = 0
    uncounted: bool = False

    @property
    def arguments(self) -> tuple[int, int]:
        """What a script that writes is told of it, last of all."""
        return self.most, self.life

    def heard(self, reply: object) -> bool:
        """Read what a script that writes has done; tells whether it did."""
        match reply:
            case [int(done), int(evicted), 0 | 1 as is_new]:
                self.evicted += evicted
                self.refused += done == _NO_ROOM
                self.uncounted = self.uncounted or is_new == 1
                return done == 1
            case _:
                raise no_reply(reply)


def adopt(quota: Quota, keys: Sequence[str]) -> Command[bool]:
    """Count entries that nobody has counted, and make room where they take too much.

    Args:
        quota: of their namespace.
        keys: of entries, or of whatever else stands beside them; at least one.
    """
    return _ADOPT.call([*keys, quota.key], quota.arguments, quota.heard, Repeat.WRITE)
