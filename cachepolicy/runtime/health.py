"""The watch over the servers of one policy: one look at a time, whoever asks, and one a second at most.

::

    asked ── seen within the last second ──▶ that report
          ── somebody is looking ──▶ wait for theirs
          ── else ──▶ look at every server ──▶ judge ──▶ metrics, report
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Final

from cachepolicy.clock import Clock
from cachepolicy.flow.effects import Flow, in_task, join
from cachepolicy.flow.health import Look, Spot, look_around
from cachepolicy.flow.health_checks import judged
from cachepolicy.flow.health_past import Past
from cachepolicy.flow.health_report import HealthCheck, HealthReport, HealthState, ServerHealth, report
from cachepolicy.flow.signal import Signal
from cachepolicy.flow.stores import Site, Stores
from cachepolicy.policy import Policy
from cachepolicy.policy.rules import NamespaceRule
from cachepolicy.runtime.health_servers import Watched, figures, own_checks, unusable, watched
from cachepolicy.telemetry import health as told
from cachepolicy.telemetry import metrics

KEPT: Final = 1.0
"""Seconds for which a report answers all who ask."""

_TELEMETRY: Final = "telemetry"  # what fails there is counted as this, or as ``telemetry.…``


class _Looking(Signal):
    """Somebody looks; set when they have."""

    def __init__(self) -> None:
        super().__init__(threading.Lock())
        self.loop = asyncio._get_running_loop()  # noqa: SLF001 - the public function raises where there is none


class Health:
    """The servers of one policy, as they were seen.

    Args:
        policy: the policy.
        site: says where a namespace lies.
        stores: what looks are made over.
        clock: the source of time.
    """

    def __init__(
        self, policy: Policy, site: Callable[[str, NamespaceRule], Site], stores: Stores, clock: Clock
    ) -> None:
        self.rule: Final = policy.health
        self._policy = policy
        self._site = site
        self._stores = stores
        self._clock = clock
        self._lock = threading.RLock()  # a signal's handler may ask while its own thread does
        self._looking: _Looking | None = None
        self._last: tuple[float, HealthReport] | None = None
        self._pasts: dict[str, Past] = {}
        self._failures: int | None = None  # until the first look: what was before this policy is not told
        self._watched: tuple[Watched, ...] | None = None

    def report(self) -> Flow[HealthReport]:
        """Return how everything is; takes ``health.timeout`` at most, and raises no fault."""
        until = self._clock.monotonic() + self.rule.timeout
        is_async = yield from in_task()
        while (mine := self._lead(is_async=is_async)) is None:
            fresh, others = self._fresh(), self._looking
            if fresh is not None:
                return fresh
            left = until - self._clock.monotonic()
            if left <= 0 or (others is not None and not (yield from join(others, left))):
                return self._unseen()
        try:
            return (yield from self._look(until - self._clock.monotonic()))
        finally:
            with self._lock:
                if self._looking is mine:
                    self._looking = None
            mine.set()

    def nowhere(self) -> HealthReport:
        """Return how everything is where there is no server to look at."""
        with self._lock:
            return self._judge(self._all(), [])

    def sites(self) -> list[Site]:
        """Return where there are servers to look at."""
        return [each.spot.site for each in self._all() if each.spot is not None]

    def inherit(self, before: Health) -> None:
        """Go on from what was seen of servers before."""
        self._pasts = dict(before._pasts)

    def after_fork(self) -> None:
        """Leave to the parent what it is looking at."""
        self._lock = threading.RLock()
        self._looking = None

    def _lead(self, *, is_async: bool) -> _Looking | None:
        """Become the one who looks; None: it was just done, or somebody does."""
        with self._lock:
            others = self._looking
            if self._fresh() is not None or (others is not None and not _is_vain(others, is_async=is_async)):
                return None
            mine = self._looking = _Looking()
            return mine

    def _all(self) -> tuple[Watched, ...]:
        found = self._watched
        if found is None:
            found = self._watched = watched(self._policy, self._site)
        return found

    def _fresh(self) -> HealthReport | None:
        if self._last is None:
            return None
        at, last = self._last
        return last if 0 <= self._clock.monotonic() - at < KEPT else None

    def _unseen(self) -> HealthReport:
        """Return what was seen last: who looks now takes too long."""
        if self._last is not None:
            return self._last[1]
        check = HealthCheck("reachable", HealthState.UNKNOWN, None, "nobody has finished looking yet")
        return report((), (check,), self._clock.wall())

    def _look(self, seconds: float) -> Flow[HealthReport]:
        all_watched = self._all()
        spots: list[Spot] = [each.spot for each in all_watched if each.spot is not None]
        looks = yield from look_around(self._stores, spots, seconds, self._clock)
        with self._lock:
            return self._judge(all_watched, looks)

    def _judge(self, all_watched: tuple[Watched, ...], looks: list[list[Look]]) -> HealthReport:
        servers: list[ServerHealth] = []
        seen: list[told.Seen] = []
        pasts: dict[str, Past] = {}
        found = iter(looks)
        for each in all_watched:
            if each.spot is None:
                servers.append(unusable(each))
                continue
            for look in next(found):
                address, port = each.endpoint.server(look.node)
                terms = each.terms(self.rule, look.node)
                past = pasts[terms.server] = self._pasts.get(terms.server) or Past()
                past.note(look)
                checks = (
                    *judged(look, past, terms),
                    *own_checks(each, terms.server, self.rule, self._stores),
                )
                servers.append(each.health(look, terms.server, checks))
                states = {check.name: str(check.state) for check in checks}
                seen.append(told.Seen(address, port, str(servers[-1].status), states, figures(look)))
                past.keep(look)
        self._pasts = pasts
        own = self._telemetry()
        if self._policy.telemetry.enabled:
            told.tell([*seen, told.Seen("", "", None, {own.name: str(own.state)})])
        made = report(tuple(servers), (own,), self._clock.wall())
        self._last = self._clock.monotonic(), made
        return made

    def _telemetry(self) -> HealthCheck:
        """Whether what the library tells of itself arrives, as far as that is counted."""
        errors = metrics.errors().items()
        failures = sum(count for (_, name), count in errors if name.partition(".")[0] == _TELEMETRY)
        known, self._failures = self._failures, failures
        grown = 0 if known is None else failures - known
        if grown <= 0:
            return HealthCheck("telemetry", HealthState.HEALTHY, 0.0, "no span or metric failed")
        detail, advice = f"{grown} failures since the last look", "see what processes and exports spans"
        return HealthCheck("telemetry", HealthState.DEGRADED, float(grown), detail, advice)


def _is_vain(looking: _Looking, *, is_async: bool) -> bool:
    """Tell whether waiting would be for nothing: the loop that looks is closed, or would wait for itself."""
    loop = looking.loop
    if loop is None:
        return False
    return loop.is_closed() or (not is_async and loop is asyncio._get_running_loop())  # noqa: SLF001 - as above
