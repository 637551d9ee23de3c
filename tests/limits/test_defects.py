"""What other limiters are known to get wrong, shown absent."""

from __future__ import annotations

import random

import pytest

from cachepolicy.tiers.limits import Algorithm, Limit, Part, Unit, charge, peek
from tests.support.limit_store import ScriptedClock, Store

KEY = "app:limits:rate_limit:{chat:user-1}"


def _gcra(amount: int, period: int, burst: int, unit: Unit = Unit.REQUESTS) -> Limit:
    return Limit(unit, Algorithm.GCRA, amount, period, burst)


def _admitted(store: Store, limit: Limit, attempts: int, cost: int = 1) -> int:
    command = charge([Part(KEY, [limit], [cost])])
    return sum(store.do(command).allowed for _ in range(attempts))


def test_a_small_burst_at_a_high_rate_is_a_limit(store: Store, clock: ScriptedClock) -> None:
    """A burst that drains within a second is no life of 0 seconds: 4 of 200 calls pass, not all."""
    assert _admitted(store, _gcra(10, 1_000, 4), 200) == 4
    assert store.ask("PTTL", KEY) > 0


def test_fractions_that_drain_are_not_lost(store: Store, clock: ScriptedClock) -> None:
    """At one unit in two seconds, a call each second finds all that has drained: the exact number passes."""
    limit, admitted = _gcra(1, 2_000, 6), 0
    for _ in range(10):
        admitted += _admitted(store, limit, 1)
        clock.advance(1_000)
    assert admitted == 10


def test_a_burst_is_whole_however_the_clock_stands(store: Store, clock: ScriptedClock) -> None:
    """With the clock at a standstill, at any moment and for any rate, exactly the burst passes."""
    rng = random.Random(7)
    for _ in range(40):
        limit = _gcra(rng.randint(1, 60), rng.choice([1_000, 7_000, 60_000, 3_600_000]), rng.randint(1, 12))
        store.ask("DEL", KEY)
        clock.set(rng.randint(1, 2 * 10**12))
        assert _admitted(store, limit, limit.burst + 3) == limit.burst


def test_sevenths_of_a_minute_neither_lose_nor_gain(store: Store, clock: ScriptedClock) -> None:
    """Seven in a minute, which no whole ms divides: over an hour of steady asking it is seven a minute."""
    limit, admitted = _gcra(7, 60_000, 7), 0
    for _ in range(1_200):
        admitted += _admitted(store, limit, 1)
        clock.advance(3_000)
    assert admitted == 7 + 1_199 * 3_000 * 7 // 60_000


def test_another_strategy_on_a_live_key_is_no_error(store: Store, clock: ScriptedClock) -> None:
    """Changing the algorithm of a rule whose subjects are counted already works from the first call on."""
    window = Limit(Unit.REQUESTS, Algorithm.WINDOW, 10, 60_000, buckets=6)
    day = Limit(Unit.REQUESTS, Algorithm.CALENDAR, 10, 86_400_000, calendar="day")
    for limit in (_gcra(10, 60_000, 10), window, day, _gcra(10, 60_000, 10)):
        assert _admitted(store, limit, 1) == 1


@pytest.mark.parametrize("algorithm", [Algorithm.GCRA, Algorithm.WINDOW, Algorithm.CALENDAR])
def test_tokens_are_counted_and_not_listed(store: Store, clock: ScriptedClock, algorithm: Algorithm) -> None:
    """60,000 tokens a minute in calls of 2,000 are a few bytes, and they expire."""
    calendar = "hour" if algorithm is Algorithm.CALENDAR else ""
    limit = Limit(Unit.TOKENS, algorithm, 60_000, 60_000, 60_000, 20 * (algorithm == "window"), calendar)
    assert _admitted(store, limit, 60, cost=2_000) == 30
    assert len(store.ask("GET", KEY)) < 100
    assert store.ask("PTTL", KEY) > 0


def test_a_denied_large_call_does_not_deny_a_small_one(store: Store, clock: ScriptedClock) -> None:
    """Retry times belong to a cost: where 1,000 are too many, one still passes, at once."""
    limit = _gcra(1_500, 60_000, 1_500, Unit.TOKENS)
    assert _admitted(store, limit, 1, cost=1_000) == 1
    denied = store.do(charge([Part(KEY, [limit], [1_000])]))
    assert denied.rows[0].retry == 20_000  # not a whole window
    assert _admitted(store, limit, 1, cost=1) == 1


def test_denied_costs_are_not_charged(store: Store, clock: ScriptedClock) -> None:
    """Sixty of a hundred, and sixty again: forty are left, not none."""
    for limit in (_gcra(100, 3_600_000, 100), Limit(Unit.TOKENS, Algorithm.WINDOW, 100, 60_000, buckets=6)):
        assert _admitted(store, limit, 2, cost=60) == 1
        assert store.do(peek([Part(KEY, [limit], [0])])).rows[0].remaining == 40


def test_limits_that_passed_are_not_charged_when_a_later_one_fails(
    store: Store, clock: ScriptedClock
) -> None:
    """Three calls that the second limit denies leave the first as it was: 97, not 94."""
    limits = (_gcra(100, 3_600_000, 100), _gcra(3, 60_000, 3))
    command = charge([Part(KEY, limits, (1, 1))])
    assert [store.do(command).allowed for _ in range(6)] == [True] * 3 + [False] * 3
    assert store.do(peek([Part(KEY, limits, (0, 0))])).rows[0].remaining == 97


def test_a_cost_is_looked_at_and_not_only_whether_any_is_left(store: Store, clock: ScriptedClock) -> None:
    """One unit left does not let a call of ten pass."""
    for kind in Algorithm:
        limit = Limit(Unit.TOKENS, kind, 10, 86_400_000, 10, 6 * (kind == "window"), "day")
        assert _admitted(store, limit, 1, cost=9) == 1
        assert _admitted(store, limit, 1, cost=10) == 0


def test_every_key_expires(store: Store, clock: ScriptedClock) -> None:
    """No call leaves a key without a time to live, allowed or denied, reserved or not."""
    limit = _gcra(10, 60_000, 10)
    store.do(charge([Part(KEY, [limit], [10])], reservation="r", held=60_000))
    store.do(charge([Part(KEY, [limit], [10])], reservation="s", held=60_000))
    assert all(store.ask("PTTL", key.decode()) > 0 for key in store.ask("KEYS", "*"))


def test_a_moment_of_many_digits_loses_none(store: Store, clock: ScriptedClock) -> None:
    """Moments and debts of sixteen digits are written as whole numbers, never as 1.7e+15."""
    limit = _gcra(10**9, 3_600_000, 10**9, Unit.TOKENS)
    clock.set(1_755_000_000_123)
    assert store.do(charge([Part(KEY, [limit], [999_999_999])])).rows[0].remaining == 1
    assert store.ask("GET", KEY) == b"1755000000123 gt3600:1000000000:3599999996400000:0"
