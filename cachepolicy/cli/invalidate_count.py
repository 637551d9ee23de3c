"""How many entries an invalidation concerns: Redis does not say, for it is done with one key."""

from __future__ import annotations

import itertools
from typing import Final, NamedTuple

from cachepolicy.cli.asking import ask_one
from cachepolicy.codec.envelope import TAG_ID, carried
from cachepolicy.flow.stores import Site
from cachepolicy.flow.versions import parts_of
from cachepolicy.keys.layout import prefix, version_key
from cachepolicy.runtime.compose import Runtime
from cachepolicy.tiers import commands
from cachepolicy.tiers.sampling import beginnings

MOST: Final = 100_000
"""Keys that are looked at."""
_BEGINS: Final = 1024  # bytes of a value that are read: enough for its header and forty tags
_PATIENCE: Final = 5.0  # seconds for each command
_PAGE: Final = 500  # entries whose tags are asked for together
_PURGE: Final = 8  # bytes of a version that a purge changes
_PURGED_AT: Final = slice(TAG_ID, TAG_ID + _PURGE)


class Counted(NamedTuple):
    """Entries that can be served until they are invalidated.

    Attributes:
        number: of them.
        is_all: all keys of the namespace were looked at.
    """

    number: int
    is_all: bool

    def __str__(self) -> str:
        return f"{'' if self.is_all else 'at least '}{self.number}"


def count(runtime: Runtime, site: Site, name: str, tag: bytes) -> Counted:
    """Count the entries of a namespace that carry a tag and were not purged before.

    Raises:
        StoreError: a server does not answer.
    """
    begin = prefix(runtime.loaded.policy.app, name)
    known: dict[bytes, bytes | None] = {}
    looked = number = 0
    walk = beginnings(site.place, begin, MOST, _PATIENCE, _BEGINS)
    while heads := list(itertools.islice(walk, _PAGE)):
        looked += len(heads)
        all_carried = [{part[:TAG_ID]: part for part in parts_of(carried(head) or b"")} for _, head in heads]
        wanted = [parts for parts in all_carried if tag in parts]
        new = list({each for parts in wanted for each in parts} - known.keys())
        if new:
            keys = [version_key(begin, each) for each in new]
            versions: list[bytes | None] = ask_one(runtime, site, commands.get_all(keys))
            known.update(zip(new, versions, strict=True))
        number += sum(_lives(parts, known) for parts in wanted)
    return Counted(number, looked < MOST)


def _lives(parts: dict[bytes, bytes], known: dict[bytes, bytes | None]) -> bool:
    """Tell whether none of an entry's tags was purged since it was made."""
    versions = ((part, known[tag]) for tag, part in parts.items())
    return all(now is not None and part[_PURGED_AT] == now[:_PURGE] for part, now in versions)
