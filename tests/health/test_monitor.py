"""The monitor in the background: what it tells, how often, and what it survives."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from cachepolicy import HealthMonitor, HealthReport, HealthState, ServerHealth, configure
from cachepolicy.managers.health_watch import BUG, CALLBACK, HealthWatch
from cachepolicy.runtime import current
from cachepolicy.runtime import health as room
from cachepolicy.telemetry import faults
from cachepolicy.testing.fault_proxy import FaultProxy, Refuse
from cachepolicy.testing.redis_server import RedisServer
from tests.support.colour import SYNC
from tests.support.health import Watching, health_policy
from tests.support.source import ROOT

Changes = list[tuple[HealthState | None, HealthState]]


@pytest.fixture
def proxy(redis_url: str) -> Iterator[FaultProxy]:
    """Stand between the process and the shared server."""
    with FaultProxy(redis_url) as between:
        yield between


class Told:
    """What callbacks were told."""

    def __init__(self) -> None:
        self.changes: Changes = []
        self.memory: list[str] = []
        self.heard = threading.Event()

    def change(self, old: HealthReport | None, new: HealthReport) -> None:
        """Note a change."""
        self.changes.append((None if old is None else old.status, new.status))
        self.heard.set()

    def full(self, server: ServerHealth) -> None:
        """Note a server that is full."""
        self.memory.append(server.address)


def _watch(watching: Watching, told: Told) -> HealthWatch:
    return HealthWatch(watching.look, told.change, told.full)


def test_a_change_is_told_once(proxy: FaultProxy, caplog: pytest.LogCaptureFixture) -> None:
    """Callback and log hear of the first look and of each change of status, and of nothing else."""
    told, watching = Told(), Watching(proxy.url, SYNC)
    watch, rule = _watch(watching, told), current.current().health.rule
    with caplog.at_level(logging.INFO, logger="cachepolicy.health"):
        watch.look(rule)
        watch.look(rule)
        proxy.fault = Refuse()
        proxy.cut()
        for _ in range(4):
            watch.look(rule)
        proxy.fault = None
        watch.look(rule)
    healthy, degraded, unhealthy = HealthState.HEALTHY, HealthState.DEGRADED, HealthState.UNHEALTHY
    assert told.changes == [(None, healthy), (healthy, degraded), (degraded, unhealthy), (unhealthy, healthy)]
    records = [record for record in caplog.records if record.name == "cachepolicy.health"]
    assert [record.levelname for record in records] == ["WARNING", "ERROR", "INFO"]
    assert vars(records[1])["checks"] == ["reachable"]
    assert vars(records[1])["was"] == "degraded"


@pytest.mark.parametrize("alert", [True, False])
def test_memory_is_told_once_a_crossing(
    redis_binary: str, alert: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Memory above the threshold is told once, and again after it was below; or not at all."""
    with RedisServer("--maxmemory", "6mb", "--maxmemory-policy", "noeviction") as server:
        told, watching = Told(), Watching(server.url, SYNC, health={"memory_alert": alert})
        watch, rule = _watch(watching, told), current.current().health.rule

        def fill_and_look() -> None:
            for number in range(600):
                server.command("SET", f"filler:{number}", "x" * 10_000)
            watch.look(rule)
            watch.look(rule)

        watch.look(rule)
        assert told.memory == []
        fill_and_look()
        assert len(told.memory) == alert
        server.command("FLUSHALL")
        watch.look(rule)
        fill_and_look()
    assert told.memory == [f"127.0.0.1:{server.port}"] * 2 * alert
    alarms = [record for record in caplog.records if hasattr(record, "memory_usage_percent")]
    assert len(alarms) == 2 * alert


def test_callbacks_that_raise(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A callback that raises is counted, and the watch goes on."""
    monkeypatch.setattr(faults, "_ERRORS", {})

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    watching = Watching(redis_url, SYNC)
    watch = HealthWatch(watching.look, fail, fail)
    watch.look(current.current().health.rule)
    assert watch.last is not None
    assert faults.errors("health") == {f"{CALLBACK}.ZeroDivisionError": 1}


def test_the_thread_looks(proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """``with monitor:`` looks at once and by the policy's interval, and leaves no thread behind."""
    monkeypatch.setattr(room, "KEPT", 0.0)
    configure(health_policy(proxy.url, interval="10ms"))
    before = set(threading.enumerate())
    told = Told()
    monitor = HealthMonitor(on_change=told.change)
    assert not monitor.running
    with monitor:
        assert monitor.start() is monitor  # a second start does nothing
        assert told.heard.wait(10)
        told.heard.clear()
        proxy.fault = Refuse()
        proxy.cut()
        while told.changes[-1][1] is not HealthState.UNHEALTHY:
            assert told.heard.wait(10)
            told.heard.clear()
        assert sum(thread.name == "cachepolicy-health" for thread in {*threading.enumerate()} - before) == 1
    assert not monitor.running
    assert monitor.last is not None
    assert monitor.last.status is HealthState.UNHEALTHY
    monitor.stop()  # nothing more to do


def test_a_callback_may_stop_it(redis_url: str) -> None:
    """A callback that stops its monitor does not wait for itself."""
    configure(health_policy(redis_url))
    stopped = threading.Event()

    def stop(*_: object) -> None:
        monitor.stop()
        stopped.set()

    monitor = HealthMonitor(on_change=stop)
    monitor.start()
    assert stopped.wait(10)
    for thread in threading.enumerate():
        if thread.name == "cachepolicy-health":
            thread.join(10)
    assert not monitor.running


def test_a_look_that_fails_ends_no_thread(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in a look is counted, and the thread looks again."""
    monkeypatch.setattr(faults, "_ERRORS", {})
    configure(health_policy(redis_url, interval="1ms"))
    again, looks = threading.Event(), []

    def look() -> HealthReport:
        looks.append(1)
        if len(looks) > 2:
            again.set()
        raise ZeroDivisionError

    watch = HealthWatch(look, None, None)
    watch.start()
    assert again.wait(10)
    watch.stop()
    assert faults.errors("health")[f"{BUG}.ZeroDivisionError"] >= 2


def test_a_forked_child_goes_on(redis_url: str) -> None:
    """Parent and child of a fork both go on looking, each with a thread of its own."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.support.health_forked", redis_url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert sorted(ended.stdout.split()) == ["child", "parent"]


def test_a_new_policy_is_looked_at(redis_url: str, own_redis: RedisServer) -> None:
    """A monitor looks at the servers of the policy in use, whatever it was made under."""
    monitor = HealthMonitor()
    for url in (redis_url, own_redis.url):
        configure(health_policy(url))
        assert monitor.health_check.sync().servers[0].address in url
