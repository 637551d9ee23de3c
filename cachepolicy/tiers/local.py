"""L1: decoded values in this process, within a byte budget.

A hit takes no lock: it is one ``dict.get``, one comparison of a deadline and one ``hits += 1``, written out
in the wrapper of the decorated function. Only insertion and eviction lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

from cachepolicy.tiers.eviction import POLICIES
from cachepolicy.tiers.footprint import footprint


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


class Entry:
    """A value in L1.

    ``load`` is None where the value may be lent to every caller as it is. ``weight`` is the length of its
    serialized form.
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
        self.size = footprint(key, value, weight)

    def take(self) -> object:
        """Return the value, or a fresh copy where it is mutable."""
        return self.value if self.load is None else self.load(self.value)

    def recent_hits(self) -> int:
        """Return the hits since this was last asked."""
        hits = self.hits
        recent, self.seen = hits - self.seen, hits
        return recent

    def leave(self) -> None:
        """Go from the function's table: the eviction policy has chosen this one."""
        self.table.retire(self.key)

    def mark(self) -> int:
        """Return a hash of the function and the key: the key itself may be long."""
        return hash((id(self.table), self.key))


class LocalCache:
    """One namespace's L1: the byte budget that the tables of its functions share."""

    def __init__(self, max_bytes: int, eviction: str) -> None:
        self._empty = partial(POLICIES[eviction], max_bytes)
        self._entries = self._empty()
        self._lock = threading.Lock()

    def put(self, entry: Entry) -> bool:
        """Insert or replace; an entry larger than the whole budget is left out."""
        with self._lock:
            previous = entry.table.retire(entry.key)
            if previous is not None:
                self._entries.pop(previous, None)
                entry.credit = (
                    previous.credit + previous.recent_hits() + 1
                )  # made anew: it was asked for again
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
