"""What a server does when its memory is full: what it keeps, and what it may throw away."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from cachepolicy.tiers.commands import Command, Repeat, no_reply

_KEEPS: Final = "noeviction"


class Maxmemory(NamedTuple):
    """What INFO tells of it; a managed service may leave either out.

    Attributes:
        limit: bytes; 0: no limit; None: it is not told.
        policy: Redis' own word for what it evicts; empty: it is not told.
    """

    limit: int | None
    policy: str

    @property
    def evicts(self) -> bool | None:
        """Whether keys that have a TTL may be lost before it ends; None: that is not known."""
        return self.is_other_than((_KEEPS,))

    def is_other_than(self, policies: Collection[str]) -> bool | None:
        """Tell whether keys may be evicted, by another policy than these; None: that is not known."""
        if self.policy in policies or self.limit == 0:
            return False
        return None if self.limit is None or not self.policy else True


UNTOLD: Final = Maxmemory(None, "")
"""What is known of a server that does not tell."""


def maxmemory(key: str) -> Command[Maxmemory]:
    """Ask the server that has a key what it does when its memory is full."""
    return Command(("INFO", "memory"), key, _read, Repeat.READ)


def _read(reply: object) -> Maxmemory:
    if not isinstance(reply, bytes):
        raise no_reply(reply)
    lines = (line.partition(":") for line in reply.decode(errors="replace").splitlines())
    told = {name: value.strip() for name, _, value in lines}
    limit = told.get("maxmemory", "")
    policy = told.get("maxmemory_policy", "")
    is_word = policy.replace("-", "").isalpha() and policy.isascii()  # it goes into messages
    return Maxmemory(int(limit) if limit.isdecimal() else None, policy if is_word else "")
