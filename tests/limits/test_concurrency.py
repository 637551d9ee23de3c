"""Calls that run at once: places on leases, which a crash gives back."""

from __future__ import annotations

from cachepolicy.tiers.limit_leases import Entered, enter, leave, stay
from cachepolicy.tiers.limits import Algorithm, Limit, Part, Unit, charge
from tests.support.limit_store import ScriptedClock, Store

KEY = "app:limits:rate_limit:{chat:user-1}"


def _enter(store: Store, who: str, most: int = 2, lease: int = 60_000) -> Entered:
    return store.do(enter(KEY, who, most, lease))


def test_no_more_run_at_once_than_there_are_places(store: Store, clock: ScriptedClock) -> None:
    """The next one gets in when one has left; each is told how many run."""
    assert [_enter(store, who) for who in "ab"] == [
        Entered(True, clock.now, 1, 0),
        Entered(True, clock.now, 2, 0),
    ]
    assert _enter(store, "c") == Entered(False, clock.now, 2, 60_000)
    assert store.do(leave(KEY, "a")) is True
    assert store.do(leave(KEY, "a")) is False
    assert _enter(store, "c").allowed


def test_q5_a_place_that_is_asked_for_again_is_one_place(store: Store, clock: ScriptedClock) -> None:
    """Q5: whoever repeats the question because the reply was lost has one place, also when all are taken."""
    for _ in range(3):
        assert _enter(store, "a").running == 1
    _enter(store, "b")
    assert _enter(store, "a").allowed
    assert not _enter(store, "c").allowed


def test_q3_a_crash_gives_its_place_back(store: Store, clock: ScriptedClock) -> None:
    """Q3: a place that nobody renews is free when its lease is over, to the ms; those renewed are kept."""
    _enter(store, "crashes")
    _enter(store, "goes on")
    clock.advance(40_000)
    assert store.do(stay(KEY, "goes on", 60_000)) is True
    assert _enter(store, "next").retry == 20_000
    clock.advance(19_999)
    assert not _enter(store, "next").allowed
    clock.advance(1)
    assert _enter(store, "next").allowed
    assert store.do(stay(KEY, "crashes", 60_000)) is False
    assert not _enter(store, "another").allowed


def test_a_denied_call_takes_and_writes_nothing(store: Store, clock: ScriptedClock) -> None:
    """Q1: asking in vain changes nothing."""
    _enter(store, "a", 1)
    before = (
        store.ask("ZRANGE", f"{KEY}:running", "0", "-1", "WITHSCORES"),
        store.ask("PTTL", f"{KEY}:running"),
    )
    assert not _enter(store, "b", 1, 600_000).allowed
    assert store.ask("ZRANGE", f"{KEY}:running", "0", "-1", "WITHSCORES") == before[0]
    assert store.ask("PTTL", f"{KEY}:running") <= before[1]


def test_places_expire_with_the_last_of_them(store: Store, clock: ScriptedClock) -> None:
    """No key stays behind, and none ends before a lease that was given for longer."""
    _enter(store, "long", lease=600_000)
    _enter(store, "short", lease=1_000)
    assert 600_000 < store.ask("PTTL", f"{KEY}:running") <= 600_000 + clock.SLACK


def test_fewer_places_after_a_reload(store: Store, clock: ScriptedClock) -> None:
    """Where more run than there are places now, all go on, and the next waits until enough have left."""
    for at, who in enumerate("abcd"):
        _enter(store, who, 4, 10_000 * (at + 1))
    assert _enter(store, "e", 2) == Entered(False, clock.now, 4, 30_000)


def test_places_and_counts_of_a_subject_are_apart(store: Store, clock: ScriptedClock) -> None:
    """Concurrency stands beside the subject's other limits, and neither disturbs the other."""
    limit = Limit(Unit.REQUESTS, Algorithm.GCRA, 5, 60_000, 5)
    _enter(store, "a")
    assert store.do(charge([Part(KEY, [limit], [1])])).allowed
    assert _enter(store, "b").running == 2
