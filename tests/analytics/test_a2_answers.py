"""A2: totals, the largest, percentiles, what was seen, gauges, money, models and tokens."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from cachepolicy import PolicyError, StoreError, Uncountable, UnknownMetric
from cachepolicy.flow import sketch
from cachepolicy.flow.cells import Batch, Cell, Labels, Last
from tests.analytics.conftest import Opened
from tests.support.colour import Colour
from tests.support.metrics import HOUR, NOW, Counted, hour, labels

TODAY = "2026-11-26", "2026-11-27"
METRICS: dict[str, Any] = {
    "calls": {"labels": ["model", "user"]},
    "model_usage": {"labels": ["model"]},
    "tokens": {"labels": ["model", "user"]},
    "revenue": {"kind": "money", "labels": ["model"]},
    "latency": {"kind": "histogram", "labels": ["model"]},
    "users": {"kind": "uniques", "labels": ["country"]},
    "load": {"kind": "gauge", "labels": ["host"]},
}


def observe(counted: Counted, series: Labels, at: int, values: list[float], accuracy: float = 0.02) -> None:
    """Count values in a histogram."""
    counts: dict[Cell, int] = {}
    for value in values:
        for part, amount in sketch.observed(value, accuracy):
            cell = Cell(series, at, part)
            counts[cell] = counts.get(cell, 0) + amount
    counted.post(Batch("latency", counts=counts))


def test_the_largest_come_first(opened: Opened) -> None:
    """A2: the top is by sums over all the time, over what is not named, and as long as asked."""
    counted = opened(metrics=METRICS)
    cells = {
        (labels(model=m, user=u), HOUR - at): 10**at
        for at, (m, u) in enumerate(map(tuple, ["ax", "by", "cx", "ay"]))
    }
    counted.count("calls", cells)
    top = counted.top("calls", 2, "model", "2026-11-26", "2026-11-27")
    assert [(one.labels, one.value) for one in top] == [({"model": "a"}, 1001), ({"model": "c"}, 100)]
    top = counted.top("calls", 9, ["user"], *TODAY, where={"model": ["a", "b"]})
    assert [(one.labels, one.value) for one in top] == [({"user": "y"}, 1010), ({"user": "x"}, 1)]
    for n, by in ((0, "model"), (3, ())):
        with pytest.raises(Uncountable, match="at least 1"):
            counted.top("calls", n, by, *TODAY)


def test_currencies_are_never_added_up(opened: Opened) -> None:
    """A1: money of two currencies has no sum; of one, or by currency, it is exact to the millionth."""
    counted = opened(metrics=METRICS)
    cells = {Cell(labels(model="a"), HOUR, "USD"): 1_000_001, Cell(labels(model="b"), HOUR, "USD"): -1}
    counted.post(Batch("revenue", counts=cells))
    (point,) = counted.get_metrics_range("revenue", NOW, NOW)
    assert point.value == Decimal(1)
    counted.post(Batch("revenue", counts={Cell(labels(model="b"), HOUR, "EUR"): 2_500_000}))
    refused: list[Callable[[], object]] = [
        lambda: counted.query("revenue", *TODAY),
        lambda: counted.totals("revenue", *TODAY, group_by="model"),
        lambda: counted.get_metrics_range("revenue", NOW, NOW),
        lambda: counted.top("revenue", 1, "model", *TODAY),
    ]
    for asked in refused:
        with pytest.raises(Uncountable, match=r"EUR and USD are not added up"):
            asked()
    (euros,) = counted.totals("revenue", *TODAY, {"currency": "EUR"})
    assert euros.value == Decimal("2.5")
    by_both = counted.totals("revenue", *TODAY, group_by=["currency", "model"])
    assert [(one.labels["currency"], one.labels["model"], one.value) for one in by_both] == [
        ("EUR", "b", Decimal("2.5")),
        ("USD", "a", Decimal("1.000001")),
        ("USD", "b", Decimal("-0.000001")),
    ]


def test_money_above_the_cap_keeps_its_currency(opened: Opened) -> None:
    """A1: what is counted together, as there are too many series, is told apart by currency all the same."""
    counted = opened(max_series=1, metrics=METRICS)
    for model in "abc":
        for currency in ("EUR", "USD"):
            counted.post(Batch("revenue", counts={Cell(labels(model=model), HOUR, currency): 1_000_000}))
    assert counted.revenue("2026-11-26") == {"EUR": Decimal(3), "USD": Decimal(3)}


def test_a_day_of_revenue_is_of_a_calendar(opened: Opened) -> None:
    """A1: the money of a day is that between its midnights, in the zone that is asked for."""
    counted = opened(metrics=METRICS)
    for at, euros in {
        "2026-11-24T23": 1,
        "2026-11-25T00": 10,
        "2026-11-25T22": 100,
        "2026-11-25T23": 1000,
    }.items():
        counted.post(Batch("revenue", counts={Cell(labels(model="a"), hour(at), "EUR"): euros * 10**6}))
    assert counted.revenue("2026-11-25") == {"EUR": Decimal(1110)}
    assert counted.revenue("2026-11-25", tz="Europe/Berlin") == {"EUR": Decimal(111)}
    assert counted.revenue("2026-11-25", {"model": "b"}) == {}


def test_models_and_tokens(opened: Opened) -> None:
    """A2: what a day used is told by model, and tokens by model, by user or by another label."""
    counted = opened(metrics=METRICS)
    counted.count("model_usage", {(labels(model=m), HOUR): at for at, m in enumerate("abc", 1)})
    counted.count("tokens", {(labels(model=m, user=u), HOUR): 100 for m, u in map(tuple, ("ax", "ay", "bx"))})
    assert counted.model_usage("2026-11-26") == {"a": 1, "b": 2, "c": 3}
    assert counted.model_usage("2026-11-25") == {}
    assert counted.tokens(*TODAY) == {"a": 200, "b": 100}
    assert counted.tokens(*TODAY, by="user", where={"model": "a"}) == {"x": 100, "y": 100}


def test_percentiles_are_as_exact_as_promised(opened: Opened) -> None:
    """A2: over hours and series, each percentile is within its accuracy, and sums are exact."""
    counted = opened(metrics=METRICS)
    chance = random.Random(7)
    values = [round(chance.lognormvariate(-1, 1.5), 6) for _ in range(3000)]
    for at in range(6):
        observe(counted, labels(model="ab"[at % 2]), HOUR - at, values[at * 500 : (at + 1) * 500])
    qs = [0.0, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0]
    told = counted.percentiles("latency", qs, *TODAY)
    ordered = sorted(values)
    for q, value in told.items():
        assert value == pytest.approx(ordered[int(q * (len(ordered) - 1))], rel=0.02)
    (total,), (number,), (mean,) = (
        counted.query("latency", *TODAY, "day", of=of) for of in ("sum", "count", "mean")
    )
    assert total.points[0].value == pytest.approx(sum(values), abs=1e-9)
    assert number.points[0].value == 3000
    assert mean.points[0].value == pytest.approx(sum(values) / 3000)
    one = counted.percentiles("latency", [0.5], *TODAY, where={"model": "a"})
    mine = sorted(value for at in (0, 2, 4) for value in values[at * 500 : (at + 1) * 500])
    assert one[0.5] == pytest.approx(mine[len(mine) // 2 - 1], rel=0.02)
    assert counted.percentiles("latency", [0.5], "2026-11-20", "2026-11-21") == {0.5: None}
    (nothing,) = counted.query("latency", "2026-11-20", "2026-11-21", "day", of="mean")
    assert [point.value for point in nothing.points] == [None]
    with pytest.raises(Uncountable, match="from 0 to 1"):
        counted.percentiles("latency", [95], *TODAY)


def test_buckets_of_another_accuracy_are_never_mixed(opened: Opened) -> None:
    """A2: after the policy's accuracy was changed, values of both times are told right."""
    counted = opened(metrics=METRICS)
    observe(counted, labels(model="a"), HOUR, [1.0] * 10, accuracy=0.02)
    observe(counted, labels(model="a"), HOUR, [100.0] * 11, accuracy=0.001)
    told = counted.percentiles("latency", [0.1, 0.9], *TODAY)
    assert told == {0.1: pytest.approx(1, rel=0.0201), 0.9: pytest.approx(100, rel=0.00101)}


def test_what_was_seen_on_several_days_is_seen_once(opened: Opened) -> None:
    """A2: users of a week are those of its days, each once, over series, or of some."""
    counted = opened(metrics=METRICS)
    for day in range(3):
        items = frozenset(b"user-%d" % n for n in range(day * 50, day * 50 + 100))
        at = hour(f"2026-11-{23 + day}T12")
        counted.post(Batch("users", uniques={(labels(country="ab"[day % 2]), at): items}))
    assert counted.uniques("users", "2026-11-23", "2026-11-26") == pytest.approx(200, rel=0.03)
    assert counted.uniques("users", "2026-11-24T15", "2026-11-24T16") == pytest.approx(100, rel=0.03)
    assert counted.uniques("users", "2026-11-23", "2026-11-26", {"country": "b"}) == pytest.approx(
        100, rel=0.03
    )
    assert counted.uniques("users", "2026-11-01", "2026-11-02") == 0
    week = counted.query("users", "2026-11-22", "2026-11-27", "week", group_by="country")
    assert [(one.labels["country"], [round(p.value, -1) for p in one.points]) for one in week] == [
        ("a", [0, 200]),
        ("b", [0, 100]),
    ]
    with pytest.raises(Uncountable, match="by the day of UTC"):
        counted.query("users", *TODAY, "hour")
    with pytest.raises(Uncountable, match="has no sums"):
        counted.totals("users", *TODAY)


def test_gauges_show_the_last_value(opened: Opened) -> None:
    """A2: of an hour, a day and a month the last value is kept, and the extremes; nothing shown is None."""
    counted = opened(metrics=METRICS)
    for back, value in enumerate((5.0, 1.0, 9.0, 4.0)):
        at = NOW.timestamp() - 3600 * back
        gauges = {Cell(labels(host="a"), HOUR - back): Last(value, at, value - 0.5, value + 0.5)}
        counted.post(Batch("load", gauges=gauges))
    counted.post(
        Batch("load", gauges={Cell(labels(host="b"), HOUR): Last(-1.0, NOW.timestamp(), -1.0, -1.0)})
    )
    assert [(one.labels, one.value, one.low, one.high) for one in counted.gauges("load")] == [
        ({"host": "a"}, 5.0, 0.5, 9.5),
        ({"host": "b"}, -1.0, -1.0, -1.0),
    ]
    (series,) = counted.query("load", "2026-11-26T09", "2026-11-26T15", where={"host": "a"})
    assert [point.value for point in series.points] == [None, 4.0, 9.0, 1.0, 5.0, None]
    with pytest.raises(Uncountable, match="gauges are not added up"):
        counted.query("load", *TODAY, "day")


def test_a_metric_is_asked_as_what_it_is(opened: Opened) -> None:
    """A2: a metric of another kind, an undeclared one and another kind of namespace are told at once."""
    counted = opened(metrics=METRICS, undeclared="refuse")
    with pytest.raises(PolicyError, match="metric 'calls' is of kind counter, and used as histogram"):
        counted.percentiles("calls", [0.5], *TODAY)
    with pytest.raises(UnknownMetric, match=r"'cals' is not declared.*there are: calls, "):
        counted.totals("cals", *TODAY)
    assert counted.totals("calls.errors", *TODAY)[0].value == 0  # is derived from one that is declared


def test_undeclared_metrics_are_answered_too(opened: Opened) -> None:
    """A2: what nobody declared may have any labels, and is told apart by any."""
    counted = opened(max_series=2)
    counted.count(
        "new", {(labels(a="1"), HOUR): 1, (labels(a="1", b="2"), HOUR): 2, (labels(c="3"), HOUR): 4}
    )
    told = counted.totals("new", *TODAY, group_by=["a", "b"])
    assert [(one.labels, one.value) for one in told] == [
        ({"a": "1"}, 1),
        ({"a": "1", "b": "2"}, 2),
        ({"a": "__other__", "b": "__other__"}, 4),
    ]


def test_a_redis_that_is_out_is_no_zero(colour: Colour) -> None:
    """A2: a question that Redis cannot answer raises, and is counted as a fault."""
    counted = Counted(colour, "redis://127.0.0.1:1")
    with pytest.raises(StoreError):
        counted.totals("calls", *TODAY)
