from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from cachepolicy import PolicyError, cached, configure
from cachepolicy.telemetry import SignalState, setup
from cachepolicy.telemetry.otlp import Receiver, speaks_grpc
from tests.support.colour import Colour
from tests.support.otlp_grpc import grpc_collector
from tests.support.policies import cache_policy
from tests.support.providers import no_providers
from tests.support.source import ROOT


@pytest.fixture(autouse=True)
def _providers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with no_providers(monkeypatch):
        yield


def _policy(**otlp: Any) -> dict[str, Any]:
    return {**cache_policy(), "telemetry": {"otlp": {"interval": "1h", "timeout": "20s", **otlp}}}


def test_grpc(colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``protocol: grpc`` spans, metrics and headers arrive at a real gRPC server."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=search")
    with grpc_collector() as collector:
        configure(_policy(endpoint=collector.url, protocol="grpc", headers={"X-Key": "hunter2"}))
        done = setup()

        @colour.decorate(cached("answers"))
        def answer(question: str) -> str:
            return question

        colour.run(lambda: answer("why?"))
        assert done.flush(20)
        assert "cache.get answers" in collector.received.span_names()
        assert "cachepolicy.requests" in collector.received.latest()
        assert {(each["x-key"], each["x-team"]) for each in collector.metadata} == {("hunter2", "search")}
        assert done.shutdown(20)


@pytest.mark.parametrize(
    ("protocol", "variables", "traces", "metrics"),
    [
        (None, {}, False, False),
        (None, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, True, True),
        (None, {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}, True, False),
        (
            None,
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf"},
            True,
            False,
        ),
        ("http", {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, False, False),
        ("grpc", {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True, True),
    ],
)
def test_which_protocol(
    monkeypatch: pytest.MonkeyPatch,
    protocol: Any,
    variables: Mapping[str, str],
    traces: bool,
    metrics: bool,
) -> None:
    """The policy says which protocol is spoken; where it is silent, the variables do, for each signal."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    receiver = Receiver(protocol=protocol)
    assert (speaks_grpc(receiver, "traces"), speaks_grpc(receiver, "metrics")) == (traces, metrics)


def test_an_endpoint_keeps_its_path_and_query(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal's path is put behind that of the collector's address."""
    from cachepolicy.telemetry import otlp

    said = otlp._http(Receiver(endpoint="https://collector.test/otel/?to=1"), "traces")
    assert said["endpoint"] == "https://collector.test/otel/v1/traces?to=1"


@pytest.mark.parametrize(
    ("missing", "protocol", "named"),
    [
        (
            "opentelemetry.exporter.otlp.proto.grpc",
            "grpc",
            "pip install opentelemetry-exporter-otlp-proto-grpc",
        ),
        ("opentelemetry.exporter.otlp.proto.http", "http", "pip install 'cachepolicy[otel]'"),
        ("opentelemetry.sdk", "http", "pip install 'cachepolicy[otel]'"),
    ],
)
def test_a_missing_package_is_named(missing: str, protocol: str, named: str) -> None:
    """Without what sends, ``setup()`` says what to install, and has set no provider; calls go on."""
    script = f"""
import sys
sys.modules[{missing!r}] = None
from opentelemetry import metrics, trace
from cachepolicy import PolicyError, cached, configure
from cachepolicy.telemetry import setup
configure({_policy(protocol=protocol)!r})
try:
    setup()
except PolicyError as error:
    assert {named!r} in str(error), error
else:
    raise SystemExit("no error")
assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
assert "Proxy" in type(metrics.get_meter_provider()).__name__
assert cached("answers")(len)("four") == 4
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=50)


def test_one_protocol_missing_starts_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one signal's package is missing, the other is not started either: it could not be undone."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.grpc.trace_exporter", None)
    configure({**cache_policy(), "telemetry": {"otlp": {"interval": "1h"}}})
    with pytest.raises(PolicyError, match="grpc needs a package"):
        setup()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf")
    assert setup().metrics.state is SignalState.STARTED


def test_only_who_calls_it_loads_what_sends() -> None:
    """Neither the package, nor ``cachepolicy.telemetry``, nor a policy with ``otlp:`` loads what sends."""
    script = f"""
import sys
import cachepolicy.telemetry
assert "setup" in dir(cachepolicy.telemetry)
from cachepolicy.telemetry import TelemetrySetup
from cachepolicy import cached, configure
configure({_policy(endpoint="http://127.0.0.1:9")!r})
assert cached("answers")(len)("four") == 4
ours = ("opentelemetry.exporter", "cachepolicy.telemetry.pipelines")  # the SDK is loaded by redis-py
assert not [name for name in sys.modules if name.startswith(ours)]
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=50)
