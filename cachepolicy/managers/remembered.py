"""Tokens that this process knows to be revoked: nothing can make them good again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable


class Remembered:
    """So many names, each until its moment; the one that was longest not asked for goes first.

    Without a lock: each step on the mapping is whole, and what is lost between two is asked of Redis.

    Args:
        most: how many; 0 for none.
        now: the time, in seconds since the epoch.
    """

    def __init__(self, most: int, now: Callable[[], float]) -> None:
        self._most = most
        self._now = now
        self._ends: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._ends)

    def __contains__(self, name: str) -> bool:
        ends = self._ends.get(name)
        if ends is None:
            return False
        try:
            if ends <= self._now():
                del self._ends[name]
                return False
            self._ends.move_to_end(name)
        except KeyError:  # another thread made room, or saw it end
            pass
        return ends > self._now()

    def add(self, name: str, ends: float) -> None:
        """Remember a name until a moment, in seconds since the epoch."""
        if self._most > 0 and ends > self._now():
            self._ends[name] = ends
            self._ends.move_to_end(name)
        while len(self._ends) > self._most:
            self._ends.popitem(last=False)
