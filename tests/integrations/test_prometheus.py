from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import DuplicateTimeseries

from cachepolicy import cached, configure
from cachepolicy.integrations.prometheus import Collector, register
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
