"""What is asked of the package, and whether it was met; and the time an import takes."""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tests.benchmarks.contenders import (
    AIOCACHE,
    ASYNC_LRU,
    BY_HAND,
    CASHEWS,
    EMPTY,
    ENCODER,
    LOCKED,
    LRU,
    OURS,
)
from tests.benchmarks.harness import Figures

IMPORT_BUDGET = 0.060
NOT_AT_IMPORT = {"redis", "opentelemetry"}


@dataclass(frozen=True, slots=True)
class Gate:
    """A bound on how this package compares with one other row of a table."""

    table: str
    than: str
    way: Literal["costs at most", "is faster at least"]
    times: float

    def measured(self, figures: Figures) -> float:
        """The ratio that ``times`` bounds."""
        if self.way == "costs at most":
            return figures.ratio(OURS, self.than)
        return figures.ratio(self.than, OURS)


GATES = (
    Gate("def", LRU, "costs at most", 3),
    Gate("def", LOCKED, "is faster at least", 4),
    Gate("def, keywords", LRU, "costs at most", 2),
    Gate("def, four threads", LRU, "costs at most", 4),
    Gate("def, four threads", LOCKED, "is faster at least", 8),
    Gate("async def", EMPTY, "costs at most", 4),
    Gate("async def", ASYNC_LRU, "is faster at least", 3),
    Gate("async def", AIOCACHE, "is faster at least", 50),
    Gate("async def", CASHEWS, "is faster at least", 100),
    Gate("chat request, def", ENCODER, "costs at most", 6),
    Gate("chat request, def", BY_HAND, "is faster at least", 5),
    Gate("chat request, async def", CASHEWS, "is faster at least", 10),
    Gate("chat request, async def", AIOCACHE, "is faster at least", 10),
    Gate("chat request, mutable answer", CASHEWS, "is faster at least", 5),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of the last table."""

    work: str
    asked: str
    measured: str
    met: bool


def verdicts(measured: Mapping[str, Figures], imports: Figures) -> list[Verdict]:
    """Hold what was measured against what is asked."""
    lines = []
    for gate in GATES:
        found = gate.measured(measured[gate.table])
        at_most = gate.way == "costs at most"
        lines.append(
            Verdict(
                f"L1 hit, {gate.table}",
                f"{'≤' if at_most else '≥'} {gate.times:g} × {'' if at_most else 'faster than '}{gate.than}",
                f"{found:.2f} ×" if found < 10 else f"{found:.0f} ×",
                found <= gate.times if at_most else found >= gate.times,
            )
        )
    extra = over_bare(imports, "import cachepolicy")
    loaded = NOT_AT_IMPORT & loaded_by("import cachepolicy")
    lines += [
        Verdict(
            "import cachepolicy",
            f"≤ {IMPORT_BUDGET * 1e3:.0f} ms over bare Python",
            f"{extra * 1e3:.1f} ms",
            extra <= IMPORT_BUDGET,
        ),
        Verdict(
            "import cachepolicy",
            "neither redis nor opentelemetry loaded",
            ", ".join(sorted(loaded)) or "neither",
            not loaded,
        ),
    ]
    return lines


def import_times(runs: int) -> Figures:
    """Time whole interpreters, interleaved: one that imports nothing, and one for each package."""
    statements = {"bare Python": "pass"} | {
        f"import {name}": f"import {name}" for name in (OURS, "cachetools", "aiocache", "redis", "cashews")
    }
    samples: dict[str, list[float]] = {name: [] for name in statements}
    for run in range(runs + 1):  # the first run warms the files' caches
        for name in random.sample(list(statements), len(statements)):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", statements[name]], check=True)
            if run:
                samples[name].append(time.perf_counter() - start)
    return Figures("import", "a whole interpreter, started and ended", samples)


def over_bare(imports: Figures, row: str) -> float:
    """Seconds that an import adds to an interpreter that imports nothing."""
    return statistics.median(
        a - b for a, b in zip(imports.samples[row], imports.samples[imports.base], strict=True)
    )


def loaded_by(statement: str) -> set[str]:
    """Name the top-level packages that a statement loads."""
    script = f"{statement}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return set(ran.stdout.split())
