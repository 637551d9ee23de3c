"""Metrics on a real Redis, beside redis-py's pipelines for the same cells, without names or filters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import cycle
from typing import Any, Final

import redis

import cachepolicy
from cachepolicy.flow.cells import Batch, Cell
from cachepolicy.flow.posting import CELLS, post
from cachepolicy.flow.series import Metric
from cachepolicy.keys.periods import HOUR, Resolution, covering
from cachepolicy.runtime import current
from tests.benchmarks.harness import OURS, Row, Slice, Table
from tests.benchmarks.stage import Stage, configured

FLUSH: Final = "metrics, 1,000 cells flushed"
ONE: Final = "metrics, 30 days by the hour, one series"
ALL: Final = "metrics, 30 days by the hour, 50 series"
BYTES: Final = "metrics, a cell in Redis"
PIPELINE: Final = "bare pipeline, redis-py"

MOST_BYTES: Final = 12
"""Bytes of a cell in Redis, its share of days and months included."""

_SERIES: Final = 50
_HOURS: Final = 30 * 24
_LABELS: Final = [(("model", f"model-{number}"),) for number in range(_SERIES)]


def tables(loop: asyncio.AbstractEventLoop, is_wanted: Callable[[str], bool]) -> Iterator[Table]:
    """Make the tables that are wanted, one after the other."""
    for title, make in {FLUSH: _flush, ONE: _one, ALL: _all}.items():
        if is_wanted(title):
            with staged(loop) as stage:
                yield make(stage)


def bytes_per_cell(loop: asyncio.AbstractEventLoop) -> float:
    """Return what a cell of 30 days of 50 series takes in Redis."""
    with staged(loop) as stage, redis.Redis.from_url(stage.address) as client:
        _fill()  # connections and scripts are there
        client.flushall()
        before = _used(client)
        _fill()
        for key in client.keys("*:batch:*"):
            client.delete(key)
        return (_used(client) - before) / (_SERIES * _HOURS)


def _used(client: Any) -> float:
    """Return what the server's data takes, in bytes; what its clients have sent does not count."""
    told = client.info("memory")
    return float(told["used_memory"] - told["mem_clients_normal"])


def _flush(stage: Stage) -> Table:
    """Flush series by series: a thousand of one hour, each into its hour, its day and its month."""
    client, hour = redis.Redis.from_url(stage.address), _now()
    stage.at_end(closing(client))
    cells = [
        Cell((("model", f"model-{number}"), ("user", f"user-{number % 7}")), hour) for number in range(CELLS)
    ]
    fields = [f"model=model-{number}|user=user-{number % 7}" for number in range(CELLS)]

    def ours() -> None:
        _post(Batch("calls", counts=dict.fromkeys(cells, 3)))

    def bare() -> None:
        with client.pipeline(transaction=False) as pipeline:
            for field in fields:
                pipeline.hincrby(f"calls:{hour}", field, 3)
            pipeline.execute()

    note = "1,000 series of two labels; ours into hour, day and month, the other into the hour"
    return Table(FLUSH, note, [Row(OURS, _times(ours)), Row(PIPELINE, _times(bare))], 0.03, stage.server.pid)


def _one(stage: Stage) -> Table:
    queries, client, keys, span = _filled(stage)
    users = cycle(range(_SERIES))

    def ours() -> None:
        points = queries.get_metrics_range.sync("calls", *span, {"model": f"model-{next(users)}"})
        assert len(points) == _HOURS

    def bare() -> None:
        with client.pipeline(transaction=False) as pipeline:
            number = str(next(users) + 1)
            for key in keys:
                pipeline.hget(key, number)
            assert len(pipeline.execute()) == _HOURS

    note = "720 hours of one of 50 series, filled with zeros"
    return Table(ONE, note, [Row(OURS, _times(ours)), Row(PIPELINE, _times(bare))], 0.03, stage.server.pid)


def _all(stage: Stage) -> Table:
    queries, client, keys, span = _filled(stage)

    def ours() -> None:
        found = queries.query.sync("calls", span[0], span[1] + HOUR, group_by="model")
        assert len(found) == _SERIES

    def bare() -> None:
        with client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.hgetall(key)
            assert len(pipeline.execute()) == _HOURS

    note = "36,000 cells, each told by its hour and its label"
    return Table(ALL, note, [Row(OURS, _times(ours)), Row(PIPELINE, _times(bare))], 0.1, stage.server.pid)


def _filled(stage: Stage) -> tuple[cachepolicy.AnalyticsCache, Any, list[str], tuple[int, int]]:
    """Count 30 days of 50 series; return who asks, the keys of the hours, and the first and the last hour."""
    _fill()
    client, metric, now = redis.Redis.from_url(stage.address), _metric(), _now()
    stage.at_end(closing(client))
    hours = [period for hour in range(now - _HOURS + 1, now + 1) for period in covering(hour, hour + 1)]
    keys = [metric.keys.bucket(metric.numbers.epoch, Resolution.HOUR, one.id, 0) for one in hours]
    return cachepolicy.AnalyticsCache(), client, keys, ((now - _HOURS + 1) * HOUR, now * HOUR)


def _fill() -> None:
    now = _now()
    cells = [Cell(labels, now - back) for back in range(_HOURS) for labels in _LABELS]
    for at in range(0, len(cells), CELLS):
        _post(Batch("calls", counts=dict.fromkeys(cells[at : at + CELLS], 100 + at % 900)))


def _post(batch: Batch) -> None:
    runtime, metric = current.current(), _metric()
    runtime.engine.run(post(metric, batch), runtime.stores.sync_io(metric.site))


def _metric() -> Metric:
    return current.current().metrics.metric("analytics", "calls", "a benchmark")


def _now() -> int:
    return int(datetime.now(UTC).timestamp()) // HOUR


def _times(call: Callable[[], None]) -> Slice:
    def timed(n: int) -> float:
        start = time.perf_counter()
        for _ in range(n):
            call()
        return time.perf_counter() - start

    return timed


def closing(client: Any) -> Callable[[], Any]:
    """Close a client of redis-py when the table is done."""

    async def close() -> None:
        client.close()

    return close


@contextmanager
def staged(loop: asyncio.AbstractEventLoop) -> Iterator[Stage]:
    """Count on a server of the table's own."""
    rule = {"kind": "analytics", "ttl": "60d", "metrics": {"calls": {"labels": ["model", "user"]}}}
    with configured(loop, analytics=rule) as stage:
        yield stage
