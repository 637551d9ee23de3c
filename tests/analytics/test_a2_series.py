"""A2: how many series there are is capped for all processes; what is above is counted together."""

from __future__ import annotations

from typing import Final

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from cachepolicy.flow.cells import OTHER, Batch, Cell
from cachepolicy.keys.series import read, spell
from tests.analytics.conftest import Opened
from tests.support.colour import SYNC
from tests.support.hammered import hammered
from tests.support.metrics import HOUR, NOW, Counted, labels, metrics_policy

PROCESSES: Final = 8
HOSTILE: Final = (
    *("a", "a:b", "a|b", "a=b", "a,b", "{a}", "}{", "a\nb", "\r\n", "\x00", "", " ", "*", "Grüße", "🦀"),
    *("x" * 10_000, "\ud800", "s1:a1:b", "1:a", "e", "n", "x", OTHER),
)


def test_series_are_capped_for_all_processes(redis_url: str) -> None:
    """A2: eight processes that race make no more series than one may, and no count is lost."""
    policy = metrics_policy(redis_url, max_series=50, metrics={"calls": {"labels": ["user"]}})
    hour = str(int(redis_time(redis_url)) // 3600)
    hammered(policy, *[(str(n), "100", hour) for n in range(PROCESSES)], hammer="metric_hammer")
    counted = Counted(SYNC, redis_url, **policy["namespaces"]["analytics"])
    told = counted.totals("calls", int(hour) * 3600, int(hour) * 3600 + 3600, group_by="user")
    assert len(told) == 50 + 1
    assert sum(total.value for total in told) == PROCESSES * 100
    assert {total.labels["user"] for total in told} > {OTHER}
    with redis.Redis.from_url(redis_url) as client:
        series = counted.metric("calls").keys.series
        assert client.hget(series, "n") == b"50"
        assert sum(name.startswith(b"s") for name in client.hkeys(series)) == 50
        assert int(client.hget(series, "x") or 0) > 0


def redis_time(url: str) -> int:
    """Return the server's time, in seconds."""
    with redis.Redis.from_url(url) as client:
        return int(client.time()[0])


def test_what_is_above_the_cap_is_counted_together(opened: Opened) -> None:
    """A2: sums are right beyond the cap; series that were there before stay told apart."""
    counted = opened(max_series=3, metrics={"calls": {"labels": ["user"]}})
    for _ in range(2):
        counted.count("calls", {(labels(user=str(n)), HOUR): 10**n for n in range(6)})
    told = counted.totals("calls", NOW, "2026-11-27", group_by="user")
    assert {total.labels["user"]: total.value for total in told} == {
        "0": 2,
        "1": 20,
        "2": 200,
        OTHER: 222_000,
    }
    (everything,) = counted.totals("calls", NOW, "2026-11-27")
    assert everything.value == 222_222


@pytest.mark.parametrize("few", [True, False], ids=["one by one", "all at once"])
def test_hostile_labels_are_told_apart(opened: Opened, few: bool) -> None:
    """A2: values with separators, newlines, NUL, no Unicode, long and empty ones are all told apart."""
    counted = opened(metrics={"calls": {"labels": ["a", "b"]}})
    pairs = [(one, other) for one in HOSTILE for other in ("", "a", ":")]
    counted.count("calls", {(labels(a=a, b=b), HOUR): at + 1 for at, (a, b) in enumerate(pairs)})
    if few:
        for at, (a, b) in enumerate(pairs[::7]):
            (point,) = counted.get_metrics_range("calls", NOW, NOW, {"a": a, "b": b})
            assert point.value == 7 * at + 1
        return
    told = counted.totals("calls", NOW, "2026-11-27", group_by=("a", "b"))
    expected = {pair: at + 1 for at, pair in enumerate(pairs)}
    assert {(total.labels["a"], total.labels["b"]): total.value for total in told} == expected


@given(
    st.lists(st.tuples(st.text(), st.text()), max_size=4),
    st.lists(st.tuples(st.text(), st.text()), max_size=4),
)
def test_a_spelling_is_of_one_series(one: list[tuple[str, str]], other: list[tuple[str, str]]) -> None:
    """A2: labels are read back from their spelling, and different ones never have the same."""
    assert read(spell(one)) == tuple(one)
    assert (spell(one) == spell(other)) is (one == other)


def test_what_is_no_spelling_is_no_series() -> None:
    """A2: what else stands beside the series is none."""
    assert read(b"e") is None
    assert read(b"s") == ()


def test_refused_series_are_not_remembered_for_ever(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """A2: endless new values fill neither Redis nor the process; their counts are right all the same."""
    monkeypatch.setattr("cachepolicy.flow.series._REFUSED_KNOWN", 20)
    counted = opened(max_series=1, metrics={"calls": {"labels": ["user"]}})
    for start in range(0, 300, 100):
        cells = {Cell(labels(user=str(n)), HOUR): 1 for n in range(start, start + 100)}
        counted.post(Batch("calls", counts=cells))
    assert len(counted.metric("calls").numbers.refused) <= 120
    (everything,) = counted.totals("calls", NOW, "2026-11-27")
    assert everything.value == 300
