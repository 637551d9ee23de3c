"""Many processes together: real ones, forked as servers do it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from cachepolicy.integrations.prometheus_families import described
from cachepolicy.integrations.prometheus_workers import _KNOWN_TO_ALL, _MODES, _mode_of
from cachepolicy.telemetry.instruments import Kind
from cachepolicy.telemetry.metrics import ALL
from tests.support.source import ROOT

_WORKERS, _CALLS = 4, 25


def _run(folder: Path, ending: str, workers: int = _WORKERS) -> None:
    script = ROOT / "tests/support/prefork.py"
    words = [sys.executable, "-W", "error", str(script), ending, str(workers), str(_CALLS)]
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        words, env=environment, cwd=folder, capture_output=True, text=True, timeout=50, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.fixture
def registry(tmp_path: Path) -> CollectorRegistry:
    """What whoever is scraped makes of the files."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(tmp_path))  # type: ignore[no-untyped-call] # its own
    return registry


@pytest.mark.parametrize("ending", ["exit", "term", "kill", "multiprocessing"])
def test_o3_workers_that_have_ended_are_in_the_sums(
    tmp_path: Path, registry: CollectorRegistry, ending: str
) -> None:
    """O3: what forked workers and their parent counted is told once each, however they end."""
    _run(tmp_path, ending)
    at = {"cachepolicy_namespace": "answers", "cachepolicy_outcome": "hit", "cachepolicy_tier": "l1"}
    processes = _WORKERS + 1
    assert registry.get_sample_value("cachepolicy_requests_total", at) == processes * (_CALLS - 1)
    assert registry.get_sample_value("cache_misses_total", {"cache_type": "answers"}) == processes
    took = {"cachepolicy_namespace": "answers", "cachepolicy_outcome": "ok"}
    assert registry.get_sample_value("cachepolicy_origin_duration_seconds_count", took) == processes
    last = registry.get_sample_value("cachepolicy_origin_duration_seconds_bucket", {**took, "le": "+Inf"})
    assert last == processes


def test_forking_while_files_are_written_to(tmp_path: Path, registry: CollectorRegistry) -> None:
    """A worker that is forked while another thread writes to the files does not hang on a lock."""
    _run(tmp_path, "storm", workers=10)
    assert registry.get_sample_value("cache_misses_total", {"cache_type": "answers"}) == 11


def test_what_only_lives_with_a_process_ends_with_it(tmp_path: Path, registry: CollectorRegistry) -> None:
    """The entries of a worker that has ended are not counted on; those of a killed one, until it is said."""
    at = {"cachepolicy_namespace": "answers"}
    _run(tmp_path, "exit")
    assert registry.get_sample_value("cachepolicy_entries_count", at) is None
    _run(tmp_path, "kill")
    assert registry.get_sample_value("cachepolicy_entries_count", at) == 2 * _WORKERS  # one is the parent's


def test_every_gauge_is_put_together_in_its_own_way() -> None:
    """What adds up over processes is added up; what all say of one server is said once, its counters too."""
    sums = {instrument.name for instrument in ALL if instrument.kind is Kind.UP_DOWN}
    assert {_MODES[name] for name in sums} == {"livesum"}
    modes = {family.name: _mode_of(family) for family in described() if family.type == "gauge"}
    assert modes["active_sessions"] == _KNOWN_TO_ALL
    assert modes["cachepolicy_coherence_live_ratio"] == "livemin"
    assert modes["cachepolicy_breaker_state"] == "livemax"
