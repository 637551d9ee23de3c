"""Hits in Redis through a decorated function, its value decoded; L1 is off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import cycle
from typing import Any

import cachepolicy
from tests.benchmarks.harness import OURS, Failures, Row, Table, timed, timed_async, timed_tasks
from tests.benchmarks.origins import Calls
from tests.benchmarks.stage import KEYS, TASKS, Stage, document, has, names, peer

CONCURRENT = "decorated async function, L2 hits, 256 tasks"
SEQUENTIAL = "sequential decorated async L2 hit"
SEQUENTIAL_SYNC = "sequential decorated sync L2 hit"

REDIS_PY = "redis-py, raw GET"
REDIS_PY_JSON = "redis-py GET, json.loads"
CASHEWS = "cashews, redis: decorator"
AIOCACHE = "aiocache, redis: decorator"
DOGPILE = "dogpile.cache, redis: decorator"

Decorator = Callable[[Any], Any]
_AT_ONCE = 32  # calls that fill a cache


def concurrent(stage: Stage, title: str) -> Table:
    """Compare throughput."""
    keys = names(KEYS)
    stage.fill(keys)
    client = stage.redis_py(max_connections=300)
    rows = [
        _row(stage, REDIS_PY, client.get, keys, Calls()),
        _row(stage, REDIS_PY_JSON, _decoded(client.get), keys, Calls()),
    ]
    for name, decorator in _decorators(stage, aiocache=True).items():
        function, calls = _filled(stage, decorator, keys)
        rows.append(_row(stage, name, function, keys, calls))
    note = "10,000 keys, dicts of 2 KB as JSON, no L1"
    return Table(title, note, rows, slice_seconds=0.06, server=stage.server.pid)


def sequential(stage: Stage, title: str) -> Table:
    """Compare one call after the other."""
    keys = names(1_000)
    stage.fill(keys)
    functions = {REDIS_PY: (stage.redis_py().get, Calls())}
    for name, decorator in _decorators(stage, aiocache=False).items():
        functions[name] = _filled(stage, decorator, keys)
    rows = [
        Row(name, timed_async(stage.loop, "await f(next(turn))", f=f, turn=cycle(keys), next=next), calls)
        for name, (f, calls) in functions.items()
    ]
    note = "dicts of 2 KB as JSON, no L1, one task; client and server on one processor"
    return Table(title, note, rows, slice_seconds=0.03, server=stage.server.pid, pinned=True)


def sequential_sync(stage: Stage, title: str) -> Table:
    """Compare one call after the other, without a loop."""
    import redis

    keys = names(1_000)
    stage.fill(keys)
    client = redis.Redis.from_url(f"{stage.address}/1")

    async def close() -> None:
        client.close()

    stage.at_end(close)
    configure(stage)
    functions: dict[str, tuple[Any, Calls]] = {
        REDIS_PY: (client.get, Calls()),
        OURS: _filled_sync(cachepolicy.cached("answers"), keys),
    }
    if has("dogpile.cache.region"):
        functions[DOGPILE] = _filled_sync(_dogpile(stage), keys)
    rows = [
        Row(name, timed("f(next(turn))", f=f, turn=cycle(keys), next=next), calls)
        for name, (f, calls) in functions.items()
    ]
    note = "dicts of 2 KB as JSON, no L1; client and server on one processor"
    return Table(title, note, rows, slice_seconds=0.03, server=stage.server.pid, pinned=True)


def _decorators(stage: Stage, *, aiocache: bool) -> dict[str, Decorator]:
    configure(stage)
    found: dict[str, Decorator] = {OURS: cachepolicy.cached("answers"), CASHEWS: _cashews(stage)}
    return found | {AIOCACHE: _aiocache(stage)} if aiocache else found


def configure(stage: Stage) -> None:
    """Have this package cache in the stage's Redis, without L1."""
    answers = {"kind": "cache", "db": 3, "scope": "global", "ttl": "1h", "local": {"enabled": False}}
    cachepolicy.configure(
        {
            "version": 1,
            "app": "bench",
            "redis": {"url": stage.address, "deadline": "5s"},
            "namespaces": {"answers": answers},
        }
    )
    stage.at_end(_close_ours)


async def _close_ours() -> None:
    await cachepolicy.aclose()
    cachepolicy.close()


def _row(
    stage: Stage, name: str, call: Callable[[str], Awaitable[object]], keys: list[str], calls: Calls
) -> Row:
    failures = Failures()
    return Row(name, timed_tasks(stage.loop, TASKS, call, keys, failures), calls, failures)


def _decoded(get: Callable[[str], Awaitable[bytes]]) -> Callable[[str], Awaitable[object]]:
    async def get_decoded(key: str) -> object:
        return json.loads(await get(key))

    return get_decoded


def _filled(stage: Stage, decorator: Decorator, keys: list[str]) -> tuple[Any, Calls]:
    """Decorate a function and call it once with each key; what reaches it afterwards is counted."""
    calls = Calls()

    async def answer(key: str) -> dict[str, Any]:
        calls.count += 1
        return document(key)

    function = decorator(answer)

    async def fill() -> None:
        for start in range(0, len(keys), _AT_ONCE):
            await asyncio.gather(*map(function, keys[start : start + _AT_ONCE]))

    stage.run(fill())
    calls.count = 0
    return function, calls


def _filled_sync(decorator: Decorator, keys: list[str]) -> tuple[Any, Calls]:
    calls = Calls()

    def answer(key: str) -> dict[str, Any]:
        calls.count += 1
        return document(key)

    function = decorator(answer)
    for key in keys:
        function(key)
    calls.count = 0
    return function, calls


def _cashews(stage: Stage) -> Decorator:
    cache = peer("cashews").Cache()
    cache.setup(f"{stage.address}/2")
    stage.run(cache.init())
    stage.at_end(cache.close)
    decorator: Decorator = cache(ttl="1h")
    return decorator


def _aiocache(stage: Stage) -> Decorator:
    module, serializers = peer("aiocache"), peer("aiocache.serializers")
    decorator: Decorator = module.cached(
        ttl=3600,
        cache=module.Cache.REDIS,
        serializer=serializers.JsonSerializer(),
        endpoint="127.0.0.1",
        port=stage.server.port,
        db=4,
        pool_max_size=300,
    )
    return decorator


def _dogpile(stage: Stage) -> Decorator:
    region = (
        peer("dogpile.cache.region")
        .make_region()
        .configure(
            "dogpile.cache.redis",
            expiration_time=3600,
            arguments={"host": "127.0.0.1", "port": stage.server.port, "db": 5},
        )
    )
    decorator: Decorator = region.cache_on_arguments()
    return decorator
