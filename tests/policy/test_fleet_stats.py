"""``telemetry: {fleet_stats: true}`` needs one place where counts are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.policy.helpers import complaints, write

KEPT = "  counts: {kind: analytics}\n"
PLACE = "policies.yaml:2:26: telemetry.fleet_stats: "
WANTED = "one namespace of kind: analytics, where the counts are kept"


def _policy(folder: Path, namespaces: str, telemetry: str = "fleet_stats: true") -> Path:
    cache = "  llm: {kind: cache, scope: global}\n"
    return write(folder, f"version: 1\ntelemetry: {{{telemetry}}}\nnamespaces:\n{cache}{namespaces}")


@pytest.mark.parametrize(
    ("namespaces", "said"),
    [
        ("", f"required: {WANTED}"),
        (KEPT, None),
        (KEPT + "  more: {kind: analytics}\n", f"expected {WANTED}; there are counts, more"),
    ],
)
def test_counts_need_one_place(namespaces: str, said: str | None, tmp_path: Path) -> None:
    """Without a namespace of ``kind: analytics``, or with several, its place is that of ``fleet_stats``."""
    assert complaints(_policy(tmp_path, namespaces)) == ([] if said is None else [PLACE + said])


@pytest.mark.parametrize("telemetry", ["fleet_stats: false", "enabled: false, fleet_stats: true"])
def test_who_counts_nothing_needs_none(telemetry: str, tmp_path: Path) -> None:
    """A policy that tells nothing needs no place for it."""
    assert complaints(_policy(tmp_path, "", telemetry)) == []


def test_an_environment_may_give_the_place(tmp_path: Path) -> None:
    """What one environment adds is not missed in it, and is missed in another."""
    with_it = "environments:\n  live: {namespaces: {counts: {kind: analytics, ttl: 1h}}}\n"
    file = _policy(tmp_path, with_it)
    assert complaints(file, environment="live") == []
    assert complaints(file) == [PLACE + f"required: {WANTED}"]


def test_the_name_of_the_library_is_taken(tmp_path: Path) -> None:
    """A metric ``cachepolicy`` would be derived to names that are the library's own; its place is told."""
    file = _policy(tmp_path, "  counts:\n    kind: analytics\n    metrics:\n      cachepolicy: {}\n")
    (complaint,) = complaints(file)
    assert complaint.startswith("policies.yaml:8:7: namespaces.counts.metrics.cachepolicy: ")
