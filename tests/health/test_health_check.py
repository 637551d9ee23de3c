"""``HealthMonitor.health_check``: what it tells, how long it takes, and how often Redis is asked."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachepolicy import (
    HealthMonitor,
    HealthReport,
    HealthState,
    ManualClock,
    cached,
    close,
    configure,
)
from cachepolicy.testing.fault_proxy import BlackHole, FaultProxy, Garbage, Late, Refuse
from cachepolicy.testing.redis_server import RedisServer
from tests.support.colour import Colour
from tests.support.health import Watching, ask, closing, health_policy, states, wrong
from tests.support.waiting import until


@pytest.fixture
def proxy(redis_url: str) -> Iterator[FaultProxy]:
    """Stand between the process and the shared server."""
    with FaultProxy(redis_url) as between:
        yield between


def _infos(server: RedisServer) -> int:
    """Tell how often the server was asked for INFO."""
    told = server.command("INFO", "commandstats").decode()
    found = re.search(r"cmdstat_info:calls=(\d+)", told)
    return int(found[1]) if found else 0


def test_the_seeds_fields(own_redis: RedisServer, colour: Colour) -> None:
    """A report has the seed's seven fields, with what the server itself tells."""
    own_redis.command("CONFIG", "SET", "maxmemory", "100mb")
    report = Watching(own_redis.url, colour).look()
    told = dict(line.partition(":")[::2] for line in own_redis.command("INFO").decode().splitlines())
    assert report.status is HealthState.HEALTHY
    assert report.ready
    assert report.redis_version == told["redis_version"]
    assert report.connected_clients is not None
    assert 1 <= report.connected_clients <= int(told["connected_clients"])
    assert report.used_memory_mb == pytest.approx(int(told["used_memory"]) / 2**20, rel=0.5)
    assert report.memory_usage_percent == pytest.approx(report.used_memory_mb or 0.0, rel=0.01)  # of 100 MiB
    assert report.uptime_seconds is not None
    assert report.uptime_seconds <= int(told["uptime_in_seconds"])
    assert report.ping_time_ms is not None
    (server,) = report.servers
    assert (server.address, server.role, server.engine) == (f"127.0.0.1:{own_redis.port}", "master", "redis")
    assert server.namespaces == ("llm",)


def test_ping_is_measured(redis_url: str) -> None:
    """The PING is timed by the real clock, above nothing and below the time of the whole look."""
    configure(health_policy(redis_url))
    began = time.perf_counter()
    report = HealthMonitor().health_check.sync()
    assert report.ping_time_ms is not None
    assert 0 < report.ping_time_ms < (time.perf_counter() - began) * 1000


def test_a_report_is_json(redis_url: str, colour: Colour) -> None:
    """``as_dict`` is what a health endpoint sends."""
    report = Watching(redis_url, colour).look()
    sent = json.loads(json.dumps(report.as_dict()))
    seeds = {"status", "ping_time_ms", "memory_usage_percent", "used_memory_mb"}
    seeds |= {"connected_clients", "redis_version", "uptime_seconds"}
    assert seeds <= sent.keys()
    assert sent["status"] == "healthy"
    assert sent["checks"][0]["name"] == "reachable"


def test_growth_is_known_from_the_second_look_on(redis_url: str, colour: Colour) -> None:
    """What takes two looks is unknown after one, and healthy after two."""
    watching = Watching(redis_url, colour)
    assert watching.look().check("errors").state is HealthState.UNKNOWN
    assert watching.look().check("errors").state is HealthState.HEALTHY


def test_memory_is_healthy_with_what_it_knows(colour: Colour) -> None:
    """``memory://`` answers and takes writes; what it does not tell is unknown."""
    report = Watching("memory://", colour).look()
    assert report.status is HealthState.HEALTHY
    found = states(report.checks)
    assert {found["reachable"], found["writable"]} == {HealthState.HEALTHY}
    assert found["memory"] is HealthState.UNKNOWN
    assert (report.redis_version, report.connected_clients) == (None, None)


def test_valkey(valkey_server: RedisServer, colour: Colour) -> None:
    """Valkey is looked at as Redis is, and named."""
    valkey_server.command("CONFIG", "RESETSTAT")  # others had keys expire there
    report = Watching(valkey_server.url, colour).look()
    assert report.status is HealthState.HEALTHY
    assert report.servers[0].engine == "valkey"


@pytest.mark.parametrize("scheme", ["local", "unix"])
def test_sockets(tmp_path: Path, redis_binary: str, colour: Colour, scheme: str) -> None:
    """A server behind a socket is known by its path."""
    with RedisServer(unix=True) as server:
        url = server.url if scheme == "unix" else f"local://{tmp_path}/redis"
        report = Watching(url, colour).look()
        close()
    assert report.status is HealthState.HEALTHY
    assert report.servers[0].address == url.partition("://")[2]


def test_three_failures_in_a_row(proxy: FaultProxy, colour: Colour) -> None:
    """A server that answered once is degraded for two looks without an answer, then unhealthy."""
    watching = Watching(proxy.url, colour)
    assert watching.look().status is HealthState.HEALTHY
    proxy.fault = Refuse()
    proxy.cut()
    assert [watching.look().check("reachable").state for _ in range(3)] == [
        HealthState.DEGRADED,
        HealthState.DEGRADED,
        HealthState.UNHEALTHY,
    ]
    proxy.fault = None
    report = watching.look()
    assert report.check("reachable").state is HealthState.HEALTHY
    assert report.ready


def test_a_server_that_never_answered_is_down(proxy: FaultProxy, colour: Colour) -> None:
    """Where nobody has ever answered, the first look says so: there is nothing to wait for."""
    proxy.fault = Refuse()
    report = Watching(proxy.url, colour).look()
    assert report.status is HealthState.UNHEALTHY
    assert not report.ready
    check = report.check("reachable")
    assert "refused" in check.detail
    assert check.advice
    assert report.check("memory").state is HealthState.UNKNOWN


@pytest.mark.parametrize("fault", [BlackHole(), Garbage(), Late(seconds=30.0)], ids=repr)
def test_a_look_takes_its_timeout_at_most(proxy: FaultProxy, colour: Colour, fault: object) -> None:
    """Whatever the network does, a look ends within ``health.timeout`` and raises nothing."""
    proxy.fault = fault  # type: ignore[assignment] # one of those
    configure(health_policy(proxy.url, timeout="300ms"))
    monitor = HealthMonitor()
    began = time.perf_counter()
    report = ask(monitor.health_check, colour)
    assert time.perf_counter() - began < 0.3 + 8.0  # a busy machine may add to it; a deadline is ten
    assert report.status is HealthState.UNHEALTHY


def test_a_paused_server(own_redis: RedisServer, colour: Colour) -> None:
    """A server that is there and says nothing has not answered, and is healthy once it goes on."""
    watching = Watching(own_redis.url, colour, health={"timeout": "200ms"})
    until(lambda: watching.look().status is HealthState.HEALTHY, "a look that is not held up")
    own_redis.pause()
    try:
        check = watching.look().check("reachable")
    finally:
        own_redis.resume()
    assert (check.state, check.detail[:20]) == (HealthState.DEGRADED, "no answer (timeout),")
    until(lambda: watching.look().check("reachable").state is HealthState.HEALTHY, "an answer")


def test_a_slow_server(proxy: FaultProxy) -> None:
    """A server that answers late is unhealthy though it answers."""
    configure(health_policy(proxy.url, ping_slow="1ms", ping_critical="30ms"))
    proxy.fault = Late(seconds=0.05)
    report = HealthMonitor().health_check.sync()
    assert report.check("reachable").state is HealthState.UNHEALTHY
    assert report.ping_time_ms is not None
    assert report.ping_time_ms >= 50


def test_a_connection_that_was_closed_is_no_fault(proxy: FaultProxy, colour: Colour) -> None:
    """A connection that the server closed between two looks is opened anew, and nothing is said."""
    watching = Watching(proxy.url, colour)
    watching.look()
    proxy.cut()
    assert wrong(watching.look()) == {}


def test_a_stampede_makes_one_look(own_redis: RedisServer) -> None:
    """Whoever asks within a second, thread or task, is told what one look found."""
    configure(health_policy(own_redis.url), clock=ManualClock(now_wall=time.time()).clock)  # the second lasts
    monitor = HealthMonitor()
    before, reports = _infos(own_redis), []
    together = threading.Barrier(9)

    def ask_here() -> None:
        together.wait()
        reports.append(monitor.health_check.sync())

    async def ask_all() -> None:
        together.wait()
        reports.extend(await asyncio.gather(*[monitor.health_check() for _ in range(50)]))

    threads = [threading.Thread(target=ask_here) for _ in range(8)]
    for thread in threads:
        thread.start()
    asyncio.run(closing(ask_all()))
    for thread in threads:
        thread.join()
    assert len({id(report) for report in reports}) == 1
    assert _infos(own_redis) - before == 2  # one look, and the question of this test


def test_a_second_later_it_is_looked_anew(redis_url: str, colour: Colour) -> None:
    """A report is kept for a second and no longer."""
    watching = Watching(redis_url, colour)
    first = watching.look()
    assert watching.again() is first
    assert watching.look() is not first


def test_a_cancelled_look_leaves_others_to_look(redis_url: str) -> None:
    """Whoever is cancelled while looking fails nobody: one of those who wait looks."""
    configure(health_policy(redis_url))
    monitor = HealthMonitor()

    async def cancel_the_first() -> list[HealthReport]:
        leader = asyncio.create_task(monitor.health_check())
        await asyncio.sleep(0)
        followers = [asyncio.create_task(monitor.health_check()) for _ in range(5)]
        await asyncio.sleep(0)
        leader.cancel()
        found = await asyncio.gather(*followers)
        assert leader.cancelled()
        return found

    reports = asyncio.run(closing(cancel_the_first()))
    assert {report.ready for report in reports} == {True}
    assert all(report.redis_version for report in reports)


def test_a_thread_of_the_loop_does_not_wait_for_its_task(proxy: FaultProxy) -> None:
    """Sync code on a loop's thread looks by itself where a task of that loop is looking."""
    configure(health_policy(proxy.url, timeout="20s"))
    monitor = HealthMonitor()

    async def both() -> HealthReport:
        task = asyncio.create_task(monitor.health_check())
        await asyncio.sleep(0)
        began = time.perf_counter()
        assert monitor.health_check.sync().ready
        assert time.perf_counter() - began < 15.0  # the timeout is 20 s
        return await task

    assert asyncio.run(closing(both())).ready


def test_the_breaker_is_told_and_not_asked(proxy: FaultProxy, colour: Colour) -> None:
    """An open breaker is degraded; a look goes past it, and finds out that Redis is back."""
    watching = Watching(proxy.url, colour, redis={"breaker": {"failures": 1, "open_for": "1h"}})

    @colour.decorate(cached("llm"))
    def double(number: int) -> int:
        return 2 * number

    proxy.fault = Refuse()
    assert colour.run(lambda: double(2)) == 4
    proxy.fault = None
    report = watching.look()
    assert report.check("breaker").state is HealthState.DEGRADED
    assert report.check("reachable").state is HealthState.HEALTHY


def test_a_clock_that_is_wrong(redis_url: str, colour: Colour) -> None:
    """The server's clock is compared with this process's, in the middle of a round trip."""
    watching = Watching(redis_url, colour)
    watching.time.now_wall = time.time() - 100
    check = watching.again().check("clock")
    assert check.state is HealthState.UNHEALTHY
    assert check.value == pytest.approx(100, abs=5)


def test_changes_that_are_not_heard(proxy: FaultProxy, colour: Colour) -> None:
    """L1 that hears changes is healthy, that went deaf is degraded, that nobody uses is unknown."""
    watching = Watching(proxy.url, colour)
    assert watching.look().check("coherence").state is HealthState.UNKNOWN

    @colour.decorate(cached("llm"))
    def double(number: int) -> int:
        return 2 * number

    assert colour.run(lambda: closing(double(2)) if colour.is_async else double(2)) == 4
    until(lambda: watching.look().check("coherence").state is HealthState.HEALTHY, "changes to be heard")
    proxy.fault = Refuse()
    proxy.cut()
    until(lambda: watching.look().check("coherence").state is HealthState.DEGRADED, "it to go deaf")


def test_liveness_asks_nobody(proxy: FaultProxy, colour: Colour) -> None:
    """Liveness is true whatever Redis does, and connects to nothing; readiness is false while it is down."""
    watching = Watching(proxy.url, colour)
    assert watching.monitor.liveness()
    assert proxy.connections == ()
    proxy.fault = Refuse()
    ready = watching.monitor.readiness
    watching.time.advance(1.0)
    assert ask(ready, colour) is False
    proxy.fault = None
    watching.time.advance(1.0)
    assert ask(ready, colour) is True


def test_an_address_that_cannot_be_used(colour: Colour) -> None:
    """An address that only looks like one is told as unhealthy, not raised."""
    report = Watching("redis://here:6379/7", colour).look()
    assert report.status is HealthState.UNHEALTHY
    assert "database" in report.check("reachable").detail


def test_no_check_of_that_name(colour: Colour) -> None:
    """Asking for a check that there is not is a LookupError."""
    report = Watching("memory://", colour).look()
    assert isinstance(report, HealthReport)
    with pytest.raises(LookupError):
        report.check("weather")
