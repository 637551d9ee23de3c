"""Exporters of OTLP, by what the policy says; where it is silent, by what OpenTelemetry's variables say.

They come with an extra: this is loaded where ``telemetry.setup()`` is called.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.util.re import parse_env_headers

from cachepolicy.errors import PolicyError

SignalName = Literal["traces", "metrics"]
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")
_VALUE: Final = re.compile(r"[\x20-\x7e]*")
_EXTRA: Final = "'cachepolicy[otel]'"
_GRPC: Final = "opentelemetry-exporter-otlp-proto-grpc"


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where telemetry is sent; None where the policy does not say, and a variable or a default decides.

    Args:
        protocol: what it speaks.
        endpoint: its address, without a signal's path.
        headers: what it wants to know; never shown.
        timeout: how long sending may take (seconds).
    """

    protocol: Literal["http", "grpc"] | None = None
    endpoint: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float | None = None

    def check(self) -> None:
        """See that headers can be sent: an exporter that cannot send one writes its value into the log.

        Raises:
            PolicyError: one cannot.
        """
        for name, value in self.headers.items():
            if _NAME.fullmatch(name) is None:
                raise PolicyError(f"telemetry.otlp.headers: {name!r} is not the name of a header")
            if _VALUE.fullmatch(value) is None or value != value.strip():
                raise PolicyError(
                    f"telemetry.otlp.headers.{name}: its value has a line break, a space at an end, "
                    "or what is not ASCII; a header cannot"
                )


def span_exporter(receiver: Receiver) -> SpanExporter:
    """Make what sends spans.

    Raises:
        PolicyError: the package that speaks the protocol is not installed.
    """
    made: SpanExporter = _exporter(receiver, "traces", "trace_exporter.OTLPSpanExporter")
    return made


def metric_exporter(receiver: Receiver) -> MetricExporter:
    """Make what sends metrics; errors are as of ``span_exporter``."""
    made: MetricExporter = _exporter(receiver, "metrics", "metric_exporter.OTLPMetricExporter")
    return made


def _exporter(receiver: Receiver, signal: SignalName, where: str) -> Any:
    is_grpc = speaks_grpc(receiver, signal)
    protocol, package = ("grpc", _GRPC) if is_grpc else ("http", _EXTRA)
    module, _, name = where.partition(".")
    try:
        exporter = getattr(import_module(f"opentelemetry.exporter.otlp.proto.{protocol}.{module}"), name)
    except ImportError:
        raise PolicyError(
            f"telemetry.otlp.protocol: {protocol} needs a package: pip install {package}"
        ) from None
    return exporter(**(_grpc if is_grpc else _http)(receiver, signal))


def speaks_grpc(receiver: Receiver, signal: SignalName) -> bool:
    """Tell by which of both protocols a signal is sent."""
    if receiver.protocol is not None:
        return receiver.protocol == "grpc"
    return _variable("PROTOCOL", signal) == "grpc"


def _http(receiver: Receiver, signal: SignalName) -> dict[str, Any]:
    endpoint = receiver.endpoint
    if endpoint is not None:
        parts = urlsplit(endpoint)
        endpoint = parts._replace(path=f"{parts.path.rstrip('/')}/v1/{signal}").geturl()
    # A connection that is kept would be written to by both processes after a fork.
    headers = {**receiver.headers, "connection": "close"}
    return {"endpoint": endpoint, "headers": headers, "timeout": receiver.timeout}


def _grpc(receiver: Receiver, signal: SignalName) -> dict[str, Any]:
    headers = dict(parse_env_headers(_variable("HEADERS", signal), liberal=True))
    headers.update({name.lower(): value for name, value in receiver.headers.items()})
    return {"endpoint": receiver.endpoint, "headers": headers, "timeout": receiver.timeout}


def _variable(name: str, signal: SignalName) -> str:
    own = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_{name}", "")
    return own or os.environ.get(f"OTEL_EXPORTER_OTLP_{name}", "")
