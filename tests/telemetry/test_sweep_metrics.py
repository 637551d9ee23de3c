"""Sweeps of protected namespaces: how late, how much is left, how much went, under names of our own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint

from cachepolicy import SessionManager, configure
from cachepolicy.flow import protecting
from cachepolicy.telemetry import metrics as room
from cachepolicy.telemetry import sweeps
from cachepolicy.tiers.protected import Swept
from tests.support.policies import PATIENT
from tests.support.waiting import until


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryMetricReader]:
    """Read metrics of a provider of this test's own, with nothing swept before."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr(metrics, "get_meter", provider.get_meter)
    monkeypatch.setattr(room, "_REGISTERED", [])
    monkeypatch.setattr(sweeps, "_SOURCES", {})
    monkeypatch.setattr(protecting, "EVERY", 0.02)
    yield reader
    provider.shutdown()


def _told(reader: InMemoryMetricReader) -> dict[str, float]:
    data = reader.get_metrics_data()
    return {
        metric.name: point.value
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
        if isinstance(point, NumberDataPoint) and metric.name.startswith("cachepolicy.sweep.")
    }


def test_sweeps_are_told(reader: InMemoryMetricReader, redis_url: str) -> None:
    """A day's delay of sweeping, and what there is to sweep, can be alerted on; what went is counted."""
    sessions = {"kind": "sessions", "eviction": {"mode": "protected"}}
    configure(
        {
            "version": 1,
            "app": "test",
            "redis": {"url": redis_url, **PATIENT},
            "namespaces": {"sessions": sessions},
        }
    )
    SessionManager().create_session.sync("u1")
    until(  # the session, and the list of its user
        lambda: _told(reader).get("cachepolicy.sweep.deadlines", 0) >= 2, "a sweep that finds them"
    )
    told = _told(reader)
    assert (told["cachepolicy.sweep.lag"], told["cachepolicy.sweep.removed"]) == (0, 0)
    with redis.Redis.from_url(redis_url) as client:
        seconds, _ = client.time()
        client.zadd(
            "test:~deadlines:{sessions}", {f"gone:{n}": (seconds - 86_400) * 1000 for n in range(250)}
        )
    until(lambda: _told(reader)["cachepolicy.sweep.removed"] == 250, "the sweeps")
    until(lambda: _told(reader)["cachepolicy.sweep.lag"] == 0, "a sweep that finds nothing")
    assert 2 <= _told(reader)["cachepolicy.sweep.deadlines"] < 20


def test_how_late_a_sweep_was_is_told(reader: InMemoryMetricReader) -> None:
    """The lag is that of the oldest key that the last sweep found; who did not sweep last tells none."""

    class Sweeper:
        removed = 3
        last: Swept | None = Swept(2, 86_400.0, 7)

    sweeper = Sweeper()
    sweeps.export("sessions", sweeper)
    room.export_all()
    assert _told(reader) == {
        "cachepolicy.sweep.lag": 86_400.0,
        "cachepolicy.sweep.deadlines": 7,
        "cachepolicy.sweep.removed": 3,
    }
    sweeper.last = None
    assert _told(reader) == {"cachepolicy.sweep.removed": 3}
