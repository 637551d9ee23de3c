"""What a process tells the fleet: what its own counts have grown by, once."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest

from cachepolicy import cached, configure, llm_cached, rate_limited
from cachepolicy.clock import ManualClock
from cachepolicy.flow.cells import Kind
from cachepolicy.policy import Policy
from cachepolicy.policy.rules import AnalyticsRule, TelemetryRule
from cachepolicy.runtime import current
from cachepolicy.runtime import fleet as room
from cachepolicy.runtime.fleet import Fleet
from cachepolicy.telemetry import analytics, fleet, metrics, sessions
from tests.support.colour import Colour
from tests.support.limiting import Asked
from tests.support.policies import cache_policy

ON = Policy.model_construct(
    telemetry=TelemetryRule(fleet_stats=True), namespaces={"analytics": AnalyticsRule(kind="analytics")}
)
OFF = Policy.model_construct(telemetry=TelemetryRule())


class Told:
    """What was told, by metric, labels and part."""

    def __init__(self, metric: str = "", sums: Counter[tuple[Any, ...]] | None = None) -> None:
        self.metric = metric
        self.sums: Counter[tuple[Any, ...]] = Counter() if sums is None else sums
        self.is_full = threading.Event()
        self.refuse: Callable[[], None] = self.is_full.clear

    def new_meter(
        self, _namespace: str, metric: str, _who: object, _kind: Kind, refuse: Callable[[], None]
    ) -> Told:
        meter = Told(metric, self.sums)
        meter.refuse, meter.is_full = refuse, self.is_full
        return meter

    def desk(self, _namespace: str, _who: object) -> Told:
        return self

    def listen(self, _tell: object) -> None:
        """Nothing is flushed here."""

    def add(self, labels: Mapping[str, str], value: int = 1, part: str = "") -> None:
        if self.is_full.is_set():
            self.refuse()
        assert type(value) is int
        assert value > 0
        assert tuple(labels) == fleet.OWN[self.metric].labels
        self.sums[(self.metric, *labels.values(), part)] += value

    def show(self, labels: Mapping[str, str], value: float) -> None:
        self.sums[self.metric, *labels.values()] = int(value)

    def of(self, metric: str) -> dict[tuple[Any, ...], int]:
        """Return what was told of one metric."""
        return {tuple(rest): value for (name, *rest), value in self.sums.items() if name == metric}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Begin with nothing told, and with no counts of functions of other tests."""
    monkeypatch.setattr(metrics, "_SOURCES", [])
    for name in ("_RETIRED_REQUESTS", "_RETIRED_ERRORS", "_RETIRED_SAVED"):
        monkeypatch.setattr(metrics, name, Counter())
    monkeypatch.setattr(room, "_TOLD", room._Told())
    return Told()


def _fleet(told: Told, policy: Policy = ON) -> Fleet:
    return Fleet(policy, cast("Any", told), ManualClock().clock)


def _ask(colour: Colour, namespace: str = "answers") -> Callable[[int], None]:
    @colour.decorate(cached(namespace))
    def answer(question: str) -> str:
        return question

    def ask(times: int) -> None:
        for _ in range(times):
            colour.run(lambda: answer("why?"))

    return ask


def test_what_was_counted_is_told_once(colour: Colour, told: Told) -> None:
    """Each call is told by namespace, outcome and tier: the next time only what came since."""
    configure(cache_policy())
    mine, ask = _fleet(told), _ask(colour)
    ask(5)
    mine.tell(is_last=True)
    assert told.of("cachepolicy.requests") == {
        ("answers", "hit", "l1", ""): 4,
        ("answers", "miss", "origin", ""): 1,
    }
    mine.tell(is_last=True)
    ask(2)
    mine.tell(is_last=True)
    assert told.of("cachepolicy.requests") == {
        ("answers", "hit", "l1", ""): 6,
        ("answers", "miss", "origin", ""): 1,
    }


def test_a_policy_that_says_nothing_tells_nothing(colour: Colour, told: Told) -> None:
    """What was counted before a policy said ``fleet_stats: true``, or after, is not told."""
    configure(cache_policy())
    ask = _ask(colour)
    silent = _fleet(told, OFF)
    ask(3)
    assert not silent.is_on
    mine = _fleet(told)
    ask(2)
    _fleet(told, OFF)  # the policy is replaced: the old one is closed, and tells what it has
    mine.tell(is_last=True)
    assert sum(told.of("cachepolicy.requests").values()) == 2
    ask(10)
    _fleet(told).tell(is_last=True)
    assert sum(told.of("cachepolicy.requests").values()) == 2


def test_a_new_policy_goes_on_where_the_old_one_was(colour: Colour, told: Told) -> None:
    """Over a replaced policy nothing is told twice, and nothing is left out."""
    configure(cache_policy())
    old, ask = _fleet(told), _ask(colour)
    ask(3)
    new = _fleet(told)
    configure(cache_policy())
    ask(2)
    old.tell(is_last=True)
    ask(1)
    new.tell(is_last=True)
    assert sum(told.of("cachepolicy.requests").values()) == 6


def test_savings_are_told_by_model(colour: Colour, told: Told) -> None:
    """Tokens, money in millionths and time in microseconds are told by namespace, model and tenant."""
    policy = cache_policy()
    policy |= {"currency": "USD", "prices": {"m-*": {"input": 2.5, "output": "10"}}}
    model = f"m-{colour}"  # what is less than a millionth goes on in the process, model by model
    time = ManualClock()
    configure(policy, clock=time.clock)
    mine = _fleet(told)

    @colour.decorate(llm_cached(namespace="answers"))
    def answer(question: str) -> dict[str, object]:
        time.advance(0.25)
        return {"model": model, "text": "because", "usage": {"prompt_tokens": 1001, "completion_tokens": 20}}

    for _ in range(4):
        colour.run(lambda: answer("why?"))
        mine.tell(is_last=True)
    assert told.of("cachepolicy.saved.tokens") == {
        ("answers", model, "", "input", ""): 3003,
        ("answers", model, "", "output", ""): 60,
    }
    cost = (3 * (1001 * 2_500_000 + 20 * 10_000_000)) // 1_000_000
    assert told.of("cachepolicy.saved.cost") == {("answers", model, "", "USD"): cost}
    assert told.of("cachepolicy.saved.time")["answers", model, "", ""] == 750_000


def test_errors_and_limits_are_told(colour: Colour, told: Told) -> None:
    """Faults by class, and decisions by rule and outcome, are told as they are in metrics."""
    policy = cache_policy("redis://127.0.0.1:1")
    policy["namespaces"]["ratelimit"] = {
        "kind": "ratelimit",
        "on_fault": "local",
        "rules": {"chat": {"by": "user", "requests": "2/hour"}},
    }
    configure(policy)
    mine = _fleet(told)

    @colour.decorate(rate_limited("chat"))
    def say(user: str) -> str:
        return user

    Asked(colour).all(*[lambda: say("ann")] * 3)
    _ask(colour)(1)
    mine.tell(is_last=True)
    assert {key[0] for key in told.of("cachepolicy.errors")} == {"answers", "ratelimit"}
    decided = {key[2]: value for key, value in told.of("cachepolicy.limits.decisions").items()}
    assert decided["degraded"] == 3
    assert sum(told.of("cachepolicy.limits.exceeded").values()) >= 1


def test_threads_that_read_at_once_tell_once(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """While functions come and go, and metrics are collected, each call is told exactly once."""
    configure(cache_policy())
    mine, stop = _fleet(told), threading.Event()

    def read() -> None:
        while not stop.is_set():
            metrics.requests()
            metrics.spared()
            mine.tell(is_last=True)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(60):
        configure(cache_policy())  # the plans of the old policy are gone, and their counts are folded

        @cached("answers")
        def answer(question: str) -> str:
            return question

        for _ in range(20):
            answer("why?")
    stop.set()
    for reader in readers:
        reader.join()
    mine.tell(is_last=True)
    assert sum(told.of("cachepolicy.requests").values()) == 60 * 20


def test_a_sum_that_falls_for_a_moment_is_told_once(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum that is read while it moves from place to place is neither told as negative nor twice."""
    each = fleet.Sum(fleet.FLEET_ERRORS, (("namespace", "a"), ("error", "e")))
    readings = iter([{each: 0}, {each: 5}, {each: 3}, {each: 6}])
    monkeypatch.setattr(fleet, "sums", lambda: next(readings))
    mine = _fleet(told)
    for _ in range(3):
        mine.tell(is_last=True)
    assert list(told.sums.values()) == [6]


def test_what_cannot_be_held_is_told_later(colour: Colour, told: Told) -> None:
    """Where Redis is out, and no more can be held, nothing is dropped: it is told when there is room."""
    configure(cache_policy())
    mine, ask = _fleet(told), _ask(colour)
    told.is_full.set()
    ask(3)
    mine.tell(is_last=True)
    assert told.sums == {}
    told.is_full.clear()
    mine.tell(is_last=True)
    assert sum(told.of("cachepolicy.requests").values()) == 3


def test_reading_leaves_time_for_work(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reading that takes long is not repeated at once, unless it is the last."""
    moments = iter(range(0, 1000, 10))
    monkeypatch.setattr(room, "SYSTEM", type("Slow", (), {"monotonic": staticmethod(lambda: next(moments))}))
    read: list[int] = []

    def sums() -> dict[fleet.Sum, int]:
        read.append(1)
        return {}

    monkeypatch.setattr(fleet, "sums", sums)
    mine = _fleet(told)
    read.clear()
    mine.tell()
    mine.tell()
    assert len(read) == 1
    mine.tell(is_last=True)
    assert len(read) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_tells_its_own(told: Told) -> None:
    """A child tells what it counts, and nothing that its parent has counted before."""
    configure(cache_policy())
    mine = _fleet(told)

    @cached("answers")
    def answer(question: str) -> str:
        return question

    for _ in range(7):
        answer("why?")
    there, here = os.pipe()
    child = os.fork()
    if child == 0:
        told.sums.clear()
        mine.after_fork()
        answer("why?")
        answer("why?")
        mine.tell(is_last=True)
        os.write(here, b"%d" % sum(told.of("cachepolicy.requests").values()))
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(there, 20)) == 2
    mine.tell(is_last=True)
    assert sum(told.of("cachepolicy.requests").values()) == 7


def test_sessions_are_told_each_minute(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many live is asked once a minute, for it asks Redis; how many ended is told as all counts are."""
    asked: list[int] = []

    class Census:
        def living(self) -> int:
            asked.append(1)
            return 12

    census, clock = Census(), ManualClock()
    monkeypatch.setattr(sessions, "_SOURCES", {})
    monkeypatch.setattr(sessions, "_ENDED", Counter())
    sessions.export("sessions", census)
    mine = Fleet(ON, cast("Any", told), clock.clock)
    for _ in range(3):
        mine.tell(is_last=True)
    assert len(asked) == 1
    clock.advance(60)
    sessions.ended("sessions", 4.0, "expired")
    mine.tell(is_last=True)
    assert len(asked) == 2
    assert told.of("cachepolicy.sessions.active") == {("sessions",): 12}
    assert told.of("cachepolicy.sessions.ended") == {("sessions", "expired", ""): 1}


def test_a_full_buffer_raises_nothing(colour: Colour, told: Told) -> None:
    """With ``on_fault: raise``, Redis out and no room left, what is to be told waits, and no call fails."""
    policy = cache_policy() | {"telemetry": {"fleet_stats": True}}
    policy["namespaces"]["analytics"] = {
        "kind": "analytics",
        "url": "redis://127.0.0.1:1",
        "on_fault": "raise",
        "flush": {"max_pending": 1, "interval": "1h"},
    }
    configure(policy)
    dropped = analytics.flushes("analytics").dropped
    ask, mine = _ask(colour), current.current().fleet
    ask(4)
    for _ in range(3):
        mine.tell(is_last=True)
    assert analytics.flushes("analytics").dropped == dropped
    untold = sum(value - room._TOLD.sums.get(each, 0) for each, value in fleet.sums().items())
    assert untold > 0
