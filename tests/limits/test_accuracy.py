"""How much any true window can hold, and the defects that are known of others (Q2)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import redis

from cachepolicy import RateLimiter, configure
from tests.limits.accuracy_defects import DEFECTS, KNOWN
from tests.limits.accuracy_ours import CONTENDERS, Contender, measured
from tests.support.policies import PATIENT

_ALL = pytest.mark.parametrize("contender", CONTENDERS.values(), ids=CONTENDERS)


@_ALL
def test_no_attack_gets_more_than_is_documented(contender: Contender) -> None:
    """Greedy, at every edge, and made up: no window of time holds more than the algorithm promises."""
    most, attack, _ = measured(contender, randoms=60)
    assert most <= contender.most, attack


@_ALL
def test_the_attacks_are_attacks(contender: Contender) -> None:
    """What is promised at most is nearly reached: a limit that let pass more would be found out."""
    assert measured(contender, randoms=0)[0] >= contender.most * 0.97


@_ALL
def test_who_never_stops_gets_what_is_promised(contender: Contender) -> None:
    """Over many windows a caller gets its rate, and no less."""
    assert contender.least <= measured(contender, randoms=0)[2] <= 1.001


def _rules(url: str, **rules: Any) -> RateLimiter:
    configure(
        {
            "version": 1,
            "app": "shop",
            "redis": {"url": url, **PATIENT},
            "namespaces": {"ratelimit": {"kind": "ratelimit", "db": 0, "denied": 0, "rules": rules}},
        }
    )
    return RateLimiter()


def test_a_small_bucket_is_not_forgotten(redis_url: str) -> None:
    """Of 200 calls at once, ten a second with a burst of four allows four and what drains meanwhile."""
    limiter = _rules(redis_url, api={"requests": "10/second", "burst": "40%"})
    begin = time.monotonic()
    allowed = sum(limiter.check.sync("api", "u").allowed for _ in range(200))
    assert 4 <= allowed <= 4 + 10 * (time.monotonic() - begin) + 1


def test_another_algorithm_is_no_wrong_type(redis_url: str) -> None:
    """A rule that changes its algorithm on live keys goes on counting, and raises nothing."""
    for algorithm in ("gcra", "window", "calendar", "gcra"):
        limiter = _rules(redis_url, api={"requests": "100/day", "algorithm": algorithm})
        decision = limiter.check.sync("api", "u")
        assert decision.allowed
        assert not decision.degraded


@pytest.mark.parametrize("algorithm", ["gcra", "window", "calendar"])
def test_tokens_are_no_log(redis_url: str, algorithm: str) -> None:
    """A subject of 60,000 tokens a day takes some 200 bytes however many it has used, and it expires."""
    limiter = _rules(redis_url, api={"tokens": "60000/day", "algorithm": algorithm})
    assert sum(limiter.check.sync("api", "u", tokens=2_000).allowed for _ in range(40)) == 30
    with redis.Redis.from_url(redis_url) as client:
        (key,) = client.scan_iter("*rate_limit*")
        assert (client.memory_usage(key) or 0) <= 200
        assert 0 < client.ttl(key) <= 2 * 86_400


def test_a_denied_cost_is_not_charged(redis_url: str) -> None:
    """Sixty of a hundred, sixty more that are denied, and forty are left; three denials leave 97 (Q1)."""
    limiter = _rules(
        redis_url,
        one={"requests": "100/hour"},
        two={"requests": "100/hour", "tokens": "3/hour"},
    )
    allowed = [limiter.check.sync("one", "u", cost=cost).allowed for cost in (60, 60, 40)]
    assert allowed == [True, False, True]
    assert sum(limiter.check.sync("two", "u", tokens=1).allowed for _ in range(6)) == 3
    assert limiter.peek.sync("two", "u").states[0].remaining == 97


@pytest.mark.parametrize("algorithm", ["gcra", "window", "calendar"])
def test_more_than_the_limit_is_never_allowed(redis_url: str, algorithm: str) -> None:
    """A cost above the limit is denied for good, and costs nothing."""
    limiter = _rules(redis_url, api={"requests": "100/day", "algorithm": algorithm})
    decision = limiter.check.sync("api", "u", cost=101)
    assert not decision.allowed
    assert decision.retry_after is None
    assert limiter.check.sync("api", "u", cost=100).allowed


def test_every_defect_is_tested_here() -> None:
    """The page of measurements names tests that there are."""
    named = {defect.test for defect in DEFECTS} | {test for _, test in KNOWN}
    text = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert [name for name in named if f"def {name}(" not in text] == []
