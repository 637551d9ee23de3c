"""L1 hears of changes in Redis: C6, with real servers and several processes."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import redis

from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.testing.topologies import RedisCluster, RedisSentinel
from cachepolicy.tiers.coherence import Mode
from cachepolicy.tiers.endpoint import Tls
from cachepolicy.tiers.listener import NullWatch
from cachepolicy.tiers.notices import Lease, Numbering, void
from tests.support.source import ROOT
from tests.support.tls import TlsServer
from tests.support.waiting import until
from tests.support.watched import (
    APP,
    KEYS,
    L1,
    LONG,
    MARK,
    PREFIX,
    client,
    unique_value,
    write_at_random,
)

KEY = PREFIX + "key"
CHANGES, LEASES = f"{APP}:~changes", f"{APP}:~leases"
WAYS: list[Mode] = ["tracking", "pubsub"]

both_ways = pytest.mark.parametrize("way", WAYS)


class Other:
    """Another process: changes keys, and says so."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.redis: redis.Redis = client(url, **settings)
        self.numbering = Numbering()

    def set(self, key: str, value: bytes) -> None:
        self.redis.set(key, value)
        self.say(self.numbering.next(key, value[-5:]))

    def delete(self, key: str) -> None:
        self.redis.unlink(key)
        self.say(self.numbering.next(key))

    def say(self, message: bytes, channel: str = CHANGES) -> None:
        self.redis.publish(channel, message)


@contextmanager
def _other(url: str, **settings: Any) -> Iterator[Other]:
    other = Other(url, **settings)
    with other.redis:
        yield other


def _fill(l1: L1, other: Other, key: str, value: bytes, **how: Any) -> None:
    """Have Redis and L1 hold a value, and the push of that write be over."""
    before = l1.told.count(("changed", key))
    other.redis.set(key, value, **how)
    if not l1.publishes:
        until(lambda: l1.told.count(("changed", key)) > before, "the write")
    l1.read(other.redis, key)


def _heard(l1: L1, event: str, key: str = KEY) -> Callable[[], bool]:
    return lambda: (event, key) in l1.told


# changes


@both_ways
def test_a_change_by_another_drops_the_copy(way: Mode, redis_url: str) -> None:
    """C6: after another client wrote or removed a key, the next read gets what Redis holds."""
    with L1(redis_url, way) as l1, _other(redis_url) as other:
        for value in (b"two", None):
            _fill(l1, other, KEY, b"one")
            if value is None:
                other.delete(KEY)
            else:
                other.set(KEY, value)
            until(lambda: KEY not in l1.held(), "the change")
            assert l1.read(other.redis, KEY) == value


def test_expiry_and_eviction_are_changes(own_redis: RedisServer) -> None:
    """C6: what Redis lets go by itself, L1 lets go too."""
    with L1(own_redis.url) as l1, _other(own_redis.url) as other:
        _fill(l1, other, KEY, b"value", px=100)
        until(lambda: not l1.held(), "the expiry")
        _fill(l1, other, KEY, b"value")
        other.redis.config_set("maxmemory-policy", "allkeys-lru")
        other.redis.config_set("maxmemory", "1")
        until(lambda: not l1.held(), "the eviction")
        assert l1.watch.live


def test_keys_of_others_are_nobodys_business(redis_url: str) -> None:
    """A key outside the prefixes is not told of, and a key that is no text does no harm."""
    with L1(redis_url) as l1, _other(redis_url) as other:
        other.redis.set("app:other:key", b"")
        other.redis.set(PREFIX.encode() + b"\xff\xfe", b"")
        other.redis.set(MARK, b"")
        l1.settle()
        assert ("changed", "app:other:key") not in l1.told
        assert l1.watch.errors == 0


def test_keys_come_as_they_were_stored(redis_url: str) -> None:
    """redis-py #3766: a key is found whatever it is made of, text and bytes being two spellings of it."""
    keys = [PREFIX + text for text in ("plain", "ünïcödé", "a b:c*{d}", "x" * 500)]
    with L1(redis_url) as l1, _other(redis_url) as other:
        for key in keys:
            _fill(l1, other, key, b"one")
        assert set(l1.held()) == set(keys)
        for key in keys:
            other.redis.set(key.encode(), b"two")
        until(lambda: not l1.held(), "the changes")


def test_a_change_that_overtakes_the_reply_cancels_the_fill(redis_url: str) -> None:
    """C6: a reply that was on its way while its key changed is not put (cashews: v1 after v2, for good)."""
    with L1(redis_url) as l1, _other(redis_url) as other:
        other.redis.set(KEY, b"v1")
        token = l1.cache.token(KEY)
        value = other.redis.get(KEY)
        l1.told.clear()
        other.redis.set(KEY, b"v2")
        until(_heard(l1, "changed"), "the change")
        assert l1.cache.put(l1.entry(KEY, value), token) is False  # type: ignore[arg-type] # it is bytes
        assert l1.read(other.redis, KEY) == b"v2"


@both_ways
@pytest.mark.parametrize("flush", ["FLUSHALL", "FLUSHDB"])
def test_flushing_redis_flushes_l1(way: Mode, flush: str, redis_url: str) -> None:
    """C6: FLUSHALL and FLUSHDB drop all, and the watch goes on; pub/sub does not tell of them."""
    with L1(redis_url, way) as l1, _other(redis_url) as other:
        _fill(l1, other, KEY, b"value")
        other.redis.execute_command(flush)
        if way == "tracking":
            until(lambda: not l1.held(), "the flush")
        assert l1.watch.live
        assert l1.watch.losses == 0


# own writes


@both_ways
def test_an_own_write_stays(way: Mode, redis_url: str) -> None:
    """C6: the echo of an own write is verified, and the copy kept."""
    with L1(redis_url, way) as l1, _other(redis_url) as other:
        l1.write(other.redis, KEY, b"mine")
        until(_heard(l1, "verified"), "the verification")
        other.set(MARK, b"mark")
        l1.settle()
        assert l1.held() == {KEY: "mine"}


@both_ways
def test_an_own_write_that_was_overtaken_is_dropped(way: Mode, redis_url: str) -> None:
    """C6: no push is taken for an echo: another's write right after one's own is heard (cashews: ignored)."""
    with L1(redis_url, way) as l1, _other(redis_url) as other:
        for number in range(50):
            l1.write(other.redis, KEY, b"%d mine." % number)
            other.set(KEY, b"%d their" % number)
            until(lambda: KEY not in l1.held(), "the other's write")


@both_ways
def test_which_thread_wrote_last_redis_alone_knows(way: Mode, redis_url: str) -> None:
    """C6: of two threads of one process, the one that L1 heard last need not be the one that Redis did."""
    with L1(redis_url, way) as l1, _other(redis_url) as other:
        l1.cache.put(l1.entry(KEY, b"first", own=True))  # its thread was slow to get here
        other.redis.set(KEY, b"later")
        other.say(l1.watch.notice(KEY, b"later"))
        until(lambda: not l1.held(), "the own write to be seen through")


@both_ways
def test_writers_end_in_agreement(way: Mode, redis_url: str) -> None:
    """C6: six threads and three L1s write the same 200 keys; none is left with what Redis does not hold."""
    with ExitStack() as stack:
        l1s = [stack.enter_context(L1(redis_url, way, heartbeat=LONG, patience=LONG)) for _ in range(3)]
        threads = [
            threading.Thread(target=write_at_random, args=(l1s[number % 3], redis_url, number, 2))
            for number in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with _other(redis_url) as other:
            other.set(MARK, b"mark")
            for l1 in l1s:
                l1.settle()
            stored = _stored(other.redis)
        for l1 in l1s:
            held = l1.held()
            assert held.items() <= stored.items()
            assert (l1.watch.losses, l1.watch.gaps, l1.watch.errors) == (0, 0, 0)
        assert sum(len(l1.held()) for l1 in l1s) > KEYS // 4  # it was not by dropping everything


@both_ways
def test_processes_end_in_agreement(way: Mode, redis_url: str) -> None:
    """C6: two processes of two threads write the same 200 keys at once; cashews left 128 of them wrong."""
    command = [sys.executable, "-m", "tests.support.watched", redis_url, way]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    with ExitStack() as stack:
        writers = [
            stack.enter_context(subprocess.Popen([*command, str(number)], **pipes)) for number in (0, 1)
        ]
        for word in ("ready\n", "written\n"):
            for writer in writers:
                assert _line(writer) == word
            if word == "ready\n":
                for writer in writers:
                    _go_on(writer)
        with _other(redis_url) as other:
            other.set(MARK, b"mark")
            stored = _stored(other.redis)
        reports = [json.loads(writer.communicate("\n")[0]) for writer in writers]
    for report in reports:
        assert report["held"].items() <= stored.items()
        assert (report["losses"], report["gaps"]) == (0, 0)
    assert any(report["held"] for report in reports)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def _go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def _stored(connection: redis.Redis) -> dict[str, str]:
    keys = [f"{PREFIX}{number}" for number in range(KEYS)]
    values: Any = connection.mget(keys)
    return {key: value.decode() for key, value in zip(keys, values, strict=True)}


def test_readers_and_a_writer_never_freeze(redis_url: str) -> None:
    """redis-py #3470: readers, a writer and a stream of changes: all get through, nothing is stale."""
    with L1(redis_url) as l1:

        def work(number: int) -> None:
            dice = random.Random(number)
            with _other(redis_url) as other:
                for _ in range(1000):
                    key = f"{PREFIX}{dice.randrange(50)}"
                    if number == 0:
                        other.redis.set(key, unique_value(number))
                    else:
                        l1.read(other.redis, key)

        threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads)
        with _other(redis_url) as other:
            other.redis.set(MARK, b"")
            l1.settle()
            for key, value in l1.held().items():
                assert other.redis.get(key) == value.encode()
        assert l1.watch.errors == 0


def test_a_verification_waits_for_no_heartbeat(redis_url: str) -> None:
    """C6: what is to be verified is asked at once, each time."""
    with L1(redis_url, heartbeat=60.0) as l1:
        for number in range(5):
            key = f"{PREFIX}{number}"
            l1.watch.verify(key)
            until(_heard(l1, "verified", key), "the verification")


def test_a_flood_of_verifications_is_answered(redis_url: str) -> None:
    """Own writes by the thousand are all verified, in order, without waiting for each."""
    with L1(redis_url) as l1, _other(redis_url) as other:
        keys = [f"{PREFIX}{number}" for number in range(5_000)]
        other.redis.mset(dict.fromkeys(keys, b"value"))
        for key in keys:
            l1.cache.put(l1.entry(key, b"value", own=True))
            l1.watch.verify(key)
        other.redis.set(MARK, b"")
        l1.settle()
        assert {key for event, key in l1.told if event == "verified"} == {*keys, MARK}
        assert set(l1.held()) == set(keys)


# leases


@both_ways
def test_news_of_leases_is_passed_on(way: Mode, redis_url: str) -> None:
    """C3: who waits for another's work hears that it goes on, or ended without a value."""
    with L1(redis_url, way) as l1, _other(redis_url) as other:
        other.say(Lease.RENEWED.say(KEY), LEASES)
        other.say(Lease.RELEASED.say(KEY), LEASES)
        other.say(b"?nothing of ours", LEASES)
        until(lambda: l1.told[-2:] == [("renewed", KEY), ("released", KEY)], "the news")


# pub/sub


def _pubsub(url: str, **settings: Any) -> L1:
    return L1(url, "pubsub", **settings)


def _mark(l1: L1, other: Other) -> None:
    other.say(Numbering().next(MARK))
    until(lambda: ("changed", MARK) in l1.told, "the mark")
    l1.told.clear()


def test_a_missing_message_flushes(redis_url: str) -> None:
    """C6: where a number is missing, a change may be: L1 is dropped within a heartbeat or two."""
    with _pubsub(redis_url) as l1, _other(redis_url) as other:
        other.say(other.numbering.next(KEY))
        _mark(l1, other)
        _fill(l1, other, MARK, b"held")
        other.numbering.next(KEY)  # lost on the way
        other.say(other.numbering.next(KEY))
        until(_heard(l1, "lost", ""), "the loss to be noticed")
        assert l1.held() == {}
        assert (l1.watch.gaps, l1.watch.live, l1.watch.losses) == (1, True, 0)


def test_the_last_message_can_be_missed_too(redis_url: str) -> None:
    """C6: a loss is noticed although nothing follows: the other's heartbeat tells how many there were."""
    with _pubsub(redis_url) as l1, _pubsub(redis_url) as other, client(redis_url) as connection:
        connection.publish(CHANGES, other.watch.notice(KEY))
        until(_heard(l1, "changed"), "the first message")
        l1.told.clear()
        other.watch.notice(KEY)  # lost on the way
        until(_heard(l1, "lost", ""), "the loss to be noticed")
        assert l1.watch.gaps >= 1  # a heartbeat that overtook the first message looks like a loss, too


def test_a_first_message_can_be_missed(redis_url: str) -> None:
    """C6: a source that was never heard, and does not begin with number 1, may have said something before."""
    with _pubsub(redis_url) as l1, _other(redis_url) as other:
        l1.told.clear()
        other.numbering.next(KEY)  # lost on the way
        other.say(other.numbering.next(MARK))
        until(_heard(l1, "lost", ""), "the loss to be noticed")


def test_late_messages_and_those_never_sent_are_no_loss(redis_url: str) -> None:
    """A number that comes late, or is told to mean nothing, costs no flush."""
    with _pubsub(redis_url, heartbeat=0.3) as l1, _pubsub(redis_url) as writer, _other(redis_url) as other:
        l1.told.clear()
        first, second, third = (other.numbering.next(f"{PREFIX}{number}") for number in range(3))
        with other.redis.pipeline(transaction=True) as at_once:  # a busy machine may take long between two
            for message in (third, first, void(second)):
                at_once.publish(CHANGES, message)
            at_once.execute()
        writer.watch.unsaid(writer.watch.notice(KEY))
        until(lambda: len([key for event, key in l1.told if event == "changed"]) == 2, "the changes")
        beat = l1.watch.pushes
        until(lambda: l1.watch.pushes > beat + 10, "some heartbeats")
        assert l1.watch.gaps == 0
        assert ("lost", "") not in l1.told


def test_a_message_that_cannot_be_read_flushes(redis_url: str) -> None:
    """C6: what another release may have said could have been about any key."""
    with _pubsub(redis_url) as l1, _other(redis_url) as other:
        l1.told.clear()
        other.say(b"?")
        until(_heard(l1, "lost", ""), "the flush")


# where Redis runs


@pytest.mark.parametrize("way", ["auto", "pubsub"])
def test_valkey_tells_too(way: Mode, valkey_server: RedisServer) -> None:
    """C6: Valkey does as Redis does."""
    with L1(valkey_server.url, way) as l1, _other(valkey_server.url) as other:
        l1.write(other.redis, KEY, b"mine")
        other.set(KEY, b"theirs")
        until(lambda: not l1.held(), "the change")


def test_over_a_unix_socket(redis_binary: str) -> None:
    """C6: a server without a port is listened to."""
    with RedisServer(unix=True) as server, L1(server.url) as l1, _other(server.url) as other:
        l1.write(other.redis, KEY, b"mine")
        other.set(KEY, b"theirs")
        until(lambda: not l1.held(), "the change")


def test_over_tls(tls_server: TlsServer) -> None:
    """C6: an encrypted connection is listened to, however much comes at once."""
    tls = Tls(ca=str(tls_server.server.folder / "ca.pem"))
    with (
        L1(f"rediss://127.0.0.1:{tls_server.port}", endpoint={"tls": tls}) as l1,
        _other(tls_server.server.url) as other,
    ):
        other.redis.mset({f"{PREFIX}{number:>200}": b"" for number in range(10_000)})
        other.redis.set(MARK, b"")
        l1.settle()
        assert len({key for event, key in l1.told if event == "changed"}) == 10_001
        assert l1.watch.losses == 0


def test_databases_that_do_not_separate(redis_url: str) -> None:
    """C6: a key of another database of the same name costs a copy, and is not taken for the own one."""
    with L1(redis_url) as l1, _other(redis_url) as other, _other(redis_url, db=2) as elsewhere:
        l1.write(other.redis, KEY, b"mine")
        until(_heard(l1, "verified"), "the echo")
        l1.told.clear()
        elsewhere.redis.set(KEY, b"theirs")
        until(_heard(l1, "verified"), "the change elsewhere")
        assert l1.held() == {KEY: "mine"}


def test_on_a_cluster(redis_cluster: RedisCluster) -> None:
    """C6: on a cluster changes are heard from any of its servers, own writes among them."""
    (there, *_), (here, *_) = redis_cluster.masters()[:1], redis_cluster.masters()[1:]
    with L1(redis_cluster.url) as l1, _other(here.url, db=0) as one, _other(there.url, db=0) as two:
        for other in (one, two):
            l1.cache.put(l1.entry(KEY, b"filled"))
            other.say(other.numbering.next(KEY, b"other"))
            until(lambda: not l1.held(), "the change")
        l1.cache.put(l1.entry(KEY, b"mine."), None)
        one.say(l1.watch.notice(KEY, b"mine."))
        l1.cache.put(l1.entry(KEY, b"mine.", own=True))
        one.say(l1.watch.notice(KEY, b"mine."))
        _mark(l1, two)
        assert l1.held() == {KEY: "mine."}
        keys = [f"{PREFIX}{number}" for number in range(9)]  # on all servers; the watch asks one of them
        for key in keys:
            l1.cache.put(l1.entry(key, b"mine.", own=True))
            l1.watch.verify(key)
        until(lambda: not l1.held().keys() & {*keys}, "what cannot be verified, or is not there, to go")


def test_a_failover_is_followed(redis_sentinel: RedisSentinel) -> None:
    """C6: when the sentinels name another master, L1 is dropped, and the new one listened to."""
    with L1(redis_sentinel.url, patience=2.0) as l1:
        l1.cache.put(l1.entry(KEY, b"filled"))
        master = redis_sentinel.failover()
        until(lambda: l1.watch.losses > 0 and l1.watch.live, "the new master")
        assert l1.held() == {}

        def is_heard() -> bool:
            with _other(master.url) as other:
                other.redis.set(MARK, b"")
            return ("changed", MARK) in l1.told

        until(is_heard, "a change of the new master")


def test_memory_has_nothing_to_hear() -> None:
    """Where nobody else can write, the watch is live, and asks nothing of anybody."""
    watch = NullWatch()
    watch.start()
    watch.verify(KEY)
    watch.unsaid(watch.notice(KEY, b"tail."))
    watch.after_fork()
    watch.close()
    assert watch.live
    assert (watch.losses, watch.lag) == (0, None)
