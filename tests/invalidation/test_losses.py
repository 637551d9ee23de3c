"""C5 where Redis, its clock, or what it remembers is lost."""

from __future__ import annotations

from typing import Any

import pytest

from cachepolicy import MISS, StoreError, close, configure, namespace
from cachepolicy.flow import replay as replaying
from cachepolicy.flow.single_flight import Flights
from cachepolicy.keys.layout import WHOLE, lease_key, tag_of, version_key
from cachepolicy.runtime import current
from cachepolicy.testing.fault_proxy import FaultProxy, Late, Refuse
from cachepolicy.testing.redis_server import RedisServer
from tests.support.colour import SYNC, Colour
from tests.support.policies import cache_policy
from tests.support.racing import MODEL, PATIENCE, QUESTION, WAYS, Invalidation, another_process, race
from tests.support.waiting import until

by = pytest.mark.parametrize("by", WAYS.values(), ids=WAYS)
BLIND: dict[str, Any] = {"enabled": False}


@pytest.mark.parametrize("tag", ["whole", "model"])
def test_c5_entries_whose_version_is_lost_are_misses(
    colour: Colour, redis_server: RedisServer, tag: str
) -> None:
    """C5: a version that was evicted begins anew as no entry knows it: nothing purged comes back."""
    redis_server.command("FLUSHALL")
    with race(colour, redis_server.url, BLIND) as racing:
        assert racing.ask() == 0
        racing.truth.now += 1
        keys = redis_server.command("KEYS", "test:answers:v:*").split()
        names = [key.decode() for key in keys if key.startswith(b"test:")]
        whole = version_key("test:answers:", WHOLE)
        assert whole in names
        redis_server.command(
            "DEL", *([whole] if tag == "whole" else [name for name in names if name != whole])
        )
        until(lambda: racing.ask() == 1, "the loss to be heard of")
        assert all(tag_of("test:answers:", name) is not None for name in names)


@pytest.mark.parametrize("flush", ["FLUSHALL", "FLUSHDB"])
def test_c5_a_flush_from_outside_leaves_nothing(colour: Colour, own_redis: RedisServer, flush: str) -> None:
    """C5: who empties Redis by hand empties L1 too, as soon as it is heard."""
    with race(colour, own_redis.url, {}) as racing:
        assert racing.ask() == 0
        hearing = next(iter(current.current()._plans)).site.hearing
        until(lambda: hearing.live, "the watch")
        racing.truth.now += 1
        own_redis.command(flush)
        until(lambda: racing.ask() == 1, "the news")
        assert racing.ask() == 1


def test_c5_versions_never_go_back(redis_server: RedisServer) -> None:
    """C5: where the server's clock has jumped back, a purge is still newer than the one before."""
    redis_server.command("FLUSHALL")
    with race(SYNC, redis_server.url, BLIND) as racing:
        assert racing.ask() == 0
        whole = version_key("test:answers:", WHOLE)
        future = r"\000\005" * 8  # decades ahead
        redis_server.command("EVAL", f"redis.call('SET', KEYS[1], '{future}')", "1", whole)
        assert racing.ask() == 0
        seen = redis_server.command("GET", whole)
        for number in range(1, 4):
            racing.truth.now = number
            racing.answers.purge_all.sync()
            assert racing.ask() == number
            now = redis_server.command("GET", whole)
            assert now > seen
            seen = now


@pytest.mark.parametrize("expires", [False, True], ids=["purge", "expire"])
def test_c5_a_clock_that_jumped_back_lets_no_load_slip_through(
    redis_server: RedisServer, expires: bool
) -> None:
    """C5: a load loses to an invalidation that its server dates before the load's beginning."""
    redis_server.command("FLUSHALL")
    with race(SYNC, redis_server.url, BLIND) as racing:
        key = racing.answer.key(QUESTION, MODEL)
        if expires:
            assert racing.ask() == 0
            racing.run(lambda: racing.answer.expire(QUESTION, MODEL))
        load = racing.overtaken(WAYS["key"], purge=not expires)
        backwards = (
            "redis.call('SETRANGE', KEYS[1], redis.call('STRLEN', KEYS[1]) - 8, '\\0\\0\\0\\0\\0\\0\\0\\5')"
        )
        redis_server.command("EVAL", backwards, "1", key)
        racing.release.set()
        assert load.result(PATIENCE) == 0
        assert racing.ask() == 1


def test_c5_a_lost_lease_does_not_help(colour: Colour, redis_server: RedisServer) -> None:
    """C5: a load whose lease was evicted stores its value if nothing happened, and nothing otherwise."""
    redis_server.command("FLUSHALL")
    with race(colour, redis_server.url, BLIND) as racing:
        key = racing.answer.key(QUESTION, MODEL)
        load = racing.overtaken(lambda *_: None, purge=True)
        redis_server.command("DEL", lease_key(key))
        racing.release.set()
        assert load.result(PATIENCE) == 0
        assert racing.ask() == 0
        racing.answers.purge_key.sync(key)
        load = racing.overtaken(WAYS["key"], purge=True)
        redis_server.command("DEL", lease_key(key))
        racing.release.set()
        load.result(PATIENCE)
        assert racing.ask() == 2


@by
def test_c5_with_redis_slow(colour: Colour, redis_url: str, by: Invalidation) -> None:
    """C5: late replies change nothing of who wins."""
    with FaultProxy(redis_url) as proxy, race(colour, proxy.url, {}) as racing:
        current.close()
        configure(cache_policy(proxy.url, db=0, redis={"deadline": "5s"}))
        proxy.fault = Late(0.01)
        load = racing.overtaken(by, purge=True)
        racing.release.set()
        load.result(PATIENCE)
        assert racing.ask() == 1
        close()


@by
def test_c5_an_outage_resurrects_nothing(colour: Colour, redis_url: str, by: Invalidation) -> None:
    """C5: what was loaded, and purged, while Redis was out does not come back with it."""
    with FaultProxy(redis_url) as proxy, race(colour, proxy.url, {}) as racing:
        configure(cache_policy(proxy.url, db=0, redis={"breaker": {"failures": 10_000}}))
        racing.ask("another of the same tags")
        proxy.fault = Refuse()
        proxy.cut()

        def purge(*_: object) -> None:
            with pytest.raises(StoreError):
                by(racing, True)

        load = racing.overtaken(purge, purge=True)
        racing.release.set()
        load.result(PATIENCE)
        assert racing.ask() == 1
        proxy.fault = None
        site = next(iter(current.current()._plans)).site

        def is_replayed() -> bool:
            assert racing.ask() == 1
            return not site.replay

        until(is_replayed, "the replay")
        another_process(redis_url, {})
        assert racing.ask() == 1


def test_c5_a_purge_is_not_weakened_by_an_expiry_in_an_outage() -> None:
    """C5: of a tag that was purged and then expired while Redis was out, nothing stale serves afterwards."""
    configure(cache_policy())
    namespace("answers").purge_all.sync()
    site = next(iter(current.current().stores._sites.values()))
    site.replay.keep_version("test:answers:", WHOLE, 60.0, purge=True)
    site.replay.keep_version("test:answers:", WHOLE, 60.0, purge=False)
    (pending,) = site.replay._pending.values()
    assert isinstance(pending, replaying._Version)
    assert pending.purge is True


def test_c5_no_cache_and_refresh_are_kept_by_a_process_that_knows_no_versions(
    colour: Colour, redis_url: str
) -> None:
    """C5: a fresh process that begins with ``refresh()`` reads the versions first; its value is stored."""
    with race(colour, redis_url, {}) as racing:
        assert racing.run(lambda: racing.answer.refresh(QUESTION, MODEL)) == 0
        another_process(redis_url, {})
        racing.truth.now += 1
        assert racing.run(lambda: racing.answer.peek(QUESTION, MODEL)) == 0
        racing.answers.purge_all.sync()
        assert racing.run(lambda: racing.answer.peek(QUESTION, MODEL)) is MISS


def test_c5_a_load_that_a_refresh_overtook_stores_nothing(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C5: ``refresh()`` takes the lease; what was under way leaves nothing, also before the refresh ends."""
    redis_server.command("FLUSHALL")
    with race(SYNC, redis_server.url, BLIND) as racing:
        key = racing.answer.key(QUESTION, MODEL)
        load = racing.overtaken(lambda *_: None, purge=True)
        monkeypatch.setattr(Flights, "_fence", lambda *_: None)  # as in another process
        release, again = racing.release, racing.truth.hold()
        fresh = racing.pool.submit(racing.answer.refresh, QUESTION, MODEL)
        assert racing.truth.began.wait(PATIENCE)
        release.set()
        assert load.result(PATIENCE) == 0
        assert redis_server.command("EXISTS", key) == b":0\r\n"
        again.set()
        assert fresh.result(PATIENCE) == 1


def test_c5_a_zombie_whose_clock_is_ahead_overwrites_nothing(redis_server: RedisServer) -> None:
    """C5: a load that lost its lease leaves what was stored since, whatever the clocks of the two say."""
    redis_server.command("FLUSHALL")
    with race(SYNC, redis_server.url, BLIND) as racing:
        key = racing.answer.key(QUESTION, MODEL)
        load = racing.overtaken(lambda *_: None, purge=True)
        redis_server.command("DEL", lease_key(key))
        newer = (
            "'\\202\\012\\2' .. string.rep('\\0', 20) .. '\\1' .. string.rep('\\0', 40)"  # created in 1970
        )
        redis_server.command("EVAL", f"redis.call('SET', KEYS[1], {newer})", "1", key)
        racing.release.set()
        assert load.result(PATIENCE) == 0
        assert redis_server.command("STRLEN", key) == b":64\r\n"
