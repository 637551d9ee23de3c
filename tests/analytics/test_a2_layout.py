"""A2: what counts take in Redis: how much, under which keys, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest
import redis

from cachepolicy.flow.cells import Batch, Cell
from cachepolicy.flow.series import Metric
from cachepolicy.keys.periods import Resolution, containing, covering
from tests.analytics.conftest import Opened
from tests.support.metrics import HOUR, NOW, hour, labels

DAY: Final = 86_400
SERIES: Final = 50
HOURS: Final = 30 * 24
EXPIRY: Final = 48  # bytes that Redis takes to remember when a key expires


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    """Give hands in the server."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


def _life(client: Any, metric: Metric, resolution: Resolution, at: int) -> int:
    """Return for how long a bucket is kept, in seconds; -1: for ever; -2: it is not there."""
    key = metric.keys.bucket(metric.numbers.epoch, resolution, containing(resolution, at).id, 0)
    return int(client.ttl(key))


def test_a_cell_takes_twelve_bytes(on_redis: Opened, client: Any) -> None:
    """A2: 30 days of 50 series by the hour, their days and months included, take at most 12 bytes a cell."""
    counted = on_redis(metrics={"calls": {"labels": ["model"]}})
    cells = [
        (labels(model=f"model-{series}"), HOUR - back) for back in range(HOURS) for series in range(SERIES)
    ]
    for at in range(0, len(cells), 6000):
        counted.count("calls", dict.fromkeys(cells[at : at + 6000], 100 + at % 900))
    kept = [key for key in client.keys("*") if b":batch:" not in key]
    taken = sum(client.memory_usage(key, samples=0) + EXPIRY for key in kept)
    assert taken / len(cells) <= 12


def test_hashes_stay_lists(on_redis: Opened, client: Any) -> None:
    """A2: of a thousand series none is in a hash so large that Redis takes eight times the memory for it."""
    counted = on_redis(
        metrics={"calls": {"labels": ["user"]}, "revenue": {"kind": "money", "labels": ["user"]}}
    )
    users = [labels(user=f"user-{n}") for n in range(999)]
    counted.count("calls", {(user, HOUR): 10**12 for user in users})
    counted.post(
        Batch(
            "revenue", counts={Cell(u, HOUR, c): 10**9 for u in users for c in ("EUR", "USD", "JPY", "GBP")}
        )
    )
    hashes = [key for key in client.keys("*:metrics:*") if client.type(key) == b"hash"]
    assert len(hashes) == 3 * (8 + 32)
    assert {client.object("encoding", key) for key in hashes} == {b"listpack"}
    assert max(client.hlen(key) for key in hashes) <= 128


def test_each_resolution_is_kept_as_long_as_the_policy_says(on_redis: Opened, client: Any) -> None:
    """A2: an hour, a day and a month expire so long after their end; the series with the last of them."""
    counted = on_redis(ttl="2d", retention={"day": "10d", "month": "100d"})
    counted.count("calls", {((), HOUR): 1})
    metric, now = counted.metric("calls"), NOW.timestamp()
    for resolution, kept in {Resolution.HOUR: 2, Resolution.DAY: 10, Resolution.MONTH: 100}.items():
        end = containing(resolution, HOUR).end * 3600
        assert _life(client, metric, resolution, HOUR) == pytest.approx(end - now + kept * DAY, abs=5)
    assert client.ttl(metric.keys.series) >= 100 * DAY
    assert 0 < client.ttl(client.keys("*:batch:*")[0]) <= 600


def test_months_are_kept_for_ever_unless_the_policy_says(on_redis: Opened, client: Any) -> None:
    """A2: without a retention months stay, and their series; one that is lifted holds for what is there."""
    counted = on_redis(retention={"month": "100d"})
    counted.count("calls", {((), HOUR): 1})
    assert _life(client, counted.metric("calls"), Resolution.MONTH, HOUR) > 0
    numbers = counted.metric("calls").numbers
    counted = on_redis()
    counted.count("calls", {((), HOUR): 1})
    assert counted.metric("calls").numbers.epoch == numbers.epoch
    assert _life(client, counted.metric("calls"), Resolution.MONTH, HOUR) == -1
    assert client.ttl(counted.metric("calls").keys.series) == -1


def test_what_comes_too_late_is_counted_where_it_is_still_kept(on_redis: Opened, client: Any) -> None:
    """A2: an event of an hour that has expired counts in its day and month, and makes no hour."""
    counted = on_redis(ttl="2d")
    late = hour("2026-11-20T10")
    counted.count("calls", {((), late): 5})
    metric = counted.metric("calls")
    assert _life(client, metric, Resolution.HOUR, late) == -2
    assert _life(client, metric, Resolution.DAY, late) > 0
    (day,) = counted.totals("calls", "2026-11-20", "2026-11-21")
    assert day.value == 5


def test_a_metric_s_retention_is_its_own(on_redis: Opened, client: Any) -> None:
    """A2: a metric that says how long it is kept is kept so, whatever its namespace says."""
    counted = on_redis(metrics={"calls": {"retention": {"hour": "1d"}}})
    counted.count("calls", {((), HOUR): 1})
    assert _life(client, counted.metric("calls"), Resolution.HOUR, HOUR) <= DAY + 3600


def test_all_of_a_metric_shares_a_slot(on_redis: Opened, client: Any) -> None:
    """A2: on a cluster a metric is in one place, so that a batch is one step."""
    counted = on_redis(metrics={"users": {"kind": "uniques"}})
    counted.count("calls", {((), HOUR): 1})
    counted.post(Batch("users", uniques={((), HOUR): frozenset([b"u"])}))
    tags = {key[key.index(b"{") : key.index(b"}") + 1] for key in client.keys("*")}
    assert tags == {b"{analytics:calls}", b"{analytics:users}"}


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        ("2026-11-26T13", "2026-11-26T14", ["2026112613"]),
        ("2026-02-28T23", "2026-03-01T01", ["2026022823", "2026030100"]),
        ("2024-02-28T00", "2024-03-02T00", ["20240228", "20240229", "20240301"]),
        (
            "2025-12-31T23",
            "2027-01-01T01",
            ["2025123123", *(f"2026{m:02}" for m in range(1, 13)), "2027010100"],
        ),
        ("2026-01-31T00", "2026-03-01T00", ["20260131", "202602"]),
        ("1969-12-31T23", "1970-01-02T00", ["1969123123", "19700101"]),
        ("2026-11-26T13", "2026-11-26T13", []),
    ],
)
def test_a_range_is_covered_by_whole_months_days_and_hours(begin: str, end: str, expected: list[str]) -> None:
    """A2: months have their lengths, years end; nothing is left out, and nothing counted twice."""
    periods = covering(hour(begin), hour(end))
    assert [period.id for period in periods] == expected
    ends = [hour(begin), *[period.end for period in periods]]
    assert [period.begin for period in periods] == ends[:-1]
    assert ends[-1] == hour(end)
