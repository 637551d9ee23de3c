"""What the last look at the servers found, as metrics: nobody is asked when they are collected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from cachepolicy.telemetry.instruments import Instrument, Kind, Point
from cachepolicy.telemetry.names import (
    ATTRIBUTE_CHECK,
    ATTRIBUTE_PORT,
    ATTRIBUTE_SERVER,
    METRIC_HEALTH_CHECK,
    METRIC_HEALTH_PING,
    METRIC_HEALTH_SKEW,
    METRIC_HEALTH_STATUS,
    METRIC_REDIS_BLOCKED,
    METRIC_REDIS_CLIENTS,
    METRIC_REDIS_COMMANDS,
    METRIC_REDIS_EVICTED,
    METRIC_REDIS_EXPIRED,
    METRIC_REDIS_FRAGMENTATION,
    METRIC_REDIS_MAXMEMORY,
    METRIC_REDIS_MEMORY,
    METRIC_REDIS_REJECTED,
    METRIC_REDIS_UPTIME,
)

STATES: Final = ("healthy", "degraded", "unhealthy", "unknown")
"""By the number that each is told as."""


FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        METRIC_REDIS_MEMORY: "used_memory",
        METRIC_REDIS_MAXMEMORY: "maxmemory",
        METRIC_REDIS_FRAGMENTATION: "mem_fragmentation_ratio",
        METRIC_REDIS_CLIENTS: "connected_clients",
        METRIC_REDIS_BLOCKED: "blocked_clients",
        METRIC_REDIS_REJECTED: "rejected_connections",
        METRIC_REDIS_EVICTED: "evicted_keys",
        METRIC_REDIS_EXPIRED: "expired_keys",
        METRIC_REDIS_COMMANDS: "total_commands_processed",
        METRIC_REDIS_UPTIME: "uptime_in_seconds",
    }
)
"""The field of INFO that each metric is, in the metric's unit."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of one server.

    Attributes:
        address: its host, the path of its socket, or the name that sentinels know it by; empty: what is
            found is about this process.
        port: as text; empty where it has none.
        state: one of ``STATES``; None where only the checks are told.
        checks: the state of each check, by name.
        numbers: what it told of itself, by metric, in the metric's unit; what it did not tell is left out.
    """

    address: str
    port: str
    state: str | None
    checks: Mapping[str, str]
    numbers: Mapping[str, float] = field(default_factory=dict)

    def attributes(self) -> dict[str, str]:
        """Return what tells it from others."""
        return {ATTRIBUTE_SERVER: self.address, ATTRIBUTE_PORT: self.port}


_SEEN: Final[list[tuple[Seen, ...]]] = [()]


def tell(seen: Sequence[Seen]) -> None:
    """Have this read at every collection from now on, in place of what was told before."""
    _SEEN[0] = tuple(seen)


def seen() -> tuple[Seen, ...]:
    """Return what was told last."""
    return _SEEN[0]


def _states() -> Iterable[Point]:
    for server in seen():
        if server.state is not None:
            yield Point(STATES.index(server.state), server.attributes())


def _checks() -> Iterable[Point]:
    for server in seen():
        for name, state in server.checks.items():
            yield Point(STATES.index(state), {**server.attributes(), ATTRIBUTE_CHECK: name})


def _numbers(metric: str) -> Callable[[], Iterable[Point]]:
    def read() -> Iterable[Point]:
        for server in seen():
            number = server.numbers.get(metric)
            if number is not None:
                yield Point(number, server.attributes())

    return read


def _number(metric: str, kind: Kind, unit: str, description: str) -> Instrument:
    return Instrument(metric, kind, unit, description, _numbers(metric))


INSTRUMENTS: Final = (
    Instrument(
        METRIC_HEALTH_STATUS,
        Kind.GAUGE,
        "{state}",
        "How a server is: 0 healthy, 1 degraded, 2 unhealthy, 3 unknown",
        _states,
    ),
    Instrument(
        METRIC_HEALTH_CHECK,
        Kind.GAUGE,
        "{state}",
        "What a check found: 0 healthy, 1 degraded, 2 unhealthy, 3 unknown",
        _checks,
    ),
    _number(METRIC_HEALTH_PING, Kind.GAUGE, "s", "How long the last PING took"),
    _number(METRIC_HEALTH_SKEW, Kind.GAUGE, "s", "How far the server's clock is ahead of ours"),
    _number(METRIC_REDIS_MEMORY, Kind.GAUGE, "By", "Memory that Redis uses"),
    _number(METRIC_REDIS_MAXMEMORY, Kind.GAUGE, "By", "Memory that Redis may use; 0: there is no limit"),
    _number(METRIC_REDIS_FRAGMENTATION, Kind.GAUGE, "1", "Memory that Redis takes, by what it uses"),
    _number(METRIC_REDIS_CLIENTS, Kind.GAUGE, "{client}", "Clients that are connected"),
    _number(METRIC_REDIS_BLOCKED, Kind.GAUGE, "{client}", "Clients that wait in a blocking command"),
    _number(
        METRIC_REDIS_REJECTED, Kind.COUNTER, "{connection}", "Connections refused because there were too many"
    ),
    _number(METRIC_REDIS_EVICTED, Kind.COUNTER, "{key}", "Keys evicted because memory was full"),
    _number(METRIC_REDIS_EXPIRED, Kind.COUNTER, "{key}", "Keys whose time was over"),
    _number(METRIC_REDIS_COMMANDS, Kind.COUNTER, "{command}", "Commands that Redis carried out"),
    _number(METRIC_REDIS_UPTIME, Kind.COUNTER, "s", "How long Redis has been running"),
)
