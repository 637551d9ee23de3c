"""Looks at the servers and at the fleet's counts, as often as it is asked, and asks Redis little for it.

A frame costs each server three round trips: the two of a health check, and one INFO. The fleet's counts are
read at most every five seconds, by nine questions.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from cachepolicy.cli.asking import ask
from cachepolicy.cli.stats_read import gathered
from cachepolicy.cli.stats_report import Report
from cachepolicy.cli.top_frame import CommandTime, Counters, Frame, ServerRow
from cachepolicy.clock import SYSTEM
from cachepolicy.errors import CachePolicyError, StoreError
from cachepolicy.flow.effects import spread
from cachepolicy.flow.health_report import HealthState, ServerHealth
from cachepolicy.flow.stores import Site
from cachepolicy.managers.health import HealthMonitor
from cachepolicy.runtime.compose import Runtime
from cachepolicy.tiers import health
from cachepolicy.tiers.health import Info

FLEET_EVERY: Final = 5.0
"""Seconds between two readings of what the fleet counted, at least."""
_HOUR: Final = timedelta(hours=1)
_BUSIEST: Final = 5
_QUIET: Final = (
    "processes count nothing for this: telemetry: {fleet_stats: true} in the policy has them do so"
)


class Watcher:
    """Looks again and again, and knows what it saw last.

    Args:
        runtime: of the policy.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._monitor = HealthMonitor()
        self._last: dict[str, Counters] = {}
        self._fleet: Report | None = None
        self._fleet_at = -FLEET_EVERY
        self._calls_per_second: float | None = None
        self._note = ""

    def frame(self) -> Frame:
        """Look now. What cannot be asked is told in the frame."""
        found = self._monitor.health_check.sync()
        infos = dict(self._infos())
        servers = [self._server(each, infos.get(each.address)) for each in found.servers]
        self._look_at_fleet()
        return Frame(
            app=self._runtime.loaded.policy.app,
            at=datetime.now(UTC),
            servers=servers,
            fleet=self._fleet,
            calls_per_second=self._calls_per_second,
            note=self._note,
        )

    def _infos(self) -> Iterator[tuple[str, Info]]:
        for site in self._runtime.health.sites():
            try:
                yield from self._of_site(site)
            except StoreError:  # the health check says what is wrong with it
                continue

    def _of_site(self, site: Site) -> Iterator[tuple[str, Info]]:
        io = self._runtime.stores.sync_io(site)
        keys = self._runtime.engine.run(spread(), io) or [""]
        for key, info in zip(
            keys, ask(self._runtime, site, [health.info_everything(key) for key in keys]), strict=True
        ):
            if isinstance(info, Info):
                yield _address(site, io.store.node(key)), info

    def _server(self, found: ServerHealth, info: Info | None) -> ServerRow:
        now, before = _counters(info), self._last.get(found.address)
        if info is not None:
            self._last[found.address] = now
        if before is None or before.at == now.at:
            before = Counters(0.0)
        seconds = now.at - before.at if before.at else None
        commands = _commands(now, before, seconds, info)
        reads = now.hits - before.hits + now.misses - before.misses
        calls = sum((now.calls or {}).values()) - sum((before.calls or {}).values())
        open_ = any(
            check.name == "breaker" and check.state is not HealthState.HEALTHY for check in found.checks
        )
        bad = (HealthState.DEGRADED, HealthState.UNHEALTHY)
        return ServerRow(
            address=found.address,
            status=str(found.status),
            breaker="open" if open_ else "closed",
            ping_ms=found.ping_time_ms,
            per_second=calls / seconds if seconds else None,
            hit_rate=(now.hits - before.hits) / reads if reads > 0 else None,
            evicted=None if info is None else now.evicted - before.evicted,
            memory_mb=found.used_memory_mb,
            memory_percent=found.memory_usage_percent,
            clients=found.connected_clients,
            commands=commands[:_BUSIEST],
            trouble=[f"{each.name}: {each.detail}" for each in found.checks if each.state in bad],
        )

    def _look_at_fleet(self) -> None:
        if not self._runtime.fleet.is_on:
            self._note = _QUIET
            return
        now = SYSTEM.monotonic()
        if now - self._fleet_at < FLEET_EVERY:
            return
        before, since = self._fleet, now - self._fleet_at
        try:
            self._fleet = gathered(self._runtime, None, _HOUR, _HOUR)
        except CachePolicyError as refused:
            self._note = str(refused)
        else:
            self._note = ""
            grown = self._fleet.answers.calls - (0 if before is None else before.answers.calls)
            same = before is not None and before.since == self._fleet.since  # else a new hour began
            self._calls_per_second = grown / since if same and grown >= 0 else None
        self._fleet_at = now


def _address(site: Site, node: str) -> str:
    """Name a server as the health check does."""
    server = site.place.endpoint.server(node if site.place.endpoint.is_cluster else "")
    return f"{server.address}:{server.port}" if server.port else server.address


def _counters(info: Info | None) -> Counters:
    if info is None:
        return Counters(SYSTEM.monotonic())
    names = [name.removeprefix("cmdstat_") for name in info.names("cmdstat_.*")]
    return Counters(
        at=SYSTEM.monotonic(),
        hits=round(info.number("keyspace_hits") or 0),
        misses=round(info.number("keyspace_misses") or 0),
        evicted=round(info.number("evicted_keys") or 0),
        calls={name: round(info.part(f"cmdstat_{name}", "calls") or 0) for name in names},
        micros={name: round(info.part(f"cmdstat_{name}", "usec") or 0) for name in names},
    )


def _commands(now: Counters, before: Counters, seconds: float | None, info: Info | None) -> list[CommandTime]:
    """Return the commands of a server, the busiest first."""
    found: list[tuple[int, CommandTime]] = []
    for name, calls in (now.calls or {}).items():
        new = calls - (before.calls or {}).get(name, 0)
        took = (now.micros or {}).get(name, 0) - (before.micros or {}).get(name, 0)
        if new <= 0 or info is None:
            continue
        p99 = info.part(f"latency_percentiles_usec_{name}", "p99")
        found.append((new, CommandTime(name, new / seconds if seconds else None, took / new, p99)))
    return [command for _, command in sorted(found, key=lambda each: (-each[0], each[1].name))]
