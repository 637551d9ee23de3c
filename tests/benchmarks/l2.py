"""The tables of L2: a real redis-server on loopback, and this package beside its peers at the same data."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cachepolicy.testing.redis_server import RedisServer
from tests.benchmarks import l2_clients, l2_decorated, l2_typed, large_values, resilience, tags
from tests.benchmarks.harness import Table
from tests.benchmarks.stage import Stage

MAKERS: dict[str, Callable[[Stage, str], Table]] = {
    l2_clients.CONCURRENT: l2_clients.concurrent,
    l2_clients.CROWD: l2_clients.crowd,
    l2_decorated.CONCURRENT: l2_decorated.concurrent,
    l2_clients.SEQUENTIAL: l2_clients.sequential,
    l2_decorated.SEQUENTIAL: l2_decorated.sequential,
    l2_decorated.SEQUENTIAL_SYNC: l2_decorated.sequential_sync,
    l2_typed.SEQUENTIAL: l2_typed.sequential,
    l2_typed.SEQUENTIAL_SYNC: l2_typed.sequential_sync,
    large_values.TITLE: large_values.table,
    tags.L2: tags.in_redis,
}


def tables(loop: asyncio.AbstractEventLoop, is_wanted: Callable[[str], bool]) -> Iterator[Table]:
    """Make the tables that are wanted, one after the other."""
    for title, make in MAKERS.items():
        if is_wanted(title):
            with _stage(loop) as stage:
                yield make(stage, title)
    for table in resilience.tables(loop):
        if is_wanted(table.title):
            yield table


@contextmanager
def _stage(loop: asyncio.AbstractEventLoop) -> Iterator[Stage]:
    with RedisServer("--maxclients", "4000") as server:
        stage = Stage(loop, server)
        random.seed(7)
        try:
            yield stage
        finally:
            loop.run_until_complete(stage.aclose())
