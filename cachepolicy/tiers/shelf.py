"""Large files in a directory: their chunks, sealed as they would be in Redis, which has their manifest.

A file is written beside its place and moved there, whole, when its upload ends. When it ends itself is its
modification time, so whoever comes by can remove what nobody reads any more without asking anybody.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from cachepolicy.errors import Fault, StoreError

OVERHEAD: Final = 64
"""Bytes that a sealed chunk may be longer than what it holds, its length before it included."""

_LENGTH: Final = 4
_OURS: Final = re.compile(r"[0-9a-f]{32}(\.part)?")
_SWEEP: Final = 60.0  # seconds between two looks for what has ended
_SLACK: Final = 60.0  # seconds that clocks of machines may differ by


class Shelf:
    """The directory.

    Args:
        directory: that every process sees; it is made where there is none.
    """

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)
        self._swept = float("-inf")

    def write(self, name: str, chunk: int, first: int, sealed: Sequence[bytes], until: float) -> None:
        """Write chunks of a file that is uploaded.

        Args:
            name: of the file.
            chunk: how many bytes a chunk of it holds at most; so in the other methods.
            first: the index of the first.
            sealed: the chunks.
            until: when the file can be removed, on the wall clock.
        """
        slot = chunk + OVERHEAD
        with _faults(), self._opened(f"{name}.part", os.O_RDWR | os.O_CREAT) as file:
            for index, content in enumerate(sealed, first):
                _write_all(file, len(content).to_bytes(_LENGTH, "big") + content, index * slot)
            os.utime(file, (until, until))

    def holds(self, name: str, chunk: int, index: int) -> bool:
        """Tell whether a chunk of a file that is uploaded was written."""
        with _faults():
            try:
                with self._opened(f"{name}.part", os.O_RDONLY) as file:
                    return _length(file, index * (chunk + OVERHEAD)) > 0
            except FileNotFoundError:
                return False

    def read(self, name: str, chunk: int, index: int) -> bytes | None:
        """Return a sealed chunk; None where there is none."""
        slot = chunk + OVERHEAD
        with _faults():
            for spelled in (name, f"{name}.part"):
                try:
                    with self._opened(spelled, os.O_RDONLY) as file:
                        length = min(_length(file, index * slot), slot)
                        return os.pread(file, length, index * slot + _LENGTH) or None
                except FileNotFoundError:
                    continue
            return None

    def finish(self, name: str, until: float) -> bool:
        """Have what was written outlive a crash, and move it to its place; tells whether it is there."""
        with _faults():
            part, place = self._directory / f"{name}.part", self._directory / name
            try:
                with self._opened(part.name, os.O_RDWR) as file:
                    os.utime(file, (until, until))
                    os.fsync(file)
                part.rename(place)
            except FileNotFoundError:
                return place.exists()
            folder = os.open(self._directory, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
            return True

    def keep(self, name: str, until: float) -> None:
        """Change when a file can be removed."""
        with _faults():
            for spelled in (name, f"{name}.part"):
                with suppress(FileNotFoundError):
                    os.utime(self._directory / spelled, (until, until))

    def remove(self, name: str) -> None:
        """Remove a file, wherever its upload was."""
        with _faults():
            for spelled in (name, f"{name}.part"):
                (self._directory / spelled).unlink(missing_ok=True)

    def sweep(self, monotonic: float, wall: float) -> int:
        """Remove files that have ended, once a minute at most; returns how many."""
        if monotonic - self._swept < _SWEEP:
            return 0
        self._swept = monotonic
        removed = 0
        with _faults(), suppress(FileNotFoundError), os.scandir(self._directory) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    told = entry.stat(follow_symlinks=False)
                    if (
                        _OURS.fullmatch(entry.name)
                        and stat.S_ISREG(told.st_mode)
                        and told.st_mtime + _SLACK < wall
                    ):
                        Path(entry.path).unlink()
                        removed += 1
        return removed

    @contextmanager
    def _opened(self, spelled: str, flags: int) -> Iterator[int]:
        if flags & os.O_CREAT:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(self._directory / spelled, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            yield file
        finally:
            os.close(file)


@contextmanager
def _faults() -> Iterator[None]:
    """Make what a directory cannot do a fault of the store; it names no path."""
    try:
        yield
    except OSError as error:
        what = errno.errorcode.get(error.errno or 0, "unknown")
        raise StoreError(f"the directory of large files cannot be used: {what}", Fault.ERROR) from None


def _length(file: int, at: int) -> int:
    return int.from_bytes(os.pread(file, _LENGTH, at), "big")


def _write_all(file: int, content: bytes, at: int) -> None:
    rest = memoryview(content)
    while rest:
        written = os.pwrite(file, rest, at)
        rest, at = rest[written:], at + written
