"""Which files a policy was read from, and what they held: who reads is far from who asks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Final, TypeAlias

_MOST: Final = 1_100_000  # bytes: more than any file of a policy may have

Held: TypeAlias = Mapping[Path, bytes]
"""What files hold, as a hash, by their whole paths; nothing where they cannot be read."""

_NOTES: ContextVar[dict[Path, bytes] | None] = ContextVar("cachepolicy_files", default=None)


@contextmanager
def noted() -> Iterator[Held]:
    """Note what is read meanwhile in this context, and what could not be."""
    notes: dict[Path, bytes] = {}
    token = _NOTES.set(notes)
    try:
        yield notes
    finally:
        _NOTES.reset(token)


def note(path: Path) -> None:
    """Take note of a file before it is read: what changes after that is seen as a change."""
    notes = _NOTES.get()
    if notes is not None and "\0" not in str(path):
        notes[path.absolute()] = held(path)


def held(path: Path) -> bytes:
    """Return a hash of what a file holds; nothing where it cannot be read."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return b""
        with path.open("rb") as file:
            return hashlib.blake2b(file.read(_MOST), digest_size=16).digest()
    except OSError:
        return b""
