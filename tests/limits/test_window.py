"""``window``: never above the limit in any window, however calls are timed."""

from __future__ import annotations

import random

import pytest

from cachepolicy.tiers.limits import Algorithm, Limit, Part, Unit, charge, peek
from tests.support.limit_store import ScriptedClock, Store

KEY = "app:limits:rate_limit:{chat:user-1}"
PERIOD = 60_000


def _worst(admitted: list[tuple[int, int]], period: int) -> int:
    """Return the most that any window held: windows that end at each admission."""
    return max(sum(cost for at, cost in admitted if end - period < at <= end) for end, _ in admitted)


@pytest.mark.parametrize("buckets", [2, 7, 20])
@pytest.mark.parametrize("booked", [0, PERIOD])
def test_q2_no_window_ever_holds_more(store: Store, clock: ScriptedClock, buckets: int, booked: int) -> None:
    """Q2: greedy, bursty or random, booked ahead or not: no window holds more than the limit."""
    rng = random.Random(buckets)
    limit = Limit(Unit.TOKENS, Algorithm.WINDOW, 100, PERIOD, buckets=buckets)
    admitted: list[tuple[int, int]] = []
    for _ in range(150):
        clock.advance(
            rng.choice([0, 1, PERIOD // buckets, PERIOD // buckets - 1, rng.randint(0, PERIOD // 3)])
        )
        for _ in range(rng.choice([1, 1, 4])):
            cost = rng.choice([1, 10, 60, 100])
            charged = store.do(charge([Part(KEY, [limit], [cost])], most_wait=booked))
            if charged.allowed:
                admitted.append((charged.now + charged.wait, cost))
    assert len(admitted) > 30
    assert _worst(admitted, PERIOD) <= 100


def test_q2_the_sustained_rate_is_nearly_the_limit(store: Store, clock: ScriptedClock) -> None:
    """Q2: a steady caller gets at least B/(B+1) of the limit: what strictness costs is bounded."""
    limit = Limit(Unit.REQUESTS, Algorithm.WINDOW, 20, PERIOD, buckets=20)
    admitted = 0
    for _ in range(21 * 20 * 2):
        clock.advance(PERIOD // 40)
        admitted += store.do(charge([Part(KEY, [limit], [1])])).allowed
    windows = 21
    assert admitted >= 20 * windows * 20 // 21


def test_parts_that_are_cut_anew_forget_nothing_too_early(store: Store, clock: ScriptedClock) -> None:
    """A reload with other buckets, or another window, keeps what was consumed at least as long as it must."""
    limits = [
        Limit(Unit.REQUESTS, Algorithm.WINDOW, 10, period, buckets=buckets)
        for period, buckets in ((60_000, 6), (60_000, 20), (60_000, 2), (30_000, 7), (120_000, 5))
    ]
    assert store.do(charge([Part(KEY, limits[:1], [4])])).allowed
    for limit in limits[1:]:
        clock.advance(5_000)
        assert store.do(peek([Part(KEY, [limit], [0])])).rows[0].remaining == 6


def test_a_turn_far_ahead_takes_no_more_room(store: Store, clock: ScriptedClock) -> None:
    """However far a turn lies ahead, no more parts are written than a window has."""
    narrow = Limit(Unit.REQUESTS, Algorithm.WINDOW, 5, 1_000, buckets=20)
    slow = Limit(Unit.TOKENS, Algorithm.WINDOW, 1, 86_400_000, buckets=2)
    for _ in range(3):
        store.do(charge([Part(KEY, [narrow, slow], [1, 1])], most_wait=10 * 86_400_000))
    assert len(store.ask("GET", KEY)) < 200
