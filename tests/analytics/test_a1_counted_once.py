"""A1: what is posted is counted once, whatever becomes of the reply, and never as another's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis

from cachepolicy import StoreError, Uncountable, close, configure
from cachepolicy.flow.cells import Batch, Cell, Last
from cachepolicy.flow.posting import CELLS, MOST, post
from cachepolicy.testing.fault_proxy import FaultProxy, Fin, HalfReply, Reset
from tests.analytics.conftest import Opened
from tests.support.colour import Colour
from tests.support.metrics import HOUR, NOW, Counted, labels

NONE = labels()


@pytest.fixture
def proxy(redis_url: str) -> Iterator[FaultProxy]:
    """Give a network that can be made bad."""
    with FaultProxy(redis_url) as proxy:
        yield proxy
        close()


def total(counted: Counted, name: str = "calls") -> Any:
    """Return the sum of the hour that it is, which that of the day and of the month must be too."""
    (by_hour,) = counted.query(name, HOUR * 3600, (HOUR + 1) * 3600)
    (by_day,) = counted.query(name, "2026-11-26", "2026-11-27", "day")
    (by_month,) = counted.query(name, "2026-11-01", "2026-12-01", "month")
    (hour,), (day,), (month,) = by_hour.points, by_day.points, by_month.points
    assert hour.value == day.value == month.value
    return hour.value


def test_a_batch_that_is_sent_again_counts_once(opened: Opened) -> None:
    """A1: the same batch, posted three times, counts once; another of the same cells counts besides."""
    counted = opened()
    batch = counted.count("calls", {(NONE, HOUR): 5})
    counted.post(batch)
    counted.post(batch)
    assert total(counted) == 5
    counted.count("calls", {(NONE, HOUR): 2})
    assert total(counted) == 7


def test_a_batch_that_is_sent_by_many_at_once_counts_once(opened: Opened) -> None:
    """A1: eight who post the same batch at the same time count once."""
    counted = opened()
    batch = Batch("calls", counts={Cell(labels(n=str(n)), HOUR): n for n in range(100)})
    counted.at_once([counted.posting(batch)] * 8)
    assert total(counted) == sum(range(100))


@pytest.mark.parametrize(
    "fault", [Fin(), Reset(), HalfReply(then_close=True)], ids=lambda fault: type(fault).__name__
)
def test_a_reply_that_is_lost_counts_nothing_twice(
    proxy: FaultProxy, redis_url: str, colour: Colour, fault: Any
) -> None:
    """A1: a batch whose reply was lost is sent again until there is one, and is counted once."""
    counted = Counted(colour, proxy.url)
    counted.count("calls", {(NONE, HOUR): 1})
    batch = Batch("calls", counts={Cell(labels(n=str(n)), HOUR): 1 for n in range(CELLS + 10)})
    proxy.fault = fault
    for _ in range(3):
        with suppress(StoreError):
            counted.post(batch)
    proxy.fault = None
    while True:
        try:
            counted.post(batch)
        except StoreError:
            counted.time.advance(10.0)  # the breaker is open
        else:
            break
    assert total(counted) == 1 + CELLS + 10


def test_a_large_batch_goes_in_parts_and_counts_once(opened: Opened) -> None:
    """A1: 2,500 cells go in three steps; sent again, none of them counts twice."""
    counted = opened(max_series=5000)
    batch = Batch("calls", counts={Cell(labels(n=str(n)), HOUR): 1 for n in range(2500)})
    counted.post(batch)
    counted.post(batch)
    assert total(counted) == 2500


def test_a_part_that_failed_is_all_that_is_made_up_for(
    on_redis: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A1: a batch that went half-way counts its other half, and that alone, when it is sent again."""
    counted = on_redis(max_series=5000)
    batch = Batch("calls", counts={Cell(labels(n=str(n)), HOUR): 1 for n in range(2500)})
    half = Batch("calls", counts=dict(list(batch.counts.items())[:CELLS]), id=batch.id)
    counted.post(half)
    assert total(counted) == CELLS
    counted.post(batch)
    assert total(counted) == 2500


def test_what_is_flushed_away_is_counted_anew(on_redis: Opened, redis_url: str) -> None:
    """A1: after FLUSHALL series get new numbers, and none is counted as what had its number before."""
    counted = on_redis(metrics={"calls": {"labels": ["user"]}})
    counted.count("calls", {(labels(user="a"), HOUR): 1, (labels(user="b"), HOUR): 2})
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    counted.count("calls", {(labels(user="b"), HOUR): 4})
    counted.count("calls", {(labels(user="a"), HOUR): 8})
    told = counted.totals("calls", NOW, HOUR * 3600 + 3600, group_by="user")
    assert {total.labels["user"]: total.value for total in told} == {"a": 8, "b": 4}


@pytest.mark.parametrize("lost", ["all of them", "the newest"])
def test_series_that_redis_forgot_are_never_another_s(on_redis: Opened, redis_url: str, lost: str) -> None:
    """A1: numbers that were evicted, or lost in a failover, and given to others do not mix their counts."""
    counted = on_redis(metrics={"calls": {"labels": ["user"]}})
    counted.count("calls", {(labels(user="a"), HOUR): 1})
    counted.count("calls", {(labels(user="b"), HOUR): 2})
    metric = counted.metric("calls")
    with redis.Redis.from_url(redis_url) as client:
        if lost == "all of them":
            client.delete(metric.keys.series)
        else:
            client.hdel(metric.keys.series, b"s4:user1:b")
            client.hset(metric.keys.series, "n", 1)
            client.hdel(metric.keys.bucket(metric.numbers.epoch, "hour", "2026112613", 0), "2")
    other = Counted(counted.colour, redis_url, metrics={"calls": {"labels": ["user"]}})
    other.count("calls", {(labels(user="c"), HOUR): 16})
    configure(counted.policy, clock=counted.time.clock)
    again = counted.metric("calls")
    again.numbers = metric.numbers  # as a process that was there all the time knows them
    counted.count("calls", {(labels(user="b"), HOUR): 32})
    told = counted.totals("calls", NOW, HOUR * 3600 + 3600, group_by="user")
    kept = {} if lost == "all of them" else {"a": 1}
    assert {total.labels["user"]: total.value for total in told} == {**kept, "b": 32, "c": 16}


def test_numbers_go_up_to_two_to_the_63rd(opened: Opened) -> None:
    """A1: the largest number is counted exactly; one more, or a sum above it, is refused, without effect."""
    counted = opened()
    counted.count("calls", {(NONE, HOUR): MOST - 1})
    assert total(counted) == MOST - 1
    counted.count("calls", {(NONE, HOUR): 1})
    assert total(counted) == MOST
    batch = Batch("calls", counts={Cell(NONE, HOUR): 1, Cell(labels(n="1"), HOUR): 7})
    for _ in range(2):
        with pytest.raises(Uncountable, match=r"'calls': 1 numbers were left out"):
            counted.post(batch)
    (only,) = counted.totals("calls", NOW, "2026-11-27", {"n": "1"})
    assert only.value == 7
    with pytest.raises(Uncountable, match="at most"):
        counted.count("calls", {(NONE, HOUR - 1): MOST + 1})
    with pytest.raises(Uncountable, match="at most"):  # the hour could hold it; its day could not
        counted.count("calls", {(NONE, HOUR - 1): MOST})
    assert [point.value for point in counted.get_metrics_range("calls", (HOUR - 1) * 3600, HOUR * 3600)] == [
        0,
        MOST + 7,
    ]


def test_a_number_is_added_to_hour_day_and_month_or_to_none(opened: Opened) -> None:
    """A1: what the month could hold and the day could not is in neither."""
    counted = opened()
    yesterday = HOUR - 24
    counted.count("calls", {(NONE, yesterday): -100})
    counted.count("calls", {(NONE, HOUR - 1): MOST})
    with pytest.raises(Uncountable, match="were left out"):
        counted.count("calls", {(NONE, HOUR): 50})
    (month,) = counted.totals("calls", "2026-11-01", "2026-12-01")
    (day,) = counted.totals("calls", "2026-11-26", "2026-11-27")
    (hour,) = counted.totals("calls", NOW, HOUR * 3600 + 3600)
    assert (month.value, day.value, hour.value) == (MOST - 100, MOST, 0)


def test_a_time_that_cannot_be_is_left_out(opened: Opened) -> None:
    """A1: an hour far beyond all calendars is refused, and told; the rest of its batch is counted."""
    counted = opened()
    with pytest.raises(Uncountable, match="1 numbers were left out"):
        counted.count("calls", {(NONE, HOUR): 1, (NONE, 2**53): 1})
    assert total(counted) == 1


def test_what_gauges_show_and_what_was_seen_may_be_told_again(opened: Opened) -> None:
    """A1: told twice, and out of order, gauges show the last value, and what was seen is there once."""
    counted = opened(metrics={"load": {"kind": "gauge"}, "users": {"kind": "uniques"}})
    at = NOW.timestamp()
    late = Batch("load", gauges={Cell(NONE, HOUR): Last(2.5, at + 5, -1.0, 2.5)})
    early = Batch("load", gauges={Cell(NONE, HOUR): Last(9.0, at, 1.0, 9.0)})
    seen = Batch("users", uniques={(NONE, HOUR): frozenset(b"%d" % n for n in range(3000))})
    for batch in (late, early, early, late, seen, seen):
        counted.post(batch)
    (gauge,) = counted.gauges("load", end=at + 60)
    assert (gauge.value, gauge.at.timestamp(), gauge.low, gauge.high) == (2.5, at + 5, -1.0, 9.0)
    assert counted.uniques("users", NOW, "2026-11-27") == pytest.approx(3000, rel=0.03)


def test_a_gauge_that_is_no_number_is_refused(opened: Opened) -> None:
    """A1: a gauge that is infinite, or not a number, is left out and told; others of its batch are kept."""
    counted = opened(metrics={"load": {"kind": "gauge", "labels": ["of"]}})
    infinite, fine = Last(float("inf"), 0.0, 0.0, 0.0), Last(1.0, NOW.timestamp(), 1.0, 1.0)
    batch = Batch("load", gauges={Cell(labels(of="a"), HOUR): infinite, Cell(labels(of="b"), HOUR): fine})
    with pytest.raises(Uncountable, match="1 numbers were left out"):
        counted.post(batch)
    assert [gauge.labels for gauge in counted.gauges("load")] == [{"of": "b"}]


def test_money_is_exact_and_by_currency(opened: Opened) -> None:
    """A1: ten thousand times 0.1 is 1000, to the millionth, and dollars are no euros."""
    counted = opened(metrics={"revenue": {"kind": "money"}})
    for currency in ("USD", "EUR"):
        cell = Cell(NONE, HOUR, currency)
        for _ in range(10):
            counted.post(Batch("revenue", counts={cell: 1000 * 100_000}))
    assert {name: str(amount) for name, amount in counted.revenue("2026-11-26").items()} == {
        "EUR": "1000",
        "USD": "1000",
    }


def test_posting_needs_no_reply_to_be_believed(on_redis: Opened) -> None:
    """A1: what posts raises what Redis could not do, and counts nothing by itself."""
    counted = on_redis()
    metric = counted.metric("calls")
    flow = post(metric, Batch("calls", counts={Cell(NONE, HOUR): 1}))
    next(flow)
    flow.close()
    assert total(counted) == 0
