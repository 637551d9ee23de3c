"""What Redis did not hear of while it was out."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from cachepolicy import ManualClock, StoreError, aclose, cached, close, configure, observe
from cachepolicy.flow import replay as replaying
from cachepolicy.flow.replay import Replay
from cachepolicy.flow.server_time import ServerTime
from cachepolicy.runtime import current
from cachepolicy.testing.fault_proxy import FaultProxy, Late, Refuse
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.entries import Made
from cachepolicy.tiers.memory import MemorySync
from cachepolicy.tiers.notices import Names
from tests.support.colour import SYNC, Colour
from tests.support.policies import cache_policy
from tests.support.waiting import until_async

TRYING = {"breaker": {"failures": 1000}}


class Asked:
    """A decorated function, and a count of its calls."""

    def __init__(self, colour: Colour) -> None:
        self.calls: list[str] = []
        self.colour = colour

        @colour.decorate(cached("answers", key="q:{question}"))
        def answer(question: str) -> str:
            self.calls.append(question)
            return f"{question} {len(self.calls)}"

        self.answer: Any = answer


def test_an_invalidation_that_redis_did_not_hear_is_made_up_for(colour: Colour, redis_url: str) -> None:
    """Old data do not outlive a lost invalidation: not here meanwhile, nor in Redis afterwards."""
    asked = Asked(colour)

    async def scenario(proxy: FaultProxy) -> None:
        configure(cache_policy(proxy.url, redis=TRYING, local={"enabled": False}))
        assert await _call(colour, asked.answer, "a") == "a 1"
        assert await _call(colour, asked.answer, "a") == "a 1"
        _cut_off(proxy)
        with pytest.raises(StoreError):
            await _call(colour, asked.answer.invalidate, "a")
        proxy.fault = None
        assert await _call(colour, asked.answer, "a") == "a 2"  # the old one is there, and not served
        await _drained(colour, asked.answer)
        assert await _call(colour, asked.answer, "a") == "a 2"
        await aclose()

    with FaultProxy(redis_url) as proxy:
        asyncio.run(scenario(proxy))
        close()


def test_a_newer_value_survives_the_replay(colour: Colour, own_redis: RedisServer) -> None:
    """Timestamps decide: what another process stored after the invalidation stays."""
    configure(cache_policy(own_redis.url, local={"enabled": False}))
    asked = Asked(colour)

    async def scenario() -> None:
        await _call(colour, asked.answer, "a")
        site = next(iter(current.current().stores._sites.values()))
        key = asked.answer.key("a")
        site.replay._keep(key, replaying._Invalidation(1.0))  # invalidated long ago
        await _drained(colour, asked.answer)
        assert own_redis.command("EXISTS", key) == b":0\r\n"  # that was database 0
        assert await _call(colour, asked.answer, "a") == "a 1"
        await aclose()

    asyncio.run(scenario())


def test_a_write_that_failed_is_stored_when_redis_is_back(colour: Colour, redis_url: str) -> None:
    """An answer made while Redis was out is there for others afterwards, as if it had been stored."""
    asked = Asked(colour)

    async def scenario(proxy: FaultProxy) -> None:
        configure(cache_policy(proxy.url, redis=TRYING, local={"enabled": False}))
        await _call(colour, asked.answer, "warm")
        _cut_off(proxy)
        assert await _call(colour, asked.answer, "a") == "a 2"
        proxy.fault = None
        await _drained(colour, asked.answer)
        with observe() as seen:
            assert await _call(colour, asked.answer, "a") == "a 2"
        assert seen[0].tier == "l2"
        await aclose()

    with FaultProxy(redis_url) as proxy:
        asyncio.run(scenario(proxy))
        close()


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """When too much is kept, values go first; when an invalidation must go, all as old as it is refused."""
    monkeypatch.setattr(replaying, "MOST_ENTRIES", 3)
    time = ManualClock()
    replay = _replay(time)
    replay.keep_write(_made("w1", b"x", time.now_wall), time.now_wall + 60)
    for n in range(3):
        time.advance(1)
        replay.keep_invalidation(f"i{n}")
    assert len(replay) == 3
    assert replay.dropped == 1
    assert not replay.forbids("w1", time.now_wall - 10, b"")
    assert replay.forbids("i0", time.now_wall - 2, b"")
    at = time.now_wall
    time.advance(1)
    replay.keep_invalidation("i3")
    assert replay.dropped == 2
    assert replay.forbids("i0", at - 2, b"")
    assert replay.forbids("anything", at - 3, b"")
    assert not replay.forbids("anything", at, b"")


def test_bytes_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large values that could not be stored do not pile up."""
    monkeypatch.setattr(replaying, "MOST_BYTES", 10_000)
    replay = _replay(ManualClock())
    for n in range(100):
        replay.keep_write(_made(f"w{n}", bytes(3000), n), n + 60)
    assert len(replay) == 3
    assert replay._bytes <= 10_000


def test_the_last_word_on_an_entry_counts() -> None:
    """A write that began before an invalidation does not return after it."""
    time = ManualClock()
    replay = _replay(time)
    began = time.now_wall
    time.advance(1)
    replay.keep_invalidation("key")
    replay.keep_write(_made("key", b"old", began), began + 60)
    assert replay.forbids("key", began, b"")
    (pending,) = replay._pending.values()
    assert isinstance(pending, replaying._Invalidation)


def _replay(time: ManualClock) -> Replay:
    return Replay(time.clock, ServerTime(time.clock), Names.of("test"), lambda _: b"", lambda *_: None)


def _made(key: str, blob: bytes, created: float) -> Made:
    return Made(key, "", b"", created, created, 60.0, blob)


def _cut_off(proxy: FaultProxy) -> None:
    """Have Redis out: it is told at once, without waiting for a deadline."""
    proxy.fault = Refuse()
    proxy.cut()


async def _call(colour: Colour, function: Any, *args: object) -> Any:
    return await function(*args) if colour.is_async else function(*args)


async def _drained(colour: Colour, answer: Any) -> None:
    """Make calls until all that was kept is replayed."""
    replay = next(iter(current.current().stores._sites.values())).replay

    async def is_empty() -> bool:
        await _call(colour, answer, "warm")
        return not replay

    await until_async(is_empty, "the replay")


def test_c2_making_up_for_what_was_lost_takes_its_share_of_the_deadline(redis_url: str) -> None:
    """C2: sync code replays within a call: however much there is, and how slowly, it pays one deadline."""
    with FaultProxy(redis_url) as proxy:
        configure(cache_policy(proxy.url, redis={"deadline": "200ms"}, local={"enabled": False}))
        asked = Asked(SYNC)
        asked.answer("before")
        close()
        proxy.fault = Refuse()
        for number in range(60):
            asked.answer(str(number))
        site = next(iter(current.current()._plans)).site
        assert len(site.replay) == 60
        site.guard.sole.succeeded()  # whatever the breaker made of it
        proxy.fault = Late(0.02)
        asked.answer("after")
        assert len(site.replay) >= 50  # each takes a tenth of the deadline; none is left, had each its own
        close()


def test_a_store_without_a_deadline_has_none_after_a_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the process a call may wait for ever: having made up for something first does not end that."""
    patience: list[float] = []
    execute = MemorySync.execute

    def recording(store: MemorySync, command: Command[Any], timeout: float) -> Any:
        patience.append(timeout)
        return execute(store, command, timeout)

    monkeypatch.setattr(MemorySync, "execute", recording)
    configure(cache_policy("memory://", local={"enabled": False}))
    asked = Asked(SYNC)
    asked.answer("a")
    site = next(iter(current.current().stores._sites.values()))
    site.replay._keep("lost", replaying._Invalidation(1.0))
    asked.answer("b")
    assert not site.replay
    assert set(patience) == {math.inf}
