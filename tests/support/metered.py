"""Metrics as a reader of the test's own sees them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from opentelemetry import metrics as otel
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    HistogramDataPoint,
    InMemoryMetricReader,
    Metric,
    NumberDataPoint,
)

from cachepolicy.telemetry import coherence, config, faults, limits, measures, metrics, servers, sessions

_COUNTED: Final = (
    (metrics, ("_SOURCES", "_REGISTERED", "_RETIRED_REQUESTS", "_RETIRED_ERRORS", "_RETIRED_SAVED")),
    (faults, ("_ERRORS",)),
    (limits, ("_TALLIES",)),
    (measures, ("_MEASURES",)),
    (sessions, ("_SOURCES", "_ENDED")),
    (coherence, ("_SOURCES", "_RETIRED_LOSSES", "_RETIRED_GAPS")),
    (config, ("_RELOADS", "_IN_USE")),
    (servers, ("_SOURCES", "_RETIRED_RETRIES", "_RETIRED_TRANSITIONS", "_POOLS")),
)


@contextmanager
def exported_metrics(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryMetricReader]:
    """Read metrics of a provider of one's own, with nothing counted before."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr(otel, "get_meter", provider.get_meter)
    for room, stores in _COUNTED:
        for store in stores:
            monkeypatch.setattr(room, store, type(getattr(room, store))())
    for histogram in metrics.HISTOGRAMS:
        monkeypatch.setattr(histogram, "_series", {})
        monkeypatch.setattr(histogram, "told", None)
    yield reader
    provider.shutdown()


Attributes = tuple[tuple[str, Any], ...]


def metrics_of(reader: InMemoryMetricReader) -> Iterator[Metric]:
    """Collect, and return all metrics."""
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            yield from scope.metrics


def numbers(reader: InMemoryMetricReader) -> dict[str, dict[Attributes, float]]:
    """Collect, and return all that is no histogram: by name and attributes."""
    return {
        metric.name: {
            tuple(sorted((point.attributes or {}).items())): point.value
            for point in metric.data.data_points
            if isinstance(point, NumberDataPoint)
        }
        for metric in metrics_of(reader)
        if any(isinstance(point, NumberDataPoint) for point in metric.data.data_points)
    }


def histograms(reader: InMemoryMetricReader) -> dict[str, dict[Attributes, HistogramDataPoint]]:
    """Collect, and return all histograms: by name and attributes."""
    return {
        metric.name: {
            tuple(sorted((point.attributes or {}).items())): point
            for point in metric.data.data_points
            if isinstance(point, HistogramDataPoint)
        }
        for metric in metrics_of(reader)
        if any(isinstance(point, HistogramDataPoint) for point in metric.data.data_points)
    }
