from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from cachepolicy import cached, configure
from cachepolicy.runtime import current
from cachepolicy.telemetry import coherence as room
from cachepolicy.telemetry import metrics as table
from cachepolicy.tiers.listener import NullWatch
from tests.support.metered import exported_metrics
from tests.support.policies import cache_policy
from tests.support.waiting import until


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Read metrics of a provider of this test's own, with nothing counted before."""
    with exported_metrics(monkeypatch) as reader:
        yield reader


def _read(reader: InMemoryMetricReader) -> dict[str, float]:
    """Return each figure of coherence by the last word of its name."""
    data = reader.get_metrics_data()
    found: dict[str, float] = {}
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                if metric.name.startswith("cachepolicy.coherence."):
                    (point,) = metric.data.data_points
                    assert dict(point.attributes or {}) == {"cachepolicy.namespace": "answers"}
                    found[metric.name.rpartition(".")[2]] = point.value  # type: ignore[union-attr] # no histograms here
    return found


def test_c6_whether_changes_are_heard_is_in_the_metrics(reader: InMemoryMetricReader, redis_url: str) -> None:
    """C6: whether L1 hears of changes, what it lost and missed, and how late it hears, are metrics."""
    configure(cache_policy(redis_url))

    @cached("answers")
    def answer(question: str) -> str:
        return question

    answer("why?")
    found: dict[str, float] = {}

    def is_live() -> bool:
        found.update(_read(reader))
        return found["live"] == 1

    until(is_live, "the watch")
    assert 0 < found["lag"] < 5
    assert (found["losses"], found["gaps"]) == (0, 0)
    current.close()
    assert _read(reader)["live"] == 0


def test_losses_never_fall(reader: InMemoryMetricReader) -> None:
    """A counter never falls: what the ear of a replaced policy has counted stays in the sum."""
    first, second = NullWatch(), NullWatch()
    first.losses, first.gaps = 2, 5
    room.export("answers", first)
    table.export_all()
    assert _read(reader) == {"live": 1, "losses": 2, "gaps": 5}
    del first
    second.losses = 1
    room.export("answers", second)
    assert _read(reader) == {"live": 1, "losses": 3, "gaps": 5}


def test_what_is_not_to_be_heard_is_no_metric(reader: InMemoryMetricReader, redis_url: str) -> None:
    """A namespace with `coherence: off` has none of these figures: it would look deaf for ever."""
    configure(cache_policy(redis_url, local={"coherence": "off"}))

    @cached("answers")
    def answer(question: str) -> str:
        return question

    answer("why?")
    assert _read(reader) == {}


def test_a_lock_held_at_the_fork_is_forgotten(reader: InMemoryMetricReader) -> None:
    """A child forked while another thread of its parent collected can still open namespaces."""
    configure(cache_policy())
    held = room._LOCK
    with held:
        current.current().after_fork()
        room.export("answers", NullWatch())
    assert reader is not None
