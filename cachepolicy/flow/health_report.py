"""What a look at the servers found, for whoever asks: monitors, load balancers, people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final


class HealthState(StrEnum):
    """How something is."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"  # it is not told, or was not seen twice yet


_WEIGHT: Final = {
    HealthState.UNKNOWN: 0,
    HealthState.HEALTHY: 0,
    HealthState.DEGRADED: 1,
    HealthState.UNHEALTHY: 2,
}


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One thing that was looked at.

    Attributes:
        name: of the check, always the same.
        state: what it found.
        value: the figure that it judged by, in the unit that ``detail`` says; None where there is none.
        detail: what was found, in words.
        advice: what to do about it; empty where nothing is to be done.
        server: of which server; empty: of this process.
    """

    name: str
    state: HealthState
    value: float | None = None
    detail: str = ""
    advice: str = ""
    server: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a server tells of itself in short; what it does not tell is None.

    Attributes:
        status: the worst that a check found.
        ping_time_ms: how long the last PING took.
        memory_usage_percent: of what it may use; where it may use all, of its machine's memory.
        used_memory_mb: MiB that its data takes.
        connected_clients: of all processes.
        redis_version: as it tells.
        uptime_seconds: since it was started.
        checks: what was looked at.
    """

    status: HealthState
    ping_time_ms: float | None
    memory_usage_percent: float | None
    used_memory_mb: float | None
    connected_clients: int | None
    redis_version: str | None
    uptime_seconds: int | None
    checks: tuple[HealthCheck, ...]

    def check(self, name: str) -> HealthCheck:
        """Return a check by its name: where several servers have it, the worst.

        Raises:
            LookupError: there is none.
        """
        found = [check for check in self.checks if check.name == name]
        if not found:
            raise LookupError(f"there is no check {name!r}")
        return max(found, key=lambda check: _WEIGHT[check.state])


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerHealth(Figures):
    """One Redis server, or one node of a cluster.

    Attributes:
        address: ``host:port``, the path of its socket, or the name that sentinels know it by.
        namespaces: those of the policy that lie there.
        engine: ``redis``, ``valkey``, …
        role: ``master``, ``slave``.
    """

    address: str
    namespaces: tuple[str, ...]
    engine: str | None
    role: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport(Figures):
    """What one look found. Figures are those of the one server, or of all: the worst, or the sum.

    Attributes:
        servers: each by itself.
        at: when it was made, in seconds since the epoch.
    """

    servers: tuple[ServerHealth, ...]
    at: float

    @property
    def ready(self) -> bool:
        """Whether each server answers, and takes what is written."""
        return all(
            check.state is not HealthState.UNHEALTHY
            for check in self.checks
            if check.name in {"reachable", "writable"}
        )

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        return asdict(self)


def worst(states: Iterable[HealthState]) -> HealthState:
    """Return the worst of several states; what is unknown is none."""
    found = max(states, key=_WEIGHT.__getitem__, default=HealthState.HEALTHY)
    return HealthState.HEALTHY if found is HealthState.UNKNOWN else found


def report(servers: tuple[ServerHealth, ...], own: tuple[HealthCheck, ...], at: float) -> HealthReport:
    """Put together what was found; ``own``: about this process."""
    checks = (*(check for server in servers for check in server.checks), *own)
    pings = [server.ping_time_ms for server in servers if server.ping_time_ms is not None]
    shares = [server.memory_usage_percent for server in servers if server.memory_usage_percent is not None]
    used = [server.used_memory_mb for server in servers if server.used_memory_mb is not None]
    clients = [server.connected_clients for server in servers if server.connected_clients is not None]
    uptimes = [server.uptime_seconds for server in servers if server.uptime_seconds is not None]
    return HealthReport(
        status=worst(check.state for check in checks),
        ping_time_ms=max(pings, default=None),
        memory_usage_percent=max(shares, default=None),
        used_memory_mb=sum(used) if used else None,
        connected_clients=sum(clients) if clients else None,
        redis_version=next((server.redis_version for server in servers if server.redis_version), None),
        uptime_seconds=min(uptimes, default=None),
        servers=servers,
        checks=checks,
        at=at,
    )
