"""L1: decoded values in this process, within a byte budget.

A hit takes no lock: it is one ``dict.get``, one comparison of a deadline and one ``hits += 1``, written out
in the wrapper of the decorated function. Only insertion and eviction lock. Eviction policies therefore
learn of hits late, from the counter, when they look for a victim.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from sys import getsizeof
from typing import Any, Final

import cachetools


class Table(dict[Hashable, "Entry"]):
    """One decorated function's entries by key; keeps the hits of those that left."""

    __slots__ = ("retired_hits",)

    def __init__(self) -> None:
        super().__init__()
        self.retired_hits = 0

    def hits(self) -> int:
        """Return how often L1 answered this function."""
        return self.retired_hits + sum(entry.hits for entry in list(self.values()))

    def bytes(self) -> int:
        """Return how much of the budget this function's entries take."""
        return sum(entry.size for entry in list(self.values()))

    def retire(self, key: Hashable) -> Entry | None:
        """Take an entry out, keeping its count."""
        entry = self.pop(key, None)
        if entry is not None:
            self.retired_hits += entry.hits
        return entry


_ENTRY_OVERHEAD: Final = 400  # the entry, its key tuple, and its place in four mappings


class Entry:
    """A value in L1.

    ``load`` is None where the value may be lent to every caller as it is. ``weight`` is the length of its
    serialized form: what a container holds is not in ``getsizeof``.
    """

    __slots__ = ("created", "credit", "hits", "key", "load", "seen", "size", "table", "until", "value")

    def __init__(
        self,
        table: Table,
        key: Hashable,
        value: Any,
        load: Callable[[bytes], object] | None,
        until: float,
        created: float,
        weight: int,
    ) -> None:
        self.table = table
        self.key = key
        self.value = value
        self.load = load
        self.until = until  # monotonic
        self.created = created  # wall clock
        self.hits = 0
        self.seen = 0  # how many of the hits the eviction policy has taken into account
        self.credit = 0  # what an eviction policy remembers of earlier hits
        self.size = _ENTRY_OVERHEAD + max(getsizeof(value), weight) + _size_of_key(key)

    def take(self) -> object:
        """Return the value, or a fresh copy where it is mutable."""
        return self.value if self.load is None else self.load(self.value)

    def recent_hits(self) -> int:
        """Return the hits since this was last asked."""
        hits = self.hits
        recent, self.seen = hits - self.seen, hits
        return recent


def _size_of_key(key: Hashable) -> int:
    if not isinstance(key, tuple):
        return getsizeof(key)
    return sum(getsizeof(part) for part in key if not isinstance(part, type))  # a class is there anyway


def _size(entry: Entry) -> int:
    return entry.size


def _leave(entry: Entry) -> tuple[Entry, Entry]:
    """Take a victim out of its function's table too; return it as ``popitem`` does."""
    entry.table.retire(entry.key)
    return entry, entry


class QueueCache(cachetools.FIFOCache[Entry, Entry]):
    """First in, first out, but an entry that ``keeps`` has its turn again at the back of the queue."""

    def __init__(self, max_bytes: int, keeps: Callable[[Entry], bool]) -> None:
        super().__init__(max_bytes, getsizeof=_size)
        self._keeps = keeps

    def popitem(self) -> tuple[Entry, Entry]:
        """Remove and return the first entry in the queue that does not keep its place."""
        for _ in range(len(self)):  # hits go on meanwhile: one round at the most
            entry, _ = super().popitem()
            if not self._keeps(entry):
                return _leave(entry)
            self[entry] = entry
        return _leave(super().popitem()[0])


def _never(_: Entry) -> bool:
    return False


def _recently_used(entry: Entry) -> bool:
    """Second chance (Corbató's CLOCK): one turn for any number of hits."""
    return entry.recent_hits() > 0


def _often_used(entry: Entry) -> bool:
    """Generalised CLOCK: turns in proportion to the logarithm of the hits, so that old fame fades."""
    entry.credit = (entry.credit + entry.recent_hits()) // 2
    return entry.credit > 0


class S3FIFOCache(cachetools.Cache[Entry, Entry]):
    """S3-FIFO (Yang et al., SOSP 2023): a scan passes through a small queue and leaves the hot set alone.

    New entries wait in a queue of a tenth of the budget; those used again move to the main queue, the others
    leave, remembered as ghosts for as many entries as the cache holds. A ghost that returns goes to the main
    queue at once.
    """

    _SMALL_SHARE: Final = 10
    _MOST_TURNS: Final = 3

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes, getsizeof=_size)
        self._small: OrderedDict[Entry, None] = OrderedDict()
        self._main: OrderedDict[Entry, None] = OrderedDict()
        self._ghosts: OrderedDict[int, None] = OrderedDict()  # hashes: the keys themselves may be long
        self._small_bytes = 0

    def __setitem__(self, key: Entry, value: Entry) -> None:
        super().__setitem__(key, value)
        ghost = _ghost(key)
        if ghost in self._ghosts:
            del self._ghosts[ghost]
            self._main[key] = None
        else:
            self._small[key] = None
            self._small_bytes += key.size

    def __delitem__(self, key: Entry) -> None:
        super().__delitem__(key)
        if key in self._small:
            del self._small[key]
            self._small_bytes -= key.size
        else:
            del self._main[key]

    def popitem(self) -> tuple[Entry, Entry]:
        """Remove and return the next victim."""
        while True:
            full = self._small_bytes * self._SMALL_SHARE > self.maxsize
            entry = next(iter(self._small if self._small and (full or not self._main) else self._main))
            if entry in self._small:
                if entry.recent_hits() == 0:
                    self._remember(entry)
                    break
                del self._small[entry]
                self._small_bytes -= entry.size
                self._main[entry] = None
                continue
            entry.credit = min(entry.credit + entry.recent_hits(), self._MOST_TURNS)
            if entry.credit == 0:
                break
            entry.credit -= 1
            self._main.move_to_end(entry)
        del self[entry]
        return _leave(entry)

    def _remember(self, entry: Entry) -> None:
        self._ghosts[_ghost(entry)] = None
        while len(self._ghosts) > len(self):
            self._ghosts.popitem(last=False)


def _ghost(entry: Entry) -> int:
    return hash((id(entry.table), entry.key))


_POLICIES: Final[dict[str, Callable[[int], cachetools.Cache[Entry, Entry]]]] = {
    "lru": lambda max_bytes: QueueCache(max_bytes, _recently_used),
    "lfu": lambda max_bytes: QueueCache(max_bytes, _often_used),
    "fifo": lambda max_bytes: QueueCache(max_bytes, _never),
    "s3fifo": S3FIFOCache,
}


class LocalCache:
    """One namespace's L1: the byte budget that the tables of its functions share."""

    def __init__(self, max_bytes: int, eviction: str) -> None:
        self._empty = partial(_POLICIES[eviction], max_bytes)
        self._entries = self._empty()
        self._lock = threading.Lock()

    def put(self, entry: Entry) -> bool:
        """Insert or replace; an entry larger than the whole budget is left out."""
        with self._lock:
            previous = entry.table.retire(entry.key)
            if previous is not None:
                self._entries.pop(previous, None)
            if entry.size > self._entries.maxsize:
                return False
            self._entries[entry] = entry
            entry.table[entry.key] = entry
            return True

    def discard(self, table: Table, key: Hashable) -> bool:
        """Remove an entry, if it is there."""
        with self._lock:
            entry = table.retire(key)
            if entry is None:
                return False
            self._entries.pop(entry, None)
            return True

    def clear(self, table: Table) -> None:
        """Remove all entries of one function."""
        with self._lock:
            for key, entry in list(table.items()):
                self._entries.pop(entry, None)
                table.retire(key)

    def renew_lock(self) -> None:
        """Forget a lock that another thread held when this process was forked, and what it left half done."""
        if self._lock.locked():
            self._entries = self._empty()  # what the tables hold still answers, until it is replaced
            self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes held, by the estimate that the budget is kept with."""
        return int(self._entries.currsize)
