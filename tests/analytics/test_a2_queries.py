"""A2: questions are answered from computed keys, exactly, whatever the steps, filters and calendar."""

from __future__ import annotations

from typing import Any, Final

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cachepolicy import Uncountable
from cachepolicy.flow.cells import Labels
from tests.analytics.conftest import Opened
from tests.support import metric_model
from tests.support.metrics import HOUR, NOW, hour, labels

ZONES: Final = ("UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Pacific/Apia", "Asia/Tokyo")
STEPS: Final = ("hour", "day", "week", "month", "year", "1h", "2h", "6h", "12h", "1d", "2d", "3d", "10d")
TIMES: Final = (
    *("2026-03-28T05", "2026-10-24T22", "2024-02-28T00", "2025-12-30T13", "2018-11-03T01", "2011-12-29T04"),
    *("2026-03-07T00", "2026-10-31T23", "2026-11-01T00", "2023-12-31T23", "1969-12-31T20"),
)
"""Around them clocks are turned, a leap day comes, a year ends, a day is left out, and time begins."""

FOR_EVER: Final[Any] = {
    "ttl": "36500d",
    "retention": {"day": "36500d"},
    "metrics": {"calls": {"labels": ["model", "user"]}},
}
SERIES: Final = [labels(model=model, user=user) for model in "abc" for user in "xy"]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_query_is_what_a_plain_table_says(opened: Opened, data: st.DataObject) -> None:
    """A2: any cells, in any steps of any calendar, filtered and grouped, add up as hour by hour."""
    counted = opened(**FOR_EVER)
    start = hour(data.draw(st.sampled_from(TIMES)))
    length = data.draw(st.integers(1, 24 * 40))
    offsets = st.integers(-30, length + 30)
    cells: dict[tuple[Labels, int], int] = {
        (series, start + offset): value
        for (series, offset), value in data.draw(
            st.dictionaries(
                st.tuples(st.sampled_from(SERIES), offsets), st.integers(-(10**12), 10**15), max_size=60
            )
        ).items()
    }
    name = next(metric_model.names)
    counted.count(name, cells)
    for _ in range(4):
        step, tz = data.draw(st.sampled_from(STEPS)), data.draw(st.sampled_from(ZONES))
        group_by = data.draw(st.sampled_from([(), ("model",), ("user",), ("user", "model")]))
        where = data.draw(
            st.sampled_from([{}, {"model": ["a"]}, {"user": ["x"], "model": ["a", "c"]}, {"user": ["?"]}])
        )
        span = start, start + length
        told = counted.query(name, span[0] * 3600, span[1] * 3600, step, where, group_by, tz)
        expected = metric_model.query(cells, span, step, where, group_by, tz)
        assert {
            tuple(series.labels[name] for name in group_by): [(p.start, p.value) for p in series.points]
            for series in told
        } == expected


def test_a_range_by_the_hour_has_every_hour(opened: Opened) -> None:
    """A2: both hours are in it, those between too, in order, 0 where nothing was counted."""
    counted = opened()
    counted.count("calls", {((), HOUR): 3, ((), HOUR - 2): 4, ((), HOUR - 5): 9})
    points = counted.get_metrics_range("calls", "2026-11-26T10:59", NOW)
    assert [(point.start.isoformat(), point.value) for point in points] == [
        ("2026-11-26T10:00:00+00:00", 0),
        ("2026-11-26T11:00:00+00:00", 4),
        ("2026-11-26T12:00:00+00:00", 0),
        ("2026-11-26T13:00:00+00:00", 3),
    ]
    assert [point.value for point in counted.get_metrics_range("nothing", NOW, NOW)] == [0]


def test_series_that_others_made_are_seen_at_once(opened: Opened) -> None:
    """A2: who asked before sees a series that was counted since, in the next answer."""
    counted = opened(metrics={"calls": {"labels": ["user"]}})
    day = "2026-11-26", "2026-11-27"
    assert counted.totals("calls", *day, group_by="user") == ()
    for number in range(3):
        counted.count("calls", {(labels(user=str(number)), HOUR): 1})
        assert len(counted.totals("calls", *day, group_by="user")) == number + 1
        assert len(counted.totals("calls", *day, {"user": str(number)}, "user")) == 1


def test_a_time_that_is_not_kept_any_more_is_no_zero(opened: Opened) -> None:
    """A2: an hour that has expired is refused, and the message says so; its day is still told."""
    counted = opened(ttl="2d", retention={"day": "5d"})
    counted.count("calls", {((), hour("2026-11-22T10")): 1, ((), hour("2026-10-01T10")): 2})
    with pytest.raises(Uncountable, match=r"the hour of 2026-11-22 10:00 UTC is not kept any more"):
        counted.query("calls", "2026-11-22T10", NOW)
    (day,) = counted.totals("calls", "2026-11-22", "2026-11-23")
    assert day.value == 1
    with pytest.raises(Uncountable, match=r"the day of 2026-10-01 00:00 UTC"):
        counted.totals("calls", "2026-10-01", "2026-10-02")
    (month,) = counted.totals("calls", "2026-10-01", "2026-11-01")
    assert month.value == 2
    with pytest.raises(Uncountable, match="hour"):  # days of Berlin are added up from hours
        counted.totals("calls", "2026-11-22", "2026-11-23", tz="Europe/Berlin")


@pytest.mark.parametrize("tz", ["Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe"])
def test_a_calendar_between_the_hours_is_refused(opened: Opened, tz: str) -> None:
    """A2: days that begin between two hours of UTC are refused rather than told wrong; hours are not."""
    counted = opened()
    with pytest.raises(Uncountable, match="begin between two of these"):
        counted.query("calls", "2026-06-25", "2026-06-27", "day", tz=tz)
    assert counted.query("calls", NOW, NOW.timestamp() + 1, tz=tz)[0].points[0].start.utcoffset()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"where": {"usr": "a"}}, "no label 'usr'; there are: user"),
        ({"group_by": "usr"}, "no label 'usr'"),
        ({"step": "7h"}, "expected a step"),
        ({"step": "0d"}, "expected a step"),
        ({"step": "fortnight"}, "expected a step"),
        ({"tz": "Mars/Base"}, "expected a time zone"),
        ({"tz": "../../etc/passwd"}, "expected a time zone"),
        ({"start": NOW.replace(tzinfo=None)}, "says its time zone"),
        ({"start": "yesterday"}, "ISO 8601"),
        ({"start": float("nan")}, "seconds since the epoch"),
        ({"start": 1e18}, "seconds since the epoch"),
        ({"start": None}, "got NoneType"),
        ({"start": True}, "got bool"),
        ({"start": "2026-11-27"}, "after the start"),
        ({"start": "1066-10-14"}, "expected times between"),
        ({"start": "1990-01-01", "step": "hour"}, "expected times|more than|not kept"),
        ({"of": "mean"}, "is of histograms"),
    ],
)
def test_a_question_that_has_no_answer_says_why(opened: Opened, asked: dict[str, Any], message: str) -> None:
    """A2: what cannot be asked is refused with what can be."""
    counted = opened(metrics={"calls": {"labels": ["user"]}})
    with pytest.raises(Uncountable, match=message):
        counted.query("calls", **{"start": "2026-11-26", "end": "2026-11-27", **asked})


def test_too_much_is_refused_before_it_is_read(opened: Opened) -> None:
    """A2: a question that would read more than may be says so, and asks Redis nothing of it."""
    counted = opened(**FOR_EVER)
    with pytest.raises(Uncountable, match="ask for longer"):
        counted.query("calls", "2010-01-01", "2026-01-01")
    (year,) = counted.query("calls", "2010-01-01", "2026-01-01", "year")
    assert len(year.points) == 16


def test_nothing_is_searched_for(on_redis: Opened, redis_url: str) -> None:
    """A2: neither counting nor asking uses KEYS or SCAN; a range reads a hash an hour, or fewer."""
    with redis.Redis.from_url(redis_url) as client:
        client.config_resetstat()
        counted = on_redis(**FOR_EVER)
        start = hour("2026-01-01T00")
        counted.count("calls", {(one, start + at * 7): 1 for at in range(100) for one in SERIES})
        for step in STEPS:
            counted.query("calls", start * 3600, (start + 700) * 3600, step, group_by=("user", "model"))
        client.config_resetstat()
        counted.query("calls", "2026-01-01", "2026-03-02", "year", group_by=("user", "model"))
        used = client.info("commandstats")
    assert not {name for name in used if "keys" in name or "scan" in name}
    assert used["cmdstat_hmget"]["calls"] == 2 * (2 + 1) - 3 + 1  # January, February, one day; the census
