"""Which entry of L1 goes when there is no room.

A hit only counts on its entry. So the policies, all of them, learn of hits when they look for a victim.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

import cachetools


class Resident(Protocol):
    """What a policy knows of an entry.

    Attributes:
        size: what it takes of the budget, in bytes.
        hits: how often it was read.
        credit: what the policy remembers of earlier hits.
    """

    size: int
    hits: int
    credit: int

    def recent_hits(self) -> int:
        """Return the hits since this was last asked."""
        ...

    def leave(self) -> None:
        """Go from wherever the entry can be found."""
        ...

    def mark(self) -> int:
        """Return what the entry is known by when it is gone: the same for one made anew."""
        ...


_MOST_LOOKS: Final = 500  # for one victim: where many thousands are hot, a search would hold up an event loop

Residents: TypeAlias = cachetools.Cache[Resident, Resident]


def _size(entry: Resident) -> int:
    return entry.size


def _leave(entry: Resident) -> tuple[Resident, Resident]:
    """See a victim out; return it as ``popitem`` does."""
    entry.leave()
    return entry, entry


class QueueCache(cachetools.Cache[Resident, Resident]):
    """First in, first out, but an entry that ``keeps`` has its turn again at the back of the queue."""

    def __init__(self, max_bytes: int, keeps: Callable[[Resident], bool]) -> None:
        super().__init__(max_bytes, getsizeof=_size)
        self._queue: OrderedDict[Resident, None] = OrderedDict()
        self._keeps = keeps

    def __setitem__(self, key: Resident, value: Resident) -> None:
        super().__setitem__(key, value)
        self._queue[key] = None

    def __delitem__(self, key: Resident) -> None:
        super().__delitem__(key)
        del self._queue[key]

    def popitem(self) -> tuple[Resident, Resident]:
        """Remove and return the first entry in the queue that does not keep its place."""
        entry = next(iter(self._queue))
        for _ in range(min(len(self), _MOST_LOOKS)):  # hits go on meanwhile: one round at the most
            if not self._keeps(entry):
                break
            self._queue.move_to_end(entry)
            entry = next(iter(self._queue))
        del self[entry]
        return _leave(entry)


def _never(_: Resident) -> bool:
    return False


def _recently_used(entry: Resident) -> bool:
    """Second chance (Corbató's CLOCK): one turn for any number of hits."""
    return entry.recent_hits() > 0


def _often_used(entry: Resident) -> bool:
    """Generalised CLOCK: turns in proportion to the logarithm of the hits, so that old fame fades."""
    entry.credit = (entry.credit + entry.recent_hits()) // 2
    return entry.credit > 0


class S3FIFOCache(cachetools.Cache[Resident, Resident]):
    """S3-FIFO (Yang et al., SOSP 2023): a scan passes through a small queue and leaves the hot set alone.

    New entries wait in a queue of a tenth of the budget; those read twice there move to the main queue, the
    others leave, remembered as ghosts. A ghost that returns goes to the main queue at once; so does an entry
    that brings credit, for it replaces one that was asked for again.
    """

    _SMALL_SHARE: Final = 10
    _ENOUGH_HITS: Final = 2  # with one, whatever is tried again once would count as hot
    _MOST_TURNS: Final = 3

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes, getsizeof=_size)
        self._small: OrderedDict[Resident, None] = OrderedDict()
        self._main: OrderedDict[Resident, None] = OrderedDict()
        self._ghosts = _Ghosts()
        self._small_bytes = 0

    def __setitem__(self, key: Resident, value: Resident) -> None:
        super().__setitem__(key, value)
        if key.credit or key.mark() in self._ghosts:
            self._main[key] = None
        else:
            self._small[key] = None
            self._small_bytes += key.size

    def __delitem__(self, key: Resident) -> None:
        super().__delitem__(key)
        if key in self._small:
            del self._small[key]
            self._small_bytes -= key.size
        else:
            del self._main[key]

    def popitem(self) -> tuple[Resident, Resident]:
        """Remove and return the next victim."""
        entry = self._victim()
        del self[entry]
        return _leave(entry)

    def _victim(self) -> Resident:
        looks = 0
        while True:
            looks += 1
            full = self._small_bytes * self._SMALL_SHARE > self.maxsize
            if self._small and (full or not self._main):
                entry = next(iter(self._small))
                if entry.hits < self._ENOUGH_HITS or looks >= _MOST_LOOKS:
                    self._ghosts.add(entry.mark(), len(self))
                    return entry
                entry.recent_hits()  # they have brought it here
                del self._small[entry]
                self._small_bytes -= entry.size
                self._main[entry] = None
            else:
                entry = next(iter(self._main))
                entry.credit = min(entry.credit + entry.recent_hits(), self._MOST_TURNS)
                if entry.credit == 0 or looks >= _MOST_LOOKS:
                    return entry
                entry.credit -= 1
                self._main.move_to_end(entry)


class _Ghosts:
    """The marks of entries that left lately, in two generations: a queue of them would be twice as large."""

    def __init__(self) -> None:
        self._young: set[int] = set()
        self._old: set[int] = set()

    def __contains__(self, mark: int) -> bool:
        return mark in self._young or mark in self._old

    def add(self, mark: int, most: int) -> None:
        """Remember one; the oldest of more than ``most`` are forgotten."""
        if 2 * len(self._young) >= most:
            self._old, self._young = self._young, set()
        self._young.add(mark)


POLICIES: Final[dict[str, Callable[[int], Residents]]] = {
    "lru": lambda max_bytes: QueueCache(max_bytes, _recently_used),
    "lfu": lambda max_bytes: QueueCache(max_bytes, _often_used),
    "fifo": lambda max_bytes: QueueCache(max_bytes, _never),
    "s3fifo": S3FIFOCache,
}
"""By the words of ``eviction.l1``: each makes an empty cache of so many bytes."""
