"""Metrics for Prometheus: ``register()``, and the application's own endpoint tells them too.

``prometheus_client`` comes with an extra. Nothing is added to a call: what it counts anyway is read when
Prometheus asks.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Final

try:
    from prometheus_client import REGISTRY, CollectorRegistry
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
except ModuleNotFoundError as _missing:
    raise ModuleNotFoundError(
        "cachepolicy.integrations.prometheus needs prometheus_client: pip install 'cachepolicy[prometheus]'",
        name=_missing.name,
    ) from _missing

from cachepolicy.integrations.prometheus_families import Family, described, families

__all__ = ["Collector", "register"]

_REGISTERED: Final[weakref.WeakKeyDictionary[CollectorRegistry, Collector]] = weakref.WeakKeyDictionary()


class Collector:
    """All metrics of this process, read at each collection."""

    def collect(self) -> Iterator[Metric]:
        """Return all metrics with their series."""
        return map(_metric, families())

    def describe(self) -> Iterator[Metric]:
        """Return all metrics without series: a registry knows by them what would be told twice."""
        return map(_metric, described())


def register(registry: CollectorRegistry = REGISTRY) -> Collector:
    """Have a registry tell all metrics of this process; again, it changes nothing.

    Args:
        registry: of the application.

    Raises:
        ValueError: another collector of the registry has a metric of the same name.
    """
    collector = _REGISTERED.get(registry)
    if collector is None:
        collector = Collector()
        registry.register(collector)
        _REGISTERED[registry] = collector
    return collector


def _metric(family: Family) -> Metric:
    made = CounterMetricFamily if family.type == "counter" else GaugeMetricFamily
    metric = made(family.name, family.description)
    suffix = "_total" if family.type == "counter" else ""
    for series in family.series:
        metric.add_sample(family.name + suffix, dict(series.labels), series.value)
    return metric
