"""Versions of tags: what an entry depends on, and how all that depends on it is put out of date at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from cachepolicy.codec.envelope import TAG_ID, TAG_SIZE
from cachepolicy.errors import Fault, StoreUnavailable
from cachepolicy.keys.layout import version_key
from cachepolicy.tiers import scripts
from cachepolicy.tiers.commands import Command, Repeat, flag
from cachepolicy.tiers.notices import Names

_VERSIONS: Final = scripts.load("bytes", "versions")
_BUMP: Final = scripts.load("bytes", "bump")
_VERSION_SIZE: Final = TAG_SIZE - TAG_ID


def read(prefix: str, tags: Sequence[bytes], life: float) -> Command[list[bytes]]:
    """Ask for the versions of tags.

    Args:
        prefix: what the namespace's keys begin with.
        tags: their ids, at least one.
        life: seconds that versions are kept; longer than any entry that carries them.
    """
    keys = [version_key(prefix, tag) for tag in tags]
    return _VERSIONS.call(keys, [round(life * 1000)], _versions_of(len(keys)), Repeat.WRITE)


def known(prefix: str, tags: Sequence[bytes]) -> Command[list[bytes]]:
    """Ask for the versions of tags without writing anything: of a server that takes no writes now.

    Raises, when it is read:
        StoreUnavailable: one has none.
    """
    keys = [version_key(prefix, tag) for tag in tags]
    return Command(("MGET", *keys), keys[0], _versions_of(len(keys)), Repeat.READ)


def bump(
    prefix: str, tags: Sequence[bytes], life: float, names: Names, notices: Sequence[bytes], *, purge: bool
) -> Command[bool]:
    """Put all that carries one of the tags out of date; ``purge``: not even stale may it serve."""
    keys = [version_key(prefix, tag) for tag in tags]
    arguments = ("purge" if purge else "expire", round(life * 1000), names.changes, *notices)
    return _BUMP.call(keys, arguments, flag, Repeat.WRITE)


def _versions_of(count: int) -> Callable[[object], list[bytes]]:
    def read(reply: object) -> list[bytes]:
        if isinstance(reply, list) and len(reply) == count and all(map(_is_version, reply)):
            return reply
        raise StoreUnavailable("Redis gives no usable answer: no versions", Fault.PROTOCOL)

    return read


def _is_version(version: object) -> bool:
    return isinstance(version, bytes) and len(version) == _VERSION_SIZE
