"""Refusals that are remembered: never more than Redis would refuse, and nearly as much."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepolicy import Decision, RateLimiter, UnknownPlan, configure
from cachepolicy.clock import ManualClock
from cachepolicy.flow.denials import Denials
from cachepolicy.flow.local_limits import LocalLimits
from cachepolicy.tiers.limits import Algorithm, Charged, Limit, Part, Row, Unit
from tests.support.colour import Colour

HOUR = 3_600_000
REQUESTS = Limit(Unit.REQUESTS, Algorithm.GCRA, 100, HOUR, burst=100)
TOKENS = Limit(Unit.TOKENS, Algorithm.GCRA, 60_000, 60_000, burst=60_000)
LIMITS = (REQUESTS, TOKENS)


class Subject:
    """A subject of a true count, which stands for Redis, and the refusals that a process remembers."""

    def __init__(self, *limits: Limit, life: float = 1e9, most: int = 100) -> None:
        self.time = ManualClock()
        self.limits = limits
        self.redis = LocalLimits(self.time.clock, Fraction(1))
        self.denials = Denials(self.time.clock, most, life)

    def charge(self, *costs: int) -> Charged:
        """Charge in Redis; learn what comes of it."""
        charged = self.redis.charge([Part("k", self.limits, costs)])
        self.denials.learn("k", self.limits, costs, charged)
        return charged

    def would_allow(self, *costs: int) -> bool:
        """Ask Redis, and charge nothing."""
        return self.redis.peek([Part("k", self.limits, costs)]).allowed


def test_a_refused_subject_is_refused_here_until_it_could_be_allowed() -> None:
    """The same call is refused without Redis, with what is left of the wait; then Redis is asked again."""
    subject = Subject(REQUESTS)
    assert subject.charge(100).allowed
    assert not subject.charge(1).allowed
    subject.time.advance(10)
    told = subject.denials.denied("k", (1,))
    assert told is not None
    assert not told.allowed
    assert 25_990 <= told.rows[0].retry <= 26_000
    subject.time.advance(26)
    assert subject.denials.denied("k", (1,)) is None
    assert subject.charge(1).allowed


def test_a_cheaper_call_is_not_blocked_by_a_dearer_one() -> None:
    """Who may not spend a thousand tokens may spend one: a refusal knows its cost."""
    subject = Subject(*LIMITS)
    assert subject.charge(1, 59_500).allowed
    assert not subject.charge(1, 1_000).allowed
    assert subject.denials.denied("k", (1, 1_000)) is not None
    assert subject.denials.denied("k", (1, 510)) is not None  # but for a ms or two
    assert subject.denials.denied("k", (1, 500)) is None
    assert subject.would_allow(1, 500)


def test_a_refusal_knows_of_dearer_calls() -> None:
    """A refused cost of one says how long a thousand must wait."""
    subject = Subject(TOKENS)
    assert subject.charge(60_000).allowed
    assert not subject.charge(1).allowed
    told = subject.denials.denied("k", (1_000,))
    assert told is not None
    assert told.rows[0].retry == pytest.approx(1_000, abs=3)


def test_more_than_a_limit_is_never_allowed() -> None:
    """What is more than may be used at once is refused for good, and says so."""
    subject = Subject(TOKENS)
    assert subject.charge(60_001).rows[0].retry == -1
    told = subject.denials.denied("k", (70_000,))
    assert told is not None
    assert told.rows[0].retry == -1
    assert subject.denials.denied("k", (60_000,)) is None


def test_a_caller_who_would_wait_is_not_refused_here() -> None:
    """A refusal is for those who would not wait as long."""
    subject = Subject(TOKENS)
    subject.charge(60_000)
    subject.charge(1_000)
    assert subject.denials.denied("k", (1_000,), most_wait=2_000) is None
    assert subject.denials.denied("k", (1_000,), most_wait=500) is not None


def test_a_refusal_is_believed_for_a_while_only() -> None:
    """What is refunded, reset or raised elsewhere is known after the life of a refusal, whatever it said."""
    subject = Subject(REQUESTS, life=1.0)
    subject.charge(100)
    subject.charge(1)
    subject.redis.reset("k")
    subject.time.advance(0.999)
    assert subject.denials.denied("k", (1,)) is not None
    subject.time.advance(0.001)
    assert subject.denials.denied("k", (1,)) is None
    assert len(subject.denials) == 0


def test_own_refunds_and_reloads_end_refusals_at_once() -> None:
    """``forget`` and ``clear`` take effect on the next call."""
    subject = Subject(REQUESTS)
    subject.charge(100)
    for is_reload in (False, True):
        subject.charge(1)
        assert subject.denials.denied("k", (1,)) is not None
        if is_reload:
            subject.denials.clear()
        else:
            subject.denials.forget("k")
        assert subject.denials.denied("k", (1,)) is None


def test_refusals_are_bounded() -> None:
    """No more subjects are remembered than asked; the first refused is forgotten first; 0 remembers none."""
    time = ManualClock()
    refused = Charged(allowed=False, now=0, wait=0, rows=(Row(0, 5_000, 5_000),))
    denials, none = Denials(time.clock, most=3), Denials(time.clock, most=0)
    for number in range(10):
        denials.learn(f"k{number}", (REQUESTS,), (1,), refused)
        none.learn(f"k{number}", (REQUESTS,), (1,), refused)
    assert len(denials) == 3
    assert len(none) == 0
    assert denials.denied("k6", (1,)) is None
    assert denials.denied("k7", (1,)) is not None


def test_what_is_allowed_is_no_refusal() -> None:
    """Learning of an allowed call remembers nothing."""
    subject = Subject(REQUESTS)
    subject.charge(1)
    assert len(subject.denials) == 0


def test_limits_that_may_be_others_are_not_worked_out() -> None:
    """Where a subject may have limits of its own, only what was asked, or dearer, is refused."""
    time = ManualClock()
    denials = Denials(time.clock)
    refused = Charged(allowed=False, now=0, wait=0, rows=(Row(3, 500, 5_000, amount=70_000),))
    denials.learn("k", (TOKENS,), (10,), refused)
    assert denials.denied("k", (9,)) is None
    assert denials.denied("k", (10,)) is not None
    time.advance(0.5)
    assert denials.denied("k", (10,)) is None


def test_a_slow_reply_makes_no_refusal_longer() -> None:
    """A refusal is counted from when Redis was asked, not from when its answer came."""
    time = ManualClock()
    asked = time.clock.monotonic()
    denials = Denials(time.clock)
    time.advance(0.4)
    refused = Charged(allowed=False, now=0, wait=0, rows=(Row(0, 500, 500),))
    denials.learn("k", (TOKENS,), (10,), refused, asked=asked)
    assert denials.denied("k", (10,)) is not None
    time.advance(0.1)
    assert denials.denied("k", (10,)) is None


_LIMITS = st.builds(
    lambda algorithm, amount, burst, period, buckets: Limit(
        Unit.TOKENS,
        algorithm,
        amount,
        HOUR if algorithm is Algorithm.CALENDAR else period,
        burst=max(1, amount * burst // 10) if algorithm is Algorithm.GCRA else 0,
        buckets=buckets if algorithm is Algorithm.WINDOW else 0,
        calendar="hour" if algorithm is Algorithm.CALENDAR else "",
    ),
    st.sampled_from(list(Algorithm)),
    st.integers(1, 50),
    st.integers(1, 10),
    st.integers(7, 100_000),
    st.integers(2, 20),
)
_STEPS = st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 60), st.integers(0, 60)), max_size=40)


@given(limits=st.lists(_LIMITS, min_size=1, max_size=2), steps=_STEPS, part=st.floats(0, 0.999))
def test_nobody_is_refused_whom_redis_would_allow(
    limits: list[Limit], steps: list[tuple[int, int, int]], part: float
) -> None:
    """Whatever was refused before, at whatever cost and part of a ms, a refusal here is one in Redis too."""
    subject = Subject(*limits)
    subject.time.advance(part / 1000)
    for ms, first, second in steps:
        subject.time.advance(ms / 1000 * 1.0001)
        costs = (first, second)[: len(limits)]
        if subject.denials.denied("k", costs) is not None:
            assert not subject.would_allow(*costs)
        else:
            subject.charge(*costs)


def test_one_refusal_after_the_other_is_found_here() -> None:
    """A thousand calls of a refused subject, at any costs, ask Redis once each ms at the most (Q1)."""
    subject = Subject(*LIMITS)
    subject.charge(1, 60_000)
    subject.charge(1, 1_000)
    found = [subject.denials.denied("k", (1, cost)) for cost in range(1, 1_001)]
    assert sum(told is None for told in found) <= 2


@pytest.mark.parametrize("rule", [{"requests": "2/hour"}, {"requests": "2/hour", "shadow": True}])
def test_a_caller_that_comes_again_is_told_the_same(colour: Colour, rule: dict[str, object]) -> None:
    """What is told from memory is what was told at first, plans, other costs and a new policy apart."""
    rules = {"api": rule, "plans": {"plans": {"a": {"requests": "1/hour"}, "b": {"requests": "2/hour"}}}}
    configure(
        {"version": 1, "app": "shop", "namespaces": {"ratelimit": {"kind": "ratelimit", "rules": rules}}}
    )
    check = RateLimiter().check

    def asked(*args: Any, **kwargs: Any) -> Decision:
        decision: Decision = colour.run(
            lambda: check(*args, **kwargs) if colour.is_async else check.sync(*args, **kwargs)
        )
        return decision

    allowed = [asked("api", "u").allowed for _ in range(5)]
    assert allowed == [True, True, *([bool(rule.get("shadow"))] * 3)]
    assert [asked("api", "u").denied_in_shadow for _ in range(3)] == [bool(rule.get("shadow"))] * 3
    assert [asked("plans", "u", plan="a").allowed for _ in range(3)] == [True, False, False]
    assert [asked("plans", "u", plan="b").allowed for _ in range(3)] == [True, False, False]
    with pytest.raises(UnknownPlan):
        asked("plans", "u")
    assert asked("api", "v").allowed


@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
@pytest.mark.parametrize(
    "limit",
    [
        REQUESTS,
        TOKENS,
        Limit(Unit.REQUESTS, Algorithm.WINDOW, 100, 60_000, buckets=20),
        Limit(Unit.REQUESTS, Algorithm.CALENDAR, 100, HOUR, calendar="hour"),
    ],
    ids=str,
)
def test_a_refusal_ends_to_the_ms(limit: Limit, part: float) -> None:
    """In the ms in which Redis would allow a call it is asked, however late in a ms it refused."""
    for cost in (1, 7):
        subject = Subject(limit)
        subject.time.advance(part / 1000)
        subject.charge(limit.amount)
        subject.charge(1)
        retry = subject.redis.peek([Part("k", (limit,), (cost,))]).rows[0].retry
        subject.time.advance((retry - part + 0.001) / 1000)
        assert subject.would_allow(cost)
        assert subject.denials.denied("k", (cost,)) is None
