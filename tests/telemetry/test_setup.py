from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from cachepolicy import PolicyError, cached, configure
from cachepolicy.runtime import telemetry as room
from cachepolicy.telemetry import SignalState, TelemetrySetup, setup
from tests.support.colour import Colour
from tests.support.otlp import Collector, attributes
from tests.support.policies import cache_policy
from tests.support.providers import end_setup, no_providers
from tests.support.waiting import until


def _policy(endpoint: str | None = None, **telemetry: Any) -> dict[str, Any]:
    otlp = {} if endpoint is None else {"endpoint": endpoint}
    otlp |= {"interval": "1h", "timeout": "20s", **telemetry.pop("otlp", {})}
    return {**cache_policy(), "telemetry": {"otlp": otlp, **telemetry}}


@pytest.fixture(autouse=True)
def _providers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with no_providers(monkeypatch):
        yield


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Receive what is sent, until the test ends."""
    with Collector() as one:
        yield one
        end_setup()


def _call(colour: Colour) -> None:
    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question.upper()

    for _ in range(3):
        assert colour.run(lambda: answer("why?")) == "WHY?"


def _started(done: TelemetrySetup) -> tuple[bool, bool]:
    return done.traces.state is SignalState.STARTED, done.metrics.state is SignalState.STARTED


def test_spans_and_metrics_arrive(collector: Collector, colour: Colour) -> None:
    """``setup()`` sends spans and metrics to the collector that the policy names, as this service's own."""
    configure(_policy(collector.url, resource={"service.name": "chat", "team": "search"}))
    done = setup()
    _call(colour)
    assert done.flush(20)
    assert _started(done) == (True, True)
    assert "cache.get answers" in collector.received.span_names()
    (span, *_) = [each for each in collector.received.spans() if each.name == "cache.get answers"]
    assert attributes(span.attributes)["cachepolicy.outcome"] == "miss"
    points = collector.received.latest()["cachepolicy.requests"].sum.data_points
    hits = {"cachepolicy.namespace": "answers", "cachepolicy.outcome": "hit", "cachepolicy.tier": "l1"}
    (counted,) = [point.as_int for point in points if attributes(point.attributes) == hits]
    assert counted >= 2
    for resource in collector.received.resources():
        assert (resource["service.name"], resource["team"]) == ("chat", "search")


def test_a_service_that_nobody_named_is_the_app(collector: Collector, colour: Colour) -> None:
    """Without ``service.name`` in the policy or a variable, the service is called as the policy's app."""
    configure(_policy(collector.url))
    done = setup()
    _call(colour)
    assert done.flush(20)
    assert {resource["service.name"] for resource in collector.received.resources()} == {"test"}


def test_variables_name_the_service(
    collector: Collector, colour: Colour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES hold where the policy is silent, and only there."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "by-variable")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=variables,region=north")
    configure(_policy(collector.url, resource={"team": "search"}))
    done = setup()
    _call(colour)
    assert done.flush(20)
    resource = collector.received.resources()[0]
    assert (resource["service.name"], resource["team"], resource["region"]) == (
        "by-variable",
        "search",
        "north",
    )


def test_headers_are_sent(collector: Collector, colour: Colour) -> None:
    """What the collector wants to know goes with each request; nothing shows it."""
    configure(_policy(collector.url, otlp={"headers": {"X-Key": "hunter2"}}))
    done = setup()
    _call(colour)
    assert done.flush(20)
    assert {request.headers["x-key"] for request in collector.requests} == {"hunter2"}
    assert room._DONE is not None
    for shown in (done, room._DONE.options, room._DONE.options.receiver):
        assert "hunter2" not in repr(shown)


def test_requests_can_be_compressed(
    collector: Collector, colour: Colour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OTEL_EXPORTER_OTLP_COMPRESSION keeps its meaning."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    configure(_policy(collector.url))
    done = setup()
    _call(colour)
    assert done.flush(20)
    assert {request.headers["content-encoding"] for request in collector.requests} == {"gzip"}
    assert collector.received.spans()
    assert collector.received.metrics


def test_a_variable_names_the_collector(
    collector: Collector, colour: Colour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an endpoint in the policy, OTEL_EXPORTER_OTLP_ENDPOINT and its headers hold."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=by-variable")
    configure(_policy())
    done = setup()
    _call(colour)
    assert done.flush(20)
    assert {request.path for request in collector.requests} == {"/v1/traces", "/v1/metrics"}
    assert {request.headers["x-key"] for request in collector.requests} == {"by-variable"}


def test_metrics_come_by_themselves(collector: Collector, colour: Colour) -> None:
    """Each interval metrics are sent, with nobody's help."""
    configure(_policy(collector.url, otlp={"interval": "50ms"}))
    setup()
    _call(colour)
    until(lambda: collector.received.metrics, "metrics")


@pytest.mark.parametrize(
    ("policy", "variables", "sampled"),
    [
        ({}, {}, True),
        ({"sampling": "0%"}, {}, False),
        ({"sampling": "100%"}, {"OTEL_TRACES_SAMPLER": "always_off"}, True),
        ({}, {"OTEL_TRACES_SAMPLER": "always_off"}, False),
        ({}, {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, False),
    ],
)
def test_sampling(
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    policy: Mapping[str, Any],
    variables: Mapping[str, str],
    sampled: bool,
) -> None:
    """The policy says which share of traces is kept; where it is silent, OTEL_TRACES_SAMPLER does."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    configure(_policy(collector.url, **policy))
    setup()
    with trace.get_tracer("app").start_as_current_span("work") as span:
        assert span.get_span_context().trace_flags.sampled is sampled


def test_who_is_sampled_is_decided_by_the_root(collector: Collector) -> None:
    """A span whose parent is kept is kept, whatever the share."""
    configure(_policy(collector.url, sampling="0%"))
    setup()
    parent = trace.NonRecordingSpan(
        trace.SpanContext(1, 2, is_remote=True, trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED))
    )
    with trace.use_span(parent):
        assert trace.get_tracer("app").start_span("work").is_recording()


@pytest.mark.parametrize("own", ["traces", "metrics"])
def test_the_applications_provider_stays(collector: Collector, own: str) -> None:
    """A provider that the application has set is left alone; the other signal is set up all the same."""
    traces, measures = TracerProvider(shutdown_on_exit=False), MeterProvider(shutdown_on_exit=False)
    if own == "traces":
        trace.set_tracer_provider(traces)
    else:
        metrics.set_meter_provider(measures)
    configure(_policy(collector.url))
    done = setup()
    signals = {"traces": done.traces, "metrics": done.metrics}
    theirs = signals.pop(own)
    assert theirs.state is SignalState.APPLICATION
    assert "left as it is" in theirs.why
    assert [signal.state for signal in signals.values()] == [SignalState.STARTED]
    assert (trace.get_tracer_provider() is traces) is (own == "traces")
    assert (metrics.get_meter_provider() is measures) is (own == "metrics")
    assert traces._active_span_processor._span_processors == ()


def test_nothing_is_ended_that_is_the_applications(collector: Collector, colour: Colour) -> None:
    """``shutdown()`` ends what ``setup()`` started, and no provider of the application."""
    theirs = TracerProvider(shutdown_on_exit=False)
    ended: list[str] = []
    theirs.shutdown = lambda: ended.append("traces")  # type: ignore[method-assign] # to see that nobody calls it
    trace.set_tracer_provider(theirs)
    configure(_policy(collector.url))
    assert setup().shutdown(20)
    assert ended == []


@pytest.mark.parametrize(
    ("telemetry", "variables", "started"),
    [
        ({"enabled": False}, {}, (False, False)),
        ({"spans": "none"}, {}, (False, True)),
        ({}, {"OTEL_SDK_DISABLED": "true"}, (False, False)),
        ({}, {"OTEL_TRACES_EXPORTER": "none"}, (False, True)),
        ({}, {"OTEL_METRICS_EXPORTER": "none"}, (True, False)),
        ({}, {"OTEL_METRICS_EXPORTER": "prometheus"}, (True, False)),
        ({}, {"OTEL_METRICS_EXPORTER": "prometheus,otlp"}, (True, True)),
    ],
)
def test_what_is_not_wanted_is_not_started(
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    telemetry: Mapping[str, Any],
    variables: Mapping[str, str],
    started: tuple[bool, bool],
) -> None:
    """A signal that the policy or a variable does not want is off, and the result says who said so."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    configure(_policy(collector.url, **telemetry))
    done = setup()
    assert _started(done) == started
    said = [*variables, *(f"telemetry.{name}" for name in telemetry)]
    for signal in (done.traces, done.metrics):
        if signal.state is not SignalState.STARTED:
            assert signal.state is SignalState.OFF
            assert said[0] in signal.why
    if not any(started):
        assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    assert done.flush(20)
    assert done.shutdown(20)


def test_it_is_set_up_once(collector: Collector) -> None:
    """A second call returns what the first one did, and starts nothing."""
    configure(_policy(collector.url))
    first, provider = setup(), trace.get_tracer_provider()
    assert setup() == first
    assert trace.get_tracer_provider() is provider


def test_what_cannot_change_is_named(collector: Collector, caplog: pytest.LogCaptureFixture) -> None:
    """After a change of policy ``setup()`` names each setting that takes no effect, without its value."""
    configure(_policy(collector.url, otlp={"headers": {"x-key": "hunter2"}}))
    setup()
    changed = {"headers": {"x-key": "hunter3"}, "interval": "2h", "timeout": "3s"}
    configure(_policy("http://127.0.0.1:1", otlp=changed, sampling="10%", resource={"a": "b"}))
    with caplog.at_level(logging.WARNING, "cachepolicy"):
        done = setup()
    assert set(done.ignored) == {
        "telemetry.otlp.endpoint",
        "telemetry.otlp.headers",
        "telemetry.otlp.interval",
        "telemetry.otlp.timeout",
        "telemetry.sampling",
        "telemetry.resource",
    }
    assert _started(done) == (True, True)
    assert "telemetry.sampling" in caplog.text
    assert "hunter" not in caplog.text


def test_turning_it_off_later_is_named(collector: Collector) -> None:
    """``enabled: false`` cannot end what was started: it is named, and ``shutdown()`` of the result can."""
    configure(_policy(collector.url))
    setup()
    configure(_policy(collector.url, enabled=False))
    done = setup()
    assert done.ignored == ("telemetry.enabled",)
    assert done.shutdown(20)
    assert setup().traces.state is SignalState.ENDED


def test_after_shutdown_nothing_is_sent(collector: Collector, colour: Colour) -> None:
    """``shutdown()`` sends what waits; calls go on, and ``setup()`` says that it is over."""
    configure(_policy(collector.url))
    done = setup()
    _call(colour)
    assert done.shutdown(20)
    assert collector.received.span_names()[-1] == "cache.get answers"
    so_far = len(collector.requests)
    _call(colour)
    assert done.flush()
    assert done.shutdown()
    assert len(collector.requests) == so_far
    assert setup().traces.state is SignalState.ENDED


@pytest.mark.parametrize("trouble", ["503", "hang", "gone"])
def test_trouble_of_the_collector_is_no_callers(
    collector: Collector, colour: Colour, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    """C1: a collector that refuses, hangs or is gone fails and slows no call, and ends within its time."""
    collector.status = 503
    collector.hang = trouble == "hang"
    url = "http://127.0.0.1:9" if trouble == "gone" else collector.url
    configure(_policy(url, otlp={"timeout": "20s", "interval": "10ms"}))
    done = setup()
    began = time.monotonic()
    for _ in range(50):
        _call(colour)
    assert time.monotonic() - began < 15
    began = time.monotonic()
    done.flush(timeout=0.2)
    done.shutdown(timeout=0.2)
    assert time.monotonic() - began < 15


def test_a_hanging_collector_is_told_of(collector: Collector, colour: Colour) -> None:
    """``flush()`` waits as long as it was told, and says that it was not enough."""
    collector.hang = True
    configure(_policy(collector.url, otlp={"timeout": "20s"}))
    done = setup()
    _call(colour)
    began = time.monotonic()
    assert done.flush(timeout=0.1) is False
    assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    "headers",
    [{"x-key": "hunter2\n"}, {"x-key": "hunter2\r\nx: y"}, {"x-key": " hunter2"}, {"x-key": "hünter2"}],
)
def test_a_header_that_cannot_be_sent(headers: Mapping[str, str]) -> None:
    """A header that an exporter would refuse, and log with its value, is an error that only names it."""
    configure(_policy(otlp={"headers": dict(headers)}))
    with pytest.raises(PolicyError, match=r"telemetry\.otlp\.headers\.x-key") as raised:
        setup()
    assert "nter2" not in str(raised.value)
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def test_a_name_that_is_no_header(collector: Collector) -> None:
    """The name of a header is one word."""
    configure(_policy(otlp={"headers": {"x key": "hunter2"}}))
    with pytest.raises(PolicyError, match="x key"):
        setup()
