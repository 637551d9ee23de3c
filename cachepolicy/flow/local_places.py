"""Places that calls hold in this process alone, for ``on_fault: local``."""

from __future__ import annotations

import threading
from collections import Counter


class LocalPlaces:
    """The places that are taken in this process while Redis is out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    def enter(self, key: str, most: int) -> bool:
        """Take a place, if fewer than ``most`` are taken."""
        with self._lock:
            if self._taken[key] >= most:
                return False
            self._taken[key] += 1
            return True

    def leave(self, key: str) -> None:
        """Give a place back."""
        with self._lock:
            self._taken[key] -= 1
            if self._taken[key] <= 0:
                del self._taken[key]

    def after_fork(self) -> None:
        """Take no place: those of the parent are its own."""
        self._lock = threading.Lock()
        self._taken = Counter()
