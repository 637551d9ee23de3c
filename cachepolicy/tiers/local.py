"""L1: decoded values in this process, within a byte budget.

A hit takes no lock: it is one ``dict.get``, one comparison of a deadline and one ``hits += 1``, written out
in the wrapper of the decorated function. Only insertion and eviction lock.

Entries whose key changes in Redis are dropped, but not those of this process' own writes: their change is
the echo of the write, unless somebody else wrote too. So they are verified by what Redis holds then.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

from cachepolicy.telemetry.measures import Evictions
from cachepolicy.telemetry.savings import Accounts, Ledger
from cachepolicy.telemetry.usage import Usage
from cachepolicy.tiers.eviction import POLICIES
from cachepolicy.tiers.footprint import USED, footprint
from cachepolicy.tiers.local_index import Index, Tokens


class Table(dict[Hashable, "Entry"]):
    """One decorated function's entries by key; keeps the hits of those that left, and what they spared."""

    __slots__ = ("_retired", "retired_hits")

    def __init__(self, accounts: Accounts | None = None) -> None:
        super().__init__()
        self.retired_hits = 0
        self._retired = Ledger(accounts)

    def hits(self) -> int:
        """Return how often L1 answered this function."""
        return self.retired_hits + sum(entry.hits for entry in list(self.values()))

    def bytes(self) -> int:
        """Return how much of the budget this function's entries take."""
        return sum(entry.size for entry in list(self.values()))

    def add_savings(self, ledger: Ledger) -> None:
        """Add what all hits have spared: nothing of it is counted while they happen."""
        ledger.merge(self._retired)
        for entry in list(self.values()):
            if entry.hits:
                ledger.add(entry.hits, entry.cost, entry.usage, entry.tenant)

    def retire(self, key: Hashable) -> Entry | None:
        """Take an entry out, keeping its count."""
        entry = self.pop(key, None)
        if entry is not None:
            if entry.hits:
                self.retired_hits += entry.hits
                self._retired.add(entry.hits, entry.cost, entry.usage, entry.tenant)
            if entry.index is not None:
                entry.index.remove(entry)
        return entry


class Entry:
    """A value in L1.

    ``load`` is None where the value may be lent to every caller as it is. ``weight`` is the length of its
    serialized form: what a container holds is not in ``getsizeof``. ``name`` is its key in Redis, ``own``
    whether this process stored it there, ``tags`` what it depends on, ``tail`` how its stored form ends,
    ``stale`` whether it was fresh no more when it came. ``cost`` is the seconds that a hit spares, ``usage``
    the tokens, ``tenant`` on whose behalf.
    """

    __slots__ = (
        *("cost", "created", "credit", "hits", "index", "key", "load", "name", "own", "seen", "size"),
        *("stale", "table", "tags", "tail", "tenant", "until", "usage", "value"),
    )

    def __init__(  # noqa: PLR0913 - made in one place
        self,
        table: Table,
        key: Hashable,
        value: Any,
        load: Callable[[bytes], object] | None,
        until: float,
        created: float,
        weight: int,
        *,
        name: str = "",
        own: bool = False,
        tags: tuple[bytes, ...] = (),
        tail: bytes = b"",
        stale: bool = False,
        cost: float = 0.0,
        usage: Usage | None = None,
        tenant: str | None = None,
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
        self.name = name
        self.own = own
        self.tags = tags
        self.tail = tail
        self.stale = stale
        self.index: Index[Entry] | None = None  # while it is held
        self.cost = cost
        self.usage = usage
        self.tenant = tenant
        self.size = footprint(key, value, weight, name, tags) + (USED if usage is not None else 0)

    def take(self) -> object:
        """Return the value, or a fresh copy where it is mutable."""
        return self.value if self.load is None else self.load(self.value)

    def move(self, table: Table, until: float) -> None:
        """Belong to another table, which counts hits anew; leave at ``until`` at the latest."""
        self.credit += self.recent_hits()
        self.table, self.hits, self.seen = table, 0, 0
        self.until = min(self.until, until)

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
    """One namespace's L1: the byte budget that the tables of its functions share.

    Args:
        max_bytes: the budget.
        eviction: which policy chooses what goes where there is no room.
        evictions: counts why entries left; None: nobody wants to know.
    """

    def __init__(self, max_bytes: int, eviction: str, evictions: Evictions | None = None) -> None:
        self._empty = partial(POLICIES[eviction], max_bytes)
        self._entries = self._empty()
        self._index: Index[Entry] = Index()
        self._tokens = Tokens()
        self._lock = threading.Lock()
        self._evictions = Evictions() if evictions is None else evictions

    def token(self, name: str) -> int:
        """Return what tells later whether a key has changed; to be taken before Redis is read."""
        return self._tokens.of(name)

    def put(
        self, entry: Entry, token: int | None = None, *, now: float = 0.0, despite_echo: bool = False
    ) -> bool:
        """Insert or replace; an entry larger than the whole budget is left out.

        Args:
            entry: the new one.
            token: of its name; where that has moved since, the entry is left out: it may be out of date.
            now: monotonic; what it replaces is told to have ended where that was before.
            despite_echo: what was only heard of does not count: it is to be verified then.
        """
        with self._lock:
            if token is not None:
                known = self._tokens.of(entry.name)
                if token != known and not (despite_echo and self._tokens.are_echoes_apart(token, known)):
                    return False
            previous = entry.table.retire(entry.key)
            if previous is not None:
                self._entries.pop(previous, None)
                self._evictions.ttl += previous.until <= now
                entry.credit = previous.credit + previous.recent_hits() + 1  # it was asked for again
            if entry.size > self._entries.maxsize:
                return False
            before = len(self._entries)
            self._entries[entry] = entry
            self._evictions.size += before + 1 - len(self._entries)
            entry.table[entry.key] = entry
            entry.index = self._index
            self._index.add(entry)
            return True

    def changed(self, name: str) -> bool:
        """Drop what is held under a key that changed in Redis; tell whether something is left to be verified.

        What this process stored itself is left: this may be no more than the echo.
        """
        with self._lock:
            self._tokens.heard(name)
            return self._drop(name, lambda entry: not entry.own)

    def verified(self, name: str, tail: bytes | None) -> None:
        """Drop what this process stored under a key, unless it ends as what Redis holds does.

        Args:
            name: the key.
            tail: the last bytes of what Redis holds; nothing where it holds none.
        """
        with self._lock:
            self._drop(name, lambda entry: entry.own and not (tail and entry.tail == tail))

    def drop(self, name: str) -> bool:
        """Drop all that is held under a key, and all that is on its way; tell whether anything was held."""
        with self._lock:
            self._tokens.move(name)
            held = bool(self._index.named(name))
            self._drop(name, lambda _: True)
            return held

    def untag(self, tag: bytes) -> None:
        """Drop all that depends on a tag, and all that is on its way: its tags are not known yet."""
        with self._lock:
            self._tokens.move_all()
            for entry in self._index.tagged(tag):
                self._remove(entry)
                self._evictions.invalidated += 1

    def flush(self) -> None:
        """Drop everything that any function holds here, and all that is on its way."""
        with self._lock:
            self._tokens.move_all()
            self._evictions.invalidated += len(self._entries)
            self._forget()

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

    def move(self, old: Table, new: Table, until: float) -> None:
        """Make a table's entries another's; each leaves at ``until`` at the latest."""
        with self._lock:
            for key, entry in list(old.items()):
                old.retire(key)
                entry.move(new, until)
                new[key] = entry
                self._index.add(entry)

    def renew_lock(self) -> None:
        """Forget a lock that another thread held when this process was forked, and what it left half done."""
        if self._lock.locked():
            self._forget()
            self._lock = threading.Lock()

    def _drop(self, name: str, is_out: Callable[[Entry], bool]) -> bool:
        """Drop some of what is held under a key; tell whether any is left."""
        entries = self._index.named(name)
        out = [entry for entry in entries if is_out(entry)]
        for entry in out:
            self._remove(entry)
        self._evictions.invalidated += len(out)
        return len(out) < len(entries)

    def _remove(self, entry: Entry) -> None:
        entry.table.retire(entry.key)
        self._entries.pop(entry, None)

    def _forget(self) -> None:
        """Leave nothing, even where the parts do not agree on what there is."""
        held = {*self._entries, *self._index}
        self._entries = self._empty()
        self._index = Index()
        for entry in held:
            entry.index = None
        for entry in held:
            entry.table.retire(entry.key)

    @property
    def size(self) -> int:
        """Bytes held, by the estimate that the budget is kept with."""
        return int(self._entries.currsize)
