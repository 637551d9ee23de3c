"""A receiver of OTLP over gRPC, in this process: a real server that keeps what it was sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc  # type: ignore[import-untyped] # it has no types
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_messages
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_messages
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_service

from tests.support.otlp import Received


@dataclass
class GrpcCollector:
    """What came, with which metadata."""

    url: str = ""
    received: Received = field(default_factory=Received)
    metadata: list[dict[str, Any]] = field(default_factory=list)


class _Keeps:
    """A service of either kind: what comes is kept."""

    def __init__(self, collector: GrpcCollector, kept: list[Any], answer: Callable[[], Any]) -> None:
        self._collector = collector
        self._kept = kept
        self._answer = answer

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's own name
        self._collector.metadata.append(dict(context.invocation_metadata()))
        self._kept.append(request)
        return self._answer()


@contextmanager
def grpc_collector() -> Iterator[GrpcCollector]:
    """Serve on a free loopback port."""
    collector = GrpcCollector()
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        received = collector.received
        traces = _Keeps(collector, received.traces, trace_messages.ExportTraceServiceResponse)
        metrics = _Keeps(collector, received.metrics, metrics_messages.ExportMetricsServiceResponse)
        add_traces: Any = trace_service.add_TraceServiceServicer_to_server
        add_metrics: Any = metrics_service.add_MetricsServiceServicer_to_server
        add_traces(traces, server)
        add_metrics(metrics, server)
        collector.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        yield collector
        server.stop(0).wait()
