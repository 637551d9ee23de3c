"""Lua that runs in Redis: called by its digest, sent whole only to a server that does not know it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Final, TypeVar

from cachepolicy.tiers.commands import Command, Repeat
from cachepolicy.tiers.resp import Word

T = TypeVar("T")

_NAMES: Final[dict[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Script:
    """One script. All its keys must share a slot: ``{…}`` in a key names what is hashed."""

    source: str
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "digest", hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        )

    def call(
        self,
        keys: Sequence[str],
        arguments: Sequence[Word],
        read: Callable[[object], T],
        repeat: Repeat = Repeat.ONCE,
    ) -> Command[T]:
        """Return the command that runs it.

        Args:
            keys: at least one.
            arguments: as ``ARGV``.
            read: makes the reply into a result.
            repeat: a script counts unless it is known to be idempotent.
        """
        words = ("EVALSHA", self.digest, len(keys), *keys, *arguments)
        return Command(words, keys[0], read, repeat, source=self.source)


def load(*names: str) -> Script:
    """Read a script of this package; what it needs comes before it."""
    folder = resources.files("cachepolicy.tiers") / "lua"
    script = Script("\n".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in names))
    _NAMES[script.digest] = names[-1]
    return script


def name_of(digest: object) -> str:
    """Return what a script of this package is called, by its digest; of another, nothing."""
    return _NAMES.get(str(digest), "")
