"""All that Prometheus is told: the one table of metrics, and what it has by the names that dashboards know.

``cache_type`` is the namespace. What is told of Redis has the names of ``redis_exporter`` besides, so that a
dashboard made for that shows it too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from cachepolicy.integrations.prometheus_names import Type, labels_of, name_of, type_of
from cachepolicy.telemetry import measures, metrics
from cachepolicy.telemetry.health import STATES
from cachepolicy.telemetry.histograms import Distribution, Exemplar, Histogram
from cachepolicy.telemetry.instruments import Instrument, Point
from cachepolicy.telemetry.names import (
    ANSWERED_WITHOUT_ORIGIN,
    ATTRIBUTE_CHECK,
    ATTRIBUTE_NAMESPACE,
    ATTRIBUTE_OUTCOME,
    ATTRIBUTE_PORT,
    ATTRIBUTE_SERVER,
    METRIC_HEALTH_CHECK,
    METRIC_LEASE_WAIT,
    METRIC_OPERATION_DURATION,
    METRIC_ORIGIN_DURATION,
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

Labels = Mapping[str, str]


class Series(NamedTuple):
    """One series of a family that is no histogram."""

    value: float
    labels: Labels


class Buckets(NamedTuple):
    """One series of a histogram.

    Attributes:
        labels: of it.
        counts: of values in each bucket, the last one without a bound; each value is in one.
        total: of all values.
        exemplars: the last one of each bucket, where there is any.
    """

    labels: Labels
    counts: Sequence[int]
    total: float
    exemplars: Sequence[Exemplar | None]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric as Prometheus knows it.

    Attributes:
        name: without the suffixes of its samples.
        type: of its values.
        description: for people.
        metric: that it is read from, by its name in the table of metrics.
        series: all of them, where it is no histogram.
        bounds: of the buckets, where it is one.
        buckets: all series, where it is one.
    """

    name: str
    type: Type
    description: str
    metric: str
    series: Sequence[Series] = ()
    bounds: Sequence[float] = ()
    buckets: Sequence[Buckets] = ()


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

_SERVER: Final = (ATTRIBUTE_SERVER, ATTRIBUTE_PORT)
_REACHABLE: Final = "reachable"  # the check that says whether a server answered
_REACHED: Final = (STATES.index("healthy"), STATES.index("degraded"))
_UNKNOWN: Final = STATES.index("unknown")


def families() -> Iterator[Family]:
    """Return all families with their series, read now."""
    yield from _of_instruments(metrics.read())
    yield from _of_histograms(metrics.distributions())


def described() -> Iterator[Family]:
    """Return all families without their series."""
    yield from _of_instruments((instrument, []) for instrument in metrics.ALL)
    yield from _of_histograms((histogram, []) for histogram in metrics.HISTOGRAMS)


def _of_instruments(table: Iterable[tuple[Instrument, list[Point]]]) -> Iterator[Family]:
    for instrument, points in table:
        kind, series = type_of(instrument), [Series(value, labels_of(at)) for value, at in points]
        name = name_of(instrument.name, instrument.unit, kind)
        yield Family(name, kind, instrument.description, instrument.name, series)
        alias = _EXPORTER.get(instrument.name)
        if alias is not None:
            yield Family(alias.name, alias.type, instrument.description, instrument.name, series)
        if instrument.name == METRIC_REQUESTS:
            yield from _hits_and_misses(points)
        elif instrument.name == METRIC_HEALTH_CHECK:
            yield _up(points)


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


def _up(points: Iterable[Point]) -> Family:
    up = [
        Series(float(value in _REACHED), labels_of({name: at[name] for name in _SERVER}))
        for value, at in points
        if at[ATTRIBUTE_CHECK] == _REACHABLE and value != _UNKNOWN
    ]
    return Family("redis_up", "gauge", "Whether the server answered the last look", METRIC_HEALTH_CHECK, up)


_OPERATIONS: Final[Mapping[str, str]] = {
    METRIC_OPERATION_DURATION: "get",
    METRIC_ORIGIN_DURATION: "compute",
    METRIC_LEASE_WAIT: "wait",
}
"""What ``cache_operation_seconds`` is made of: its label ``operation``, by histogram."""
_LAST: Final = "wait"


def _of_histograms(table: Iterable[tuple[Histogram, list[Distribution]]]) -> Iterator[Family]:
    operations: list[Buckets] = []
    for histogram, series in table:
        yield Family(
            name_of(histogram.name, histogram.unit, "histogram"),
            "histogram",
            histogram.description,
            histogram.name,
            bounds=histogram.bounds,
            buckets=[
                Buckets(labels_of(one.attributes), one.counts, one.total, one.exemplars) for one in series
            ],
        )
        operation = _OPERATIONS.get(histogram.name)
        if operation is not None:
            operations += _added_up(operation, series, len(measures.TIMES))
        if operation == _LAST:
            yield Family(
                "cache_operation_seconds",
                "histogram",
                "How long calls took, and what they waited for",
                METRIC_OPERATION_DURATION,
                bounds=measures.TIMES,
                buckets=operations,
            )


def _added_up(operation: str, series: Iterable[Distribution], buckets: int) -> Iterator[Buckets]:
    """Add up the series of a namespace; what is above the last of the buckets wanted goes into the last."""
    counts: dict[str, list[int]] = {}
    totals: Counter[str] = Counter()
    for one in series:
        namespace = one.attributes[ATTRIBUTE_NAMESPACE]
        into = counts.setdefault(namespace, [0] * (buckets + 1))
        for bucket, count in enumerate(one.counts):
            into[min(bucket, buckets)] += count
        totals[namespace] += one.total  # type: ignore[assignment] # seconds are no whole numbers
    for namespace, into in counts.items():
        labels = {"cache_type": namespace, "operation": operation}
        yield Buckets(labels, into, totals[namespace], [None] * (buckets + 1))
