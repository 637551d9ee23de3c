"""What spans cost: an L1 hit, which makes none, and an L2 hit, whose span is sampled, dropped, or nobody's.

All rows of a table call one function; before each slice its spans are made to come from another place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any
from unittest.mock import patch

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler

import cachepolicy
from cachepolicy.runtime import current
from cachepolicy.telemetry.spans import Tracing
from cachepolicy.telemetry.tracing import OpenTelemetry
from tests.benchmarks.harness import OURS, Row, Slice, Table, timed, timed_async
from tests.benchmarks.l2_decorated import configure
from tests.benchmarks.stage import document, names, on_stage

L1 = "spans: L1 hit"
SYNC_SAMPLED = "spans: sequential sync L2 hit, sampled"
SYNC_DROPPED = "spans: sequential sync L2 hit, not sampled"
ASYNC_SAMPLED = "spans: sequential async L2 hit, sampled"
ASYNC_DROPPED = "spans: sequential async L2 hit, not sampled"

WITHOUT = "the same without an SDK"

Filled = Callable[[asyncio.AbstractEventLoop, list[str]], Slice]


class _Nowhere(SpanExporter):
    """Takes what is exported, and drops it."""

    def export(self, spans: Any) -> SpanExportResult:
        """Drop spans."""
        return SpanExportResult.SUCCESS


def tables(loop: asyncio.AbstractEventLoop, is_wanted: Callable[[str], bool]) -> Iterator[Table]:
    """Make the tables that are wanted."""
    makers: dict[str, Callable[[], Iterator[Table]]] = {
        L1: lambda: _hits_in_l1(ALWAYS_ON),
        SYNC_SAMPLED: lambda: _hits_in_l2(loop, SYNC_SAMPLED, ALWAYS_ON, _filled),
        SYNC_DROPPED: lambda: _hits_in_l2(loop, SYNC_DROPPED, ALWAYS_OFF, _filled),
        ASYNC_SAMPLED: lambda: _hits_in_l2(loop, ASYNC_SAMPLED, ALWAYS_ON, _filled_async),
        ASYNC_DROPPED: lambda: _hits_in_l2(loop, ASYNC_DROPPED, ALWAYS_OFF, _filled_async),
    }
    for title, make in makers.items():
        if is_wanted(title):
            yield from make()


@contextmanager
def _rows(sampler: Sampler, hit: Slice) -> Iterator[list[Row]]:
    """Make the rows of a table: without an SDK, and with one that samples so."""
    provider = TracerProvider(sampler=ParentBased(sampler))
    provider.add_span_processor(BatchSpanProcessor(_Nowhere()))
    try:
        yield [Row(WITHOUT, _with(OpenTelemetry(), hit)), Row(OURS, _with(_from(provider), hit))]
    finally:
        provider.shutdown()


def _from(provider: TracerProvider) -> Tracing:
    """Return spans of a provider: the global one can be set only once a process."""
    with patch.object(trace, "get_tracer", provider.get_tracer):
        return OpenTelemetry()


def _hits_in_l1(sampler: Sampler) -> Iterator[Table]:
    answers = {"kind": "cache", "db": 1, "scope": "global", "ttl": "1h"}
    cachepolicy.configure(
        {"version": 1, "app": "bench", "redis": {"url": "memory://"}, "namespaces": {"answers": answers}}
    )

    @cachepolicy.cached("answers")
    def answer(key: str) -> str:
        return key

    answer("why?")
    with _rows(sampler, timed("answer(key)", answer=answer, key="why?")) as rows:
        yield Table(L1, "one string; spans: auto, a batch processor", rows)


def _hits_in_l2(
    loop: asyncio.AbstractEventLoop, title: str, sampler: Sampler, filled: Filled
) -> Iterator[Table]:
    keys = names(1_000)
    with on_stage(loop) as stage:
        configure(stage)
        with _rows(sampler, filled(loop, keys)) as rows:
            note = "dicts of 2 KB as JSON, no L1, a batch processor; client and server on one processor"
            yield Table(title, note, rows, slice_seconds=0.03, server=stage.server.pid, pinned=True)


def _filled(_: asyncio.AbstractEventLoop, keys: list[str]) -> Slice:
    @cachepolicy.cached("answers")
    def answer(key: str) -> dict[str, Any]:
        return document(key)

    for key in keys:
        answer(key)
    return timed("f(next(turn))", f=answer, turn=cycle(keys), next=next)


def _filled_async(loop: asyncio.AbstractEventLoop, keys: list[str]) -> Slice:
    @cachepolicy.cached("answers")
    async def answer(key: str) -> dict[str, Any]:
        return document(key)

    async def fill() -> None:
        for key in keys:
            await answer(key)

    loop.run_until_complete(fill())
    return timed_async(loop, "await f(next(turn))", f=answer, turn=cycle(keys), next=next)


def _with(spans: Tracing, hit: Slice) -> Slice:
    """Have spans come from a place before each slice."""

    def run(count: int) -> float:
        for plan in list(current.current()._plans):
            object.__setattr__(plan, "tracing", spans)
        return hit(count)

    return run
