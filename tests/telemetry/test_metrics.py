from __future__ import annotations

import weakref
from collections import Counter
from functools import partial
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from cachepolicy import cached, configure, rate_limited
from cachepolicy.runtime import current
from cachepolicy.telemetry import limits
from cachepolicy.telemetry import metrics as room
from cachepolicy.telemetry.counters import Counters
from cachepolicy.telemetry.names import Outcome, Tier
from cachepolicy.tiers.local import Table
from tests.support.colour import Colour
from tests.support.limiting import Asked, limits_policy
from tests.support.metered import exported_metrics, numbers
from tests.support.policies import cache_policy


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Read metrics of a provider of this test's own, with nothing counted before."""
    with exported_metrics(monkeypatch) as reader:
        yield reader


def _requests(reader: InMemoryMetricReader) -> dict[tuple[Any, Any], float]:
    found = numbers(reader)["cachepolicy.requests"]
    return {
        (dict(key)["cachepolicy.outcome"], dict(key)["cachepolicy.tier"]): value
        for key, value in found.items()
    }


def test_every_call_is_in_the_metrics(colour: Colour, reader: InMemoryMetricReader) -> None:
    """L1 hits included, each call is counted once by outcome and tier when metrics are collected."""
    configure(cache_policy())

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    for _ in range(5):
        colour.run(lambda: answer("why?"))
    assert _requests(reader) == {("hit", "l1"): 4, ("miss", "origin"): 1}
    points = numbers(reader)
    entries = points["cachepolicy.entries.count"]
    assert list(entries.values()) == [1]
    assert next(iter(points["cachepolicy.entries.memory"].values())) > 100


def test_every_reader_reads_the_same(colour: Colour, reader: InMemoryMetricReader) -> None:
    """OpenTelemetry is told what the one table of metrics says, and the table says it to anybody."""
    assert list(room.read()) == []
    configure(cache_policy())

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    colour.run(lambda: answer("why?"))
    told = {
        instrument.name: {tuple(sorted(at.items())): value for value, at in points}
        for instrument, points in room.read()
    }
    assert told.keys() == {instrument.name for instrument in room.ALL}
    assert {name: points for name, points in told.items() if points} == numbers(reader)


def test_counts_survive_their_function(colour: Colour, reader: InMemoryMetricReader) -> None:
    """A counter never falls: what a replaced policy's plan has counted stays in the sum."""
    configure(cache_policy())

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    for _ in range(3):
        colour.run(lambda: answer("why?"))
    assert sum(_requests(reader).values()) == 3
    configure(cache_policy())
    for _ in range(3):
        colour.run(lambda: answer("why?"))
    assert sum(_requests(reader).values()) == 6


def test_faults_are_counted_by_class(colour: Colour, reader: InMemoryMetricReader) -> None:
    """Faults that calls survived are counted, by a bounded name."""
    configure(cache_policy("redis://127.0.0.1:1"))

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    colour.run(lambda: answer("why?"))
    errors = numbers(reader)["cachepolicy.errors"]
    assert {dict(key)["error.type"] for key in errors} == {"refused"}


def test_metrics_can_be_turned_off(colour: Colour, reader: InMemoryMetricReader) -> None:
    """``telemetry: {enabled: false}`` exports nothing."""
    configure({**cache_policy(), "telemetry": {"enabled": False}})

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    colour.run(lambda: answer("why?"))
    assert numbers(reader) == {}


def test_a_lock_held_at_the_fork_is_forgotten() -> None:
    """A child forked while another thread of its parent collected can still bind functions."""
    configure(cache_policy())
    held = room._LOCK
    with held:
        current.current().after_fork()
        assert room._LOCK.acquire(blocking=False)
        room._LOCK.release()


def test_decisions_of_limits_are_counted(colour: Colour, reader: InMemoryMetricReader) -> None:
    """Each decision is counted by its rule and outcome, and refusals besides; nobody is named."""
    limits._TALLIES.clear()
    rule = {"by": "user", "requests": "2/hour"}
    configure(limits_policy(rules={"chat": rule, "trial": {**rule, "shadow": True}}))

    @colour.decorate(rate_limited("chat", "trial", on_exceeded=lambda _: "instead"))
    def answer(user: str) -> str:
        return "done"

    Asked(colour).all(*[partial(answer, "canary-user")] * 3)
    points = numbers(reader)
    decisions = {
        (dict(key)["cachepolicy.rule"], dict(key)["cachepolicy.outcome"]): value
        for key, value in points["cachepolicy.limits.decisions"].items()
    }
    assert decisions["chat", "allowed"] == 2
    assert decisions["chat", "denied"] == 1
    assert decisions["trial", "allowed"] == 2
    exceeded = {dict(key)["cachepolicy.rule"]: value for key, value in points["rate_limit_exceeded"].items()}
    assert exceeded == {"chat": 1, "trial": 0}
    assert "canary" not in repr(points)


def test_faults_of_limits_are_counted(colour: Colour, reader: InMemoryMetricReader) -> None:
    """A decision without Redis is degraded, and its fault is counted with those of caches."""
    limits._TALLIES.clear()
    configure(limits_policy("redis://127.0.0.1:1", rules={"chat": {"by": "user", "requests": "2/hour"}}))

    @colour.decorate(rate_limited("chat"))
    def answer(user: str) -> str:
        return "done"

    Asked(colour).all(partial(answer, "a"))
    points = numbers(reader)
    outcomes = {
        dict(key)["cachepolicy.outcome"]: value
        for key, value in points["cachepolicy.limits.decisions"].items()
    }
    assert outcomes == {"allowed": 0, "denied": 0, "shadow": 0, "degraded": 1}
    assert sum(points["cachepolicy.errors"].values()) == 1


class _Owner:
    """Somebody whose calls are counted."""


def test_what_is_folded_meanwhile_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that goes while metrics are collected, and is collected by another, is in each sum once."""
    owners = [_Owner()]
    sources: list[room.Source] = []
    monkeypatch.setattr(room, "_SOURCES", sources)
    monkeypatch.setattr(room, "_RETIRED_REQUESTS", Counter())
    counters = Counters(Counter({(Outcome.MISS, Tier.ORIGIN): 5}))
    sources.append(room.Source("answers", counters, Table(), weakref.ref(owners[0])))

    class Meddling:
        def __enter__(self) -> None:
            """Nobody waits."""

        def __exit__(self, *_: object) -> None:
            if owners:
                owners.clear()
                assert room.requests().total() == 5

    monkeypatch.setattr(room, "_LOCK", Meddling())
    assert room.requests().total() == 5
    assert sources == []
