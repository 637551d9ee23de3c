"""Limits counted in the process: the share of each, exact, bounded, by any number of threads."""

from __future__ import annotations

import datetime
import threading
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepolicy.clock import ManualClock
from cachepolicy.flow.counting import span
from cachepolicy.flow.local_limits import LocalLimits
from cachepolicy.tiers.limits import Algorithm, Charged, Limit, Part, Unit
from tests.support.limit_model import Subject

HOUR, DAY, MONTH = 3_600_000, 86_400_000, 31 * 86_400_000


def gcra(amount: int, period: int, burst: int | None = None, unit: Unit = Unit.REQUESTS) -> Limit:
    """Make a limit that drains."""
    return Limit(unit, Algorithm.GCRA, amount, period, burst=amount if burst is None else burst)


def window(amount: int, period: int, buckets: int = 20) -> Limit:
    """Make a limit of any window."""
    return Limit(Unit.REQUESTS, Algorithm.WINDOW, amount, period, buckets=buckets)


def calendar(amount: int, word: str, period: int) -> Limit:
    """Make a quota."""
    return Limit(Unit.REQUESTS, Algorithm.CALENDAR, amount, period, calendar=word)


def part(*limits: Limit, costs: tuple[int, ...] | None = None) -> Part:
    """Give one subject's part of a call."""
    return Part("k", limits, costs or (1,) * len(limits))


def counted(share: Fraction = Fraction(1), most: int = 100) -> tuple[LocalLimits, ManualClock]:
    """Count, by a clock that stands."""
    time = ManualClock()
    return LocalLimits(time.clock, share, most), time


@pytest.mark.parametrize("limit", [gcra(10, HOUR), window(10, HOUR), calendar(10, "hour", HOUR)])
@pytest.mark.parametrize(("share", "allowed"), [(1, 10), (4, 2), (3, 3), (100, 1)])
def test_a_process_counts_its_share(limit: Limit, share: int, allowed: int) -> None:
    """Of a limit, as much is allowed as is this process's, rounded down, and one at least (Q5)."""
    limits, _ = counted(Fraction(1, share))
    decisions = [limits.charge([part(limit)]).allowed for _ in range(20)]
    assert decisions == [True] * allowed + [False] * (20 - allowed)


def test_all_or_nothing() -> None:
    """A call that one limit refuses is charged to no other, of no subject (Q1)."""
    limits, _ = counted()
    large, small = gcra(100, HOUR), gcra(2, DAY, unit=Unit.TOKENS)
    parts = [Part("a", (large,), (1,)), Part("b", (large, small), (1, 1))]
    assert [limits.charge(parts).allowed for _ in range(5)] == [True, True, False, False, False]
    assert limits.peek([Part("a", (large,), (1,))]).rows[0].remaining == 98
    assert limits.peek([Part("b", (large,), (1,))]).rows[0].remaining == 98


def test_a_refusal_says_how_long() -> None:
    """What is refused is allowed after ``retry``, and not a ms before, for each algorithm."""
    for limit in (gcra(7, 60_000), window(7, 60_000), calendar(7, "hour", HOUR)):
        limits, time = counted()
        assert limits.charge([part(limit, costs=(7,))]).allowed
        retry = limits.charge([part(limit, costs=(3,))]).rows[0].retry
        time.advance((retry - 1) / 1000)
        assert not limits.charge([part(limit, costs=(3,))]).allowed
        time.advance(1 / 1000)
        assert limits.charge([part(limit, costs=(3,))]).allowed


@pytest.mark.parametrize("limit", [gcra(10, HOUR), window(10, HOUR), calendar(10, "hour", HOUR)])
def test_too_much_at_once_is_never_allowed(limit: Limit) -> None:
    """A cost above the limit is refused whatever is left, and costs nothing."""
    limits, _ = counted()
    charged = limits.charge([part(limit, costs=(11,))], most_wait=10**9)
    assert not charged.allowed
    assert charged.rows[0].retry == -1
    assert charged.rows[0].remaining == 10


def test_a_clock_that_steps_back_refills_nothing() -> None:
    """After a step back, time stands still until the clock has caught up."""
    for limit in (gcra(10, 10_000), window(10, 10_000), calendar(10, "hour", HOUR)):
        limits, time = counted()
        assert limits.charge([part(limit, costs=(10,))]).allowed
        time.advance(-7_200)
        assert not limits.charge([part(limit)]).allowed


def test_bursts_are_whole_at_any_time() -> None:
    """A burst admits all of itself at a frozen clock, whatever the rate, the period and the time."""
    for amount in (1, 3, 7, 10, 60, 999):
        for period in (1_000, 7_777, 60_000, HOUR, DAY):
            for at in (0.0, 0.1, 1_700_000_000.123, 1_755_000_000.999):
                time = ManualClock(now_wall=at)
                limits = LocalLimits(time.clock, Fraction(1))
                limit = gcra(amount, period)
                assert sum(limits.charge([part(limit)]).allowed for _ in range(amount + 2)) == amount


def test_slow_rates_lose_no_fraction() -> None:
    """One in two seconds with a burst of six, called each second: ten of ten pass, as sums say."""
    limits, time = counted()
    allowed = 0
    for _ in range(10):
        allowed += limits.charge([part(gcra(1, 2_000, burst=6))]).allowed
        time.advance(1)
    assert allowed == 10


@given(
    limit=st.builds(gcra, st.integers(1, 40), st.integers(1, 50_000), st.integers(1, 60)),
    steps=st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 70)), max_size=60),
)
def test_gcra_is_the_rational_model(limit: Limit, steps: list[tuple[int, int]]) -> None:
    """Decisions, what is left, and waits are those of exact fractions (Q2)."""
    limits, time = counted()
    used, rate = Fraction(0), Fraction(limit.amount, limit.period)
    for ms, cost in steps:
        time.now_wall = round(time.now_wall * 1000 + ms) / 1000
        used = max(Fraction(0), used - rate * ms)
        charged = limits.charge([part(limit, costs=(cost,))])
        over = used + cost - limit.burst
        assert charged.allowed == (over <= 0)
        if charged.allowed:
            used += cost
        elif cost <= limit.burst:
            assert charged.rows[0].retry == -(-over // rate)
        assert charged.rows[0].remaining == max(0, (limit.burst - used) // 1)


@given(
    limit=st.builds(window, st.integers(1, 30), st.integers(1, 5_000), st.integers(2, 30)),
    steps=st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 12)), max_size=80),
)
def test_no_true_window_holds_more_than_its_limit(limit: Limit, steps: list[tuple[int, int]]) -> None:
    """Any period of time, wherever it begins, holds no more than the limit (Q2)."""
    limits, time = counted()
    now, admitted = 1_700_000_000_000, list[tuple[int, int]]()
    for ms, cost in steps:
        now += ms
        time.now_wall = now / 1000
        charged = limits.charge([part(limit, costs=(cost,))])
        if charged.allowed:
            admitted.append((charged.now, cost))
        assert sum(cost for at, cost in admitted if at > charged.now - limit.period) <= limit.amount


def test_calendars_are_those_of_utc() -> None:
    """Hours, days and months begin where UTC says; February has 28 days, or 29."""
    for year in range(1999, 2030):
        for month in range(1, 13):
            begin = datetime.datetime(year, month, 1, tzinfo=datetime.UTC)
            end = datetime.datetime(year + month // 12, month % 12 + 1, 1, tzinfo=datetime.UTC)
            edges = (int(begin.timestamp()) * 1000, int(end.timestamp()) * 1000)
            assert span("month", edges[0]) == edges
            assert span("month", edges[1] - 1) == edges
    noon = datetime.datetime(2028, 2, 29, 12, 30, tzinfo=datetime.UTC)
    at = int(noon.timestamp()) * 1000
    assert span("day", at) == (at - 45_000_000, at + 41_400_000)
    assert span("hour", at) == (at - 1_800_000, at + 1_800_000)


def test_turns_come_in_order() -> None:
    """Booked calls come one after the other, and none whose wait would be too long is charged (Q4)."""
    for limit in (gcra(10, 10_000, burst=1), window(1, 1_000, buckets=10), calendar(1, "hour", HOUR)):
        limits, _ = counted()
        limits.charge([part(limit)])
        waits = [limits.charge([part(limit)], most_wait=20_000_000).wait for _ in range(4)]
        assert waits == sorted(set(waits))
        assert waits[0] > 0
        assert not limits.charge([part(limit)], most_wait=waits[-1]).allowed
        assert limits.charge([part(limit)], most_wait=20_000_000).wait > waits[-1]


def test_settling_makes_a_debt() -> None:
    """What was used beyond what had been charged blocks later calls; what was not used is free again."""
    limit = gcra(100, HOUR)
    for actual, left in ((10, 90), (100, 0), (150, 0), (0, 100)):
        limits, _ = counted()
        limits.charge([part(limit, costs=(50,))])
        limits.settle("k", (limit,), (50,), (actual,))
        assert limits.peek([part(limit)]).rows[0].remaining == left
        assert limits.charge([part(limit, costs=(100,))]).allowed == (actual == 0)


@pytest.mark.parametrize("limit", [gcra(10, HOUR), window(10, HOUR), calendar(10, "hour", HOUR)])
def test_what_is_given_back_can_be_used(limit: Limit) -> None:
    """Giving back makes room for as much, and for no more than the limit."""
    limits, _ = counted()
    limits.charge([part(limit, costs=(10,))])
    limits.give_back("k", (limit,), (4,))
    assert limits.peek([part(limit)]).rows[0].remaining == 4
    limits.give_back("k", (limit,), (400,))
    assert limits.peek([part(limit)]).rows[0].remaining == 10


def test_a_changed_limit_keeps_what_was_used() -> None:
    """Another amount under the same window counts on."""
    limits, _ = counted()
    limits.charge([part(gcra(10, HOUR), costs=(8,))])
    assert limits.peek([part(gcra(20, HOUR))]).rows[0].remaining == 12
    assert limits.peek([part(gcra(5, HOUR))]).rows[0].remaining == 0


def test_subjects_are_bounded() -> None:
    """No more subjects are remembered than asked; those asked about longest ago go first."""
    limits, _ = counted(most=3)
    for key in "abcabd":
        limits.charge([Part(key, (gcra(1, HOUR),), (1,))])
    assert len(limits) == 3
    assert not limits.charge([Part("b", (gcra(1, HOUR),), (1,))]).allowed
    assert limits.charge([Part("c", (gcra(1, HOUR),), (1,))]).allowed


def test_threads_share_one_count() -> None:
    """Eight threads that hammer one subject are allowed what the limit allows."""
    limits, _ = counted()
    gate, allowed = threading.Barrier(8), list[bool]()

    def hammer() -> None:
        gate.wait()
        allowed.extend(limits.charge([part(gcra(1_000, HOUR))]).allowed for _ in range(400))

    threads = [threading.Thread(target=hammer) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(allowed) == 1_000


def test_peeking_charges_nothing() -> None:
    """A look leaves everything as it is; a reset forgets it, and tells whether there was something."""
    limits, _ = counted()
    for _ in range(5):
        assert limits.peek([part(gcra(1, HOUR))]).allowed
    assert limits.charge([part(gcra(1, HOUR))]).allowed
    assert limits.reset("k")
    assert not limits.reset("k")
    assert limits.charge([part(gcra(1, HOUR))]).allowed


_ANY = st.one_of(
    st.builds(gcra, st.integers(1, 40), st.integers(1, 50) | st.just(HOUR), st.integers(1, 60)),
    st.builds(window, st.integers(1, 30), st.integers(1, 90_000), st.integers(2, 30)),
    st.builds(calendar, st.integers(1, 30), st.just("hour"), st.just(HOUR)),
    st.builds(calendar, st.integers(1, 30), st.just("month"), st.just(MONTH)),
)
_HISTORY = st.lists(
    st.tuples(
        st.integers(-50, 10_000) | st.integers(0, 3 * MONTH),
        st.lists(st.integers(0, 40), min_size=3, max_size=3),
        st.sampled_from(["charge", "charge", "wait", "peek", "give", "reset"]),
    ),
    max_size=40,
)


@given(
    limits=st.lists(_ANY, min_size=1, max_size=3, unique_by=lambda limit: limit.name),
    history=_HISTORY,
)
def test_it_is_the_arithmetic_of_redis(
    limits: list[Limit], history: list[tuple[int, list[int], str]]
) -> None:
    """Every decision, wait and figure is that of the model that the scripts in Redis are held against."""
    mine, time = counted()
    model, now = Subject(), 1_700_000_000_000
    for ms, numbers, verb in history:
        now += ms
        time.now_wall = (now + 0.25) / 1000
        costs = tuple(numbers[: len(limits)])
        asked = [Part("k", limits, costs)]
        match verb:
            case "give":
                made = now - 1_000 if numbers[0] % 2 else 0
                mine.give_back("k", limits, costs, made=made)
                model.give_back(now, limits, costs, made)
            case "reset":
                assert mine.reset("k") == model.reset()
            case "peek":
                assert _seen(mine.peek(asked)) == _seen(model.peek(now, limits, costs))
            case _:
                most = 600_000 if verb == "wait" else 0
                assert _seen(mine.charge(asked, most)) == _seen(model.charge(now, limits, costs, most))


def _seen(charged: Charged) -> tuple[object, ...]:
    return charged.allowed, charged.wait, charged.rows
