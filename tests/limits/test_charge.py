"""Charging: all limits or none, in order, on the server's clock, whatever the rule was before."""

from __future__ import annotations

from typing import Any

import pytest

from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.tiers.limit_overrides import override, overrides
from cachepolicy.tiers.limits import (
    Algorithm,
    Charged,
    Limit,
    Part,
    Row,
    Unit,
    charge,
    give_back,
    peek,
    reset,
    settle,
)
from tests.support.limit_model import Subject
from tests.support.limit_store import ScriptedClock, Store
from tests.tiers.store_contract import PATIENCE

KEY = "app:limits:rate_limit:{chat:user-1}"
OTHER = "app:limits:rate_limit:{chat:user-2}"
HOURLY = Limit(Unit.REQUESTS, Algorithm.GCRA, 100, 3_600_000, 100)
MINUTELY = Limit(Unit.REQUESTS, Algorithm.GCRA, 3, 60_000, 3)
TOKENS = Limit(Unit.TOKENS, Algorithm.GCRA, 1000, 86_400_000, 1000)
STRICT = Limit(Unit.REQUESTS, Algorithm.WINDOW, 5, 60_000, buckets=6)
DAILY = Limit(Unit.REQUESTS, Algorithm.CALENDAR, 5, 86_400_000, calendar="day")
EVERY = (HOURLY, TOKENS, STRICT, DAILY)


def _charge(
    store: Store, *limits: Limit, costs: tuple[int, ...] = (), key: str = KEY, wait: int = 0
) -> Charged:
    return store.do(charge([Part(key, limits, costs or (1,) * len(limits))], most_wait=wait))


def _dumps(store: Store) -> dict[bytes, Any]:
    keys = sorted(store.ask("KEYS", "*"))
    return {key: (store.ask("GET", key), store.ask("PEXPIRETIME", key)) for key in keys if key != b"clock"}


def test_q1_limits_of_different_costs_are_charged_together(store: Store, clock: ScriptedClock) -> None:
    """Q1: one call charges each limit its own cost, and is told what is left of each."""
    charged = _charge(store, HOURLY, TOKENS, costs=(1, 700))
    assert charged.allowed
    assert charged.now == clock.now
    assert charged.rows == (Row(99, 0, 36_000), Row(300, 0, 60_480_000))


@pytest.mark.parametrize("short", range(len(EVERY)))
def test_q1_a_denied_call_writes_nothing(store: Store, clock: ScriptedClock, short: int) -> None:
    """Q1: when one limit says no, no other is charged, and not a byte and no expiry in Redis has changed."""
    assert _charge(store, *EVERY, costs=(2, 2, 2, 2)).allowed
    before = _dumps(store)
    clock.advance(1)
    costs = [1, 1, 1, 1]
    costs[short] = (EVERY[short].burst or EVERY[short].amount) - 1
    denied = _charge(store, *EVERY, costs=tuple(costs))
    assert not denied.allowed
    assert [row.retry > 0 for row in denied.rows] == [at == short for at in range(len(EVERY))]
    assert _dumps(store) == before


def test_q1_a_call_denied_at_once_leaves_no_key(store: Store) -> None:
    """Q1: a call that is never possible leaves nothing behind, also no key that does not expire."""
    denied = _charge(store, HOURLY, MINUTELY, costs=(1, 4))
    assert not denied.allowed
    assert [row.retry for row in denied.rows] == [0, -1]
    assert _dumps(store) == {}


def test_q1_several_subjects_are_charged_together(store: Store, clock: ScriptedClock) -> None:
    """Q1: a user and an address are charged both, or neither."""
    parts = [Part(KEY, [HOURLY], [1]), Part(OTHER, [MINUTELY, TOKENS], [1, 1])]
    assert [store.do(charge(parts)).allowed for _ in range(4)] == [True, True, True, False]
    left = store.do(peek([Part(KEY, [HOURLY], [0]), Part(OTHER, [MINUTELY, TOKENS], [0, 0])]))
    assert [row.remaining for row in left.rows] == [97, 0, 997]


def test_peek_writes_nothing(store: Store) -> None:
    """Looking tells what a call would get, and charges it to nobody."""
    assert store.do(peek([Part(KEY, EVERY, [1, 1, 1, 1])])).allowed
    assert _dumps(store) == {}
    _charge(store, *EVERY)
    before = _dumps(store)
    assert [row.remaining for row in store.do(peek([Part(KEY, EVERY, [5, 5, 5, 5])])).rows] == [99, 999, 4, 4]
    assert _dumps(store) == before


def test_retry_is_the_first_moment_that_succeeds(store: Store, clock: ScriptedClock) -> None:
    """Q2: a call is denied until the very ms that it was told, and then allowed."""
    for limit in (MINUTELY, STRICT, DAILY):
        while _charge(store, limit).allowed:
            pass
        retry = _charge(store, limit).rows[0].retry
        clock.advance(retry - 1)
        assert _charge(store, limit).rows[0].retry == 1
        clock.advance(1)
        assert _charge(store, limit).allowed


def test_a_subject_expires_when_nothing_is_used_any_more(store: Store, clock: ScriptedClock) -> None:
    """A key is kept as long as its longest limit needs, and no shorter limit shortens that."""
    _charge(store, HOURLY, TOKENS, costs=(1, 1000))
    _charge(store, MINUTELY)
    left = store.ask("PTTL", KEY)
    assert 86_400_000 - 60_000 < left <= 86_400_000 + clock.SLACK


def test_q4_turns_come_in_the_order_in_which_they_are_given(store: Store, clock: ScriptedClock) -> None:
    """Q4: who books gets the next free turn; later ones come after it, and who does not book waits too."""
    for limit, turns in ((MINUTELY, [20_000, 40_000, 60_000]), (STRICT, None), (DAILY, None)):
        while _charge(store, limit).allowed:
            pass
        booked = [_charge(store, limit, wait=90_000_000).wait for _ in range(3)]
        assert turns is None or booked == turns
        assert booked == sorted(booked)
        denied = _charge(store, limit)
        assert not denied.allowed
        assert denied.rows[0].retry >= booked[-1]
        assert denied.rows[0].remaining == 0


def test_q4_nobody_is_made_to_wait_longer_than_they_would(store: Store, clock: ScriptedClock) -> None:
    """Q4: a turn that is later than the caller would wait is not given, and nothing is charged."""
    for _ in range(3):
        _charge(store, MINUTELY)
    assert not _charge(store, MINUTELY, wait=19_999).allowed
    assert _charge(store, MINUTELY, wait=20_000).wait == 20_000
    assert not _charge(store, MINUTELY, wait=39_999).allowed
    assert _charge(store, MINUTELY, wait=40_000).wait == 40_000


def test_q4_a_call_waits_for_the_slowest_of_its_limits(store: Store, clock: ScriptedClock) -> None:
    """Q4: one turn for all limits; each row says how long its own limit makes the call wait."""
    for _ in range(3):
        _charge(store, MINUTELY, HOURLY)
    booked = _charge(store, MINUTELY, HOURLY, wait=30_000)
    assert (booked.allowed, booked.wait) == (True, 20_000)
    assert [row.retry for row in booked.rows] == [20_000, 0]


@pytest.mark.parametrize("limit", [MINUTELY, STRICT, DAILY])
def test_a_clock_that_is_set_back_refills_nothing(store: Store, clock: ScriptedClock, limit: Limit) -> None:
    """Q2: time that comes twice gives nothing back, takes nothing, and ends nobody's count."""
    _charge(store, limit)
    before = store.do(peek([Part(KEY, [limit], [1])])).rows
    clock.advance(-7_200_000)
    assert store.do(peek([Part(KEY, [limit], [1])])).rows == before
    while _charge(store, limit).allowed:
        pass
    assert _charge(store, limit).rows[0].remaining == 0
    assert store.ask("PTTL", KEY) > 7_200_000


def test_a_changed_amount_keeps_what_was_consumed(store: Store, clock: ScriptedClock) -> None:
    """After a reload with another amount, as many units as before are used, up to all of them."""
    for _ in range(3):
        _charge(store, HOURLY, costs=(20,))
    for amount, left in ((200, 140), (50, 0), (61, 11)):
        changed = Limit(Unit.REQUESTS, Algorithm.GCRA, amount, 3_600_000, amount)
        assert store.do(peek([Part(KEY, [changed], [0])])).rows[0].remaining == left - (amount == 61) * 10
    halved = Limit(Unit.REQUESTS, Algorithm.GCRA, 50, 3_600_000, 50)
    assert _charge(store, halved).rows[0].retry == 72_000


def test_a_changed_window_keeps_what_was_consumed(store: Store, clock: ScriptedClock) -> None:
    """After a reload with another window, units stay used: the debt is scaled, and rounded up."""
    _charge(store, HOURLY, TOKENS, costs=(60, 1))
    for period in (1_800_000, 86_400_000, 7_777_777):
        changed = Limit(Unit.REQUESTS, Algorithm.GCRA, 100, period, 100)
        rows = store.do(peek([Part(KEY, [changed], [0])])).rows
        assert rows == (Row(40, 0, 60 * period // 100 + (period % 5 > 0)),)


def test_limits_that_are_added_begin_anew(store: Store, clock: ScriptedClock) -> None:
    """A limit added beside others neither disturbs them nor is disturbed."""
    _charge(store, HOURLY, costs=(60,))
    more = _charge(store, MINUTELY, HOURLY, TOKENS)
    assert [row.remaining for row in more.rows] == [2, 39, 999]


def test_another_plan_leaves_the_limits_of_the_first_alone(store: Store, clock: ScriptedClock) -> None:
    """What was counted under limits that a call does not have goes on draining until they are back."""
    model = Subject()
    for at, limits in enumerate(
        [(HOURLY, TOKENS), (MINUTELY, STRICT), (HOURLY, TOKENS), (TOKENS, DAILY)] * 3
    ):
        clock.advance(at * 1_000)
        assert _charge(store, *limits) == model.charge(clock.now, limits, (1, 1))


def test_another_algorithm_is_another_count(store: Store, clock: ScriptedClock) -> None:
    """A changed algorithm is neither a crash nor a wrong type: it counts from nothing, in the same key."""
    for algorithm in ("gcra", "window", "calendar", "gcra"):
        limit = {"gcra": HOURLY, "window": STRICT, "calendar": DAILY}[algorithm]
        assert _charge(store, limit).allowed
    assert store.ask("TYPE", KEY) == b"string"
    assert store.do(peek([Part(KEY, [HOURLY], [0])])).rows[0].remaining == 98


def test_reset_forgets_what_was_used(store: Store) -> None:
    """After a reset all is there again; it tells whether anything was used."""
    _charge(store, *EVERY)
    assert store.do(reset(KEY)) is True
    assert store.do(reset(KEY)) is False
    assert _charge(store, *EVERY).rows[0].remaining == 99


def test_what_was_charged_for_nothing_is_given_back(store: Store, clock: ScriptedClock) -> None:
    """Giving back right after a charge leaves all limits as they were."""
    before = _charge(store, *EVERY, costs=(2, 2, 2, 2)).rows
    charged = _charge(store, *EVERY)
    store.do(give_back(KEY, EVERY, (1, 1, 1, 1), made=charged.now))
    assert store.do(peek([Part(KEY, EVERY, (0, 0, 0, 0))])).rows == before


def test_nothing_is_given_back_to_a_subject_that_has_used_nothing(store: Store) -> None:
    """A subject that is not there gets no key, and no credit."""
    store.do(give_back(KEY, EVERY, (1, 1, 1, 1)))
    assert _dumps(store) == {}


def test_a_subject_may_have_amounts_of_its_own(store: Store, clock: ScriptedClock) -> None:
    """Overrides are read with the charge, hold for the limits they name, and end; use stays as it was."""
    part = Part(KEY, [HOURLY, STRICT, DAILY], [1, 1, 1], overridden=True)
    assert [row.remaining for row in store.do(charge([part])).rows] == [99, 4, 4]
    own = {HOURLY.name: (10, 5), STRICT.name: (50, 0), DAILY.name: (7, 0)}
    assert store.do(override(KEY, own)) is True
    assert store.do(overrides(KEY)) == own
    rows = store.do(charge([part])).rows
    assert [(row.remaining, row.amount) for row in rows] == [(3, 10), (48, 50), (5, 7)]
    assert store.do(override(KEY, None)) is True
    assert store.do(override(KEY, None)) is False
    rows = store.do(charge([part])).rows
    assert [(row.remaining, row.amount) for row in rows] == [(97, 100), (2, 5), (2, 5)]


def test_overrides_run_out(store: Store) -> None:
    """An override that was given for a time ends by itself."""
    store.do(override(KEY, {HOURLY.name: (10, 10)}, ttl=90_000))
    assert 0 < store.ask("PTTL", f"{KEY}:overrides") <= 90_000


def test_the_largest_limit_is_exact(store: Store, clock: ScriptedClock) -> None:
    """Q2: figures near 2^53 lose no unit, and more than that is never made of them."""
    amount = (2**53 - 1) // 1000
    largest = Limit(Unit.MONEY, Algorithm.GCRA, amount, 1000, amount, currency="EUR")
    assert _charge(store, largest, costs=(amount - 1,)).rows[0].remaining == 1
    assert _charge(store, largest, costs=(2,)).rows[0].retry == 1
    assert _charge(store, largest).rows[0] == Row(0, 0, 1000)


def test_a_subject_does_not_grow_with_every_window_it_was_asked_with(
    store: Store, clock: ScriptedClock
) -> None:
    """Limits that are asked for no more are left out once they have drained, where there are many of them."""
    for seconds in range(1, 60):
        limit = Limit(Unit.REQUESTS, Algorithm.GCRA, 5, seconds * 1000, 5)
        assert _charge(store, limit).allowed
        clock.advance(60_000)
    assert len(store.ask("GET", KEY).split()) <= 17


def test_counts_of_different_things_have_different_names() -> None:
    """Each unit, currency, algorithm and window is a count of its own; amount, burst and buckets are not."""
    limits = [
        Limit(unit, algorithm, 10, period, 10, 20, calendar, currency)
        for unit in Unit
        for algorithm in Algorithm
        for period, calendar in ((60, "hour"), (60_000, "day"), (60_001, "month"))
        for currency in (("EUR", "USD") if unit is Unit.MONEY else ("",))
    ]
    assert len({limit.name for limit in limits}) == len(limits)
    changed = Limit(Unit.REQUESTS, Algorithm.GCRA, 20, 60_000, 3)
    assert changed.name == Limit(Unit.REQUESTS, Algorithm.GCRA, 10, 60_000, 10).name == "gr60"


def test_three_limits_take_less_than_200_bytes(redis_server: RedisServer, redis_url: str) -> None:
    """A subject with three limits in use takes 200 bytes at the most, its key and all."""
    from cachepolicy.keys.layout import limit_key
    from cachepolicy.tiers import redis_sync
    from cachepolicy.tiers.dial import Place
    from cachepolicy.tiers.endpoint import Endpoint

    leaf = redis_sync.connect(Place(Endpoint(redis_url, deadline=PATIENCE, connect_timeout=PATIENCE), 0))
    key = limit_key("app:limits:", "chat", "user-12345")
    limits = (
        Limit(Unit.REQUESTS, Algorithm.GCRA, 100, 3_600_000, 100),
        Limit(Unit.REQUESTS, Algorithm.GCRA, 1000, 86_400_000, 1000),
        Limit(Unit.TOKENS, Algorithm.GCRA, 60_000, 60_000, 60_000),
    )
    command = charge([Part(key, limits, (1, 1, 700))])
    leaf.execute(command.with_source(), PATIENCE)
    for _ in range(60):
        leaf.execute(command, PATIENCE)
    assert int(redis_server.command("MEMORY", "USAGE", key)[1:]) <= 200
    leaf.close()


def test_a_negative_cost_is_refused() -> None:
    """Nobody can charge less than nothing, which would be a gift: it is an error at once."""
    for refused in (charge, peek):
        with pytest.raises(ValueError, match="at least 0"):
            refused([Part(KEY, [HOURLY], [-1])])
    with pytest.raises(ValueError, match="at least 0"):
        settle(KEY, [HOURLY], "r", [-1])
    with pytest.raises(ValueError, match="at least 0"):
        give_back(KEY, [HOURLY], [-1])
