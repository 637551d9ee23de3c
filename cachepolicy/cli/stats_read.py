"""Reads the fleet's counts from the namespace of ``kind: analytics``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from cachepolicy.cli.stats_gather import Line, filled
from cachepolicy.cli.stats_report import Report
from cachepolicy.errors import CachePolicyError
from cachepolicy.managers.analytics import AnalyticsCache
from cachepolicy.policy import LoadedPolicy, namespace
from cachepolicy.runtime import current
from cachepolicy.runtime.compose import Runtime
from cachepolicy.runtime.fleet import namespaces_of
from cachepolicy.telemetry import fleet

_DAY: Final = timedelta(days=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_OVER_TIME: Final = frozenset({fleet.FLEET_REQUESTS})
"""Of all others it is enough to know how many."""


def read(
    policy: str | None, environment: str | None, only: str | None, since: timedelta, step: timedelta
) -> Report:
    """Read what was counted.

    Args:
        policy: its file; None for the default.
        environment: which of its environments; None for what ``CACHEPOLICY_ENV`` says.
        only: the namespace that is told of; None for all.
        since: how far back; the step in which this lies is told of, whole.
        step: of the timeline.

    Raises:
        CachePolicyError: there is nothing to read, or Redis cannot be asked.
    """
    current.configure(policy, environment)
    try:
        return gathered(current.current(), only, since, step)
    finally:
        current.close()


def gathered(runtime: Runtime, only: str | None, since: timedelta, step: timedelta) -> Report:
    """Read what was counted, by a policy that is in use; arguments and errors are as of ``read``."""
    loaded = runtime.loaded
    kept = _kept_in(loaded)
    if only is not None:
        namespace(loaded.policy, only)
    if runtime.site(kept, loaded.policy.namespaces[kept]).place.endpoint.in_memory:
        raise CachePolicyError(
            f"{loaded.source} says memory://, in one process alone: there is no fleet to tell of"
        )
    until = datetime.now(UTC)
    first = _EPOCH + (until - since - _EPOCH) // step * step
    starts = [first + at * step for at in range((until - first) // step + 1)]
    head = Report(loaded.policy.app, first, until, step)
    queries = AnalyticsCache(kept)
    lines = {metric: _lines(queries, metric, first, until, step) for metric in fleet.OWN}
    report = filled(head, starts, lines, only)
    if report.is_empty and not runtime.fleet.is_on:
        raise CachePolicyError(
            f"nothing was counted, and {loaded.source} does not say telemetry: {{fleet_stats: true}}"
        )
    return report


def _kept_in(loaded: LoadedPolicy) -> str:
    """Return the namespace that the fleet's counts are in."""
    names = namespaces_of(loaded.policy)
    if len(names) == 1:
        return names[0]
    found = f"there are {', '.join(names)}" if names else "there is none"
    raise CachePolicyError(f"{loaded.source}: expected one namespace of kind analytics to read from; {found}")


def _lines(
    queries: AnalyticsCache, metric: str, since: datetime, until: datetime, step: timedelta
) -> Sequence[Line]:
    own = fleet.OWN[metric]
    if own.kind == "gauge":
        return [
            Line(shown.labels, [round(shown.value)])
            for shown in queries.gauges.sync(metric, start=since, end=until)
        ]
    if metric in _OVER_TIME:
        series = queries.query.sync(metric, since, until, step=_said(step), group_by=own.labels)
        return [Line(each.labels, [int(point.value or 0) for point in each.points]) for each in series]
    if own.kind == "money":
        money = queries.totals.sync(metric, since, until, group_by=(*own.labels, "currency"))
        return [Line(each.labels, [Decimal(each.value)]) for each in money]
    totals = queries.totals.sync(metric, since, until, group_by=own.labels)
    return [Line(each.labels, [int(each.value)]) for each in totals]


def _said(step: timedelta) -> str:
    return "day" if step == _DAY else f"{step // timedelta(hours=1)}h"
