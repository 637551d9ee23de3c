"""``calendar``: by UTC hour, day or month, as on an invoice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cachepolicy.tiers.limits import Algorithm, Limit, Part, Row, Unit, charge, peek
from tests.support.limit_store import ScriptedClock, Store

KEY = "app:limits:rate_limit:{chat:user-1}"
LENGTHS = {"hour": 3_600_000, "day": 86_400_000, "month": 31 * 86_400_000}


def _limit(kind: str) -> Limit:
    return Limit(Unit.REQUESTS, Algorithm.CALENDAR, 10, LENGTHS[kind], calendar=kind)


def _ms(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc,arg-type] # year, month, day…


@pytest.mark.parametrize(
    ("kind", "now", "end"),
    [
        ("hour", (2026, 3, 29, 1, 59, 59), (2026, 3, 29, 2)),
        ("day", (2024, 2, 28, 23, 0), (2024, 2, 29)),
        ("day", (2026, 2, 28, 23, 0), (2026, 3, 1)),
        ("month", (2024, 2, 1), (2024, 3, 1)),
        ("month", (2024, 2, 29, 23, 59, 59), (2024, 3, 1)),
        ("month", (2026, 2, 28, 12), (2026, 3, 1)),
        ("month", (2100, 2, 28, 12), (2100, 3, 1)),
        ("month", (2000, 2, 29, 12), (2000, 3, 1)),
        ("month", (2026, 12, 31, 23, 59, 59), (2027, 1, 1)),
        ("month", (2026, 1, 1), (2026, 2, 1)),
        ("month", (2026, 4, 30, 1), (2026, 5, 1)),
        ("month", (2026, 7, 31, 1), (2026, 8, 1)),
    ],
)
def test_a_quota_ends_with_its_hour_day_or_month(
    store: Store, clock: ScriptedClock, kind: str, now: tuple[int, ...], end: tuple[int, ...]
) -> None:
    """A quota is whole again at the first ms of the next UTC hour, day or month, and not one before."""
    clock.set(_ms(*now))
    left = _ms(*end) - _ms(*now)
    part = [Part(KEY, [_limit(kind)], [10])]
    assert store.do(charge(part)).rows == (Row(0, 0, left),)
    assert store.do(charge(part)).rows == (Row(0, left, left),)
    clock.advance(left - 1)
    assert store.do(charge(part)).rows == (Row(0, 1, 1),)
    clock.advance(1)
    assert store.do(charge(part)).allowed


def test_every_month_of_a_century_is_as_long_as_it_is(store: Store, clock: ScriptedClock) -> None:
    """The last and the first ms of each month from 1970 to 2070 are told apart."""
    part = [Part(KEY, [_limit("month")], [10])]
    date = datetime(1970, 1, 1, tzinfo=UTC)
    for _ in range(1200):
        clock.set(int(date.timestamp()) * 1000)
        date = (date + timedelta(days=31)).replace(day=1)
        charged = store.do(charge(part))
        assert charged.allowed
        assert charged.now + charged.rows[0].reset == int(date.timestamp()) * 1000


def test_several_calendars_of_one_subject_are_apart(store: Store, clock: ScriptedClock) -> None:
    """An hour, a day and a month are counted each for itself, in one key."""
    limits = [_limit(kind) for kind in LENGTHS]
    clock.set(_ms(2026, 1, 31, 23, 30))
    assert store.do(charge([Part(KEY, limits, [4, 4, 4])])).allowed
    clock.set(_ms(2026, 1, 31, 22, 30))  # set back: still the hour that it was
    assert [row.remaining for row in store.do(peek([Part(KEY, limits, [0, 0, 0])])).rows] == [6, 6, 6]
    clock.set(_ms(2026, 2, 1))
    assert [row.remaining for row in store.do(peek([Part(KEY, limits, [0, 0, 0])])).rows] == [10, 10, 10]
