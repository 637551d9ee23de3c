"""Stores of both colours, on a server whose scripts are told the time where a test wants that."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.tiers import redis_async, redis_sync
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.endpoint import Endpoint
from cachepolicy.tiers.memory import MemoryServer
from tests.support.limit_store import ScriptedClock, Store
from tests.tiers.store_contract import PATIENCE
from tests.tiers.test_stores import Async, Sync


@pytest.fixture(params=["memory def", "memory async def", "redis def", "redis async def", "valkey def"])
def store(
    request: pytest.FixtureRequest, redis_server: RedisServer, valkey_server: RedisServer
) -> Iterator[Store]:
    """Give an empty store of each kind."""
    server, _, colour = request.param.partition(" ")
    loop = asyncio.new_event_loop()
    if server == "memory":
        memory = MemoryServer()
        yield Store(Sync(memory.connect_sync(0)) if colour == "def" else Async(loop, memory.connect_async(0)))
    else:
        redis = redis_server if server == "redis" else valkey_server
        redis.command("FLUSHALL")
        place = Place(Endpoint(redis.url, deadline=PATIENCE, connect_timeout=PATIENCE), 0)
        if colour == "def":
            leaf = redis_sync.connect(place)
            yield Store(Sync(leaf))
            leaf.close()
        else:
            later = redis_async.connect(place, loop=loop)
            yield Store(Async(loop, later))
            loop.run_until_complete(later.aclose())
    loop.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, store: Store) -> ScriptedClock:
    """Have the scripts of limits ask a key for the time instead of the server."""
    return ScriptedClock(monkeypatch, store)
