"""Small GETs while values of 1 MiB pass through the same client: are the small ones held up?"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from cachepolicy.tiers import commands
from tests.benchmarks.harness import OURS, Row, Slice, Table
from tests.benchmarks.l2_clients import PATIENCE, leaf
from tests.benchmarks.stage import Stage, names

TITLE = "small GETs while 1 MiB values pass"
ALONE = f"{OURS}, no large values"
REDIS_PY = "redis-py"
REDIS_PY_ALONE = "redis-py, no large values"

SMALL_TASKS = 16
LARGE_TASKS = 2
LARGE = os.urandom(2**20)


@dataclass(frozen=True, slots=True)
class Client:
    """The three calls that matter."""

    small: Callable[[str], Awaitable[object]]
    large: Callable[[str], Awaitable[object]]
    store: Callable[[str, bytes], Awaitable[object]]


def table(stage: Stage, title: str) -> Table:
    """Compare the 99th percentile with and without."""
    keys = names(1_000)
    stage.fill(keys)
    ours, theirs = _ours(leaf(stage)), _redis_py(stage.redis_py(max_connections=300))
    rows = [
        Row(ALONE, _p99(stage, ours, keys, large_tasks=0)),
        Row(OURS, _p99(stage, ours, keys, large_tasks=LARGE_TASKS)),
        Row(REDIS_PY_ALONE, _p99(stage, theirs, keys, large_tasks=0)),
        Row(REDIS_PY, _p99(stage, theirs, keys, large_tasks=LARGE_TASKS)),
    ]
    note = f"99th percentile of {SMALL_TASKS} tasks' GETs of 2 KB; {LARGE_TASKS} tasks put and get 1 MiB"
    return Table(title, note, rows, slice_seconds=1.0, server=stage.server.pid)


def _p99(stage: Stage, client: Client, keys: list[str], *, large_tasks: int) -> Slice:
    turn = cycle(keys)

    async def small(times: int, took: list[float]) -> None:
        for _ in range(times):
            start = time.perf_counter()
            found = await client.small(next(turn))
            took.append(time.perf_counter() - start)
            assert found

    async def large(key: str, ended: asyncio.Event) -> None:
        while not ended.is_set():
            await client.store(key, LARGE)
            assert len(await client.large(key)) == len(LARGE)  # type: ignore[arg-type]  # bytes, in all clients

    async def all_of(each: int) -> float:
        took: list[float] = []
        ended = asyncio.Event()  # not a cancellation: redis-py may swallow one
        passing = [asyncio.create_task(large(f"large:{number}", ended)) for number in range(large_tasks)]
        await asyncio.gather(*[small(each, took) for _ in range(SMALL_TASKS)])
        ended.set()
        await asyncio.gather(*passing)
        took.sort()
        return took[int(len(took) * 0.99)]

    def run(n: int) -> float:
        return n * stage.loop.run_until_complete(all_of(max(8, n // SMALL_TASKS)))

    return run


def _ours(store: Any) -> Client:
    return Client(
        lambda key: store.execute(commands.head(key), PATIENCE),
        lambda key: store.execute(commands.get(key), PATIENCE),
        lambda key, value: store.execute(commands.put(key, value, 60), PATIENCE),
    )


def _redis_py(client: Any) -> Client:
    return Client(client.get, client.get, lambda key, value: client.set(key, value, px=60_000))
