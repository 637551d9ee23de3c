"""What a reload leaves as it is: L1, connections, breakers, counts; and what it ends, and when."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from cachepolicy import (
    Tier,
    aclose,
    cached,
    namespace,
    observe,
    reload,
)
from cachepolicy.runtime import current
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.tiers.commands import put
from tests.support.colour import Colour
from tests.support.reloaded import Edited, connections
from tests.support.waiting import rest, until_async


def _run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario on one loop, as a server does."""

    async def whole() -> None:
        try:
            await scenario()
        finally:
            await aclose()

    asyncio.run(whole())


async def _call(function: Callable[..., Any], *args: Any) -> Any:
    outcome = function(*args)
    return await outcome if isinstance(outcome, Awaitable) else outcome


def _decorated(colour: Colour, namespace: str = "answers") -> Any:
    @colour.decorate(cached(namespace))
    def answer(question: str) -> str:
        return question

    return answer


async def _tiers(*functions: Any) -> list[Tier]:
    """Call each once; return which tier answered."""
    with observe() as seen:
        for function in functions:
            await _call(function, "why?")
    return [one.tier for one in seen]


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("namespaces.others.ttl", "2h", [Tier.L1, Tier.L1]),
        ("namespaces.others.db", 5, [Tier.L1, Tier.ORIGIN]),
        ("namespaces.others.local", {"max_bytes": "1MiB"}, [Tier.L1, Tier.L2]),
        ("redis.breaker", {"failures": 9}, [Tier.L1, Tier.L1]),
        ("redis.deadline", "20s", [Tier.L2, Tier.L2]),
        ("telemetry", {"spans": "none"}, [Tier.L1, Tier.L1]),
        ("namespaces.limits.rules.calls.requests", "9/day", [Tier.L1, Tier.L1]),
        ("namespaces.more", {"kind": "cache", "db": 1, "scope": "global", "ttl": "1h"}, [Tier.L1, Tier.L1]),
        ("namespaces.sessions", None, [Tier.L1, Tier.L1]),
    ],
    ids=[
        "live",
        "cold",
        "cold in L1",
        "breaker",
        "connections",
        "telemetry",
        "limits",
        "one more",
        "one less",
    ],
)
def test_l1_goes_on_where_what_it_depends_on_did_not_change(
    colour: Colour, redis_url: str, path: str, value: Any, found: list[Tier]
) -> None:
    """A live change empties no L1, and a cold one that of its own namespace."""

    async def scenario() -> None:
        edited = Edited(redis_url).use()
        answers, others = _decorated(colour), _decorated(colour, "others")
        await _warm(answers, others)
        edited.edit(path, value)
        assert reload()
        assert await _tiers(answers, others) == found
        await _warm(answers, others)

    _run(scenario)


async def _warm(*functions: Any) -> None:
    """Call until L1 answers, also when what was stored has been heard of."""

    async def is_warm() -> bool:
        return await _tiers(*functions) == [Tier.L1] * len(functions)

    async def stays_warm() -> bool:
        await until_async(is_warm, "L1")
        await _live()
        await _all_heard()
        return await is_warm()

    await until_async(stays_warm, "L1")


async def _all_heard() -> None:
    """Wait until what was changed before is heard of: changes of a database are told in their order."""
    for plan in list(current.current()._plans):
        site, key = plan.site, f"reloaded:{plan.namespace}:mark"
        heard = site.hearing.expect(key)
        current.current().stores.sync_io(site).store.execute(put(key, b"mark", 60), 10)
        await _until(partial(getattr, heard, "is_set"))


async def _live() -> None:
    """Wait until changes are heard of."""

    async def all_hear() -> bool:
        return all(plan.hears for plan in list(current.current()._plans))

    await until_async(all_hear, "the watch")


def test_l1_is_emptied_by_another_app(redis_url: str) -> None:
    """Where all keys begin otherwise nothing of before is served."""
    edited = Edited(redis_url)
    edited.edit("namespaces.sessions", None)  # with them it is forbidden
    edited.use()
    calls = []

    @cached("answers")
    def answer(question: str) -> str:
        calls.append(question)
        return question

    answer("why?")
    edited.edit("app", "another")
    reload()
    answer("why?")
    assert len(calls) == 2


def test_a_shorter_time_in_l1_holds_for_what_is_there(colour: Colour) -> None:
    """``local.ttl`` that is shortened is the longest that anything stays in L1, from the reload on."""

    async def scenario() -> None:
        edited = Edited("memory://").use()
        answer = _decorated(colour)
        await _tiers(answer)
        edited.edit("namespaces.answers.local", {"ttl": "1ms"})
        reload()
        await _tiers(answer)
        await rest(0.01)
        assert await _tiers(answer) == [Tier.L2]

    _run(scenario)


def test_hits_and_savings_are_counted_on(colour: Colour) -> None:
    """What a namespace spared is told on after a reload, each hit once, whether its rule changed or not."""

    async def scenario() -> None:
        edited = Edited("memory://").use()
        answer, other = _decorated(colour), _decorated(colour, "others")
        for count, ttl in enumerate(("2h", "3h", "4h"), start=1):
            for _ in range(3):
                await _tiers(answer, other)
            hits = [
                sum(each.calls for each in namespace(name).savings().values())
                for name in ("answers", "others")
            ]
            assert hits == [3 * count - 1] * 2
            edited.edit("namespaces.others.ttl", ttl)
            reload()
            gc.collect()

    _run(scenario)


def test_connections_go_on(colour: Colour, own_redis: RedisServer) -> None:
    """After a live change calls use the connections that there were."""

    async def scenario() -> None:
        edited = Edited(own_redis.url).use()
        answer = _decorated(colour)
        await _tiers(answer)
        await _live()
        before = connections(own_redis)
        edited.edit("namespaces.answers.ttl", "2h")
        reload()
        assert await _call(answer, "and why?") == "and why?"
        assert connections(own_redis).keys() == before.keys()

    _run(scenario)


def test_old_connections_close_when_the_last_call_ends(colour: Colour, own_redis: RedisServer) -> None:
    """A call under way finishes on the old database, stores there, and then its connections are closed."""
    begun, go_on = threading.Event(), threading.Event()

    @cached("answers")
    async def slow(question: str) -> str:
        begun.set()
        await _until(go_on.is_set)
        return question

    @cached("answers")
    def slow_sync(question: str) -> str:
        begun.set()
        go_on.wait(20)
        return question

    async def scenario() -> None:
        edited = Edited(own_redis.url).use()
        answer = _decorated(colour)
        begin = slow("slow?") if colour.is_async else asyncio.to_thread(slow_sync, "slow?")
        under_way = asyncio.create_task(begin)
        await _until(begun.is_set)
        old = connections(own_redis).keys()
        edited.edit("namespaces.answers.db", 7)
        reload()
        assert await _call(answer, "why?") == "why?"
        go_on.set()
        assert await under_way == "slow?"
        del under_way
        gc.collect()
        await _until(lambda: not old & connections(own_redis).keys())
        edited.edit("namespaces.answers.db", 1)
        reload()
        with observe() as seen:
            await _call(slow if colour.is_async else slow_sync, "slow?")
        assert [one.tier for one in seen] == [Tier.L2]  # it stored where it began

    _run(scenario)


async def _until(condition: Callable[[], object]) -> None:
    async def holds() -> object:
        return condition()

    await until_async(holds, "it")
