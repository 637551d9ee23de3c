"""How what waits is sent as processes end, and that parent and child do not get into each other's way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from weakref import WeakSet

import pytest
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader

from cachepolicy.runtime import exiting
from cachepolicy.telemetry import pipelines
from tests.support.otlp import Collector
from tests.support.otlp_grpc import grpc_collector
from tests.support.source import ROOT


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Receive what is sent, until the test ends."""
    with Collector() as one:
        yield one


def _run(url: str, way: str, **variables: str) -> tuple[int, list[str], float]:
    """Run an application; return its exit code, the pids of its processes, and its seconds."""
    command = [sys.executable, "-m", "tests.support.telemetry_app", url, way]
    environment = {**os.environ, **variables}
    began = time.monotonic()
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=50
    )
    assert "Traceback" not in ran.stderr
    return ran.returncode, ran.stdout.split(), time.monotonic() - began


@pytest.mark.parametrize(("way", "code"), [("exit", 0), ("sigterm", -signal.SIGTERM)])
def test_what_waits_is_sent_at_the_end(collector: Collector, way: str, code: int) -> None:
    """Spans and metrics that wait as a process ends are sent before it is gone, by a signal too."""
    ended, pids, _ = _run(collector.url, way)
    assert ended == code
    assert f"process {pids[0]}" in collector.received.span_names()
    assert "cachepolicy.requests" in collector.received.latest()


@pytest.mark.parametrize("way", ["fork", "multiprocessing"])
def test_a_child_sends_its_own(collector: Collector, way: str) -> None:
    """A forked child sends its spans, each once, over a connection that is not its parent's."""
    ended, pids, _ = _run(collector.url, way)
    assert ended == 0
    names = Counter(name for name in collector.received.span_names() if name.startswith("process"))
    parent, child = pids
    assert names == {f"process {parent}": 2 if way == "fork" else 1, f"process {child}": 1}
    assert {request.headers["connection"] for request in collector.requests} == {"close"}
    traces = [span.trace_id for span in collector.received.spans() if span.name.startswith("process")]
    assert len(set(traces)) == len(traces)


def test_a_child_sends_its_own_by_grpc() -> None:
    """With gRPC, parent and child of a fork send their spans too, each once."""
    with grpc_collector() as collector:
        ended, pids, _ = _run(collector.url, "fork", OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
        names = Counter(name for name in collector.received.span_names() if name.startswith("process"))
    parent, child = pids
    assert ended == 0
    assert names == {f"process {parent}": 2, f"process {child}": 1}


def test_what_tells_of_the_others_is_sent_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of a process traces are sent after what makes some: counts that are flushed are in them."""
    sent: list[str] = []

    class Unsent:
        def __init__(self, name: str) -> None:
            self.name = name

        def flush_at_once(self) -> None:
            sent.append(self.name)

    monkeypatch.setattr(exiting, "_ALL", WeakSet())
    monkeypatch.setattr(exiting, "_LAST", WeakSet())
    held = [Unsent("traces"), Unsent("counts"), Unsent("more counts")]
    exiting.add(held[0], last=True)
    for one in held[1:]:
        exiting.add(one)
    exiting.flush()
    assert sent[-1] == "traces"
    assert set(sent) == {"traces", "counts", "more counts"}


def test_a_hanging_collector_does_not_keep_a_process(collector: Collector) -> None:
    """C1: a process whose collector hangs ends within the seconds that are promised."""
    collector.hang = True
    ended, _, seconds = _run(collector.url, "exit", OTEL_EXPORTER_OTLP_TIMEOUT="300")
    assert ended == 0
    assert seconds < 40  # five, and what a busy machine takes to start a process


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
