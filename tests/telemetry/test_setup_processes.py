"""How what waits is sent as processes end, and that parent and child do not get into each other's way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader

from cachepolicy.telemetry import pipelines
from tests.support.otlp import Collector
from tests.support.source import ROOT


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Receive what is sent, until the test ends."""
    with Collector() as one:
        yield one


def _run(collector: Collector, way: str) -> tuple[int, list[str], float]:
    """Run an application; return its exit code, the pids of its processes, and its seconds."""
    command = [sys.executable, "-m", "tests.support.telemetry_app", collector.url, way]
    began = time.monotonic()
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=50)
    assert "Traceback" not in ran.stderr
    return ran.returncode, ran.stdout.split(), time.monotonic() - began


@pytest.mark.parametrize(("way", "code"), [("exit", 0), ("sigterm", -signal.SIGTERM)])
def test_what_waits_is_sent_at_the_end(collector: Collector, way: str, code: int) -> None:
    """Spans and metrics that wait as a process ends are sent before it is gone, by a signal too."""
    ended, pids, _ = _run(collector, way)
    assert ended == code
    assert f"process {pids[0]}" in collector.received.span_names()
    assert "cachepolicy.requests" in collector.received.latest()


@pytest.mark.parametrize("way", ["fork", "multiprocessing"])
def test_a_child_sends_its_own(collector: Collector, way: str) -> None:
    """A forked child sends its spans, each once, over a connection that is not its parent's."""
    ended, pids, _ = _run(collector, way)
    assert ended == 0
    names = Counter(name for name in collector.received.span_names() if name.startswith("process"))
    parent, child = pids
    assert names == {f"process {parent}": 2 if way == "fork" else 1, f"process {child}": 1}
    assert {request.headers["connection"] for request in collector.requests} == {"close"}
    traces = [span.trace_id for span in collector.received.spans() if span.name.startswith("process")]
    assert len(set(traces)) == len(traces)


def test_a_hanging_collector_does_not_keep_a_process(collector: Collector) -> None:
    """C1: a process whose collector hangs ends within the seconds that are promised."""
    collector.hang = True
    ended, _, seconds = _run(collector, "exit")
    assert ended == 0
    assert seconds < 5 + 5


def test_a_child_has_the_lock_of_its_metrics() -> None:
    """A fork while metrics are being sent leaves the child a lock that nobody holds."""
    reader = PeriodicExportingMetricReader(ConsoleMetricExporter(), 3_600_000)
    pipelines._unlock_in_children(reader)
    with reader._export_lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if reader._export_lock.acquire(timeout=1) else 1)
    _, status = os.waitpid(child, 0)
    reader.shutdown()
    assert status == 0
