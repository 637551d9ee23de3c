"""What looks are told as: metrics of the last one, read without asking anybody."""

from __future__ import annotations

import pytest

from cachepolicy import HealthMonitor, configure
from cachepolicy.telemetry import faults, health, names
from cachepolicy.testing.fault_proxy import FaultProxy, Refuse
from cachepolicy.testing.redis_server import RedisServer
from tests.support.colour import SYNC, Colour
from tests.support.health import Watching, health_policy
from tests.support.source import ROOT

_PAGE = (ROOT / "docs/guide/telemetry-names.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _nothing_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with nothing told."""
    monkeypatch.setattr(health, "_SEEN", [()])


def _read() -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    return {
        instrument.name: {tuple(sorted(point.attributes.items())): point.value for point in instrument.read()}
        for instrument in health.INSTRUMENTS
    }


def test_every_health_metric_is_an_instrument() -> None:
    """Each name of health and Redis is an instrument, of the kind and unit that the guide says."""
    told = {
        value
        for name, value in vars(names).items()
        if name.startswith(("METRIC_HEALTH_", "METRIC_REDIS_")) and isinstance(value, str)
    }
    assert {instrument.name for instrument in health.INSTRUMENTS} == told
    for instrument in health.INSTRUMENTS:
        (row,) = (line for line in _PAGE.splitlines() if f"`{instrument.name}`" in line)
        assert f"| {instrument.kind} | `{instrument.unit}` |" in row


def test_what_a_look_found(own_redis: RedisServer, colour: Colour) -> None:
    """Each metric has what the server told, by its address and port."""
    watching = Watching(own_redis.url, colour)
    own_redis.command("CONFIG", "SET", "maxmemory", "1gb")
    report = watching.look()
    server = (("server.address", "127.0.0.1"), ("server.port", str(own_redis.port)))
    found = _read()
    assert found["cachepolicy.health.status"] == {server: 0}
    assert found["redis.maxmemory"] == {server: 2**30}
    assert found["redis.memory.used"][server] == (report.used_memory_mb or 0) * 2**20
    assert found["redis.clients.connected"][server] == report.connected_clients
    assert all(points.keys() == {server} for name, points in found.items() if "check" not in name)
    checks = {
        dict(series)["cachepolicy.check"]: state
        for series, state in found["cachepolicy.health.check"].items()
    }
    assert checks.keys() == {check.name for check in report.checks}
    assert checks["reachable"] == 0
    assert checks["errors"] == 3  # one look does not tell


def test_a_server_that_is_gone(redis_url: str) -> None:
    """A server that does not answer is told as such, and its old figures are not told any more."""
    with FaultProxy(redis_url) as proxy:
        watching = Watching(proxy.url, SYNC)
        watching.look()
        proxy.fault = Refuse()
        proxy.cut()
        for _ in range(3):
            watching.look()
        found = _read()
    assert list(found["cachepolicy.health.status"].values()) == [2]
    assert found["redis.memory.used"] == {}
    assert found["cachepolicy.health.ping"] == {}


def test_reading_asks_nobody(redis_url: str) -> None:
    """Collection reads what was seen; no connection is made for it."""
    with FaultProxy(redis_url) as proxy:
        configure(health_policy(proxy.url))
        assert all(points == {} for points in _read().values())
        assert proxy.connections == ()
        HealthMonitor().health_check.sync()
        opened = len(proxy.connections)
        assert _read()["redis.uptime"]
        assert len(proxy.connections) == opened


def test_telemetry_that_is_off(redis_url: str) -> None:
    """``telemetry: {enabled: false}``: the report is made, and nothing is told."""
    configure({**health_policy(redis_url), "telemetry": {"enabled": False}})
    assert HealthMonitor().health_check.sync().ready
    assert all(points == {} for points in _read().values())


def test_telemetry_that_fails(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans and metrics that failed since the last look are told as degraded, once."""
    monkeypatch.setattr(faults, "_ERRORS", {})
    watching = Watching(redis_url, SYNC)
    faults.errors("llm")["telemetry"] += 7  # long before anybody looked
    assert watching.look().check("telemetry").state == "healthy"
    faults.errors("llm")["telemetry"] += 1
    faults.errors("temp")["telemetry.ValueError"] += 1
    faults.errors("temp")["telemetrist"] += 1
    assert watching.look().check("telemetry").value == 2
    assert watching.look().check("telemetry").state == "healthy"
