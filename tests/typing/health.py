"""What type checkers see of health: read by mypy and pyright, never run."""

from __future__ import annotations

from typing import Any, assert_type

from cachepolicy import HealthCheck, HealthMonitor, HealthReport, HealthState, ServerHealth


def changed(old: HealthReport | None, new: HealthReport) -> None:
    """Hear of a change."""


def full(server: ServerHealth) -> None:
    """Hear of a server that is full."""


async def awaited(monitor: HealthMonitor) -> None:
    """Await each verb."""
    assert_type(await monitor.health_check(), HealthReport)
    assert_type(await monitor.readiness(), bool)


def called() -> None:
    """Run each verb, and read what it found."""
    with HealthMonitor(on_change=changed, on_memory_alert=full) as monitor:
        report = monitor.health_check.sync()
        assert_type(monitor.readiness.sync(), bool)
        assert_type(monitor.liveness(), bool)
        assert_type(monitor.last, HealthReport | None)
    assert_type(HealthMonitor().start(), HealthMonitor)
    assert_type(report, HealthReport)
    assert_type(report.status, HealthState)
    assert_type(report.servers, tuple[ServerHealth, ...])
    assert_type(report.check("memory"), HealthCheck)
    assert_type(report.memory_usage_percent, float | None)
    assert_type(report.as_dict(), dict[str, Any])
