"""The budget of L1 against what Python says it has allocated."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Hashable
from typing import Any

import pytest

from cachepolicy.tiers.footprint import footprint
from cachepolicy.tiers.local import Entry, LocalCache, Table

BUDGET = 2_000_000

Make = Callable[[int], Any]


def _str_key(number: int) -> Hashable:
    return f"question {number:06d}", str


def _tuple_key(number: int) -> Hashable:
    return f"user-{number:06d}", number + 1000, None, str, int, type(None)


def _packed_key(number: int) -> Hashable:
    return b"packed arguments %06d" % number


def _entry(table: Table, key: Hashable, value: Any, number: int) -> Entry:
    entry = Entry(table, key, value, None, 1e6 + number, 1e9 + number, 1)
    entry.hits += 2 * (number % 3 == 0)
    return entry


def _share_in_use(eviction: str, make_key: Make, make_value: Make, turnover: int) -> float:
    """Fill L1, go on for a while, and return what was allocated over what L1 says it holds."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        cache, table, number, evicted = LocalCache(BUDGET, eviction), Table(), 0, 0
        while evicted < turnover:
            held = len(table)
            cache.put(_entry(table, make_key(number), make_value(number), number))
            number += 1
            evicted += len(table) <= held
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        assert cache.size > 0.95 * BUDGET
        return (after - before) / cache.size
    finally:
        tracemalloc.stop()


def _text(size: int) -> Make:
    return lambda number: f"{number:0{size}d}"


def _payload(size: int) -> Make:
    return lambda number: b"%0*d" % (size, number)


@pytest.mark.parametrize("eviction", ["lru", "s3fifo"])
@pytest.mark.parametrize("make_key", [_str_key, _tuple_key, _packed_key])
@pytest.mark.parametrize("make_value", [_text(1_024), _payload(1_024), _text(16_384), _payload(65_536)])
def test_the_budget_is_what_is_allocated(eviction: str, make_key: Make, make_value: Make) -> None:
    """For values of 1 KiB and more, text or bytes, L1 allocates its budget, give or take a tenth."""
    assert 0.9 < _share_in_use(eviction, make_key, make_value, turnover=500) < 1.1


@pytest.mark.parametrize("eviction", ["lru", "s3fifo"])
@pytest.mark.parametrize("make_key", [_str_key, _tuple_key, _packed_key])
@pytest.mark.parametrize("make_value", [_text(8), _text(100)])
def test_tiny_values_are_not_counted_as_nothing(eviction: str, make_key: Make, make_value: Make) -> None:
    """For tiny values, most of whose memory is their place, L1 allocates no more than a quarter beyond."""
    assert 0.75 < _share_in_use(eviction, make_key, make_value, turnover=4_000) < 1.25


@pytest.mark.parametrize(
    "make_value",
    [
        lambda number: tuple(range(number * 1_000 + 1_000, number * 1_000 + 1_500)),
        lambda number: tuple(f"word {number} {place}" for place in range(100)),
        lambda number: tuple((f"a{number}", place + 0.5, None) for place in range(50)),
        lambda number: frozenset(range(number * 1_000 + 1_000, number * 1_000 + 1_050)),
        lambda number: [{"id": place + 1_000, "text": f"{number} {place}" * 20} for place in range(20)],
        lambda number: (True, None, "shared") * 200,
    ],
    ids=["ints", "texts", "tuples", "frozenset", "documents", "singletons"],
)
def test_a_container_is_counted_with_what_it_holds(make_value: Make) -> None:
    """A value's parts count, as the allocator rounds them; what all values share does not."""
    assert 0.8 < _share_in_use("s3fifo", _str_key, make_value, turnover=100) < 1.1


def test_a_circle_has_an_end() -> None:
    """A value that holds itself, or is nested without end, is counted once and not for ever."""
    circle: list[Any] = ["x" * 1_000]
    circle.append(circle)
    assert 1_000 < footprint("k", circle, 0) - footprint("k", None, 0) < 1_500
    nested: list[Any] = []
    for _ in range(10_000):
        nested = [nested]
    assert footprint("k", nested, 0) < 2_000


def test_the_serialized_length_is_the_least() -> None:
    """A value whose memory Python does not see counts as its serialized form."""
    assert footprint("k", object(), 5_000) - footprint("k", object(), 0) > 4_900


def test_a_long_key_is_counted() -> None:
    """A long prompt as key is in the budget; the types beside it are not: they are there anyway."""
    small = footprint(("a", str), "x", 1)
    assert footprint(("a" * 5_000, str), "x", 1) - small == 4_999
    assert footprint(("a", str, int, float), "x", 1) - small == 16
    assert footprint(b"a" * 5_000, "x", 1) > 5_000
