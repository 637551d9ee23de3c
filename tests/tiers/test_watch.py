"""The life of a watch: it knows when it is blind, drops L1 then, comes back, and leaves nothing behind."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cachepolicy.clock import SYSTEM
from cachepolicy.testing.fault_proxy import BlackHole, FaultProxy, Refuse
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.testing.scripted import OK, Scripted, Words, bulk
from cachepolicy.testing.topologies import RedisCluster
from cachepolicy.tiers.coherence import Mode
from cachepolicy.tiers.notices import shortest
from tests.support.waiting import until
from tests.support.watched import APP, L1, MARK, PREFIX, client

KEY = PREFIX + "key"
QUICK: dict[str, Any] = {"heartbeat": 0.2, "patience": 0.6}
SLACK = 8.0  # seconds that a busy machine may add
PASSWORD = "secret-canary"

_MARKED = b"12345678" + (1).to_bytes(8, "big") + b"\0" + MARK.encode()

both_ways = pytest.mark.parametrize("way", ["tracking", "pubsub"])
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")


def _hold(l1: L1) -> None:
    """Have L1 hold something."""
    l1.cache.put(l1.entry(KEY, b"value"))


def _hears(l1: L1, url: str) -> None:
    """See that a change is heard, unless it came while the watch was blind: on a busy machine it may be."""
    l1.told.clear()
    with client(url) as connection:
        while ("changed", MARK) not in l1.told:
            losses = l1.watch.losses
            connection.set(MARK, b"")
            connection.publish(f"{APP}:~changes", _MARKED)
            until(lambda was=losses: ("changed", MARK) in l1.told or l1.watch.losses > was, "a change")  # type: ignore[misc] # mypy infers no default
            until(lambda: l1.watch.live, "the watch to be live")


def _seconds_until(condition: Callable[[], object], what: str) -> float:
    began = SYSTEM.monotonic()
    until(condition, what)
    return SYSTEM.monotonic() - began


# losses


@both_ways
def test_a_lost_connection_drops_all_twice(way: Mode, redis_url: str) -> None:
    """C6: L1 is dropped when the connection is lost, and again before the next one counts as live."""
    with L1(redis_url, way) as l1:
        _hold(l1)
        l1.live_when_lost.clear()
        with client(redis_url) as connection, connection.pipeline(transaction=True) as at_once:
            for kind in ("pubsub", "normal"):
                at_once.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
            at_once.execute()
        until(lambda: l1.watch.losses == 1 and l1.watch.live, "the next connection")
        assert l1.held() == {}
        assert l1.live_when_lost == [False, False]
        _hears(l1, redis_url)


def test_what_is_filled_while_blind_does_not_stay(own_redis: RedisServer) -> None:
    """C6: a value that was read while nobody listened is dropped before anybody trusts L1 again."""
    with L1(own_redis.url) as l1:
        l1.told.clear()
        own_redis.stop()
        until(lambda: ("lost", "") in l1.told, "the loss")
        assert not l1.watch.live
        _hold(l1)
        assert l1.held()
        own_redis.start()
        until(lambda: l1.watch.live, "the server")
        assert l1.held() == {}


@both_ways
def test_a_server_that_stands_still_is_noticed(way: Mode, own_redis: RedisServer) -> None:
    """C6: SIGSTOP closes no connection; the canary that does not come back tells, within its patience."""
    with L1(own_redis.url, way, **QUICK) as l1:
        _hold(l1)
        own_redis.pause()
        try:
            took = _seconds_until(lambda: not l1.watch.live, "the watch to be blind")
            until(lambda: not l1.held(), "L1 to be dropped")
        finally:
            own_redis.resume()
        assert took < sum(QUICK.values()) + SLACK
        assert _seconds_until(lambda: l1.watch.live, "the watch to be live") < SLACK + 1
        _hears(l1, own_redis.url)


@both_ways
def test_pushes_that_are_swallowed_are_noticed(way: Mode, redis_url: str) -> None:
    """C6: a network that swallows everything, and closes nothing, is noticed by the canary."""
    with FaultProxy(redis_url) as proxy, L1(proxy.url, way, **QUICK) as l1:
        _hold(l1)
        proxy.fault = BlackHole()
        took = _seconds_until(lambda: not l1.watch.live, "the watch to be blind")
        assert took < sum(QUICK.values()) + SLACK
        until(lambda: not l1.held(), "L1 to be dropped")
        proxy.fault = None
        until(lambda: l1.watch.live, "the watch to be live")
        _hears(l1, redis_url)


def test_a_server_that_is_gone_is_found_again(redis_url: str) -> None:
    """C6: while connecting is refused the watch is blind; two seconds after it works it is live."""
    with FaultProxy(redis_url) as proxy, L1(proxy.url, **QUICK) as l1:
        proxy.fault = Refuse()
        proxy.cut(reset=True)
        until(lambda: not l1.watch.live, "the watch to be blind")
        proxy.fault = None
        assert _seconds_until(lambda: l1.watch.live, "the watch to be live") < 2 + SLACK


def test_many_losses_leave_no_descriptors(redis_url: str) -> None:
    """A connection that is lost gives back what it took."""
    folder = Path("/proc/self/fd")
    with FaultProxy(redis_url) as proxy, L1(proxy.url) as l1:
        before = None
        for number in range(1, 6):
            proxy.cut(reset=number % 2 == 0)
            until(lambda number=number: l1.watch.losses == number and l1.watch.live, "the next")  # type: ignore[misc] # mypy infers no default
            if number == 1 and folder.exists():
                before = len(list(folder.iterdir()))
        if before is not None:
            until(lambda: len(list(folder.iterdir())) <= before + 1, "the proxy's own to be closed")
        assert l1.watch.errors == 0


def test_what_is_to_be_verified_while_blind_cannot_be(redis_url: str) -> None:
    """C6: an own write that nobody can verify is not kept: not started, lost, closed."""
    l1 = L1(redis_url)
    for _ in range(2):
        l1.cache.put(l1.entry(KEY, b"value", own=True))
        l1.watch.verify(KEY)
        assert l1.held() == {}
        with l1:
            pass


def test_the_lag_is_known(redis_url: str) -> None:
    """C6: how long a canary takes is told, for a metric."""
    with L1(redis_url) as l1:
        assert l1.watch.lag is not None
        assert 0 < l1.watch.lag < SLACK


# refusals


def _user(server: RedisServer, *rules: str) -> dict[str, str]:
    server.command("ACL", "SETUSER", "app", "reset", "on", f">{PASSWORD}", "~*", "&*", "+@all", *rules)
    return {"username": "app", "password": PASSWORD}


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "cachepolicy"]


def test_without_client_tracking_messages_have_to_do(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """C6: a user that may not CLIENT hears of changes by pub/sub, without a word."""
    with L1(own_redis.url, endpoint=_user(own_redis, "-client")) as l1:
        _hears(l1, own_redis.url)
        assert _warnings(caplog) == []


def test_without_channels_tracking_has_to_do(own_redis: RedisServer) -> None:
    """C6: a user with no right to any channel hears of changes by tracking, though not of leases."""
    with L1(own_redis.url, endpoint=_user(own_redis, "resetchannels")) as l1:
        l1.watch.notice(KEY)  # what is announced of it is refused, and does no harm
        _hears(l1, own_redis.url)
        beat = l1.watch.pushes
        until(lambda: l1.watch.pushes > beat + 3, "some canaries")
        assert (l1.watch.losses, l1.watch.errors) == (0, 0)


def test_without_either_it_is_blind_and_says_so_once(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """C6: where all is refused the watch stays blind, warns once of what to mend, and comes when it is."""
    user = _user(own_redis, "-client", "-subscribe")
    caplog.set_level(logging.WARNING)
    l1 = L1(own_redis.url, endpoint=user, refused_pause=0.02)
    try:
        l1.watch.start()
        until(lambda: _warnings(caplog), "a warning")
        greeted = _greeted(own_redis)
        until(lambda: _greeted(own_redis) > greeted + 10, "more attempts")
        assert not l1.watch.live
        (warning,) = _warnings(caplog)
        assert "CLIENT TRACKING" in warning
        assert PASSWORD not in warning
        _user(own_redis)
        until(lambda: l1.watch.live, "the watch to be live")
    finally:
        l1.watch.close()


def _greeted(server: RedisServer) -> int:
    """Count the connections that the library has greeted; those of a test's questions are not."""
    told = server.command("INFO", "commandstats")
    return int(told.partition(b"cmdstat_hello:calls=")[2].partition(b",")[0])


def _connections(server: RedisServer) -> int:
    told = server.command("INFO", "stats")
    return int(told.partition(b"total_connections_received:")[2].split()[0])


def test_a_wrong_password_is_no_storm(own_redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """C6: a password that is refused is tried once in a while; the calls that meet it tell of it, not L1."""
    wrong = {"username": "app", "password": PASSWORD}
    l1 = L1(own_redis.url, endpoint=wrong, refused_pause=30.0)
    l1.watch.start()
    try:
        until(lambda: b"AUTH" in own_redis.command("ACL", "LOG").upper(), "a login")
        assert not l1.watch.live
        assert own_redis.command("ACL", "LOG", "1").count(b"auth") == 1
    finally:
        l1.watch.close()
    assert _warnings(caplog) == []
    assert PASSWORD not in caplog.text


@both_ways
def test_a_mode_is_not_left(way: Mode, own_redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """What the policy says is done, or refused: only ``auto`` chooses."""
    missing = {"tracking": "-client", "pubsub": "-subscribe"}[way]
    _is_refused(L1(own_redis.url, way, endpoint=_user(own_redis, missing)), caplog)


def test_tracking_on_a_cluster_is_refused(
    redis_cluster: RedisCluster, caplog: pytest.LogCaptureFixture
) -> None:
    """C6: one server of a cluster tells of a part of the keys only, so it is not trusted with all."""
    _is_refused(L1(redis_cluster.url, "tracking"), caplog)


def _is_refused(l1: L1, caplog: pytest.LogCaptureFixture) -> None:
    l1.watch.start()
    try:
        until(lambda: _warnings(caplog), "a warning")
        assert not l1.watch.live
    finally:
        l1.watch.close()


def _pretends(words: Words) -> bytes | None:
    """Answer as a proxy that knows channels, and takes CLIENT TRACKING for granted."""
    match [words[0].upper(), *words[1:]]:
        case [b"SUBSCRIBE", channel]:
            return b">3\r\n" + bulk(b"subscribe") + bulk(channel) + b":1\r\n"
        case [b"PUBLISH", channel, message]:
            return b">3\r\n" + bulk(b"message") + bulk(channel) + bulk(message) + b":1\r\n"
        case _:
            return OK


def test_tracking_that_has_no_effect_is_seen_through() -> None:
    """C6: a provider that answers OK, and never tells of anything, is not believed; messages have to do."""
    answers = dict.fromkeys(["SET", "SUBSCRIBE", "PUBLISH"], _pretends)
    with Scripted(answers) as server, L1(server.url, db=0, **QUICK):
        assert any(words[:2] == (b"CLIENT", b"TRACKING") for words in server.heard)
        assert any(words == (b"SUBSCRIBE", b"app:~changes") for words in server.heard)


def test_a_server_that_takes_no_writes_is_still_heard(own_redis: RedisServer) -> None:
    """C6: out of memory, a canary is refused; that it is answered has to do, for nothing else changes."""
    own_redis.command("SET", "ballast", "x" * 1_000)
    own_redis.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    own_redis.command("CONFIG", "SET", "maxmemory", "1")
    with L1(own_redis.url) as l1:
        refused = own_redis.command("INFO", "errorstats")
        until(lambda: own_redis.command("INFO", "errorstats") != refused, "more canaries")
        assert (l1.watch.losses, l1.watch.live) == (0, True)


def test_prefixes_may_overlap(redis_url: str) -> None:
    """The server refuses overlapping prefixes, so the longer ones are left out; the canary's too."""
    assert shortest(["app:b:", "app:a:x:", "app:a:", "app:b:"]) == ["app:a:", "app:b:"]
    with L1(redis_url, "tracking", prefixes=["app:", PREFIX]) as l1:
        _hears(l1, redis_url)


# threads, processes, bugs


def test_many_threads_start_one_watch(own_redis: RedisServer) -> None:
    """Threads that all look something up first start one thread and one connection."""
    before, watching = _connections(own_redis), _watching()
    l1 = L1(own_redis.url)
    start = threading.Barrier(16)

    def look_up() -> None:
        start.wait(10)
        l1.watch.start()

    threads = [threading.Thread(target=look_up) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: l1.watch.live, "the watch to be live")
    assert len(_watching() - watching) == 1
    assert _connections(own_redis) == before + 2  # this question's is the other
    l1.watch.close()


def _watching() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "cachepolicy-watch"}


@both_ways
def test_close_ends_the_thread(way: Mode, redis_url: str) -> None:
    """Closing takes no heartbeat, drops L1, leaves no thread; what is closed can be started again."""
    l1, before = L1(redis_url, way, heartbeat=30.0), _watching()
    for _ in range(3):
        with l1:
            _hold(l1)
            assert len(_watching() - before) == 1
            began = SYSTEM.monotonic()
        assert SYSTEM.monotonic() - began < SLACK
        assert not _watching() - before
        assert l1.held() == {}
        l1.watch.close()  # once more does nothing


def test_close_while_nobody_answers(own_redis: RedisServer) -> None:
    """Closing waits for no server, whatever the watch is at: connecting, resting, or refused."""
    own_redis.pause()
    silent, before = L1(own_redis.url, endpoint={"connect_timeout": 0.3}), _watching()
    with socket.socket() as nobody:  # it does not listen
        nobody.bind(("127.0.0.1", 0))
        refused = L1(f"redis://127.0.0.1:{nobody.getsockname()[1]}")
        for l1 in (silent, refused):
            l1.watch.start()
            assert len(_watching() - before) == 1
            began = SYSTEM.monotonic()
            l1.watch.close()
            assert SYSTEM.monotonic() - began < SLACK
            assert not _watching() - before


def test_a_bug_of_the_listener_costs_a_connection(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """C6: whatever is raised, the thread lives on, and L1 is dropped (cashews: silent for good)."""
    with L1(redis_url) as l1:
        healthy = l1.changed
        for number, error in enumerate([TimeoutError(KEY), KeyError(KEY), MemoryError()]):

            def fail(key: str, error: Exception = error) -> bool:
                raise error

            monkeypatch.setattr(l1, "changed", fail)
            _hold(l1)
            with client(redis_url) as connection:
                connection.set(KEY, b"")
            until(lambda number=number: l1.watch.losses == number + 1, "the loss")  # type: ignore[misc] # mypy infers no default
            until(lambda: not l1.held(), "L1 to be dropped")
            monkeypatch.setattr(l1, "changed", healthy)
            until(lambda: l1.watch.live, "the watch to be live")
        _hears(l1, redis_url)
        assert l1.watch.errors == 2  # a TimeoutError is what a connection may raise, too
        assert KEY not in caplog.text


def test_a_listener_that_cannot_drop_is_not_live(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """C6: where L1 could not be dropped, the watch does not call itself live."""
    l1 = L1(redis_url)

    def fail() -> None:
        raise KeyError

    monkeypatch.setattr(l1, "lost", fail)
    l1.watch.start()
    until(lambda: l1.watch.errors, "the bug")
    assert not l1.watch.live
    monkeypatch.undo()
    until(lambda: l1.watch.live, "the watch to be live")
    l1.watch.close()


@needs_fork
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # 3.12 warns of forking beside threads
def test_a_forked_child_has_its_own(redis_url: str) -> None:
    """C6: a child is blind until it starts a watch of its own; the parent's connection is not disturbed."""
    with L1(redis_url, heartbeat=0.05) as l1:
        said = l1.watch.notice(KEY)
        l1.watch._lock.acquire()  # as a thread of the parent may, at that moment
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = _of_child(l1, said, redis_url)
            finally:
                os._exit(code)
        l1.watch._lock.release()
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        beat = l1.watch.pushes
        until(lambda: l1.watch.pushes > beat + 3, "some canaries")
        assert l1.watch.losses == 0
        _hears(l1, redis_url)


def _of_child(l1: L1, said: bytes, url: str) -> int:
    l1.watch.after_fork()
    l1.cache.renew_lock()
    if l1.watch.live or l1.watch.notice(KEY)[:8] == said[:8]:
        return 2
    with l1:
        _hold(l1)
        _hears(l1, url)
        if l1.watch.losses:
            return 3
    return 0


def test_the_interpreter_ends_with_a_watch_that_runs(redis_url: str) -> None:
    """The thread is a daemon: a program that closes nothing ends all the same."""
    with L1(redis_url):
        assert all(thread.daemon for thread in _watching())
