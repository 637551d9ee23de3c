"""Reloads while calls are made: none is dropped, none fails, nothing is left over."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cachepolicy import (
    RateLimiter,
    SessionManager,
    aclose,
    cached,
    close,
    configure,
    rate_limited,
    reload,
)
from cachepolicy.flow.plan import Plan
from cachepolicy.flow.resilience import Guard
from cachepolicy.flow.stores import Site
from cachepolicy.runtime import current
from cachepolicy.runtime.compose import Runtime
from cachepolicy.runtime.desk import Desk
from cachepolicy.telemetry import config, servers
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.tiers.local import LocalCache
from tests.support.loaded import Load
from tests.support.reloaded import Edited, connections
from tests.support.waiting import until_async

POLICY = """
version: 1
app: loaded
redis: {{url: "{url}", deadline: 20s, connect_timeout: 20s, max_connections: 100}}
reload: {{interval: 50ms}}
namespaces:
  answers: {{kind: cache, db: 1, scope: global, ttl: {ttl}, local: {{ttl: 50ms}}}}
  steady: {{kind: cache, db: 2, scope: global, ttl: 1h}}
  limits: {{kind: ratelimit, db: 3, rules: {{calls: {{by: user, algorithm: window, requests: {limit}/day}}}}}}
  sessions: {{kind: sessions, db: 4, guarantee: best_effort, ttl: {ttl}}}
"""


def _in_force() -> tuple[float, int]:
    rules: Any = current.current().loaded.policy.namespaces
    return rules["answers"].ttl.default / 3600, rules["limits"].rules["calls"].requests[0].limit


async def _is_in_force(wanted: tuple[float, int]) -> None:
    async def is_it() -> bool:
        return _in_force() == wanted

    await until_async(is_it, f"{wanted} in force")


async def _is_refused(before: int) -> None:
    async def is_it() -> bool:
        return config._RELOADS["rejected"] > before

    await until_async(is_it, "the complaint")


async def _goes_on(load: Load) -> None:
    """Wait until every caller has made some more rounds."""
    wanted = [rounds + 4 for rounds in load.rounds]

    async def all_did() -> bool:
        return all(made >= least for made, least in zip(load.rounds, wanted, strict=True))

    await until_async(all_did, "calls")


def test_edits_under_load_drop_no_call(own_redis: RedisServer, tmp_path: Path) -> None:
    """While threads and tasks call, each edit comes in force, or is wrong; no call fails."""
    file = tmp_path / "policies.yaml"

    def write(ttl: str, limit: int) -> None:
        file.write_text(POLICY.format(url=own_redis.url, ttl=ttl, limit=limit))

    write("1h", 1_000_000)
    configure(file)
    load = Load()

    async def edits() -> None:
        tasks = load.in_tasks(4)
        for hours in (2, 3, 4):
            write(f"{hours}h", 1_000_000 + hours)
            await _is_in_force((hours, 1_000_000 + hours))
            await _goes_on(load)
            rejected = config._RELOADS["rejected"]
            write("broken", 1)
            await _is_refused(rejected)
            await _goes_on(load)
        load.stop()
        await asyncio.gather(*tasks)
        await aclose()

    with load.in_threads(4):
        asyncio.run(edits())
    left = RateLimiter("limits").peek.sync("calls", "ada").remaining
    close()
    assert load.failures == []
    assert min(load.rounds) > 10
    assert _in_force() == (4, 1_000_004)  # the broken ones changed nothing
    assert left == 1_000_004 - len(load.limited)  # every call was counted, once


_MAY_GROW = {"threads": 1, "bytes": 500_000}
_KINDS = (Runtime, Site, Guard, LocalCache, Desk, Plan)


def _alive(*kinds: type) -> list[int]:
    """Count objects that are held by anything."""
    gc.collect()
    servers._live()  # what it reads for metrics lets go of what is gone
    found = [type(each) for each in gc.get_objects()]
    return [found.count(kind) for kind in kinds]


def _measured(server: RedisServer) -> dict[str, int]:
    """Count what a reload could leave; tracemalloc runs."""
    return dict(zip((kind.__name__ for kind in _KINDS), _alive(*_KINDS), strict=True)) | {
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
        "connections": len(connections(server)),
        "bytes": tracemalloc.get_traced_memory()[0],
    }


async def _all_hear() -> bool:
    return all(plan.hears for plan in list(current.current()._plans))


async def _left(server: RedisServer, first: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Return what there is more of than at first, once what was replaced has had the time to end."""
    more: dict[str, tuple[int, int]] = {}

    async def is_nothing() -> bool:
        more.clear()
        for name, now in _measured(server).items():
            if now > first[name] + _MAY_GROW.get(name, 2):
                more[name] = (first[name], now)
        return not more

    with suppress(AssertionError):  # the caller says what is left
        await until_async(is_nothing, "the end of what was replaced")
    return more


@pytest.mark.timeout(180)  # tracemalloc looks on
def test_two_hundred_reloads_leave_nothing(own_redis: RedisServer) -> None:
    """After 200 reloads there is no more than after 20: objects, connections, threads, descriptors, bytes."""
    edited = Edited(own_redis.url)
    edited.policy["namespaces"]["metrics"] = {"kind": "analytics", "db": 6, "guarantee": "best_effort"}
    edited.policy["telemetry"] = {"fleet_stats": True}
    edited.use()

    @cached("answers")
    def answer(number: int) -> int:
        return number

    @cached("others")
    async def other(number: int) -> int:
        return number

    @rate_limited("calls", namespace="limits")
    def limited(user: object) -> None:
        """Count."""

    sessions = SessionManager("sessions")

    async def calls(number: int) -> None:
        answer(number % 7)
        await other(number % 7)
        limited(number)
        await sessions.get_session("none")

    def edit(number: int) -> None:
        edited.edit("namespaces.others.ttl", f"{number + 1}s")
        edited.edit("namespaces.answers.db", 1 + 7 * (number % 2))
        edited.edit("namespaces.limits.rules.calls.requests", f"{number + 1}/day")
        edited.edit("namespaces.sessions.ttl", f"{number + 60}s")
        edited.edit("redis.deadline", f"{20 + number % 3}s")
        edited.edit("namespaces.metrics.flush", {"interval": f"{number + 5}s"})

    async def scenario() -> None:
        first: dict[str, int] = {}
        tracemalloc.start()
        before = len(servers._SOURCES)
        for number in range(200):
            edit(number)
            assert reload()
            await calls(number)
            assert len(servers._SOURCES) - before < 100, "though nobody reads metrics"
            if number == 19:
                await until_async(_all_hear, "the watch")
                first = _measured(own_redis)
        assert await _left(own_redis, first) == {}
        tracemalloc.stop()
        edited.edit("telemetry", None)
        reload()  # the fleet's counts are sent
        await aclose()

    asyncio.run(scenario())


def test_a_stream_goes_on_through_reloads(redis_url: str) -> None:
    """A stream that was begun before a reload, live or cold, is read to its end, and then served."""
    edited = Edited(redis_url).use()
    go_on = threading.Event()
    begun = []

    @cached("answers")
    def stream(number: int) -> Iterator[int]:
        begun.append(number)
        yield 1
        go_on.wait(10)
        yield 2

    for number, (path, value) in enumerate(
        [("namespaces.answers.ttl", "2h"), ("namespaces.answers.local", {"max_bytes": "1MiB"})]
    ):
        reading = stream(number)
        assert next(reading) == 1
        edited.edit(path, value)
        assert reload()
        go_on.set()
        assert list(reading) == [2]
        assert list(stream(number)) == [1, 2]
        go_on.clear()
    assert begun == [0, 1]
    close()


def test_who_waits_for_a_lease_is_answered_through_a_reload(redis_url: str) -> None:
    """Callers that share one load, some begun under the old policy and some under the new, call it once."""
    edited = Edited(redis_url).use()
    begun, go_on = threading.Event(), threading.Event()
    calls: list[int] = []
    answers: list[int] = []

    @cached("answers")
    def slow(number: int) -> int:
        calls.append(number)
        begun.set()
        go_on.wait(10)
        return number

    def ask() -> None:
        answers.append(slow(7))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert begun.wait(10)
    edited.edit("namespaces.answers.ttl", "2h")
    assert reload()
    threads += [late := threading.Thread(target=ask)]
    late.start()
    late.join(0.1)  # it waits, as the others do
    go_on.set()
    for thread in threads:
        thread.join()
    assert (calls, answers) == ([7], [7] * 4)
    close()


def test_forked_workers_follow(redis_url: str, tmp_path: Path) -> None:
    """Workers that were forked before an edit, and amid reloads, go by it; each watches for itself."""
    file = tmp_path / "policies.yaml"
    file.write_text(POLICY.format(url=redis_url, ttl="1h", limit=5))
    script = [sys.executable, "-m", "tests.support.reload_workers", str(file)]
    told = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)
    assert (told.returncode, told.stdout + told.stderr) == (0, "")
