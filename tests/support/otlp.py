"""A receiver of OTLP over HTTP, in this process: keeps what it was sent, as bytes and decoded.

::

    with Collector() as collector:
        ...  # send to collector.url
        assert collector.span_names() == ["cache.get answers"]
"""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from cachepolicy.testing.loopback import LoopbackServer, Request, Response

_PROTOBUF: Final = "application/x-protobuf"


@dataclass
class Received:
    """What came, in order."""

    traces: list[ExportTraceServiceRequest] = field(default_factory=list)
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list)

    def spans(self) -> list[Span]:
        """Give the spans of all requests."""
        return [
            span
            for request in self.traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def span_names(self) -> list[str]:
        """Give their names."""
        return [span.name for span in self.spans()]

    def latest(self) -> dict[str, Metric]:
        """Give each metric as it came last."""
        return {
            metric.name: metric
            for request in self.metrics
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def resources(self) -> list[dict[str, Any]]:
        """Give the attributes of what sent them."""
        traces = [one.resource for request in self.traces for one in request.resource_spans]
        metrics = [one.resource for request in self.metrics for one in request.resource_metrics]
        return [attributes(each.attributes) for each in (*traces, *metrics)]


class Collector:
    """Answers on a free loopback port from ``with`` to its end.

    ``status`` is what it answers; ``hang`` makes it say nothing until the end.
    """

    def __init__(self) -> None:
        self.received = Received()
        self.requests: list[Request] = []
        self.status = 200
        self.hang = False
        self.came = threading.Event()
        self._end = threading.Event()
        self._server = LoopbackServer(self._answer)

    @property
    def url(self) -> str:
        """Its address, without a signal's path."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def bodies(self) -> list[bytes]:
        """Give all that came, unpacked, headers among it."""
        return [piece for request in self.requests for piece in _pieces(request)]

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._server.close()

    def _answer(self, request: Request) -> Response:
        self.requests.append(request)
        self.came.set()
        if self.hang:
            self._end.wait()
        if self.status != 200:
            return Response(self.status, b"")
        assert request.headers["content-type"] == _PROTOBUF
        answer = self._take(request.path, _unpacked(request))
        return Response(404, b"") if answer is None else Response(200, answer, {"Content-Type": _PROTOBUF})

    def _take(self, path: str, body: bytes) -> bytes | None:
        if path == "/v1/traces":
            self.received.traces.append(ExportTraceServiceRequest.FromString(body))
            return bytes(ExportTraceServiceResponse().SerializeToString())
        if path == "/v1/metrics":
            self.received.metrics.append(ExportMetricsServiceRequest.FromString(body))
            return bytes(ExportMetricsServiceResponse().SerializeToString())
        return None


def attributes(pairs: Any) -> dict[str, Any]:
    """Read attributes as they stand in the protocol."""
    return {pair.key: _value(pair.value) for pair in pairs if isinstance(pair, KeyValue)}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return None if kind is None else getattr(value, kind)


def _unpacked(request: Request) -> bytes:
    packed = request.headers.get("content-encoding") == "gzip"
    return gzip.decompress(request.body) if packed else request.body


def _pieces(request: Request) -> Iterator[bytes]:
    yield request.path.encode()
    yield repr(dict(request.headers)).encode()
    yield _unpacked(request)
