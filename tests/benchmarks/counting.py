"""Events that are counted in the process, beside one HINCRBY for each, which is what they cost without."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Final

import redis

import cachepolicy
from tests.benchmarks.analytics import closing, staged
from tests.benchmarks.harness import OURS, Row, Table, timed, timed_async
from tests.benchmarks.stage import Stage

SYNC: Final = "metrics, one event, def"
ASYNC: Final = "metrics, one event, async def"
HINCRBY: Final = "HINCRBY, redis-py"
THREE: Final = "HINCRBY of hour, day and month, redis-py"
"""In one pipeline, with an EXPIRE of hour and day: what is kept of the event is the same."""

_EVENT: Final = 'f("calls", 1, {"model": "gpt-5", "user": "user-1"})'
_NOTE: Final = "one series of two labels; what is flushed behind the caller's back is in it"


def tables(loop: asyncio.AbstractEventLoop, is_wanted: Callable[[str], bool]) -> Iterator[Table]:
    """Make the tables that are wanted, one after the other."""
    for title, make in {SYNC: _sync, ASYNC: _async}.items():
        if is_wanted(title):
            with staged(loop) as stage:
                yield make(stage)


def _sync(stage: Stage) -> Table:
    client: Any = redis.Redis.from_url(stage.address)
    stage.at_end(closing(client))
    count = cachepolicy.AnalyticsCache().increment_metric.sync
    rows = [
        Row(OURS, timed(_EVENT, f=count)),
        Row(HINCRBY, timed('f("calls:1", "gpt-5|user-1", 1)', f=client.hincrby)),
        Row(THREE, timed("added(f()).execute()", added=_added, f=client.pipeline)),
    ]
    return Table(SYNC, _NOTE, rows, 0.03, stage.server.pid)


def _async(stage: Stage) -> Table:
    client = stage.redis_py()
    count = cachepolicy.AnalyticsCache().increment_metric
    rows = [
        Row(OURS, timed_async(stage.loop, f"await {_EVENT}", f=count)),
        Row(HINCRBY, timed_async(stage.loop, 'await f("calls:1", "gpt-5|user-1", 1)', f=client.hincrby)),
        Row(THREE, timed_async(stage.loop, "await added(f()).execute()", added=_added, f=client.pipeline)),
    ]
    return Table(ASYNC, _NOTE, rows, 0.03, stage.server.pid)


def _added(pipeline: Any) -> Any:
    for key in ("calls:hour", "calls:day", "calls:month"):
        pipeline.hincrby(key, "gpt-5|user-1", 1)
    pipeline.expire("calls:hour", 2_592_000)
    pipeline.expire("calls:day", 34_560_000)
    return pipeline
