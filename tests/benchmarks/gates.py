"""What is asked of the package, and whether it was met; and the time an import takes."""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.benchmarks import (
    analytics,
    coherence,
    compression,
    counting,
    embeddings,
    encryption,
    eviction,
    l2_clients,
    l2_decorated,
    l2_typed,
    large_values,
    limits,
    many,
    resilience,
    sessions,
    spans,
    stampede,
    streams,
    tags,
    temp_files,
)
from tests.benchmarks.coherence import Lag
from tests.benchmarks.eviction import HitRatios
from tests.benchmarks.harness import OURS, Figures
from tests.benchmarks.l1 import AIOCACHE, ASYNC_LRU, BY_HAND, CASHEWS, EMPTY, ENCODER, LOCKED, LRU
from tests.benchmarks.stampede import Crowd

IMPORT = "import"
IMPORT_BUDGET = 0.060
NOT_AT_IMPORT = {"redis", "opentelemetry"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of the last table; ``met`` is None where the other is not to be had on this machine."""

    work: str
    asked: str
    measured: str
    met: bool | None


Way = Literal[
    "costs at most",
    "is faster at least",
    "reaches at least",
    "adds at most",
    "takes at most",
    "fails at most",
]


@dataclass(frozen=True, slots=True)
class Gate:
    """A bound on how this package compares with one other row of a table.

    ``bound`` is a number of times; of the other's speed for "reaches", of seconds for "adds" and "takes", of
    calls for "fails".
    """

    table: str
    than: str
    way: Way
    bound: float

    def measured(self, figures: Figures) -> float:
        """What ``bound`` bounds."""
        match self.way:
            case "costs at most":
                return figures.ratio(OURS, self.than)
            case "is faster at least" | "reaches at least":
                return figures.ratio(self.than, OURS)
            case "adds at most":
                return figures.difference(OURS, self.than)
            case "takes at most":
                return figures.median(OURS)
            case "fails at most":
                return figures.failures[OURS]

    def verdict(self, figures: Figures, work: str) -> Verdict:
        """Hold what was measured against the bound."""
        if self.than not in figures.samples:
            return Verdict(work, self._told(), "not here", met=None)
        found = self.measured(figures)
        met = found >= self.bound if self.way.endswith("at least") else found <= self.bound
        return Verdict(work, self._told(), self._shown(found), met)

    def _told(self) -> str:
        match self.way:
            case "costs at most":
                return f"≤ {self.bound:g} × {self.than}"
            case "is faster at least":
                return f"≥ {self.bound:g} × faster than {self.than}"
            case "reaches at least":
                return f"≥ {self.bound:.0%} of the speed of {self.than}"
            case "adds at most":
                return f"≤ {self.bound * 1e6:g} µs more than {self.than}"
            case "takes at most":
                return f"≤ {_time(self.bound)}"
            case "fails at most":
                return "no call fails"

    def _shown(self, found: float) -> str:
        match self.way:
            case "reaches at least":
                return f"{found:.0%}"
            case "adds at most":
                return f"{found * 1e6:.2f} µs"
            case "takes at most":
                return _time(found)
            case "fails at most":
                return f"{found:.0f} failed" if found else "none"
            case _:
                return f"{found:.2f} ×" if found < 10 else f"{found:.0f} ×"


L1_GATES = (
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


L2_GATES = (
    Gate(l2_clients.CONCURRENT, l2_clients.REDIS_PY_POOL, "is faster at least", 10),
    Gate(l2_clients.CONCURRENT, l2_clients.CASHEWS, "is faster at least", 15),
    Gate(l2_clients.CONCURRENT, l2_clients.GLIDE, "is faster at least", 4),
    Gate(l2_clients.CONCURRENT, l2_clients.BARE, "reaches at least", 0.7),
    Gate(l2_clients.CROWD, OURS, "fails at most", 0),
    Gate(l2_decorated.CONCURRENT, l2_decorated.REDIS_PY, "is faster at least", 4),
    Gate(l2_decorated.CONCURRENT, l2_decorated.CASHEWS, "is faster at least", 8),
    Gate(l2_clients.SEQUENTIAL, l2_clients.REDIS_PY, "costs at most", 0.6),
    Gate(l2_clients.SEQUENTIAL, l2_clients.BARE, "costs at most", 1.4),
    Gate(l2_decorated.SEQUENTIAL, l2_decorated.REDIS_PY, "costs at most", 1.0),
    Gate(l2_decorated.SEQUENTIAL, l2_decorated.CASHEWS, "costs at most", 0.4),
    Gate(l2_decorated.SEQUENTIAL_SYNC, l2_decorated.REDIS_PY, "costs at most", 1.5),
    Gate(l2_typed.SEQUENTIAL, l2_typed.BY_HAND, "costs at most", 1.5),
    Gate(l2_typed.SEQUENTIAL_SYNC, l2_typed.BY_HAND, "costs at most", 1.5),
    Gate(large_values.TITLE, large_values.ALONE, "costs at most", 3),
    Gate(resilience.SYNC, resilience.WITHOUT, "adds at most", 3e-6),
    Gate(resilience.ASYNC, resilience.WITHOUT, "adds at most", 3e-6),
)
TAG_GATES = (
    Gate(tags.L1, tags.WITHOUT, "costs at most", 1.2),
    Gate(tags.L1_OWN_KEY, tags.WITHOUT, "costs at most", 1.2),
    Gate(tags.L2, tags.WITHOUT, "costs at most", 1.2),
)
CODEC_GATES = (
    Gate(encryption.TITLE, encryption.WITHOUT, "adds at most", 10e-6),
    Gate(compression.DECODING, compression.JSON, "costs at most", 0.85),
    Gate(compression.DECODING_WITH, compression.JSON, "costs at most", 0.85),
)
MANY_GATES = tuple(Gate(title, many.ONE, "costs at most", 3) for title in many.TITLES)
EMBEDDING_GATES = tuple(Gate(title, embeddings.JSON, "is faster at least", 10) for title in embeddings.TITLES)
LIMIT_GATES = (
    Gate(limits.ONE, limits.EVALSHA, "costs at most", 0.8),
    Gate(limits.THREE, limits.EVALSHA, "costs at most", 1.1),
    Gate(limits.THREE, limits.THREE_HITS, "is faster at least", 3),
    *(
        Gate(limits.CONCURRENT, other, "is faster at least", 4)
        for other in (limits.LIMITS, limits.THROTTLED, limits.PYRATE, limits.FASTAPI)
    ),
    Gate(limits.DENIED, limits.NOTHING, "adds at most", 2e-6),
    Gate(limits.BATCH, limits.NOTHING, "adds at most", 1e-6),
)
SESSION_GATES = (
    Gate(sessions.SYNC, sessions.GET, "costs at most", 1.5),
    Gate(sessions.ASYNC, sessions.GET, "costs at most", 1.5),
    Gate(sessions.CONCURRENT, sessions.BY_HAND, "is faster at least", 3),
)
STREAM_GATES = (
    Gate(streams.FIRST, streams.BARE, "adds at most", 20e-6),
    Gate(streams.FIRST_ASYNC, streams.BARE, "adds at most", 20e-6),
    Gate(streams.MISS, streams.WHOLE, "adds at most", 100e-6),
    Gate(streams.MISS_ASYNC, streams.WHOLE, "adds at most", 100e-6),
    Gate(streams.REPLAY, streams.CASHEWS, "is faster at least", 5),
)
TEMP_GATES = (
    Gate(temp_files.SYNC, temp_files.PIPELINES, "costs at most", 1.5),
    Gate(temp_files.ASYNC, temp_files.PIPELINES, "costs at most", 1.5),
)
SPAN_GATES = (
    Gate(spans.L1, spans.WITHOUT, "costs at most", 1.1),
    *(
        Gate(title, spans.WITHOUT, "costs at most", 1.5)
        for title in (spans.SYNC_SAMPLED, spans.ASYNC_SAMPLED)
    ),
    *(
        Gate(title, spans.WITHOUT, "costs at most", 1.15)
        for title in (spans.SYNC_DROPPED, spans.ASYNC_DROPPED)
    ),
)
METRIC_GATES = (
    Gate(counting.SYNC, OURS, "takes at most", 1.5e-6),
    Gate(counting.SYNC, counting.HINCRBY, "is faster at least", 80),
    Gate(counting.ASYNC, OURS, "takes at most", 1.5e-6),
    Gate(counting.ASYNC, counting.HINCRBY, "is faster at least", 80),
    Gate(analytics.FLUSH, analytics.PIPELINE, "costs at most", 3),
    Gate(analytics.ONE, OURS, "takes at most", 5e-3),
    Gate(analytics.ALL, OURS, "takes at most", 120e-3),
)
GATES = (
    L1_GATES
    + L2_GATES
    + TAG_GATES
    + CODEC_GATES
    + MANY_GATES
    + EMBEDDING_GATES
    + STREAM_GATES
    + LIMIT_GATES
    + TEMP_GATES
    + SESSION_GATES
    + METRIC_GATES
    + SPAN_GATES
)
SHARES = {compression.WITHOUT: 0.60, compression.WITH: 0.40, embeddings.SHARE: 0.20}
"""What may be left of an answer by compression; and what an embedding may take of its JSON."""


def verdicts(measured: Mapping[str, Figures]) -> list[Verdict]:
    """Hold what was measured against what is asked of it."""
    return [
        gate.verdict(measured[gate.table], f"L1 hit, {gate.table}" if gate in L1_GATES else gate.table)
        for gate in GATES
        if gate.table in measured
    ]


# The least that the default policy leads by, over all sizes of the cache, while batches pass through.
LEADS = {eviction.LRU: 0.05, eviction.THEINE: -0.02}


def ratio_verdicts(ratios: HitRatios) -> list[Verdict]:
    """Hold the hit ratios of L1 against what is asked of them."""
    return [_lead(ratios, over, least) for over, least in LEADS.items()]


def _lead(ratios: HitRatios, over: str, least: float) -> Verdict:
    asked = f"≥ {over} {'plus' if least > 0 else 'less'} {abs(least) * 100:.0f} points"
    if over not in ratios.rows:
        return Verdict(f"{ratios.title}, scans", asked, "not here", met=None)
    found = ratios.least_lead(eviction.DEFAULT, over, "scans")
    return Verdict(f"{ratios.title}, scans", asked, f"{found * 100:+.1f} points", met=found >= least)


def share_verdict(work: str, share: float, of: str = "its bytes") -> Verdict:
    """Hold what is stored against what may be."""
    return Verdict(work, f"≤ {SHARES[work]:.2f} of {of}", f"{share:.3f}", share <= SHARES[work])


def bytes_verdict(found: int) -> Verdict:
    """Hold what Redis keeps of a subject of three limits against what it may."""
    return Verdict(
        limits.BYTES, f"≤ {limits.MOST_BYTES} bytes, three limits", f"{found}", found <= limits.MOST_BYTES
    )


def cell_verdict(found: float) -> Verdict:
    """Hold what Redis keeps of a cell against what it may."""
    most = analytics.MOST_BYTES
    return Verdict(analytics.BYTES, f"≤ {most} bytes", f"{found:.1f}", found <= most)


def revoking_verdict(times: float) -> Verdict:
    """Hold revoking all of many sessions against revoking all of few."""
    return Verdict(
        sessions.REVOKE, f"≤ {sessions.MOST:g} × revoke all 10", f"{times:.2f} ×", times <= sessions.MOST
    )


def crowd_verdicts(crowds: Sequence[Crowd]) -> list[Verdict]:
    """Hold a stampede against what is asked of it."""
    verdicts = []
    for crowd in crowds:
        if crowd.contender == OURS:
            work = f"{stampede.TITLE}, {crowd.mix}, {_processes(crowd.processes)}"
            calls = max(crowd.calls)
            verdicts.append(Verdict(work, "one origin call", str(calls), calls == 1))
            asked, found = f"≤ {stampede.MOST:g} × the origin", crowd.median / stampede.ORIGIN
            verdicts.append(Verdict(work, asked, f"{found:.2f} ×", found <= stampede.MOST))
    return verdicts


def _processes(count: int) -> str:
    return "one process" if count == 1 else f"{count} processes"


def ping_verdict(work: str, found: float) -> Verdict:
    """Hold how long another client waits meanwhile against what is asked of it."""
    most = temp_files.MOST_PING
    return Verdict(
        f"{work}, {temp_files.PING}", f"p99 ≤ {most * 1e3:g} ms", f"{found * 1e3:.1f} ms", found <= most
    )


def lag_verdicts(work: str, lag: Lag) -> list[Verdict]:
    """Hold how soon a change is seen against what is asked of it."""
    bounds = (("median", lag.median, coherence.MEDIAN), ("p99", lag.p99, coherence.P99))
    return [
        Verdict(work, f"{name} ≤ {most * 1e3:g} ms", f"{found * 1e3:.2f} ms", found <= most)
        for name, found, most in bounds
    ]


def import_verdicts(imports: Figures) -> list[Verdict]:
    """Hold what an import costs against what is asked of it."""
    extra = over_bare(imports, "import cachepolicy")
    loaded = NOT_AT_IMPORT & loaded_by("import cachepolicy")
    return [
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
    return Figures(IMPORT, "a whole interpreter, started and ended", samples)


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


def _time(seconds: float) -> str:
    """Return a time in milliseconds, or in microseconds where that is less than one."""
    return f"{seconds * 1e6:.3g} µs" if seconds < 1e-3 else f"{seconds * 1e3:.4g} ms"
