"""C3 in one process: what a fork leaves alone, what memory:// needs no push for, what outlives a policy."""

from __future__ import annotations

import asyncio
import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cachepolicy import ManualClock, aclose, cached, close, configure, control, observe
from cachepolicy.clock import SYSTEM
from cachepolicy.flow.background import Background
from cachepolicy.keys.layout import lease_key
from cachepolicy.runtime import current
from cachepolicy.testing.fault_proxy import FaultProxy, Late
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.tiers import entries
from tests.support.colour import Colour
from tests.support.policies import cache_policy
from tests.support.waiting import until, until_async

PATIENCE = 20.0

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")


def _holder(server: RedisServer, key: str) -> bytes:
    """Return whoever holds the lease of a key."""
    script = "return redis.call('GET', KEYS[1]) or ''"
    server.command("SELECT", "1")
    return server.command("EVAL", f"redis.call('SELECT', 1) {script}", "1", lease_key(key))


def _ttl(server: RedisServer, key: str) -> int:
    """Return how long a lease still runs, in milliseconds."""
    script = "redis.call('SELECT', 1) return redis.call('PTTL', KEYS[1])"
    return int(server.command("EVAL", script, "1", lease_key(key)).strip(b":\r\n"))


def _await_renewal(server: RedisServer, key: str) -> None:
    """Wait until a lease runs for longer than it did a moment ago."""
    left = [_ttl(server, key)]

    def is_renewed() -> bool:
        left.append(_ttl(server, key))
        return left[-1] > left[-2]

    until(is_renewed, "a renewal")


@needs_fork
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # 3.12 warns of forking beside threads
def test_c3_a_forked_child_does_not_renew(own_redis: RedisServer) -> None:
    """C3: a child that is forked during a load neither renews the lease nor releases it."""
    configure(cache_policy(own_redis.url, stampede={"lease": "10s"}))
    asked, gate = threading.Event(), threading.Event()

    @cached("answers")
    def answer(question: str) -> str:
        asked.set()
        assert gate.wait(PATIENCE)
        return question

    key = answer.key("why?")
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(answer, "why?")
        assert asked.wait(PATIENCE)
        holder = _holder(own_redis, key)
        assert len(holder) > 10
        child = os.fork()
        if child == 0:
            renews = current.current().stores._background._timed or threading.active_count() > 1
            close()
            os._exit(int(bool(renews) or threading.active_count() > 1))
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert _holder(own_redis, key) == holder
        gate.set()
        assert loading.result(PATIENCE) == "why?"
    assert _ttl(own_redis, key) == -2


@needs_fork
def test_c3_a_child_forked_by_the_origin_leaves_the_lease(own_redis: RedisServer) -> None:
    """C3: a child that the origin itself forks, and that leaves by an exception, releases nothing."""
    configure(cache_policy(own_redis.url, stampede={"lease": "10s"}))
    holders: list[bytes] = []

    @cached("answers")
    def answer(question: str) -> str:
        child = os.fork()
        if child == 0:
            raise SystemExit
        os.waitpid(child, 0)
        holders.append(_holder(own_redis, answer.key(question)))
        return question

    parent = os.getpid()
    try:
        assert answer("why?") == "why?"
    finally:
        if os.getpid() != parent:
            os._exit(0)
    assert len(holders[0]) > 10
    assert _ttl(own_redis, answer.key("why?")) == -2


@pytest.mark.parametrize("verb", ["ask", "refresh"])
def test_c4_a_caller_cancelled_while_it_asks_leaves_no_lease(
    own_redis: RedisServer, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C4: a caller that is cancelled after its lease was granted, and before it knows, leaves no lease."""
    acquire, calls = entries.acquire, []

    @cached("answers")
    async def answer(question: str) -> str:
        calls.append(question)
        return question

    async def main(proxy: FaultProxy) -> None:
        key = answer.key("why?")
        await answer("warm")  # the script is known from here on: one reply tells of the lease

        def unheard(*args: Any, **kwargs: Any) -> Any:
            proxy.fault = Late(math.inf)
            return acquire(*args, **kwargs)

        monkeypatch.setattr(entries, "acquire", unheard)
        asking = asyncio.create_task(answer.refresh("why?") if verb == "refresh" else answer("why?"))
        await until_async(lambda: asyncio.to_thread(lambda: _ttl(own_redis, key) > 0), "the lease")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        proxy.fault = None
        await until_async(lambda: asyncio.to_thread(lambda: _ttl(own_redis, key) == -2), "its end")
        await aclose()
        assert calls == ["warm"]

    with FaultProxy(own_redis.url) as proxy:
        configure(cache_policy(proxy.url, stampede={"lease": "1h"}))
        asyncio.run(main(proxy))


def test_c3_in_memory_no_push_is_needed(colour: Colour) -> None:
    """C3: on memory://, where nothing is pushed, who waits for a refresh is woken as soon as it ends."""
    time = ManualClock()
    rule = cache_policy(ttl="100ms", stale={"while_revalidate": "1h"}, stampede={"lease": "1h"})
    configure(rule, clock=time.clock)
    gate, refreshing = threading.Event(), threading.Event()
    calls: list[int] = []

    def origin(question: str) -> int:
        calls.append(1)
        if len(calls) == 2:
            refreshing.set()
            assert gate.wait(PATIENCE)
        return len(calls)

    answer = cached("answers", key="{question}")(origin)

    async def _later(question: str) -> int:
        return await asyncio.to_thread(origin, question)

    later = cached("answers", key="{question}")(_later)

    def ask() -> int:
        return asyncio.run(_ask()) if colour.is_async else answer("why?")

    async def _ask() -> int:
        return await later("why?")

    assert answer("why?") == 1
    time.advance(0.2)
    assert answer("why?") == 1
    assert refreshing.wait(PATIENCE)

    def fresh() -> int:
        with control(max_age="50ms"):
            return ask()

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(fresh)
        until(lambda: answer.policy._binding.bound().plan.site.hearing._expected, "a wait")  # type: ignore[attr-defined] # a test may look inside
        gate.set()
        assert asked.result(PATIENCE) >= 2


def test_c3_a_new_policy_does_not_end_a_lease(own_redis: RedisServer) -> None:
    """C3: a load that is under way when the policy is replaced keeps its lease."""
    policy = cache_policy(own_redis.url, stampede={"lease": "3s"})
    configure(policy)
    asked, gate = threading.Event(), threading.Event()

    @cached("answers")
    def answer(question: str) -> str:
        asked.set()
        assert gate.wait(PATIENCE)
        return question

    key = answer.key("why?")
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(answer, "why?")
        assert asked.wait(PATIENCE)
        old = current.current()
        configure(policy)
        for _ in range(2):  # the first was due already
            _await_renewal(own_redis, key)
        gate.set()
        loading.result(PATIENCE)
    assert _ttl(own_redis, key) == -2
    old.close()


def test_a_bug_in_timed_work_ends_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be done at a moment is done, also after other work has raised."""
    background, done, told = Background(), threading.Event(), threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: told.set())

    def bug() -> None:
        raise LookupError

    now = SYSTEM.monotonic()
    background.at(now, bug)
    background.at(now + 0.01, done.set)
    assert done.wait(PATIENCE)
    assert told.wait(PATIENCE)
    background.close()


def test_c3_two_types_under_one_key_do_not_wait_for_each_other(colour: Colour) -> None:
    """C3: functions that share a key and differ in what they return each call their own origin."""
    configure(cache_policy())

    @colour.decorate(cached("answers", key="{question}"))
    def words(question: str) -> list[str]:
        return [question]

    @cached("answers", key="{question}")
    def count(question: str) -> int:
        return len(question)

    with observe() as seen:
        assert colour.run(lambda: words("why?")) == ["why?"]
        assert count("why?") == 4
        assert colour.run(lambda: words("why?")) == ["why?"]
    assert max(one.duration for one in seen) < 5
