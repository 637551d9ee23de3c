"""OpenTelemetry's SDK, set up for an application that has none of its own.

It comes with an extra: this is loaded where ``telemetry.setup()`` is called.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from cachepolicy.telemetry.otlp import Receiver, SignalName, metric_exporter, span_exporter
from cachepolicy.telemetry.result import Signal, SignalState

STARTED: Final = Signal(SignalState.STARTED, "sent by OTLP")
_NO_SPANS: Final = Signal(SignalState.OFF, "telemetry.spans is none")
_THEIR_TRACES: Final = Signal(
    SignalState.APPLICATION, "the application has a tracer provider; it is left as it is"
)
_THEIR_METRICS: Final = Signal(
    SignalState.APPLICATION, "the application has a meter provider; it is left as it is"
)
_SERVICE: Final = "service.name"
_UNKNOWN: Final = "unknown_service"  # what the SDK calls a service that nobody named


@dataclass(frozen=True, slots=True)
class Options:
    """What the SDK is set up by; None where the policy does not say, and a variable or a default decides.

    Args:
        receiver: where telemetry is sent.
        service: what the service is called where neither ``resource`` nor a variable names it.
        resource: attributes of this service.
        sampling: the share of traces that are kept.
        interval: how often metrics are sent (seconds).
    """

    receiver: Receiver
    service: str
    resource: Mapping[str, str] = field(default_factory=dict)
    sampling: float | None = None
    interval: float | None = None


class Pipelines:
    """The providers that were set up, and how they end. Nothing here raises into its caller.

    ``failures`` counts what ending them raised.
    """

    def __init__(self) -> None:
        self.traces: TracerProvider | None = None
        self.metrics: MeterProvider | None = None
        self.ended = False
        self.failures = 0

    def flush(self, timeout: float) -> bool:
        """Send what waits; tell whether it was done in time."""
        if self.ended:
            return True
        flushes = [provider.force_flush for provider in (self.traces, self.metrics) if provider is not None]
        return self._within(timeout, [partial(flush, _milliseconds(timeout)) for flush in flushes])

    def shutdown(self, timeout: float) -> bool:
        """Send what waits, and end; tell whether it was done in time."""
        if self.ended:
            return True
        self.ended = True
        ends: list[Callable[[], object]] = []
        if self.traces is not None:
            ends.append(self.traces.shutdown)
        if self.metrics is not None:
            ends.append(partial(self.metrics.shutdown, _milliseconds(timeout)))
        return self._within(timeout, ends)

    def _within(self, timeout: float, works: Sequence[Callable[[], object]]) -> bool:
        """Do each in a thread of its own: the SDK's own bounds are not kept by each of its parts."""
        until = time.monotonic() + timeout
        threads = [
            threading.Thread(target=self._try, args=(work,), name="cachepolicy-telemetry", daemon=True)
            for work in works
        ]
        try:
            for thread in threads:
                thread.start()
        except RuntimeError:  # the interpreter ends: there are no threads to be had
            return False
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception:  # noqa: BLE001 - the SDK raises where it was too slow; what is lost is telemetry
            self.failures += 1


def start(options: Options, *, spans: bool) -> tuple[Pipelines, Signal, Signal]:
    """Have spans and metrics sent, but for a signal of which the application has a provider, or nobody wants.

    Args:
        options: how.
        spans: whether there will be any.

    Returns:
        What was started, and what became of spans and of metrics.

    Raises:
        PolicyError: an exporter's package is not installed; nothing was started.
    """
    pipelines = Pipelines()
    traces = _NO_SPANS if not spans else _THEIR_TRACES if _has_tracer_provider() else _off("traces")
    measures = _THEIR_METRICS if _has_meter_provider() else _off("metrics")
    sends_spans = span_exporter(options.receiver) if traces is None else None
    sends_metrics = metric_exporter(options.receiver) if measures is None else None
    # Metrics first: what sends spans counts by them, where OpenTelemetry's variables ask for it.
    if sends_metrics is not None:
        measures = _start_metrics(pipelines, options, sends_metrics)
    if sends_spans is not None:
        traces = _start_traces(pipelines, options, sends_spans)
    return pipelines, traces or STARTED, measures or STARTED


def _start_traces(pipelines: Pipelines, options: Options, exporter: SpanExporter) -> Signal:
    sampler = None if options.sampling is None else ParentBased(TraceIdRatioBased(options.sampling))
    provider = TracerProvider(sampler, _resource(options), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    if trace.get_tracer_provider() is not provider:  # somebody was faster
        provider.shutdown()
        return _THEIR_TRACES
    pipelines.traces = provider
    return STARTED


def _start_metrics(pipelines: Pipelines, options: Options, exporter: MetricExporter) -> Signal:
    interval = None if options.interval is None else options.interval * 1000
    reader = PeriodicExportingMetricReader(exporter, interval)
    provider = MeterProvider([reader], _resource(options), shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    if metrics.get_meter_provider() is not provider:  # somebody was faster
        provider.shutdown()
        return _THEIR_METRICS
    pipelines.metrics = provider
    _unlock_in_children(reader)
    return STARTED


def _has_tracer_provider() -> bool:
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def _has_meter_provider() -> bool:
    return type(metrics.get_meter_provider()).__name__ != "_ProxyMeterProvider"  # the API has no name for it


def _off(signal: SignalName) -> Signal | None:
    """Return why OpenTelemetry's own variables want none of a signal, if they do."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Signal(SignalState.OFF, "OTEL_SDK_DISABLED says so")
    variable = f"OTEL_{signal.upper()}_EXPORTER"
    wanted = {word.strip() for word in os.environ.get(variable, "otlp").split(",")}
    if wanted & {"otlp", ""}:
        return None
    return Signal(SignalState.OFF, f"{variable} does not name otlp, the only exporter that is set up here")


def _resource(options: Options) -> Resource:
    resource = Resource.create(dict(options.resource))
    if str(resource.attributes.get(_SERVICE, "")).startswith(_UNKNOWN):
        return resource.merge(Resource({_SERVICE: options.service}))
    return resource


def _unlock_in_children(reader: PeriodicExportingMetricReader) -> None:
    """Give a forked child a lock of its own: the parent's may have been held by a thread that it has not.

    The SDK starts the reader's thread anew in a child, but leaves it the lock.
    """
    known = weakref.ref(reader)

    def unlock() -> None:
        found = known()
        if found is not None and hasattr(found, "_export_lock"):
            found._export_lock = threading.Lock()  # noqa: SLF001 - there is no other way to it

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=unlock)


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))
