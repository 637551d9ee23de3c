"""How a figure is taken: interleaved rounds, ratios within a round, the least disturbed half.

In each round every row runs once, in a fresh random order, in slices of about fifteen milliseconds. Half of
the rounds are dropped: those in which the rest of the machine was busiest. A row's figure is its median over
the rounds kept; its ratio to another row is the median of the ratios *within* a round. Absolute figures drift
with the machine, ratios hardly do: gates are built on ratios.

On a virtual machine a round trip that has the machine to itself is ruled by how long an idle processor takes
to wake up. So where calls follow one another, this process and the server share one processor ("pinned").
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import statistics
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice, repeat
from pathlib import Path
from typing import Any

OURS = "cachepolicy"

Slice = Callable[[int], float]  # do the work n times; how many seconds it took

_TIMED = """
{colour}def timed(n, {names}, repeat=repeat, clock=clock):
    steps = repeat(None, n)
    start = clock()
    for _ in steps:
        {call}
    return clock() - start
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One contender.

    Attributes:
        name: as it is shown.
        slice: does the work.
        misses: counts the calls that reached its origin, which must stay at one.
        failures: counts the calls that raised.
    """

    name: str
    slice: Slice
    misses: Callable[[], int] = lambda: 0
    failures: Callable[[], int] = lambda: 0


@dataclass(frozen=True, slots=True)
class Table:
    """Rows that are measured together; the first is what the others are compared to.

    Attributes:
        title: by which gates find it.
        note: what is measured.
        rows: the contenders.
        slice_seconds: how long each runs in a round.
        server: the process that answers, if any.
        pinned: whether it and this process share one processor.
        may_fail: whether calls that raise are a result, and not the end.
    """

    title: str
    note: str
    rows: Sequence[Row]
    slice_seconds: float = 0.015
    server: int | None = None
    pinned: bool = False
    may_fail: bool = False


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured in one table: seconds per call, row by row, round by round; and calls that raised."""

    title: str
    note: str
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)

    @property
    def base(self) -> str:
        """The first row, to which the others are compared."""
        return next(iter(self.samples))

    def median(self, row: str) -> float:
        """Seconds per call."""
        return statistics.median(self.samples[row])

    def ratio(self, row: str, over: str) -> float:
        """How many times ``over`` the row costs, within the same round."""
        pairs = zip(self.samples[row], self.samples[over], strict=True)
        return statistics.median(a / b for a, b in pairs)

    def difference(self, row: str, less: str) -> float:
        """How many seconds the row takes more than ``less``, within the same round."""
        pairs = zip(self.samples[row], self.samples[less], strict=True)
        return statistics.median(a - b for a, b in pairs)


def timed(call: str, **names: Any) -> Slice:
    """Time a statement that calls a ``def``; the names are locals of the loop, as in real code."""
    loop = _compiled("", call, names)
    return lambda n: float(loop(n))


def timed_async(on: asyncio.AbstractEventLoop, call: str, **names: Any) -> Slice:
    """Time a statement that awaits, within one task."""
    loop = _compiled("async ", call, names)
    return lambda n: float(on.run_until_complete(loop(n)))


def timed_threads(count: int, call: str, **names: Any) -> Slice:
    """Time a statement run by several threads at once: wall time over the calls of all."""
    loop = _compiled("", call, names)

    def run(n: int) -> float:
        gate = threading.Barrier(count + 1)

        def work() -> None:
            gate.wait()
            loop(n // count)

        threads = [threading.Thread(target=work) for _ in range(count)]
        for thread in threads:
            thread.start()
        gate.wait()
        start = time.perf_counter()
        for thread in threads:
            thread.join()
        return (time.perf_counter() - start) * n / (n // count * count)

    return run


@dataclass(slots=True)
class Failures:
    """How many calls raised."""

    count: int = 0

    def __call__(self) -> int:
        """Give the count."""
        return self.count


def timed_tasks(
    on: asyncio.AbstractEventLoop,
    count: int,
    call: Callable[[str], Awaitable[object]],
    keys: Sequence[str],
    failures: Failures,
) -> Slice:
    """Time a call made by many tasks at once, each after its last: wall time over the calls of all."""
    turn = cycle(keys)

    async def work(times: int) -> None:
        for key in islice(turn, times):
            try:
                if await call(key) is None:
                    failures.count += 1
            except Exception:  # noqa: BLE001 - counted, whatever it is
                failures.count += 1

    async def all_of(each: int) -> float:
        start = time.perf_counter()
        await asyncio.gather(*[work(each) for _ in range(count)])
        return time.perf_counter() - start

    def run(n: int) -> float:
        each = max(1, round(n / count))
        return on.run_until_complete(all_of(each)) * n / (each * count)

    return run


def measure(table: Table, *, rounds: int) -> Figures:
    """Run the rows in interleaved rounds and keep the least disturbed half."""
    rows = table.rows
    kept: list[tuple[float, dict[str, float]]] = []
    with _on_one_processor([0, table.server] if table.pinned and table.server else []):
        loops = {row.name: _calibrated(row.slice, table.slice_seconds) for row in rows}
        gc.collect()
        gc.disable()
        try:
            for _ in range(2 * rounds):
                order = random.sample(rows, len(rows))
                before = _foreign_seconds(table.server)
                took = {row.name: row.slice(loops[row.name]) / loops[row.name] for row in order}
                kept.append((_foreign_seconds(table.server) - before, took))
                gc.collect()
        finally:
            gc.enable()
    for row in rows:
        if (misses := row.misses()) > 1:
            raise RuntimeError(f"{table.title}: {row.name} missed {misses} times; these are not hits")
        if (failures := row.failures()) and not table.may_fail:
            raise RuntimeError(f"{table.title}: {row.name} failed {failures} times; these are not hits")
    kept.sort(key=lambda each: each[0])
    samples = {row.name: [took[row.name] for _, took in kept[:rounds]] for row in rows}
    return Figures(table.title, table.note, samples, {row.name: row.failures() for row in rows})


@contextmanager
def _on_one_processor(processes: Sequence[int]) -> Iterator[None]:
    """Let processes (0 is this one) share one processor, where the system can."""
    if not processes or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = {process: os.sched_getaffinity(process) for process in processes}
    one = max(set.intersection(*before.values()))
    try:
        for process in processes:
            os.sched_setaffinity(process, {one})
        yield
    finally:
        for process, processors in before.items():
            os.sched_setaffinity(process, processors)


def _compiled(colour: str, call: str, names: Mapping[str, Any]) -> Callable[[int], Any]:
    space: dict[str, Any] = {**names, "repeat": repeat, "clock": time.perf_counter}
    source = _TIMED.format(colour=colour, call=call, names=", ".join(f"{name}={name}" for name in names))
    exec(source, space)  # noqa: S102  the loop must hold the call itself, not a call of a call
    compiled: Callable[[int], Any] = space["timed"]
    return compiled


def _calibrated(run: Slice, seconds: float) -> int:
    run(4)  # the miss, and whatever is made at the first call
    n = 4
    while (took := run(n)) < seconds / 2:
        n *= 2
    return max(4, round(n * seconds / took))


def _foreign_seconds(server: int | None) -> float:
    """CPU seconds that others than this process and the server have used; 0 where /proc does not tell."""
    try:
        words = Path("/proc/stat").read_text().split(maxsplit=9)
        served = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[11:13] if server else ()
    except OSError:
        return 0.0
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, words[1:9])
    own = os.times()
    busy = (user + nice + system + irq + softirq + steal - sum(map(int, served))) / os.sysconf("SC_CLK_TCK")
    return busy - own.user - own.system
