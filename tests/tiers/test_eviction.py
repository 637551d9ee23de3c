"""What a scan does to L1's hot set: on the trace that ``make bench`` publishes, shortened."""

from __future__ import annotations

import itertools
from functools import cache

import pytest

from cachepolicy.policy.rules.eviction import CacheEviction
from cachepolicy.tiers.eviction import POLICIES
from cachepolicy.tiers.local import Entry, LocalCache, Table
from tests.benchmarks.eviction import (
    BATCH,
    QUESTIONS,
    SHARES,
    Local,
    PlainLru,
    hit_ratio,
    many_sizes,
    one_size,
    trace,
)

DEFAULT = CacheEviction().l1
REQUESTS = 40_000
SIZE = 1_000


@cache
def _bytes_of(key: int) -> int:
    return many_sizes(key)


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("size_of", [one_size, _bytes_of], ids=["by count", "by bytes"])
def test_a_scan_does_not_flush_the_hot_set(share: float, size_of: type[int]) -> None:
    """Under the default policy a batch that asks for each thing once costs the questions hardly a hit.

    The hundredths are lost while the cache fills; LRU goes on losing.
    """
    budget = round(sum(map(size_of, range(QUESTIONS))) * share)
    calm, scanned = (trace(scans=scans, requests=REQUESTS) for scans in (False, True))
    ours = hit_ratio(Local(DEFAULT, size_of, budget), scanned)
    assert ours > hit_ratio(Local(DEFAULT, size_of, budget), calm) - 0.03
    assert ours > hit_ratio(PlainLru(size_of, budget), scanned) + 0.05


def test_the_trace_is_what_it_says() -> None:
    """It is the same each time; every other batch of questions is mixed with as many one-off requests."""
    scanned = trace(scans=True, requests=REQUESTS)
    once = [key for key in scanned if key >= QUESTIONS]
    assert trace(scans=True, requests=REQUESTS) == scanned
    assert len(set(once)) == len(once) == REQUESTS // 2
    assert max(scanned[:BATCH]) < QUESTIONS
    assert [key for key in scanned if key < QUESTIONS] == trace(scans=False, requests=REQUESTS)


@pytest.mark.parametrize("eviction", POLICIES)
def test_every_policy_answers_more_than_first_in_first_out(eviction: str) -> None:
    """Paying attention to use is worth something, under each policy that does."""
    keys, budget = trace(scans=False, requests=REQUESTS), QUESTIONS * SIZE // 20
    fifo = hit_ratio(Local("fifo", one_size, budget), keys)
    assert eviction == "fifo" or hit_ratio(Local(eviction, one_size, budget), keys) > fifo + 0.02


class _Full:
    """L1 of a hundred entries under the default policy, full of those of earlier."""

    def __init__(self) -> None:
        self.table, self.cache = Table(), LocalCache(100 * SIZE, DEFAULT)
        self._once = itertools.count()
        for number in range(100):
            self.put(("earlier", number))

    def put(self, key: object, hits: int = 0) -> None:
        entry = Entry(self.table, (key,), None, None, 1e9, 0.0, 0)
        entry.size = SIZE
        self.cache.put(entry)
        entry.hits += hits

    def scan(self, count: int) -> None:
        for _ in range(count):
            self.put(("once", next(self._once)))

    def has(self, key: object) -> bool:
        return (key,) in self.table


def test_what_was_tried_again_once_is_not_hot() -> None:
    """A one-off that is retried leaves with its batch; what was read twice stays."""
    full = _Full()
    for number in range(20):
        full.put(("retried", number), hits=1)
        full.put(("hot", number), hits=2)
    full.scan(120)
    assert not any(full.has(("retried", number)) for number in range(20))
    assert all(full.has(("hot", number)) for number in range(20))


def test_an_entry_that_comes_back_is_hot() -> None:
    """What was evicted and is asked for again outlives a scan: its ghost was remembered."""
    full = _Full()
    full.put("again")
    full.scan(120)
    assert not full.has("again")
    full.put("again")
    full.scan(120)
    assert full.has("again")


@pytest.mark.parametrize("eviction", ["lru", "lfu", "s3fifo"])
def test_a_victim_is_found_soon(eviction: str) -> None:
    """Where all of many thousands are hot, an insertion looks at some hundreds of them, not at all."""
    table, cache = Table(), LocalCache(3_000 * SIZE, eviction)
    entries = [Entry(table, (number,), None, None, 1e9, 0.0, 0) for number in range(3_010)]
    looked_at = 0
    for entry in entries:
        entry.size = SIZE
        cache.put(entry)
        before, looked_at = looked_at, sum(other.seen > 0 for other in entries)
        assert looked_at - before <= 500
        entry.hits += 9
    assert looked_at > 0


def test_an_entry_made_anew_keeps_its_rank() -> None:
    """A hot entry whose time is over is replaced, not demoted: the next scan passes it by."""
    full = _Full()
    full.put("hot", hits=5)
    full.scan(120)
    full.put("hot")
    full.scan(120)
    assert full.has("hot")
