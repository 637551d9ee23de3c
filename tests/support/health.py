"""A policy to look at, and a clock with which a second passes at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping
from typing import Any, Final, TypeVar

from cachepolicy import HealthCheck, HealthMonitor, HealthReport, HealthState, ManualClock, configure
from cachepolicy.runtime import current
from cachepolicy.runtime.manage import Verb
from tests.support import policies
from tests.support.colour import Colour

T = TypeVar("T")

CACHE: Final[Mapping[str, Any]] = {"kind": "cache", "scope": "global", "ttl": "1h"}
PATIENT: Final[Mapping[str, Any]] = {
    "ping_slow": "10s",
    "ping_critical": "20s",
    "timeout": "5s",
    "clock_skew": "60s",  # a clock that is moved by hand stands still while a look takes its time
    "clock_critical": "90s",
}
"""A busy machine is no fault."""


async def closing(work: Awaitable[T]) -> T:
    """Await something, then close what this loop has opened."""
    try:
        return await work
    finally:
        await current.current().stores.aclose()


def ask(verb: Verb[[], T], colour: Colour) -> T:
    """Run a verb in a colour."""
    return asyncio.run(closing(verb())) if colour.is_async else verb.sync()


def health_policy(url: str, **health: Any) -> dict[str, Any]:
    """Return a policy with one cache; ``health`` is laid over ``PATIENT``."""
    return {
        "version": 1,
        "app": "health",
        "redis": {"url": url, **policies.PATIENT},
        "namespaces": {"llm": dict(CACHE)},
        "health": {**PATIENT, **health},
    }


class Watching:
    """A policy in use, and its monitor; each look is a second after the last, as the process sees it.

    Args:
        url: of Redis.
        colour: how it is asked.
        namespaces: those of the policy.
        health: its thresholds, beside those of ``PATIENT``.
        redis: the rest of ``redis:``.
    """

    def __init__(
        self,
        url: str,
        colour: Colour,
        namespaces: Mapping[str, Any] | None = None,
        health: Mapping[str, Any] | None = None,
        redis: Mapping[str, Any] | None = None,
    ) -> None:
        self.time = ManualClock(now_wall=time.time())
        self.monitor = HealthMonitor()
        self._colour = colour
        policy = health_policy(url, **(health or {}))
        policy["redis"] |= redis or {}
        policy["namespaces"] = namespaces or policy["namespaces"]
        configure(policy, clock=self.time.clock)

    def look(self) -> HealthReport:
        """Look anew."""
        self.time.advance(1.0)
        self.time.now_wall = time.time()
        return self.again()

    def again(self) -> HealthReport:
        """Ask within the same second."""
        return ask(self.monitor.health_check, self._colour)


def wrong(report: HealthReport) -> dict[str, HealthState]:
    """Return the checks that are neither healthy nor unknown."""
    good = {HealthState.HEALTHY, HealthState.UNKNOWN}
    return {check.name: check.state for check in report.checks if check.state not in good}


def states(checks: tuple[HealthCheck, ...]) -> dict[str, HealthState]:
    """Return the state of each check."""
    return {check.name: check.state for check in checks}
