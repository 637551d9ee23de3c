"""Metrics for Prometheus: ``register()``, and the application's own endpoint tells them too.

``prometheus_client`` comes with an extra. Nothing is added to a call: what it counts anyway is read when
Prometheus asks.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

try:
    from prometheus_client import REGISTRY, CollectorRegistry, values
    from prometheus_client.metrics_core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        Metric,
    )
    from prometheus_client.samples import Exemplar
    from prometheus_client.utils import floatToGoString
except ModuleNotFoundError as _missing:
    raise ModuleNotFoundError(
        "cachepolicy.integrations.prometheus needs prometheus_client: pip install 'cachepolicy[prometheus]'",
        name=_missing.name,
    ) from _missing

from cachepolicy.integrations.prometheus_families import Buckets, Family, described, families
from cachepolicy.integrations.prometheus_workers import Workers
from cachepolicy.telemetry import histograms

__all__ = ["Collector", "register"]

_REGISTERED: Final[weakref.WeakSet[CollectorRegistry]] = weakref.WeakSet()
_WORKERS: Final[list[Workers]] = []


class Collector:
    """All metrics of this process, read at each collection."""

    def collect(self) -> Iterator[Metric]:
        """Return all metrics with their series."""
        return map(_metric, families())

    def describe(self) -> Iterator[Metric]:
        """Return all metrics without series: a registry knows by them what would be told twice."""
        return map(_metric, described())


def register(registry: CollectorRegistry = REGISTRY) -> None:
    """Have a registry tell all metrics of this process; again, it changes nothing.

    Where ``PROMETHEUS_MULTIPROC_DIR`` is set, this process tells them in its files there instead, and the
    application's ``MultiProcessCollector`` adds up those of all.

    Args:
        registry: of the application.

    Raises:
        ValueError: another collector of the registry has a metric of the same name.
    """
    if getattr(values.ValueClass, "_multiprocess", False):
        if not _WORKERS:
            _WORKERS.append(Workers())
            _WORKERS[0].begin()
    elif registry not in _REGISTERED:
        registry.register(Collector())
        _REGISTERED.add(registry)
        histograms.WISHES.exemplars = True


def _metric(family: Family) -> Metric:
    if family.type == "histogram":
        return _histogram(family)
    made = CounterMetricFamily if family.type == "counter" else GaugeMetricFamily
    metric = made(family.name, family.description)
    suffix = "_total" if family.type == "counter" else ""
    for series in family.series:
        metric.add_sample(family.name + suffix, dict(series.labels), series.value)
    return metric


def _histogram(family: Family) -> Metric:
    metric = HistogramMetricFamily(family.name, family.description)
    bounds = [*map(floatToGoString, family.bounds), "+Inf"]
    for series in family.buckets:
        labels, name = dict(series.labels), family.name
        held = list(accumulate(series.counts))
        for bound, count, exemplar in zip(bounds, held, _exemplars(series), strict=True):
            metric.add_sample(f"{name}_bucket", {**labels, "le": bound}, count, exemplar=exemplar)
        metric.add_sample(f"{name}_count", labels, held[-1])
        metric.add_sample(f"{name}_sum", labels, series.total)
    return metric


def _exemplars(series: Buckets) -> Iterator[Exemplar | None]:
    for one in series.exemplars:
        yield one and Exemplar({"trace_id": one.trace_id, "span_id": one.span_id}, one.value, one.at)
