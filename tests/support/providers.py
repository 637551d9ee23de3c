"""OpenTelemetry's global providers, as they are in a process where nobody has set any."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from opentelemetry import metrics, trace
from opentelemetry.metrics import _internal as metrics_globals
from opentelemetry.util._once import Once

from cachepolicy.runtime import telemetry
from cachepolicy.telemetry import faults
from cachepolicy.telemetry import metrics as instruments


@contextmanager
def no_providers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have none set, until the test ends; nor does a variable say anything. What is set up here is ended."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
    monkeypatch.setattr(metrics_globals, "_METER_PROVIDER", None)
    monkeypatch.setattr(metrics_globals, "_METER_PROVIDER_SET_ONCE", Once())
    monkeypatch.setattr(metrics_globals, "_PROXY_METER_PROVIDER", metrics_globals._ProxyMeterProvider())
    monkeypatch.setattr(instruments, "_REGISTERED", [])
    monkeypatch.setattr(telemetry, "_DONE", None)
    monkeypatch.setattr(faults, "_ERRORS", {})  # what goes wrong here is no other test's
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    assert isinstance(metrics.get_meter_provider(), metrics_globals._ProxyMeterProvider)
    yield
    end_setup()


def end_setup() -> None:
    """End what ``setup()`` has started, if it did."""
    if telemetry._DONE is not None:
        telemetry._DONE.setup.shutdown(1.0)
