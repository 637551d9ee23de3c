"""Eviction in L1 beside cachetools' LRU and theine's W-TinyLFU: hit ratios, and the price of an insertion.

The trace: questions whose popularity is Zipf's (exponent 1), and, half of the time, a batch that passes
through between them and asks for each thing once. Hits are counted over the questions only: nobody can answer
the batch.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import cachetools

from cachepolicy.policy.rules.eviction import CacheEviction
from cachepolicy.tiers.eviction import POLICIES
from cachepolicy.tiers.local import Entry, LocalCache, Table
from tests.benchmarks import harness
from tests.benchmarks.harness import OURS, Row, timed
from tests.benchmarks.stage import has, peer

QUESTIONS = 10_000
REQUESTS = 200_000
SHARES = (0.01, 0.05, 0.1)  # of all questions, or of their bytes
BATCH = 2_500  # one of these without, one with a batch, …

BY_COUNT = "L1 hit ratio"
BY_BYTES = "L1 hit ratio by bytes"
INSERTION = "L1 insertion into a full cache"

DEFAULT = f"{OURS}, {CacheEviction().l1}"
LRU = "cachetools LRUCache"
THEINE = "theine"

_UNIT = 1_000
_FULL = 10_000


@dataclass(frozen=True, slots=True)
class HitRatios:
    """One table of hit ratios.

    Attributes:
        title: by which gates find it.
        note: what is measured.
        columns: which traces, at which size of the cache.
        rows: of each contender, a share of the questions for each column.
    """

    title: str
    note: str
    columns: Sequence[str]
    rows: Mapping[str, Sequence[float]]

    def least_lead(self, row: str, over: str, columns: str) -> float:
        """By how much a row leads at the least, over the columns whose name holds a text."""
        named = zip(self.columns, self.rows[row], self.rows[over], strict=True)
        return min(mine - theirs for name, mine, theirs in named if columns in name)


class Cache(Protocol):
    """A contender on the trace."""

    def get(self, key: int) -> bool:
        """Tell whether it is there, and count that as a use."""
        ...

    def put(self, key: int) -> None:
        """Insert what was not there."""
        ...


def trace(*, scans: bool, requests: int = REQUESTS) -> list[int]:
    """Return what is asked for: questions are below ``QUESTIONS``, what a batch wants is above."""
    dice = random.Random(7)
    questions = list(range(QUESTIONS))
    dice.shuffle(questions)
    popularity = list(itertools.accumulate(1 / rank for rank in range(1, QUESTIONS + 1)))
    asked = dice.choices(questions, cum_weights=popularity, k=requests)
    if not scans:
        return asked
    batch, keys = itertools.count(QUESTIONS), list[int]()
    for number, question in enumerate(asked):
        keys.append(question)
        if number // BATCH % 2:
            keys.append(next(batch))
    return keys


def hit_ratio(cache: Cache, keys: Sequence[int]) -> float:
    """Return the share of the questions that the cache answered."""
    hits = questions = 0
    for key in keys:
        hit = cache.get(key)
        if not hit:
            cache.put(key)
        if key < QUESTIONS:
            questions += 1
            hits += hit
    return hits / questions


class Local:
    """L1 as its wrapper uses it; every size is told."""

    def __init__(self, eviction: str, size_of: Callable[[int], int], max_bytes: int) -> None:
        self._table, self._size_of = Table(), size_of
        self._cache = LocalCache(max_bytes, eviction)

    def get(self, key: int) -> bool:
        """Do what the compiled hit does."""
        entry = self._table.get(key)
        if entry is None:
            return False
        entry.hits += 1
        return True

    def put(self, key: int) -> None:
        """Insert."""
        entry = Entry(self._table, key, None, None, 1e9, 0.0, 0)
        entry.size = self._size_of(key)
        self._cache.put(entry)


class PlainLru:
    """What most would write."""

    def __init__(self, size_of: Callable[[int], int], max_bytes: int) -> None:
        self._cache: cachetools.LRUCache[int, int] = cachetools.LRUCache(max_bytes, getsizeof=size_of)

    def get(self, key: int) -> bool:
        """Look up."""
        return self._cache.get(key) is not None

    def put(self, key: int) -> None:
        """Insert; the value is the key, for its size is made of it."""
        self._cache[key] = key


class Theine:
    """W-TinyLFU; it counts entries, so it is given as many as come to the same bytes."""

    def __init__(self, size_of: Callable[[int], int], max_bytes: int) -> None:
        mean = sum(map(size_of, range(QUESTIONS))) / QUESTIONS
        self._cache = peer("theine").Cache(round(max_bytes / mean), nolock=True)

    def get(self, key: int) -> bool:
        """Look up."""
        _, found = self._cache.get(key)
        return bool(found)

    def put(self, key: int) -> None:
        """Insert."""
        self._cache.set(key, key)


def one_size(_: int) -> int:
    """Count entries."""
    return _UNIT


def many_sizes(key: int) -> int:
    """Return from 0.5 to 32 KiB, most of them small, whatever the popularity."""
    return int(512 * 64 ** random.Random(key).random() ** 2)


def contenders() -> dict[str, Callable[[Callable[[int], int], int], Cache]]:
    """Name all, the default first."""
    names = sorted(POLICIES, key=lambda name: f"{OURS}, {name}" != DEFAULT)
    made: dict[str, Callable[[Callable[[int], int], int], Cache]] = {
        f"{OURS}, {name}": partial(Local, name) for name in names
    }
    made[LRU] = PlainLru
    if has(THEINE):
        made[THEINE] = Theine
    return made


def hit_ratios(title: str, *, requests: int = REQUESTS) -> HitRatios:
    """Run the trace, with and without batches, through all contenders."""
    by_bytes = title == BY_BYTES
    sizes = {key: many_sizes(key) if by_bytes else one_size(key) for key in range(QUESTIONS + requests)}
    total = sum(sizes[key] for key in range(QUESTIONS))
    traces = {
        "": trace(scans=False, requests=requests),
        ", scans": trace(scans=True, requests=requests),
    }
    rows = {
        name: [
            hit_ratio(make(sizes.__getitem__, round(total * share)), keys)
            for keys in traces.values()
            for share in SHARES
        ]
        for name, make in contenders().items()
    }
    what = "of their bytes (0.5 to 32 KiB each)" if by_bytes else "of them"
    note = f"{QUESTIONS:,} questions, Zipf 1.0, {requests:,} times; L1 holds a share {what}"
    columns = [f"{share:.0%}{name}" for name in traces for share in SHARES]
    return HitRatios(title, note, columns, rows)


def insertion() -> harness.Table:
    """Time what a miss costs in L1: a new entry comes, an old one goes."""
    keys = itertools.count()
    value = "x" * _UNIT
    lru: cachetools.LRUCache[str, str] = cachetools.LRUCache(_FULL * _UNIT, getsizeof=len)
    rows = [Row(LRU, timed("put(str(next(keys)), value)", put=lru.__setitem__, keys=keys, value=value))]
    if has(THEINE):
        theine = peer("theine").Cache(_FULL, nolock=True)
        rows.append(Row(THEINE, timed("put(str(next(keys)), value)", put=theine.set, keys=keys, value=value)))
    for name in POLICIES:
        local, table = LocalCache(_FULL * 1_700, name), Table()
        call = "put(Entry(table, (str(next(keys)), str), value, None, 1e9, 0.0, 1000))"
        names = {"put": local.put, "Entry": Entry, "table": table, "keys": keys, "value": value}
        rows.append(Row(f"{OURS}, {name}", timed(call, **names)))
    for row in rows:
        row.slice(2 * _FULL)  # full from here on
    return harness.Table(
        INSERTION, f"{_UNIT} characters, {_FULL:,} entries; the size estimated, one evicted", rows
    )


def tables(is_wanted: Callable[[str], bool], *, quick: bool) -> Iterator[HitRatios]:
    """Make the wanted tables of hit ratios."""
    for title in (BY_COUNT, BY_BYTES):
        if is_wanted(title):
            yield hit_ratios(title, requests=REQUESTS // 4 if quick else REQUESTS)
