"""The locks of a folder that processes share: the kernel gives them back however their holders ended."""

from __future__ import annotations

import fcntl
import os
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Final

LONGEST_SOCKET: Final = 103
"""Bytes in the path of a socket on any Unix."""

_rights: set[int] = set()


class Lease:
    """The use of a server: it is not stopped as long as this lives."""

    def __init__(self, folder: Path, users: int, directory: int) -> None:
        self._users = folder / "users.lock"
        self._status = os.fstat(users)
        self.socket = str(folder / "redis.sock")
        if len(os.fsencode(self.socket)) > LONGEST_SOCKET:
            self.socket = f"/proc/self/fd/{directory}/redis.sock"
        self.end = weakref.finalize(self, close_files, users, directory)

    def is_current(self) -> bool:
        """Tell whether the folder is still the one that it was taken in."""
        try:
            return os.path.samestat(self._status, self._users.stat())
        except OSError:
            return False


def open_lock(path: Path) -> int:
    """Open a lock's file; it is made where it is missing."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def try_lock(file: int, how: int) -> bool:
    """Take a lock if it is free now."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def try_right(folder: Path, how: int) -> int | None:
    """Take the right to start the server; None while somebody has it: it runs, or is being started."""
    file = open_lock(folder / "keeper.lock")
    _rights.add(file)
    if try_lock(file, how):
        return file
    give_up(file)
    return None


def give_up(right: int) -> None:
    """Close our copy of the lock; a keeper that was given one has it now."""
    _rights.discard(right)
    os.close(right)


def close_files(*files: int) -> None:
    """Close what is open of these."""
    for file in files:
        with suppress(OSError):
            os.close(file)


def _after_fork() -> None:
    """Close a right that a thread of the parent had in hand: this child's copy would keep it for good."""
    close_files(*_rights)
    _rights.clear()


os.register_at_fork(after_in_child=_after_fork)
