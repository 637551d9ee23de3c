"""GETs of plain bytes, below any decorator: how fast the way to Redis itself is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import cycle
from typing import Any

from cachepolicy.tiers import commands, redis_async
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.endpoint import Endpoint
from tests.benchmarks import bare
from tests.benchmarks.harness import OURS, Failures, Row, Table, timed_async, timed_tasks
from tests.benchmarks.stage import TASKS, Stage, document, has, names, peer

CONCURRENT = "concurrent async GETs, 256 tasks"
CROWD = "concurrent async GETs, 1,024 tasks"
SEQUENTIAL = "sequential async GET"

REDIS_PY = "redis-py"
REDIS_PY_POOL = "redis-py, max_connections=300"
BARE = "a bare protocol, hiredis"
CASHEWS = "cashews, redis: cache.get"
GLIDE = "valkey-glide"

PATIENCE = 5.0  # seconds: a fault would show as such, and not as a slow reply

Get = Callable[[str], Awaitable[object]]


def concurrent(stage: Stage, title: str) -> Table:
    """Compare throughput."""
    keys = names()
    stage.fill(keys)
    gets: dict[str, Get] = {
        BARE: bare_get(stage),
        OURS: leaf_get(stage),
        REDIS_PY_POOL: stage.redis_py(max_connections=300).get,
        CASHEWS: _cashews(stage, keys),
    }
    if has("glide"):
        gets[GLIDE] = _glide(stage)
    rows = [_row(stage, name, TASKS, get, keys) for name, get in gets.items()]
    note = f"10,000 keys, 2 KB values, one event loop{'' if has('glide') else '; valkey-glide is not here'}"
    return Table(title, note, rows, slice_seconds=0.06, server=stage.server.pid)


def crowd(stage: Stage, title: str) -> Table:
    """See whose calls fail when very many come at once."""
    keys = names(2_000)
    stage.fill(keys)
    gets: dict[str, Get] = {BARE: bare_get(stage), OURS: leaf_get(stage), REDIS_PY: stage.redis_py().get}
    if has("glide"):
        gets[GLIDE] = _glide(stage)
    rows = [_row(stage, name, 1024, get, keys) for name, get in gets.items()]
    note = "2 KB values, one event loop, every client as it comes"
    return Table(title, note, rows, slice_seconds=0.06, server=stage.server.pid, may_fail=True)


def sequential(stage: Stage, title: str) -> Table:
    """Compare one call after the other."""
    keys = names(1_000)
    stage.fill(keys)
    gets = {BARE: bare_get(stage), OURS: leaf_get(stage), REDIS_PY: stage.redis_py().get}
    rows = [
        Row(name, timed_async(stage.loop, "await get(next(turn))", get=get, turn=cycle(keys), next=next))
        for name, get in gets.items()
    ]
    note = "2 KB values, one task; client and server on one processor"
    return Table(title, note, rows, slice_seconds=0.03, server=stage.server.pid, pinned=True)


def leaf(stage: Stage) -> Any:
    """Open this package's leaf."""

    async def opened() -> Any:
        return redis_async.connect(Place(Endpoint(stage.address), 1))

    store = stage.run(opened())
    stage.at_end(store.aclose)
    return store


def leaf_get(stage: Stage) -> Get:
    """Open this package's leaf, to read."""
    execute, head = leaf(stage).execute, commands.head

    def get(key: str) -> Awaitable[object]:
        answer: Awaitable[object] = execute(head(key), PATIENCE)
        return answer

    return get


def bare_get(stage: Stage) -> Get:
    """Open the bare protocol."""
    protocol = stage.run(bare.connect("127.0.0.1", stage.server.port))

    async def close() -> None:
        protocol.transport.close()

    stage.at_end(close)
    protocol.select(1)
    return protocol.get


def _row(stage: Stage, name: str, tasks: int, get: Get, keys: list[str]) -> Row:
    failures = Failures()
    return Row(name, timed_tasks(stage.loop, tasks, get, keys, failures), failures=failures)


def _cashews(stage: Stage, keys: list[str]) -> Get:
    cache = peer("cashews").Cache()
    cache.setup(f"{stage.address}/2")

    async def fill() -> None:
        await cache.init()
        for key in keys:
            await cache.set(key, document(key), expire=3600)

    stage.run(fill())
    stage.at_end(cache.close)
    get: Get = cache.get
    return get


def _glide(stage: Stage) -> Get:
    glide = peer("glide")
    address = glide.NodeAddress("127.0.0.1", stage.server.port)
    settings = glide.GlideClientConfiguration([address], database_id=1, request_timeout=5000)
    client = stage.run(glide.GlideClient.create(settings))
    stage.at_end(client.close)
    get: Get = client.get
    return get
