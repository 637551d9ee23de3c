"""``batch``: blocks are charged before they are spent; nobody is allowed more, in any period of time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepolicy import policy as policies
from cachepolicy.clock import ManualClock
from cachepolicy.errors import Fault, PolicyError, StoreUnavailable
from cachepolicy.flow.drive import arun, run
from cachepolicy.flow.effects import Flow, Sleep
from cachepolicy.flow.local_limits import LocalLimits
from cachepolicy.flow.permit_terms import lowered, terms
from cachepolicy.flow.permits import Permits, draw
from cachepolicy.tiers.limits import Algorithm, Charged, Limit, Part, Unit
from tests.support.colour import Colour

MINUTE, HOUR = 60_000, 3_600_000
RATE = Limit(Unit.REQUESTS, Algorithm.GCRA, 1_000, MINUTE, burst=1_000)
QUOTA = Limit(Unit.REQUESTS, Algorithm.CALENDAR, 1_000, HOUR, calendar="hour")
_IO: Any = None  # these flows ask nothing of a store


class Shared:
    """A true count, which stands for Redis, and what was asked of it."""

    def __init__(self) -> None:
        self.time = ManualClock()
        self.redis = LocalLimits(self.time.clock, Fraction(1))
        self.charged: list[int] = []
        self.fails = False

    def charge(self, parts: Sequence[Part]) -> Flow[Charged]:
        """Charge, as Redis would."""
        self.charged.append(parts[0].costs[0])
        yield Sleep(0)  # as a round trip does, it lets others run
        if self.fails:
            raise StoreUnavailable("it is out", Fault.TIMEOUT)
        return self.redis.charge(parts)

    def left(self, limit: Limit = RATE) -> int:
        """Tell how much is left in Redis."""
        return self.redis.peek([Part("k", (limit,), (1,))]).rows[0].remaining


class Process:
    """A process that spends permits."""

    def __init__(self, shared: Shared, *limits: Limit, share: float = 0.02, most: int = 100) -> None:
        self.shared = shared
        self.limits = limits or (RATE,)
        self.share = share
        self.permits = Permits(shared.time.clock, most)

    def check(self, key: str = "k", costs: tuple[int, ...] = (1,)) -> bool:
        """Make one call."""
        charged = self.permits.spend(key, costs)
        if charged is None:
            charged = run(self.flow(key, costs), _IO)
        return charged.allowed

    def flow(self, key: str = "k", costs: tuple[int, ...] = (1,), *, is_async: bool = False) -> Flow[Charged]:
        """Draw."""
        how = terms([Part(key, self.limits, costs)], self.share)
        return draw(self.permits, key, costs, how, self.shared.charge, is_async=is_async)


def test_most_calls_need_no_round_trip() -> None:
    """A process that calls steadily draws what it spends before it lapses, in a few round trips."""
    shared = Shared()
    process = Process(shared)
    for _ in range(600):
        assert process.check()
        shared.time.advance(0.1)
    assert len(shared.charged) < 80
    assert sum(shared.charged) < 700


def test_no_block_is_larger_than_its_share() -> None:
    """No more is drawn at once than the share of the smallest limit, in calls, and one call at least."""
    dear = Limit(Unit.REQUESTS, Algorithm.GCRA, 500, HOUR, burst=200)
    assert terms([Part("k", (RATE,), (1,))], 0.02).block == 20
    assert terms([Part("k", (RATE, dear), (1, 1))], 0.02).block == 4
    assert terms([Part("k", (RATE,), (7,))], 0.02).block == 2
    assert terms([Part("k", (dear,), (10,))], 0.02).block == 1
    assert terms([Part("k", (RATE,), (1,))], 1.0).block == 500


def test_a_block_of_one_is_drawn_by_each_call_for_itself() -> None:
    """Where the share of a limit is less than two calls, nothing is held."""
    shared = Shared()
    process = Process(shared, share=0.0001)
    assert [process.check() for _ in range(3)] == [True] * 3
    assert shared.charged == [1, 1, 1]
    assert len(process.permits) == 0


@pytest.mark.parametrize("limit", [RATE, QUOTA])
def test_processes_together_are_allowed_no_more(limit: Limit) -> None:
    """Four processes at a standing clock are allowed the limit at most, and a block each less at worst."""
    shared = Shared()
    processes = [Process(shared, limit) for _ in range(4)]
    allowed = sum(process.check() for _ in range(1_000) for process in processes)
    assert 1_000 - 5 * 20 <= allowed <= 1_000


def test_unspent_permits_lapse() -> None:
    """Permits are not spent once the limit has drained by a block."""
    shared = Shared()
    process = Process(shared)
    for _ in range(10):
        process.check()
    drawn = sum(shared.charged)
    shared.time.advance(1.2)  # 20 of 1,000 a minute
    process.check()
    assert sum(shared.charged) > drawn
    assert process.permits.unspent() == []


def test_permits_of_an_hour_end_with_it() -> None:
    """What was charged to one hour is not spent in the next."""
    shared = Shared()
    process = Process(shared, QUOTA)
    shared.time.now_wall = 1_700_000_000 // 3600 * 3600 + 3_599.0
    for _ in range(10):
        process.check()
    drawn = sum(shared.charged)
    shared.time.advance(1.0)
    process.check()
    assert sum(shared.charged) > drawn
    assert shared.left(QUOTA) < 1_000


def test_unspent_permits_are_given_back() -> None:
    """At its end a process gives back what it holds, but for what may have drained; once."""
    for limit, lost in ((RATE, 1), (QUOTA, 0)):
        shared = Shared()
        process = Process(shared, limit, share=0.1)
        for _ in range(30):
            process.check()
        held = sum(shared.charged) - 30
        assert held > 10
        unspent = process.permits.close()
        assert sum(part.costs[0] for part, _ in unspent) == held - lost
        for part, made in unspent:
            shared.redis.give_back(part.key, part.limits, part.costs, made=made)
        assert shared.left(limit) == 970 - lost
        assert process.permits.close() == []
        assert len(process.permits) == 0


def test_an_idle_process_gives_back() -> None:
    """Of a quota, what an idle process holds is given back after a share of its period."""
    shared = Shared()
    process = Process(shared, QUOTA)
    for _ in range(10):
        process.check()
    held = sum(shared.charged) - 10
    assert process.permits.unspent() == []
    shared.time.advance(73)  # 2% of an hour
    assert [part.costs for part, _ in process.permits.unspent()] == [(held,)]
    assert process.permits.unspent() == []


def test_nothing_is_given_back_to_the_next_hour() -> None:
    """What is given back too late makes no room in another hour."""
    shared = Shared()
    process = Process(shared, QUOTA)
    for _ in range(10):
        process.check()
    shared.time.advance(3_600)
    shared.redis.charge([Part("k", (QUOTA,), (100,))])
    for part, made in process.permits.close():
        shared.redis.give_back(part.key, part.limits, part.costs, made=made)
    assert shared.left(QUOTA) == 900


def test_subjects_that_hold_are_bounded() -> None:
    """No more subjects hold permits than asked; what the first of them held is given back."""
    shared = Shared()
    process = Process(shared, QUOTA, most=2)
    for key in "abc":
        for _ in range(3):
            process.check(key)
    assert len(process.permits) == 2
    assert {part.key for part, _ in process.permits.unspent()} <= {"a"}


def test_the_rest_of_a_limit_can_be_used() -> None:
    """Where a whole block is refused, what is left is drawn."""
    shared = Shared()
    process = Process(shared, QUOTA)
    for _ in range(100):
        process.check()
    left = shared.left(QUOTA)
    shared.redis.charge([Part("k", (QUOTA,), (left - 3,))])
    held = sum(shared.charged) - 100
    assert [process.check() for _ in range(held + 5)] == [True] * (held + 3) + [False] * 2


def test_calls_of_another_cost_are_charged_by_themselves() -> None:
    """A permit is for calls that cost as much; others are charged in Redis, exactly."""
    shared = Shared()
    process = Process(shared)
    for _ in range(3):
        process.check()
    before = list(shared.charged)
    assert process.check(costs=(7,))
    assert shared.charged == [*before, 7]


def test_a_stampede_draws_once(colour: Colour) -> None:
    """However many ask at once, one of them draws, and the others spend what it drew."""
    shared = Shared()
    process = Process(shared, share=0.5)
    for _ in range(8):
        process.check()
    while process.permits.spend("k", (1,)) is not None:
        pass
    shared.time.advance(0.0005)
    before = len(shared.charged)
    barrier = threading.Barrier(8)

    async def crowd() -> list[Charged]:
        return list(await asyncio.gather(*(arun(process.flow(is_async=True), _IO) for _ in range(8))))

    def one() -> None:
        barrier.wait()
        assert process.check()

    if colour.is_async:
        assert all(charged.allowed for charged in asyncio.run(crowd()))
    else:
        threads = [threading.Thread(target=one) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(shared.charged) - before == 1


def test_threads_spend_each_permit_once() -> None:
    """Eight threads that spend one block spend as many permits as there are."""
    shared = Shared()
    process = Process(shared, share=0.5)
    for _ in range(100):
        process.check()
    held = sum(shared.charged) - 100
    gate, spent = threading.Barrier(8), list[bool]()

    def spend() -> None:
        gate.wait()
        spent.extend(process.permits.spend("k", (1,)) is not None for _ in range(held))

    threads = [threading.Thread(target=spend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(spent) == held > 50


def test_a_fork_holds_nothing() -> None:
    """Permits are the parent's: a forked process spends none of them, and gives none back."""
    process = Process(Shared())
    for _ in range(3):
        process.check()
    assert process.permits.spend("k", (1,)) is not None
    process.permits.after_fork()
    assert process.permits.spend("k", (1,)) is None
    assert process.permits.close() == []


def test_a_draw_that_fails_holds_nobody_up() -> None:
    """An error of Redis reaches who drew, and the next caller tries for itself."""
    shared = Shared()
    process = Process(shared)
    shared.fails = True
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            process.check()
    shared.fails = False
    assert process.check()


@given(
    amount=st.integers(20, 400),
    share=st.sampled_from([0.05, 0.1, 0.3, 1.0]),
    burst=st.sampled_from([0.2, 0.5, 1.0]),
    steps=st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 2), st.integers(1, 60), st.booleans()), max_size=60
    ),
)
def test_no_period_of_time_holds_more(
    amount: int, share: float, burst: float, steps: list[tuple[int, int, int, bool]]
) -> None:
    """In any period, three processes that draw, hold, spend and give back stay within burst and rate (Q2)."""
    shared = Shared()
    limit = Limit(Unit.REQUESTS, Algorithm.GCRA, amount, 10_000, burst=max(2, int(amount * burst)))
    processes = [Process(shared, limit, share=share) for _ in range(3)]
    debt = Fraction(0)  # of what was truly let pass, when it was
    for ms, which, calls, closes in steps:
        shared.time.now_monotonic = round(shared.time.now_monotonic * 1000 + ms) / 1000
        shared.time.now_wall = round(shared.time.now_wall * 1000 + ms) / 1000
        debt = max(Fraction(0), debt - Fraction(amount, 10_000) * ms)
        debt += sum(processes[which].check() for _ in range(calls))
        assert debt <= limit.burst
        if closes:
            for part, made in processes[which].permits.close():
                shared.redis.give_back(part.key, part.limits, part.costs, made=made)


def test_a_block_of_the_burst_is_kept_back() -> None:
    """What is charged under a rule with batch leaves room for a block; calendars are as they were."""
    assert lowered((RATE, QUOTA), 0.02) == (
        Limit(Unit.REQUESTS, Algorithm.GCRA, 1_000, MINUTE, burst=980),
        QUOTA,
    )


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({"requests": "100/hour", "algorithm": "window"}, "cannot keep to a window"),
        ({"requests": "100/hour", "tokens": "1000/hour"}, "batch is for requests"),
        ({"requests": "100/hour", "money": "1.00 USD/day"}, "batch is for requests"),
        ({"requests": "100/hour", "concurrency": 5}, "cannot be drawn ahead"),
        ({"plans": {"free": {"requests": "100/hour", "input_tokens": "5/hour"}}}, "batch is for requests"),
    ],
)
def test_what_cannot_be_exact_is_refused_at_load(rule: dict[str, Any], problem: str) -> None:
    """A rule whose calls cannot be counted in blocks is no rule with batch; the policy says why."""
    policy = {
        "version": 1,
        "app": "shop",
        "namespaces": {"limits": {"kind": "ratelimit", "db": 2, "rules": {"api": {**rule, "batch": "2%"}}}},
    }
    with pytest.raises(PolicyError, match=problem):
        policies.load(policy)
