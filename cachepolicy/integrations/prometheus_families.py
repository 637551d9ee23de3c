"""All that Prometheus is told: the one table of metrics, and what it has by the names that dashboards know.

``cache_type`` is the namespace. What is told of Redis has the names of ``redis_exporter`` besides, so that a
dashboard made for that shows it too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from cachepolicy.integrations.prometheus_names import Type, labels_of, name_of, type_of
from cachepolicy.telemetry import metrics
from cachepolicy.telemetry.instruments import Instrument, Point
from cachepolicy.telemetry.names import (
    ANSWERED_WITHOUT_ORIGIN,
    ATTRIBUTE_NAMESPACE,
    ATTRIBUTE_OUTCOME,
    METRIC_REDIS_BLOCKED,
    METRIC_REDIS_CLIENTS,
    METRIC_REDIS_EVICTED,
    METRIC_REDIS_EXPIRED,
    METRIC_REDIS_FRAGMENTATION,
    METRIC_REDIS_MAXMEMORY,
    METRIC_REDIS_REJECTED,
    METRIC_REDIS_UPTIME,
    METRIC_REQUESTS,
)


class Series(NamedTuple):
    """One series of a family."""

    value: float
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric as Prometheus knows it.

    Attributes:
        name: without the suffixes of its samples.
        type: of its values.
        description: for people.
        metric: that it is read from, by its name in the table of metrics.
        series: all of them.
    """

    name: str
    type: Type
    description: str
    metric: str
    series: list[Series] = field(default_factory=list)


class _Alias(NamedTuple):
    name: str
    type: Type


_EXPORTER: Final[Mapping[str, _Alias]] = {
    METRIC_REDIS_MAXMEMORY: _Alias("redis_memory_max_bytes", "gauge"),
    METRIC_REDIS_FRAGMENTATION: _Alias("redis_mem_fragmentation_ratio", "gauge"),
    METRIC_REDIS_CLIENTS: _Alias("redis_connected_clients", "gauge"),
    METRIC_REDIS_BLOCKED: _Alias("redis_blocked_clients", "gauge"),
    METRIC_REDIS_REJECTED: _Alias("redis_rejected_connections", "counter"),
    METRIC_REDIS_EVICTED: _Alias("redis_evicted_keys", "counter"),
    METRIC_REDIS_EXPIRED: _Alias("redis_expired_keys", "counter"),
    METRIC_REDIS_UPTIME: _Alias("redis_uptime_in_seconds", "gauge"),
}
"""By the names of ``redis_exporter``, where they are others."""


def families(table: Iterable[tuple[Instrument, Iterable[Point]]] | None = None) -> Iterator[Family]:
    """Return all families with their series, read now.

    Args:
        table: of metrics and their series; None for all that are read at collection.
    """
    for instrument, read in metrics.read() if table is None else table:
        points = list(read)
        kind, series = type_of(instrument), [Series(value, labels_of(at)) for value, at in points]
        name = name_of(instrument.name, instrument.unit, kind)
        yield Family(name, kind, instrument.description, instrument.name, series)
        alias = _EXPORTER.get(instrument.name)
        if alias is not None:
            yield Family(alias.name, alias.type, instrument.description, instrument.name, series)
        if instrument.name == METRIC_REQUESTS:
            yield from _hits_and_misses(points)


def described() -> Iterator[Family]:
    """Return all families without their series."""
    return families((instrument, ()) for instrument in metrics.ALL)


def _hits_and_misses(points: Iterable[Point]) -> Iterator[Family]:
    hits: Counter[str] = Counter()
    misses: Counter[str] = Counter()
    for value, at in points:
        spared = at[ATTRIBUTE_OUTCOME] in ANSWERED_WITHOUT_ORIGIN
        (hits if spared else misses)[at[ATTRIBUTE_NAMESPACE]] += int(value)
    for name, description, counted in (
        ("cache_hits", "Calls that were answered without the function", hits),
        ("cache_misses", "Calls that the function answered", misses),
    ):
        series = [Series(count, {"cache_type": namespace}) for namespace, count in counted.items()]
        yield Family(name, "counter", description, METRIC_REQUESTS, series)
