"""A1: what is counted is counted exactly, in the hour in which it happened, however it goes to Redis."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest

from cachepolicy import AnalyticsCache, PolicyError, StoreError, Uncountable, UnknownMetric, UnknownNamespace
from cachepolicy.clock import ManualClock
from cachepolicy.flow.cells import OTHER
from cachepolicy.flow.drive import run
from cachepolicy.flow.effects import Effect, Flow
from cachepolicy.runtime import current
from cachepolicy.runtime.analytics import Meter, record
from tests.analytics.conftest import Begun
from tests.support.counted import Stored, pending

_HOUR = 3600
_AN_EDGE = 1_700_001_000 // _HOUR * _HOUR


class Model(StrEnum):
    """A label of an application's own."""

    SMALL = "small"


def test_a1_what_is_flushed_adds_up(begun: Begun, stored: Stored) -> None:
    """A1: what was counted is in Redis after ``flush``, to the unit, and not before."""
    counting = begun()
    for value in range(100):
        counting.increment_metric("hits", value, {"model": "m", "user": "u"})
    assert stored.total("hits") == 0
    counting.flush()
    assert stored.total("hits") == sum(range(100))
    counting.increment_metric("hits", labels={"user": "u", "model": "m"})
    counting.flush()
    counting.flush()
    assert stored.total("hits") == sum(range(100)) + 1
    assert len(stored.series("hits")) == 1


def test_a1_each_kind_of_metric_is_counted(begun: Begun, stored: Stored) -> None:
    """A1: histograms, gauges and uniques wait in the process too, and lose nothing when they are flushed."""
    counting = begun()
    for value in (0.25, 0.5, 2.0):
        counting.observe_value("latency", value, {"model": "m"})
    for value in (3, 1.5):
        counting.set_gauge("queue", value)
    for user in ("ann", "bob", "ann", 7, b"bytes"):
        counting.add_unique("users", user)
    counting.flush()
    assert stored.part("latency", "count") == 3
    assert stored.part("latency", "") == 2_750_000
    assert stored.shown("queue") == [1.5]
    assert stored.seen("users") == 4


def test_a1_an_event_counts_in_its_own_hour(begun: Begun, stored: Stored) -> None:
    """A1: what happened before the hour's edge is of that hour, however much later it is flushed."""
    time = ManualClock(now_wall=_AN_EDGE - 1)
    counting = begun(clock=time.clock)
    counting.increment_metric("hits", 3)
    time.advance(1)
    counting.increment_metric("hits", 5)
    time.advance(2 * _HOUR)
    counting.flush()
    before, after = (datetime.fromtimestamp(at, UTC).strftime("%Y%m%d%H") for at in (_AN_EDGE - 1, _AN_EDGE))
    assert stored.hours("hits") == {before: 3, after: 5}


def test_a1_an_event_may_say_when_it_happened(begun: Begun, stored: Stored) -> None:
    """A1: ``at=`` counts in the hour that it names, in seconds or as a time that knows its zone."""
    time = ManualClock(now_wall=_AN_EDGE)
    counting = begun(clock=time.clock)
    moment = datetime.fromtimestamp(_AN_EDGE, UTC)
    counting.increment_metric("hits", 1, at=moment - timedelta(hours=2))
    counting.increment_metric("hits", 2, at=float(_AN_EDGE - _HOUR))
    counting.increment_metric("hits", 4)
    counting.flush()
    hours = [(moment - timedelta(hours=back)).strftime("%Y%m%d%H") for back in (2, 1, 0)]
    assert stored.hours("hits") == dict(zip(hours, (1, 2, 4), strict=True))
    for wrong in (moment.replace(tzinfo=None), "yesterday", True, -1.0, 1e12, float("nan")):
        with pytest.raises(Uncountable):
            counting.increment_metric("hits", at=wrong)


def test_a1_money_is_exact(begun: Begun, stored: Stored) -> None:
    """A1: 0.1 added ten thousand times is 1000, and it is in Redis when the verb returns."""
    counting = begun()
    manager = counting.manager
    for _ in range(9_997):
        manager.record_revenue.sync("0.1", "USD", {"plan": "pro"})
    counting.record_revenue("0.1", "USD", {"plan": "pro"})
    counting.record_revenue(Decimal("0.1"), "USD", {"plan": "pro"})
    counting.record_revenue(Decimal("1E-1"), "USD", {"plan": "pro"})
    assert pending() == 0
    assert stored.part("revenue", "USD") == 1000 * 1_000_000


def test_a1_money_is_given_back(begun: Begun, stored: Stored) -> None:
    """A1: an amount below zero is a refund, currencies are apart, and whole numbers are whole units."""
    counting = begun()
    counting.record_revenue(20, "USD")
    counting.record_revenue("-4.999999", "USD")
    counting.record_revenue(3, "EUR")
    assert stored.part("revenue", "USD") == 15_000_001
    assert stored.part("revenue", "EUR") == 3_000_000


@pytest.mark.parametrize(
    "amount", [0.1, True, "ten", "0.0000001", "NaN", "Infinity", Decimal("1e50"), "1" * 50, None, 2**60]
)
def test_money_that_is_not_exact_is_refused(begun: Begun, amount: Any) -> None:
    """What would be rounded, or is no amount, is refused, and the message says how to give it."""
    with pytest.raises(Uncountable, match="expected"):
        begun().record_revenue(amount, "USD")


@pytest.mark.parametrize("currency", ["usd", "US", "DOLLAR", "U$D", ""])
def test_a_currency_is_three_capital_letters(begun: Begun, currency: str) -> None:
    """A currency that is none is refused, rather than counted apart."""
    with pytest.raises(Uncountable, match="USD"):
        begun().record_revenue(1, currency)


@pytest.mark.parametrize("value", [-1, 1.0, True, "1", None, 2**53])
def test_a_counter_takes_whole_numbers(begun: Begun, value: Any) -> None:
    """What is no whole number from 0 on is refused: nothing is rounded, and a counter never counts down."""
    counting = begun()
    for _ in range(2):  # a series that was counted before takes a shorter way
        with pytest.raises(Uncountable, match="whole number"):
            counting.increment_metric("hits", value)
        counting.increment_metric("hits")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1", True, None, 10**400])
def test_what_is_measured_is_finite(begun: Begun, value: Any) -> None:
    """A gauge and a histogram take finite numbers only; a histogram none below 0."""
    counting = begun()
    for verb in (counting.set_gauge, counting.observe_value):
        with pytest.raises(Uncountable):
            verb("measured", value)
    with pytest.raises(Uncountable):
        counting.observe_value("measured", -1)


def test_whole_numbers_of_others_count(begun: Begun, stored: Stored) -> None:
    """A whole number of another library's type counts as what it is."""

    class Whole:
        def __index__(self) -> int:
            return 3

    counting = begun()
    counting.increment_metric("hits", Whole())
    counting.flush()
    assert stored.total("hits") == 3


def test_labels_are_what_they_say(begun: Begun, stored: Stored) -> None:
    """Whole numbers, flags and enumerations are labels as their text; 1 and True are not the same one."""
    counting = begun()
    for value in (1, True, "1", "true", Model.SMALL, "small"):
        counting.increment_metric("hits", labels={"it": value})
    counting.flush()
    assert stored.series("hits") == ["2:it1:1", "2:it4:true", "2:it5:small"]
    for wrong in (1.5, None, ["a"], b"a"):
        with pytest.raises(Uncountable, match="a label is"):
            counting.increment_metric("hits", labels={"it": wrong})


def test_values_that_are_not_declared_count_together(begun: Begun, stored: Stored) -> None:
    """What ``values`` does not list, and what is longer than ``max_label``, is one series: none is lost."""
    metrics = {"hits": {"labels": ["model", "user"], "values": {"model": ["a", "b"]}}}
    counting = begun(metrics=metrics, max_label=8)
    for model in ("a", "b", "c", "d"):
        counting.increment_metric("hits", labels={"model": model})
    for user in ("short", "x" * 9, "y" * 9):
        counting.increment_metric("hits", labels={"user": user})
    counting.flush()
    together = f"{len(OTHER)}:{OTHER}"
    assert stored.series("hits") == sorted(
        ["5:model1:a", "5:model1:b", f"5:model{together}", "4:user5:short", f"4:user{together}"]
    )
    assert stored.total("hits") == 7


def test_a_label_that_is_not_declared_is_refused(begun: Begun) -> None:
    """A declared metric has the labels of its declaration, and the message says which was probably meant."""
    counting = begun(metrics={"hits": {"labels": ["model"]}})
    with pytest.raises(Uncountable, match=r"no label 'modell'.*did you mean 'model'"):
        counting.increment_metric("hits", labels={"modell": "a"})
    with pytest.raises(Uncountable, match="at most 16 labels"):
        counting.increment_metric("others", labels={f"l{number}": "x" for number in range(17)})


def test_what_the_policy_does_not_know_is_refused(begun: Begun) -> None:
    """Another kind of metric or namespace, or a metric under ``undeclared: refuse``, is an error."""
    counting = begun(metrics={"queue": {"kind": "gauge"}}, undeclared="refuse")
    with pytest.raises(PolicyError, match="gauge"):
        counting.increment_metric("queue")
    with pytest.raises(UnknownMetric, match="hits"):
        counting.increment_metric("hits")
    for name in ("", None, 3):
        with pytest.raises(Uncountable, match="name of a metric"):
            counting.increment_metric(name)
    with pytest.raises(UnknownNamespace, match="elsewhere"):
        AnalyticsCache("elsewhere").increment_metric.sync("hits")


def test_a1_sync_counts_at_once(begun: Begun, stored: Stored) -> None:
    """A1: under ``mode: sync`` each event is in Redis when the verb returns; a metric may say otherwise."""
    counting = begun(mode="sync", metrics={"often": {"mode": "buffered"}})
    counting.increment_metric("hits", 2)
    counting.observe_value("latency", 1)
    counting.set_gauge("queue", 4)
    counting.add_unique("users", "ann")
    counting.increment_metric("often")
    assert stored.total("hits") == 2
    assert stored.part("latency", "count") == 1
    assert stored.shown("queue") == [4]
    assert stored.seen("users") == 1
    assert stored.total("often") == 0
    assert pending() == 1


def test_a1_no_update_is_lost_among_threads(begun: Begun, stored: Stored) -> None:
    """A1: threads that count in one series at once, while others flush, lose nothing."""
    counting = begun(flush={"interval": "1ms", "max_cells": 3})
    count = counting.manager.increment_metric.sync
    each, threads = 20_000, 4

    def work(number: int) -> None:
        for turn in range(each):
            count("hits", 1, {"model": "m"})
            if turn % 100 == 0:
                count("hits", 1, {"thread": str(number + turn % 7)})

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    counting.flush()
    assert stored.total("hits") == threads * (each + each // 100)


def test_a1_a_flush_sends_what_another_is_sending(begun: Begun, stored: Stored) -> None:
    """A1: what another flush took while this one was under way has been sent, too, when this one is done."""
    counting = begun()
    desk = current.current().analytics.desk("analytics", "a test")
    io = desk.site.sync_io()
    counting.increment_metric("hits", 1)
    first, flush, other = desk.flush(), desk.flush(), desk.flush()
    sending, sending_too = next(first), next(flush)
    run(_resumed(first, sending), io)
    counting.increment_metric("hits", 2)
    next(other)  # has taken what was counted, and is not sent before this test ends
    run(_resumed(flush, sending_too), io)
    assert stored.total("hits") == 3


def _resumed(flow: Flow[None], effect: Effect) -> Flow[None]:
    """Go on with a flow that has begun, and waits for an effect."""
    with suppress(StopIteration):
        while True:
            try:
                result = yield effect
            except StoreError as error:
                effect = flow.throw(error)
            else:
                effect = flow.send(result)


def test_c1_a_meter_of_other_rooms_counts(begun: Begun, stored: Stored) -> None:
    """A decorator's meter counts as the verbs do: buffered at once, or by a flow where it is ``sync``."""
    counting = begun(metrics={"exact": {"mode": "sync"}})
    runtime = current.current()
    buffered = runtime.analytics.meter("analytics", "hits", "a test")
    exact = runtime.analytics.meter("analytics", "exact", "a test")

    def tell(meter: Meter) -> None:
        meter.add({"a": "b"} if meter is buffered else {}, 2)

    assert record(buffered, tell) is None
    flow = record(exact, tell)
    assert flow is not None
    runtime.engine.run(flow, runtime.stores.sync_io(exact.site))
    assert stored.total("exact") == 2
    assert stored.total("hits") == 0
    counting.flush()
    assert stored.total("hits") == 2
