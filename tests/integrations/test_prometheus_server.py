"""A real Prometheus scrapes a process, and is asked what it read."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from cachepolicy.clock import SYSTEM
from tests.support.prometheus import Prometheus, Sample, until
from tests.support.prometheus import found as program
from tests.support.scraped import CALLS
from tests.support.source import ROOT

_PATIENCE = 30.0


class Scraped(NamedTuple):
    """A server that has scraped an application, and the trace that this one made."""

    prometheus: Prometheus
    trace: str


@pytest.fixture(scope="module")
def scraped() -> Iterator[Scraped]:
    """One server and one application for this file; both are gone with it."""
    program("prometheus")  # before anything is started that nobody would end
    words = [sys.executable, "-W", "error", str(ROOT / "tests/support/scraped.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            port, trace = process.stdout.readline().split()
            config = (
                "global: {scrape_interval: 1s}\n"
                "scrape_configs:\n"
                f"- {{job_name: app, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}\n"
            )
            with Prometheus(config) as prometheus:
                up = 'up{job="app"} == 1'
                assert until(lambda: bool(prometheus.query(up)), _PATIENCE), prometheus.log
                yield Scraped(prometheus, trace)
        finally:
            process.communicate(timeout=20)  # its input ends, and so does it


def _value(scraped: Scraped, expression: str) -> float:
    """Ask until there is an answer: after a scrape that the application was too busy for there is none."""
    found: list[Sample] = []

    def is_told() -> bool:
        found[:] = scraped.prometheus.query(expression)
        return bool(found)

    assert until(is_told, _PATIENCE), scraped.prometheus.log
    (sample,) = found
    return sample.value


def test_o3_prometheus_reads_what_was_counted(scraped: Scraped) -> None:
    """O3: what a process counted is what Prometheus answers, by either name."""
    at = '{cachepolicy_namespace="answers",cachepolicy_outcome="hit",cachepolicy_tier="l1"}'
    assert _value(scraped, f"cachepolicy_requests_total{at}") == CALLS
    assert _value(scraped, 'cache_hits_total{cache_type="answers"}') == CALLS
    assert _value(scraped, 'cache_misses_total{cache_type="answers"}') == CALLS
    assert _value(scraped, 'cache_operation_seconds_count{operation="compute"}') == CALLS
    assert _value(scraped, "cachepolicy_config_info") == 1


def test_a_quantile_is_no_bound_of_minutes(scraped: Scraped) -> None:
    """The buckets tell microseconds apart: half of these calls took less than a tenth of a second."""
    quantile = "histogram_quantile(0.5, sum by (le) (cachepolicy_operation_duration_seconds_bucket))"
    assert 0 < _value(scraped, quantile) < 0.1


def test_prometheus_leads_to_the_trace(scraped: Scraped) -> None:
    """An exemplar of the duration names the trace of a call that took so long."""
    now = SYSTEM.wall()
    told = scraped.prometheus.ask(
        "query_exemplars",
        query="cachepolicy_operation_duration_seconds_bucket",
        start=str(now - 600),
        end=str(now + 60),
    )
    traces = {one["labels"]["trace_id"] for series in told for one in series["exemplars"]}
    assert traces == {scraped.trace}


def test_every_metric_has_a_type_and_a_description(scraped: Scraped) -> None:
    """Prometheus knows of each of our metrics what it is, so that its page explains it."""
    told = scraped.prometheus.ask("metadata")
    ours = {name: told[name][0] for name in told if name.startswith(("cachepolicy_", "cache_", "session_"))}
    assert len(ours) > 25
    assert all(one["help"] and one["type"] != "unknown" for one in ours.values())
