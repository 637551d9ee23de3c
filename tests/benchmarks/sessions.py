"""Sessions on a real Redis, beside what one costs by hand: a value under a key, read and written back."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any, Final

import cachepolicy
from cachepolicy.keys.layout import user_sessions_key
from cachepolicy.keys.tokens import user_tag
from tests.benchmarks import harness
from tests.benchmarks.harness import OURS, Failures, Table, timed, timed_async, timed_tasks
from tests.benchmarks.stage import Stage, configured

SYNC: Final = "session, load and touch, def"
ASYNC: Final = "session, load and touch, async def"
CONCURRENT: Final = "session, 64 tasks"
REVOKE: Final = "session, revoke all 10,000"
TITLES: Final = (SYNC, ASYNC, CONCURRENT)

GET: Final = "GET of its JSON, redis-py"
BY_HAND: Final = "GET and SETEX of its JSON, redis-py"
MOST: Final = 1.5
"""How many times as long as of ten sessions it may take to revoke ten thousand."""

_TASKS: Final = 64
_SESSIONS: Final = 1_000
_MANY: Final = 10_000
_FEW: Final = 10
_USERS: Final = 40
_PREFIX: Final = "bench:sessions:"
DATA: Final = {
    "cart": [{"sku": "a-17", "count": 2}],
    "theme": "dark",
    "csrf": "9f86d081884c7d659a2feaa0c55ad015",
}


def tables(loop: asyncio.AbstractEventLoop, is_wanted: Callable[[str], bool]) -> Iterator[Table]:
    """Make the tables that are wanted, one after the other."""
    makers = {SYNC: _sync, ASYNC: _async, CONCURRENT: _concurrent}
    for title, make in makers.items():
        if is_wanted(title):
            with _stage(loop) as stage:
                yield make(stage)


def revoking(loop: asyncio.AbstractEventLoop) -> float:
    """Return how many times as long revoking all of 10,000 sessions takes as of 10."""
    with _stage(loop) as stage:
        took: dict[int, list[float]] = {}
        for many in (_FEW, _MANY):
            users = _users(stage, many)
            took[many] = stage.run(_revoked(users))
    return statistics.median(took[_MANY]) / statistics.median(took[_FEW])


def _users(stage: Stage, many: int) -> list[str]:
    """Make users of so many sessions each; the lists of all but the first are copies of its list."""
    manager = cachepolicy.SessionManager()
    first, *others = [f"{many}-{number}" for number in range(_USERS)]

    async def fill() -> None:
        for _ in range(many):
            await manager.create_session(first)
        client = stage.redis_py()
        dumped = await client.dump(_key(first))
        for other in others:
            await client.restore(_key(other), 3_600_000, dumped)

    stage.run(fill())
    return [first, *others]


def _key(user: str) -> str:
    return user_sessions_key(_PREFIX, user_tag(_PREFIX, user))


async def _revoked(users: list[str]) -> list[float]:
    manager, took = cachepolicy.SessionManager(), []
    for user in users:
        start = time.perf_counter()
        await manager.revoke_all(user)
        took.append(time.perf_counter() - start)
        assert not await manager.list_sessions(user)
    return took


def _sync(stage: Stage) -> Table:
    import redis

    client = redis.Redis.from_url(f"{stage.address}/1")
    tokens, keys = _filled(stage)
    load = cachepolicy.SessionManager().get_session.sync

    async def close() -> None:
        client.close()
        cachepolicy.close()

    stage.at_end(close)
    rows = [
        harness.Row(OURS, timed("f(next(turn))", f=load, turn=cycle(tokens), next=next)),
        harness.Row(GET, timed("f(next(turn))", f=client.get, turn=cycle(keys), next=next)),
    ]
    return Table(SYNC, _NOTE, rows, slice_seconds=0.03, server=stage.server.pid, pinned=True)


def _async(stage: Stage) -> Table:
    tokens, keys = _filled(stage)
    load, get = cachepolicy.SessionManager().get_session, stage.redis_py().get
    rows = [
        harness.Row(
            OURS, timed_async(stage.loop, "await f(next(turn))", f=load, turn=cycle(tokens), next=next)
        ),
        harness.Row(GET, timed_async(stage.loop, "await f(next(turn))", f=get, turn=cycle(keys), next=next)),
    ]
    return Table(ASYNC, _NOTE, rows, slice_seconds=0.03, server=stage.server.pid, pinned=True)


def _concurrent(stage: Stage) -> Table:
    tokens, keys = _filled(stage)
    load = cachepolicy.SessionManager().get_session
    rows = []
    for name, call, names in ((OURS, load, tokens), (BY_HAND, _by_hand(stage), keys)):
        failures = Failures()
        rows.append(
            harness.Row(name, timed_tasks(stage.loop, _TASKS, call, names, failures), failures=failures)
        )
    note = "1,000 sessions of three values, one event loop"
    return Table(CONCURRENT, note, rows, slice_seconds=0.06, server=stage.server.pid)


_NOTE: Final = "1,000 sessions of three values, one after the other; client and server on one processor"


def _by_hand(stage: Stage) -> Callable[[str], Awaitable[object]]:
    client: Any = stage.redis_py()

    async def load(key: str) -> object:
        session = json.loads(await client.get(key))
        await client.set(key, json.dumps(session), ex=86_400)
        return session

    return load


def _filled(stage: Stage) -> tuple[list[str], list[str]]:
    """Make the same sessions in both ways; return tokens and keys."""
    manager = cachepolicy.SessionManager()
    keys = [f"session:{number:06d}" for number in range(_SESSIONS)]

    async def fill() -> list[str]:
        client = stage.redis_py()
        for key in keys:
            await client.set(key, json.dumps({"user_id": key, "created": time.time(), **DATA}), ex=86_400)
        return [(await manager.create_session(key, DATA)).token for key in keys]

    return stage.run(fill()), keys


@contextmanager
def _stage(loop: asyncio.AbstractEventLoop) -> Iterator[Stage]:
    with configured(loop, sessions={"kind": "sessions", "db": 1, "max_per_user": 2 * _MANY}) as stage:
        yield stage
