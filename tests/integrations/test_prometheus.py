from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import DuplicateTimeseries

from cachepolicy import cached, configure
from cachepolicy.integrations.prometheus import Collector, register
from cachepolicy.telemetry import health, limits, sessions
from cachepolicy.telemetry.names import METRIC_REDIS_EVICTED, METRIC_REDIS_MAXMEMORY, METRIC_REDIS_UPTIME
from tests.support.colour import Colour
from tests.support.metered import exported_metrics
from tests.support.policies import cache_policy


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[CollectorRegistry]:
    """A registry that tells metrics of this test alone."""
    with exported_metrics(monkeypatch):
        registry = CollectorRegistry()
        register(registry)
        yield registry


def _call(colour: Colour) -> None:
    """Make two hits and a miss."""

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    for _ in range(3):
        colour.run(lambda: answer("why?"))


def _parsed(registry: CollectorRegistry, way: str) -> list[Metric]:
    """Return all families as a scraper reads them; every sample once, and no suffix doubled."""
    if way == "text":
        text = generate_latest(registry).decode()
        found = list(parse_text(text))
    else:
        text = generate_openmetrics(registry).decode()  # type: ignore[no-untyped-call] # its own
        found = list(parse_openmetrics(text))  # type: ignore[no-untyped-call] # as above
    lines = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    assert len(lines) == len(set(lines))
    types = [line for line in text.splitlines() if line.startswith("# TYPE")]
    assert len({line.split()[2] for line in types}) == len(types)
    assert "_total_total" not in text
    assert "_seconds_seconds" not in text
    return found


def _value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


@pytest.mark.parametrize("way", ["text", "openmetrics"])
def test_o3_both_formats_are_read_back(colour: Colour, registry: CollectorRegistry, way: str) -> None:
    """O3: what is told is what Prometheus's own parsers read, in its text format and in OpenMetrics."""
    configure(cache_policy())
    _call(colour)
    found = {family.name: family for family in _parsed(registry, way)}
    name = "cachepolicy_requests"
    assert {
        (sample.labels["cachepolicy_outcome"], sample.labels["cachepolicy_tier"]): sample.value
        for sample in found[name].samples
    } == {("hit", "l1"): 2, ("miss", "origin"): 1}
    assert found[name].type == "counter"
    assert found["cachepolicy_entries_memory_bytes"].type == "gauge"


def test_o3_the_names_that_dashboards_know(colour: Colour, registry: CollectorRegistry) -> None:
    """O3: hits and misses by `cache_type` are told beside the names of OpenTelemetry."""
    configure(cache_policy())
    _call(colour)
    assert _value(registry, "cache_hits_total", cache_type="answers") == 2
    assert _value(registry, "cache_misses_total", cache_type="answers") == 1


def test_registering_again_changes_nothing(registry: CollectorRegistry) -> None:
    """An application that registers twice, as a reloaded module does, is told each metric once."""
    register(registry)
    with pytest.raises(DuplicateTimeseries):
        registry.register(Collector())


def test_telemetry_that_is_off_tells_nothing(colour: Colour, registry: CollectorRegistry) -> None:
    """`telemetry: {enabled: false}` leaves Prometheus nothing to read."""
    configure({**cache_policy(), "telemetry": {"enabled": False}})
    _call(colour)
    assert generate_latest(registry) == b""


def test_without_the_extra_its_name_is_told() -> None:
    """Where `prometheus_client` is not installed the error says how to get it; nothing else needs it."""
    script = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "import cachepolicy\n"
        "try:\n    import cachepolicy.integrations.prometheus\n"
        "except ModuleNotFoundError as error:\n    print(error.name, error)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("prometheus_client ")
    assert "pip install 'cachepolicy[prometheus]'" in ran.stdout


_DURATION = "cachepolicy_operation_duration_seconds"


@pytest.mark.parametrize("way", ["text", "openmetrics"])
def test_histograms_add_up(colour: Colour, registry: CollectorRegistry, way: str) -> None:
    """Buckets rise to the count, the last has no bound, and the first fit microseconds."""
    configure(cache_policy())
    _call(colour)
    found = {family.name: family for family in _parsed(registry, way)}
    for name in (_DURATION, "cachepolicy_origin_duration_seconds", "cache_operation_seconds"):
        family = found[name]
        assert family.type == "histogram"
        series = {tuple(sorted({**one.labels, "le": ""}.items())) for one in family.samples}
        assert series
        for labels in series:
            mine = [
                one for one in family.samples if tuple(sorted({**one.labels, "le": ""}.items())) == labels
            ]
            buckets = [one for one in mine if one.name.endswith("_bucket")]
            counts = [one.value for one in buckets]
            assert counts == sorted(counts)
            assert (buckets[0].labels["le"], buckets[-1].labels["le"]) == ("5e-05", "+Inf")
            (count,) = [one.value for one in mine if one.name.endswith("_count")]
            (total,) = [one.value for one in mine if one.name.endswith("_sum")]
            assert count == counts[-1] == 1
            assert 0 < total < 10


def test_o3_operations_are_timed_by_namespace(colour: Colour, registry: CollectorRegistry) -> None:
    """O3: `cache_operation_seconds` tells by `cache_type` how long calls and the function took."""
    configure(cache_policy())
    _call(colour)
    for operation in ("get", "compute"):
        at = {"cache_type": "answers", "operation": operation}
        assert registry.get_sample_value("cache_operation_seconds_count", at) == 1


def test_o3_the_other_names_that_dashboards_know(registry: CollectorRegistry) -> None:
    """O3: sessions and refusals are told by the names that dashboards know."""
    configure(cache_policy())
    sessions.ended("web", 3_000.0, "ended")
    limits.tally("api", "chat").exceeded += 2
    at = {"cachepolicy_namespace": "web", "cachepolicy_outcome": "ended"}
    assert registry.get_sample_value("session_duration_seconds_count", at) == 1
    assert registry.get_sample_value("session_duration_seconds_bucket", {**at, "le": "1800.0"}) == 0
    assert registry.get_sample_value("session_duration_seconds_bucket", {**at, "le": "3600.0"}) == 1
    at = {"cachepolicy_namespace": "api", "cachepolicy_rule": "chat"}
    assert registry.get_sample_value("rate_limit_exceeded_total", at) == 2
    assert "active_sessions" in {family.name for family in registry.collect()}


def test_redis_is_told_as_its_exporter_does(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known of a server has the names of `redis_exporter` too; `redis_up` says if it answered."""
    monkeypatch.setattr(health, "_SEEN", [()])
    configure(cache_policy())
    figures = {METRIC_REDIS_MAXMEMORY: 100.0, METRIC_REDIS_EVICTED: 7.0, METRIC_REDIS_UPTIME: 60.0}
    health.tell(
        [
            health.Seen("one", "6379", "healthy", {"reachable": "healthy"}, figures),
            health.Seen("two", "6379", "unhealthy", {"reachable": "unhealthy"}),
            health.Seen("three", "6379", "unknown", {"reachable": "unknown"}),
        ]
    )
    found = {
        (sample.name, sample.labels["server_address"]): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name.startswith("redis_")
    }
    assert (found["redis_up", "one"], found["redis_up", "two"]) == (1, 0)
    assert ("redis_up", "three") not in found
    assert found["redis_memory_max_bytes", "one"] == found["redis_maxmemory_bytes", "one"] == 100
    assert found["redis_evicted_keys_total", "one"] == found["redis_keys_evicted_total", "one"] == 7
    assert found["redis_uptime_in_seconds", "one"] == 60


@pytest.mark.parametrize("sampled", [True, False], ids=["sampled", "not sampled"])
def test_a_bucket_shows_a_trace(colour: Colour, registry: CollectorRegistry, sampled: bool) -> None:
    """A bucket of OpenMetrics names the trace of a call that is in it, where that is sampled."""
    configure(cache_policy())
    sampler = ALWAYS_ON if sampled else ALWAYS_OFF
    with TracerProvider(sampler=sampler).get_tracer("test").start_as_current_span("request") as span:
        _call(colour)
    shown = {
        sample.exemplar.labels["trace_id"]
        for family in parse_openmetrics(generate_openmetrics(registry).decode())  # type: ignore[no-untyped-call] # its own
        if family.name == _DURATION
        for sample in family.samples
        if sample.exemplar is not None
    }
    assert shown == ({f"{span.get_span_context().trace_id:032x}"} if sampled else set())
