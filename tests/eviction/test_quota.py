"""``eviction: {mode: quota}``: what entries take in Redis is bounded, and what was used longest ago goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import redis

from cachepolicy import SessionManager, aclose, cached, configure, namespace
from cachepolicy.runtime import current
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.tiers import entries
from cachepolicy.tiers.entries import Made
from cachepolicy.tiers.notices import Names
from cachepolicy.tiers.quota import Quota
from tests.support.colour import Colour
from tests.support.filling import FULL, Filled, LoggedIn
from tests.support.policies import cache_policy
from tests.support.sessions_policy import do
from tests.support.waiting import until

MOST = 200 * 1024
SIZES = "test:~sizes:answers"


class Cache:
    """A cache of texts within a quota, in one colour, and hands in its Redis."""

    def __init__(self, colour: Colour, url: str, **rule: Any) -> None:
        self.colour = colour
        self.client: Any = redis.Redis.from_url(f"{url.removesuffix('/0')}/1")
        self.calls: list[str] = []
        configure(self.policy(url, **rule))

        @colour.decorate(cached("answers", key="answer:{name}"))
        def answer(name: str, size: int) -> str:
            self.calls.append(name)
            return "x" * size

        self.answer = answer

    @staticmethod
    def policy(url: str, **rule: Any) -> dict[str, Any]:
        """Return its policy: no L1, no compression, 200 KiB."""
        plain: dict[str, Any] = {
            "local": {"enabled": False},
            "compression": {"enabled": False},
            "admit": {"max_value": "64KiB"},
            "eviction": {"mode": "quota", "max_bytes": MOST},
        }
        return cache_policy(url, **{**plain, **rule})

    def ask(self, *names: str, size: int = 1000) -> None:
        """Ask for the answers of these names, one after the other."""
        self.each([partial(self.answer, name, size) for name in names])

    def each(self, begins: list[Callable[[], Any]]) -> None:
        """Do these things in turn, on one loop."""
        if not self.colour.is_async:
            for begin in begins:
                begin()
            return

        async def main() -> None:
            try:
                for begin in begins:
                    await begin()
            finally:
                await aclose()

        asyncio.run(main())

    def taken(self) -> int:
        """Add up what the entries that are there take, by looking at each."""
        keys = [key for key in self.client.scan_iter("test:answers:*", count=1000) if b":v:" not in key]
        return sum(160 + 2 * _given(len(key) + 4) + _given(self.client.strlen(key) + 6) for key in keys)

    def names(self) -> set[str]:
        """Name the answers that are there."""
        return {key.decode().rpartition(":")[2] for key in self.client.scan_iter("*:answer:*", count=1000)}

    def counted(self) -> int:
        """Return what they are said to take."""
        return int(self.client.hget(SIZES, "") or 0)


def _given(size: int) -> int:
    """Round up to what an allocator gives: four sizes from each power of two to the next."""
    step = max(16, 1 << (size - 1).bit_length() - 3)
    return -(-size // step) * step


@pytest.fixture
def cache(colour: Colour, roomy: RedisServer) -> Iterator[Cache]:
    """Give a cache with a quota on a real server."""
    made = Cache(colour, roomy.url)
    yield made
    made.client.close()


def test_no_more_than_the_quota_is_taken(cache: Cache) -> None:
    """Whatever is stored, entries never take more than `max_bytes`, and little less once there are enough."""
    for number in range(40):
        cache.ask(*(f"{number}-{each}" for each in range(10)), size=200 + 97 * number)
        assert cache.taken() == cache.counted() <= MOST
    assert cache.counted() > MOST * 0.85


@pytest.mark.parametrize("size", [60, 400, 1000, 4000])
def test_the_quota_covers_what_redis_needs(filled: Callable[[str], Filled], size: int) -> None:
    """A quota is of memory: entries with their place in the count take what Redis says they do."""
    memory, quota = filled("noeviction"), Quota(SIZES, 2**30, 3_600_000)
    _stored(memory.client, quota, range(300), size)  # connections and scripts take their place
    before = memory.info("used_memory"), int(memory.client.hget(SIZES, ""))
    assert _stored(memory.client, quota, range(300, 4_000), size) == 3_700
    grown = memory.info("used_memory") - before[0]
    assert 0.98 * grown < int(memory.client.hget(SIZES, "")) - before[1] < 1.1 * grown


def test_what_was_used_longest_ago_goes(cache: Cache) -> None:
    """Of those that are looked at the one goes that nobody read for longest, by the server's clock."""
    cache.ask(*(f"old-{n}" for n in range(250)), size=300)
    for name in (f"old-{n}" for n in range(250)):
        key = f"test:answers:answer:{name}"
        cache.client.restore(key, cache.client.pttl(key), cache.client.dump(key), replace=True, idletime=900)
    read = [f"old-{n}" for n in range(80)]
    cache.ask(*read, size=300)  # hits
    assert len(cache.calls) == 250
    cache.ask(*(f"new-{n}" for n in range(100)), size=300)
    left = cache.names()
    assert len(left & set(read)) > 75  # by chance forty of them would have gone
    assert len([name for name in left if name.startswith("old-")]) < 220


def test_a_large_value_pushes_out_many(cache: Cache) -> None:
    """A value as large as fifty others is stored, and those go; one step does it."""
    cache.ask(*(f"small-{n}" for n in range(400)), size=100)
    cache.ask("large", size=60_000)
    assert "large" in cache.names()
    assert cache.taken() == cache.counted() <= MOST


@pytest.mark.parametrize("purge", [True, False])
def test_what_is_invalidated_makes_room(cache: Cache, purge: bool) -> None:
    """What is purged no longer counts, and others stay for it. What is only expired may serve, and counts."""
    cache.ask(*(f"a-{n}" for n in range(100)))
    before = cache.counted()
    answers = namespace("answers")
    verb = answers.purge_key if purge else answers.expire_key
    begin = verb if cache.colour.is_async else verb.sync
    cache.each([partial(begin, f"test:answers:answer:a-{n}") for n in range(50)])
    assert cache.counted() == (pytest.approx(before / 2, rel=0.01) if purge else before)
    cache.ask(*(f"b-{n}" for n in range(50)))
    if purge:
        assert {f"a-{n}" for n in range(50, 100)} <= cache.names()
    assert cache.counted() <= MOST


def test_c5_an_invalidation_is_not_evicted(cache: Cache) -> None:
    """C5: what is remembered of an invalidation stays, however much is stored after it."""
    cache.ask("gone", *(f"a-{n}" for n in range(100)))
    verb = namespace("answers").purge_key
    begin = verb if cache.colour.is_async else verb.sync
    cache.each([lambda: begin("test:answers:answer:gone")])
    cache.ask(*(f"b-{n}" for n in range(300)))
    assert cache.client.getrange("test:answers:answer:gone", 2, 2) == b"\0"


def test_what_has_ended_by_itself_is_forgotten(cache: Cache) -> None:
    """The count of entries that have gone without it is put right before any that is there goes."""
    cache.ask(*(f"a-{n}" for n in range(120)))
    for n in range(80):
        cache.client.delete(f"test:answers:answer:a-{n}")
    cache.ask(*(f"b-{n}" for n in range(60)))
    assert len([name for name in cache.names() if name.startswith("a-")]) > 30
    assert cache.taken() <= cache.counted() <= MOST


def test_entries_from_before_are_found(cache: Cache, roomy: RedisServer) -> None:
    """A quota that is given to a full cache, or whose count Redis has lost, holds a moment later."""
    configure(Cache.policy(roomy.url, eviction={}))
    cache.ask(*(f"a-{n}" for n in range(600)))
    assert cache.taken() > 3 * MOST
    configure(Cache.policy(roomy.url))
    cache.ask("one")
    until(lambda: cache.taken() <= MOST, "the count of what was there")
    cache.ask(*(f"b-{n}" for n in range(10)))
    assert cache.taken() <= MOST


def test_a_value_without_room_is_given_and_not_kept(cache: Cache) -> None:
    """C1: where nothing can go for a value it is not stored; its caller has it, and it is counted."""
    cache.ask(*(f"a-{n}" for n in range(20)))
    cache.client.hset(SIZES, "", 10 * MOST)  # a count that nothing there can account for
    cache.client.hset(SIZES, mapping={f"ghost-{n}": 0 for n in range(5)})
    cache.ask("b", size=2000)
    assert cache.calls[-1] == "b"
    cache.ask("c", size=2000)
    assert cache.taken() <= MOST


@pytest.mark.parametrize("policy", ["allkeys-lfu", "volatile-lfu", "volatile-random"])
def test_it_holds_whatever_the_server_counts(
    cache: Cache, filled: Callable[[str], Filled], policy: str
) -> None:
    """A server that counts uses, or nothing, instead of times holds the quota too."""
    filled(policy)
    for number in range(10):
        cache.ask(*(f"{number}-{each}" for each in range(20)), size=3000)
        assert cache.taken() == cache.counted() <= MOST
    assert cache.counted() > MOST * 0.85


def test_it_holds_on_each_store(colour: Colour, any_url: str) -> None:
    """In memory, on Redis and on Valkey: what was stored last is there, and others have gone for it."""
    cache = Cache(colour, "redis://127.0.0.1:1")
    configure(Cache.policy(any_url))
    cache.ask(*map(str, range(200)), size=3000)
    assert len(cache.calls) == 200
    cache.ask("199", size=3000)
    assert len(cache.calls) == 200
    quota = current.current().home("answers", current.current().cache("answers", "", "")).quota
    assert quota is not None
    assert 100 < quota.evicted < 200
    assert quota.refused == 0
    cache.client.close()


def test_a_quota_keeps_a_server_from_filling(
    colour: Colour, roomy: RedisServer, filled: Callable[[str], Filled]
) -> None:
    """A cache of 10 MB on a server of 30 that evicts nothing: no write fails, nobody is logged out."""
    memory = filled("noeviction")
    both = Cache.policy(roomy.url, eviction={"mode": "quota", "max_bytes": 10 * 2**20})
    both["namespaces"]["sessions"] = {
        "kind": "sessions",
        "eviction": {"mode": "server"},
        "guarantee": "required",
    }
    configure(both)
    users = LoggedIn(colour, 100)
    quota = Quota(SIZES, 10 * 2**20, 3_600_000)
    assert _stored(memory.client, quota, range(9_000), 4000) == 9_000
    assert quota.evicted > 6_000
    assert memory.info("used_memory") < 0.5 * FULL
    assert users.there() == 100
    do(colour, SessionManager().create_session, "one more")


def _stored(client: Any, quota: Quota, numbers: range, size: int) -> int:
    """Store values beside the decorated function, many at once; return how many were."""
    stored, names = 0, Names.of("test")
    for first in numbers[::300]:
        with client.pipeline(transaction=False) as pipe:
            for number in range(first, min(first + 300, numbers.stop)):
                blob = b"\xca\x0c\x02" + number.to_bytes(4) + b"x" * size + number.to_bytes(12)
                key = f"test:answers:{number:064}"
                made = Made(key, "", b"", time.time(), time.time(), 3600.0, blob, quota)
                store = entries.store(made, names, b"")
                pipe.execute_command(*(store.with_source() if number == first else store).words)
            stored += sum(quota.heard(reply) for reply in pipe.execute())
    return stored


def test_two_at_once_keep_it(colour: Colour, roomy: RedisServer) -> None:
    """Whoever writes at the same time, in threads or tasks, the quota is one."""
    cache = Cache(colour, roomy.url)
    works = [partial(cache.answer, f"{worker}-{n}", 2000) for n in range(25) for worker in range(8)]
    if colour.is_async:

        async def main() -> None:
            try:
                await asyncio.gather(*(work() for work in works))
            finally:
                await aclose()

        asyncio.run(main())
    else:
        with ThreadPoolExecutor(8) as pool:
            for done in [pool.submit(work) for work in works]:
                done.result()
    assert cache.taken() == cache.counted() <= MOST
    cache.client.close()
