"""The benchmark's own arithmetic; the figures themselves are taken by ``make bench``."""

from __future__ import annotations

import asyncio
import contextlib
import os

import pytest

from tests.benchmarks.eviction import DEFAULT, THEINE, HitRatios
from tests.benchmarks.eviction import LRU as PLAIN_LRU
from tests.benchmarks.gates import GATES, Gate, ratio_verdicts
from tests.benchmarks.harness import OURS, Failures, Figures, Row, Table, measure, timed, timed_tasks
from tests.benchmarks.l1 import LOCKED, LRU
from tests.benchmarks.report import chart, duration, figures_table, ratio, ratios_table

FIGURES = Figures(
    "def", "made up", {LRU: (1e-7, 2e-7, 4e-7), OURS: (2e-7, 4e-7, 9e-7), LOCKED: (8e-7, 2e-6, 5e-6)}
)


def test_a_ratio_is_taken_within_the_round() -> None:
    """A ratio is the median of the ratios of each round, not the ratio of the medians."""
    figures = Figures("t", "", {"a": (1.0, 10.0, 100.0), "b": (3.0, 20.0, 100.0)})
    assert figures.ratio("b", over="a") == 2.0
    assert figures.median("b") == 20.0
    assert figures.base == "a"


def test_half_of_the_rounds_are_kept() -> None:
    """A table has as many samples per row as rounds were asked for, each a positive time per call."""
    rows = [Row("one", timed("f()", f=int)), Row("two", timed("f(x)", f=int, x=3))]
    figures = measure(Table("t", "", rows, slice_seconds=1e-4), rounds=3)
    assert {name: len(samples) for name, samples in figures.samples.items()} == {"one": 3, "two": 3}
    assert min(map(min, figures.samples.values())) > 0


def test_a_row_that_misses_is_refused() -> None:
    """A contender that reaches its origin more than once did not measure hits, and is refused."""
    with pytest.raises(RuntimeError, match="not hits"):
        measure(Table("t", "", [Row("one", timed("f()", f=int), lambda: 2)], slice_seconds=1e-4), rounds=1)


@pytest.mark.parametrize(
    ("gate", "measured"),
    [(Gate("def", LRU, "costs at most", 3), 2.0), (Gate("def", LOCKED, "is faster at least", 4), 5.0)],
)
def test_a_gate_reads_the_right_way_round(gate: Gate, measured: float) -> None:
    """A cost is ours over theirs; a gain is theirs over ours."""
    assert gate.measured(FIGURES) == pytest.approx(measured)


def test_a_gate_may_bound_seconds_speed_and_failures() -> None:
    """An addition is a difference, speed a share, failures a count; a peer's absence fails no gate."""
    adds = Gate("def", LRU, "adds at most", 1e-6).verdict(FIGURES, "work")
    assert (adds.measured, adds.met) == ("0.20 µs", True)
    reaches = Gate("def", LRU, "reaches at least", 0.7).verdict(FIGURES, "work")
    assert (reaches.measured, reaches.met) == ("50%", False)
    failing = Figures("t", "", {OURS: (1.0,)}, {OURS: 2})
    assert Gate("t", OURS, "fails at most", 0).verdict(failing, "work").met is False
    assert "| 2 " in figures_table(failing)
    assert Gate("def", "a peer", "costs at most", 1).verdict(FIGURES, "work").met is None


def test_calls_of_many_tasks_that_fail_are_counted() -> None:
    """A call that raises, or finds nothing, is a failure; figures of such calls are refused."""

    async def call(key: str) -> object:
        if key == "bad":
            raise OSError
        return None if key == "none" else key

    failures = Failures()
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        row = Row(
            "r", timed_tasks(loop, 4, call, ["good", "bad", "none", "good"], failures), failures=failures
        )
        assert row.slice(4) > 0
        assert failures() == 2
        with pytest.raises(RuntimeError, match="not hits"):
            measure(Table("t", "", [row], slice_seconds=1e-4), rounds=1)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system pins no process")
def test_pinning_ends_with_its_table() -> None:
    """A pinned table shares one processor with its server, and gives the others back."""
    before, seen = os.sched_getaffinity(0), set[int]()
    row = Row(
        "r", timed("seen.add(count(0))", seen=seen, count=lambda process: len(os.sched_getaffinity(process)))
    )
    measure(Table("t", "", [row], slice_seconds=1e-4, server=os.getpid(), pinned=True), rounds=1)
    assert seen == {1}
    assert os.sched_getaffinity(0) == before


def test_a_hit_ratio_is_held_at_its_worst() -> None:
    """A lead is the least over the caches' sizes, with scans only; a peer's absence fails no gate."""
    rows = {DEFAULT: (0.1, 0.60, 0.70), PLAIN_LRU: (0.9, 0.50, 0.66)}
    found = HitRatios("ratio", "made up", ("1%", "1%, scans", "5%, scans"), rows)
    over_lru, over_theine = ratio_verdicts(found)
    assert (over_lru.asked, over_lru.measured, over_lru.met) == (
        f"≥ {PLAIN_LRU} plus 5 points",
        "+4.0 points",
        False,
    )
    assert (over_theine.asked, over_theine.met) == (f"≥ {THEINE} less 2 points", None)
    assert "| 60.0% " in ratios_table(found)


def test_every_gate_is_named_once() -> None:
    """No comparison is gated twice."""
    assert len({(gate.table, gate.than) for gate in GATES}) == len(GATES)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3.71e-8, "37.1 ns"), (1.02e-6, "1.02 µs"), (1.5e-4, "150 µs"), (0.0201, "20.1 ms"), (2, "2.00 s")],
)
def test_times_are_written_with_three_digits(seconds: float, text: str) -> None:
    """A time is written with its unit and three digits."""
    assert duration(seconds) == text


def test_the_table_and_the_chart_show_every_row() -> None:
    """Each row is in the table with its ratio, and in the chart with its bar; ours stands out."""
    table, picture = figures_table(FIGURES), chart(FIGURES)
    assert all(name in table and name in picture for name in (LRU, OURS, LOCKED))
    assert f"| {ratio(2.0)} " in table
    assert picture.count("<rect") == 3
    assert picture.count('class="ours"') == 1
