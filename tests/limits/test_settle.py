"""Reservations: an estimate is charged, and what was used takes its place, once."""

from __future__ import annotations

import pytest

from cachepolicy.tiers.limits import (
    Algorithm,
    Charged,
    Limit,
    Part,
    Row,
    Unit,
    charge,
    peek,
    refund,
    reset,
    settle,
)
from tests.support.limit_store import ScriptedClock, Store

KEY = "app:limits:rate_limit:{chat:user-1}"
REQUESTS = Limit(Unit.REQUESTS, Algorithm.GCRA, 100, 3_600_000, 100)
TOKENS = Limit(Unit.TOKENS, Algorithm.GCRA, 60_000, 60_000, 60_000)
STRICT = Limit(Unit.TOKENS, Algorithm.WINDOW, 1000, 60_000, buckets=6)
DAILY = Limit(Unit.TOKENS, Algorithm.CALENDAR, 1000, 86_400_000, calendar="day")
KINDS = (TOKENS, STRICT, DAILY)


def _reserve(store: Store, limit: Limit, cost: int, name: str = "r1", held: int = 600_000) -> Charged:
    return store.do(charge([Part(KEY, [limit], [cost])], reservation=name, held=held))


def _left(store: Store, limit: Limit) -> int:
    return store.do(peek([Part(KEY, [limit], [0])])).rows[0].remaining


@pytest.mark.parametrize("limit", KINDS)
def test_q3_a_reservation_is_settled_once(store: Store, clock: ScriptedClock, limit: Limit) -> None:
    """Q3: what was used takes the place of the estimate; the second time nothing happens, and it says so."""
    _reserve(store, limit, 700)
    assert _left(store, limit) == limit.amount - 700
    assert store.do(settle(KEY, [limit], "r1", [250])) is True
    assert _left(store, limit) == limit.amount - 250
    assert store.do(settle(KEY, [limit], "r1", [0])) is False
    assert store.do(refund(KEY, [limit], "r1")) is False
    assert _left(store, limit) == limit.amount - 250


@pytest.mark.parametrize("limit", KINDS)
def test_q3_a_refund_gives_all_of_it_back(store: Store, clock: ScriptedClock, limit: Limit) -> None:
    """Q3: a call that used nothing costs nothing; others' use is not touched."""
    store.do(charge([Part(KEY, [limit], [100])]))
    _reserve(store, limit, 700)
    assert store.do(refund(KEY, [limit], "r1")) is True
    assert _left(store, limit) == limit.amount - 100


@pytest.mark.parametrize("limit", KINDS)
def test_q3_use_may_exceed_the_estimate_and_the_limit(
    store: Store, clock: ScriptedClock, limit: Limit
) -> None:
    """Q3: what was used beyond the limit blocks later calls, and the key is kept until it no longer does."""
    _reserve(store, limit, 10)
    assert store.do(settle(KEY, [limit], "r1", [3 * limit.amount])) is True
    denied = store.do(charge([Part(KEY, [limit], [1])]))
    assert not denied.allowed
    row = denied.rows[0]
    assert row.remaining == 0
    assert row.retry > 0
    assert 0 <= store.ask("PTTL", KEY) - row.reset <= clock.SLACK
    assert not store.do(charge([Part(KEY, [limit], [0])])).allowed
    clock.advance(row.retry)
    assert store.do(charge([Part(KEY, [limit], [1])])).allowed


def test_q3_settling_extends_the_life_of_a_key(store: Store, clock: ScriptedClock) -> None:
    """Q3: the debt of a long answer is not forgiven because the estimate's key would have expired."""
    _reserve(store, TOKENS, 1)
    assert store.ask("PTTL", KEY) <= 1 + clock.SLACK
    store.do(settle(KEY, [TOKENS], "r1", [240_000]))
    assert store.ask("PTTL", KEY) > 240_000
    assert store.do(peek([Part(KEY, [TOKENS], [1])])).rows == (Row(0, 180_001, 240_000),)


def test_q3_a_crash_heals_by_itself(store: Store, clock: ScriptedClock) -> None:
    """Q3: a reservation that nobody settles is forgotten, and its estimate drains like any use."""
    _reserve(store, TOKENS, 60_000, held=90_000)
    assert not store.do(charge([Part(KEY, [TOKENS], [1])])).allowed
    assert 0 < store.ask("PTTL", f"{KEY}:reserved:r1") <= 90_000
    store.ask("DEL", f"{KEY}:reserved:r1")  # as it is when it has run out
    clock.advance(60_000)
    assert _left(store, TOKENS) == 60_000
    assert store.do(settle(KEY, [TOKENS], "r1", [0])) is False


def test_q3_what_has_drained_is_not_given_back(store: Store, clock: ScriptedClock) -> None:
    """Q3: an estimate that has drained before it is settled buys nobody else's use free."""
    _reserve(store, TOKENS, 30_000)
    clock.advance(30_000)
    store.do(charge([Part(KEY, [TOKENS], [20_000])]))
    assert store.do(refund(KEY, [TOKENS], "r1")) is True
    assert _left(store, TOKENS) == 40_000


@pytest.mark.parametrize("limit", [STRICT, DAILY])
def test_q3_what_was_of_another_window_is_not_given_back(
    store: Store, clock: ScriptedClock, limit: Limit
) -> None:
    """Q3: an estimate of a window that is over is gone; the new one is not credited with it."""
    _reserve(store, limit, 500)
    clock.advance(2 * 86_400_000)
    store.do(charge([Part(KEY, [limit], [400])]))
    assert store.do(refund(KEY, [limit], "r1")) is True
    assert _left(store, limit) == 600


@pytest.mark.parametrize("limit", [TOKENS, STRICT])
def test_q3_a_reset_is_not_undone_by_settling(store: Store, clock: ScriptedClock, limit: Limit) -> None:
    """Q3: what was reserved before a reset is no credit after it."""
    _reserve(store, limit, 500)
    store.do(reset(KEY))
    clock.advance(15_000)
    store.do(charge([Part(KEY, [limit], [300])]))
    store.do(refund(KEY, [limit], "r1"))
    assert _left(store, limit) == limit.amount - 300


def test_reservations_are_apart(store: Store, clock: ScriptedClock) -> None:
    """Each reservation is settled by its own name."""
    for name, cost in (("r1", 1000), ("r2", 2000), ("r3", 4000)):
        _reserve(store, TOKENS, cost, name)
    assert store.do(settle(KEY, [TOKENS], "r2", [500])) is True
    assert _left(store, TOKENS) == 60_000 - 5500
    assert store.do(refund(KEY, [TOKENS], "r1")) is True
    assert _left(store, TOKENS) == 60_000 - 4500


def test_a_denied_call_reserves_nothing(store: Store, clock: ScriptedClock) -> None:
    """Q1: where nothing is charged, there is nothing to settle."""
    assert not _reserve(store, TOKENS, 60_001).allowed
    assert store.ask("KEYS", "*:reserved:*") == []
    assert store.do(settle(KEY, [TOKENS], "r1", [10])) is False


def test_limits_that_were_added_meanwhile_are_charged_in_full(store: Store, clock: ScriptedClock) -> None:
    """A limit that a reload has added between reserving and settling counts what was used."""
    _reserve(store, TOKENS, 1000)
    store.do(settle(KEY, [REQUESTS, TOKENS], "r1", [1, 400]))
    rows = store.do(peek([Part(KEY, [REQUESTS, TOKENS], [0, 0])])).rows
    assert [row.remaining for row in rows] == [99, 59_600]


def test_a_booked_turn_that_is_given_up_is_given_back(store: Store, clock: ScriptedClock) -> None:
    """Q4: who does not want a turn any more gives it back, also one that lies ahead."""
    for limit in KINDS:
        store.do(charge([Part(KEY, [limit], [limit.amount])]))
        part = [Part(KEY, [limit], [100])]
        booked = store.do(charge(part, most_wait=90_000_000, reservation="b", held=90_000_000))
        assert booked.wait > 0
        again = store.do(peek(part)).rows[0].retry
        store.do(refund(KEY, [limit], "b"))
        assert store.do(peek(part)).rows[0].retry == booked.wait <= again
