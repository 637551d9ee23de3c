from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cachepolicy.tiers.local import Entry, LocalCache, Table

POLICIES = ["lru", "lfu", "fifo", "s3fifo"]
SIZE = 1_000  # an entry of the tests, overhead included


def _entry(table: Table, key: object, weight: int = SIZE - 500) -> Entry:
    entry = Entry(table, (key,), "", None, 1e9, 0.0, weight)
    entry.size = weight + 500  # so that a budget is a number of entries
    return entry


class Cache:
    """One function's L1, as its wrapper uses it."""

    def __init__(self, eviction: str, entries: int) -> None:
        self.table = Table()
        self.cache = LocalCache(entries * SIZE, eviction)

    def put(self, key: object) -> bool:
        return self.cache.put(_entry(self.table, key))

    def hit(self, key: object) -> bool:
        entry = self.table.get((key,))
        if entry is None:
            return False
        entry.hits += 1
        return True

    def held(self) -> set[Any]:
        return {key[0] for key in self.table}  # type: ignore[index] # the keys of these tests are tuples


@pytest.mark.parametrize("eviction", POLICIES)
def test_the_byte_budget_is_kept(eviction: str) -> None:
    """L1 never holds more than its budget, and uses it."""
    cache = Cache(eviction, 10)
    for key in range(100):
        cache.put(key)
        assert cache.cache.size <= 10 * SIZE
    assert len(cache.table) == 10


@pytest.mark.parametrize("eviction", POLICIES)
def test_what_is_larger_than_the_budget_stays_out(eviction: str) -> None:
    """One huge value does not empty the cache; replacing an entry by one removes the old value."""
    cache = Cache(eviction, 3)
    for key in range(3):
        cache.put(key)
    assert cache.cache.put(_entry(cache.table, "huge", 10 * SIZE)) is False
    assert cache.held() == {0, 1, 2}
    assert cache.cache.put(_entry(cache.table, 1, 10 * SIZE)) is False
    assert cache.held() == {0, 2}


def test_lru_keeps_what_was_used() -> None:
    """Of three, the one that was read is still there when a fourth comes."""
    cache = Cache("lru", 3)
    for key in "abc":
        cache.put(key)
    assert cache.hit("a")
    cache.put("d")
    assert cache.held() == {"a", "c", "d"}


def test_fifo_keeps_no_favourites() -> None:
    """The first in is the first out, however often it is read."""
    cache = Cache("fifo", 3)
    for key in "abc":
        cache.put(key)
    for _ in range(9):
        cache.hit("a")
    cache.put("d")
    assert cache.held() == {"b", "c", "d"}


def test_lfu_keeps_what_is_used_often() -> None:
    """An entry read many times outlives newcomers that are read once, but not for ever."""
    cache = Cache("lfu", 3)
    for key in "abc":
        cache.put(key)
    for _ in range(64):
        cache.hit("a")
    for number in range(4):
        cache.put(number)
        cache.hit(number)
        assert "a" in cache.held()
    for number in range(100):
        cache.put(("later", number))
    assert "a" not in cache.held()


@pytest.mark.parametrize("eviction", POLICIES)
def test_hits_are_counted_after_their_entry_is_gone(eviction: str) -> None:
    """Eviction, replacement, removal and clearing keep the count of hits."""
    cache = Cache(eviction, 2)
    for key in "abc":
        cache.put(key)
        cache.hit(key)
    cache.put("c")
    cache.cache.discard(cache.table, ("c",))
    cache.cache.clear(cache.table)
    assert cache.table.hits() == 3
    assert (len(cache.table), cache.cache.size) == (0, 0)


def test_functions_share_one_budget() -> None:
    """Two functions of a namespace have tables of their own and one budget."""
    cache, other = LocalCache(3 * SIZE, "lru"), Table()
    table = Table()
    for key in range(3):
        cache.put(_entry(table, key))
    cache.put(_entry(other, 0))
    assert (len(table), len(other)) == (2, 1)
    cache.clear(table)
    assert (len(table), len(other)) == (0, 1)


@pytest.mark.parametrize("eviction", POLICIES)
def test_threads_leave_it_whole(eviction: str) -> None:
    """Threads that insert, read, remove and evict at once end with table and budget in agreement."""
    cache = Cache(eviction, 20)
    start = threading.Barrier(4)

    def work(number: int) -> None:
        source = random.Random(number)
        start.wait(10)
        for _ in range(2_000):
            key = source.randrange(40)
            if not cache.hit(key):
                cache.put(key)
            if key == 0:
                cache.cache.discard(cache.table, (key,))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert cache.cache.size == len(cache.table) * SIZE <= 20 * SIZE


class Machine(RuleBasedStateMachine):
    """Whatever is done to L1, its table, its budget and its counts agree."""

    @rule(eviction=st.sampled_from(POLICIES), entries=st.integers(1, 6))
    def anew(self, eviction: str, entries: int) -> None:
        self.l1 = Cache(eviction, entries)
        self.hits = 0

    def __init__(self) -> None:
        super().__init__()
        self.anew("lru", 3)

    @rule(key=st.integers(0, 9), weight=st.integers(0, 3 * SIZE))
    def put(self, key: int, weight: int) -> None:
        kept = self.l1.cache.put(_entry(self.l1.table, key, weight))
        assert kept is (key in self.l1.held())

    @rule(key=st.integers(0, 9))
    def hit(self, key: int) -> None:
        self.hits += self.l1.hit(key)

    @rule(key=st.integers(0, 9))
    def discard(self, key: int) -> None:
        was_there = key in self.l1.held()
        assert self.l1.cache.discard(self.l1.table, (key,)) is was_there
        assert key not in self.l1.held()

    @rule()
    def clear(self) -> None:
        self.l1.cache.clear(self.l1.table)
        assert not self.l1.table

    @invariant()
    def in_agreement(self) -> None:
        assert self.l1.cache.size == self.l1.table.bytes()
        assert self.l1.cache.size <= self.l1.cache._entries.maxsize
        assert self.l1.table.hits() == self.hits


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40)
