"""Metrics as a reader of the test's own sees them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from opentelemetry import metrics as otel
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from cachepolicy.telemetry import coherence, faults, limits, metrics, sessions

_COUNTED: Final = (
    (metrics, ("_SOURCES", "_REGISTERED", "_RETIRED_REQUESTS", "_RETIRED_ERRORS", "_RETIRED_SAVED")),
    (faults, ("_ERRORS",)),
    (limits, ("_TALLIES",)),
    (sessions, ("_SOURCES", "_ENDED")),
    (coherence, ("_SOURCES", "_RETIRED_LOSSES", "_RETIRED_GAPS")),
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
    yield reader
    provider.shutdown()
