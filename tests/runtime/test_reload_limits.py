"""What is known of the subjects of limits goes on through a reload, under the new limits."""

from __future__ import annotations

import pytest

from cachepolicy import RateLimiter, close, reload
from cachepolicy.runtime import current
from cachepolicy.testing.redis_server import RedisServer
from tests.support.reloaded import Edited

LIMITS = RateLimiter("limits")


def _allowed(count: int, subject: str = "ada") -> int:
    return sum(LIMITS.check.sync("calls", subject).allowed for _ in range(count))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("namespaces.limits.rules.calls.requests", "8/day"),
        ("namespaces.limits.rules.others", {"by": "user", "requests": "1/day"}),
        ("namespaces.answers.ttl", "2h"),
        ("redis.deadline", "20s"),
    ],
    ids=["raised", "one more rule", "another namespace", "connections"],
)
def test_counts_go_on(redis_url: str, path: str, value: object) -> None:
    """Who has used a limit has used it after a reload; what a raised limit adds is there at once."""
    edited = Edited(redis_url)
    edited.edit("namespaces.limits.rules.calls.algorithm", "window")
    edited.use()
    assert _allowed(7) == 5
    edited.edit(path, value)
    assert reload()
    assert _allowed(7) == (3 if value == "8/day" else 0)
    close()


def test_counts_of_a_process_go_on(own_redis: RedisServer) -> None:
    """What was counted in this process, while Redis was out, counts after a reload, of a raised limit too."""
    edited = Edited(own_redis.url)
    edited.edit("namespaces.limits.rules.calls.algorithm", "window")
    edited.edit("redis.connect_timeout", "100ms")
    edited.use()
    own_redis.kill()
    assert _allowed(7) == 5
    for path, value, more in (
        ("namespaces.limits.rules.calls.requests", "8/day", 3),
        ("namespaces.answers.ttl", "2h", 0),
        ("namespaces.limits.replicas", 2, 4),  # another share of it: counted anew
    ):
        edited.edit(path, value)
        assert reload()
        assert _allowed(7) == more
    close()


def test_permits_are_kept_or_given_back(redis_url: str) -> None:
    """Permits that were drawn ahead are spent on where the rule is as it was, and else given back."""
    edited = Edited(redis_url)
    edited.edit("namespaces.limits.rules.calls", {"by": "user", "requests": "1000/day", "batch": "10%"})
    edited.use()
    assert _allowed(50) == 50
    permits = current.current().limits.limiter("limits", "calls", "test").permits
    held = len(permits)
    assert held
    edited.edit("namespaces.answers.ttl", "2h")
    assert reload()
    assert current.current().limits.limiter("limits", "calls", "test").permits is permits
    assert len(permits) == held
    edited.edit("namespaces.limits.rules.calls.requests", "2000/day")
    assert reload()
    assert len(permits) == 0
    remaining = LIMITS.peek.sync("calls", "ada").remaining
    assert remaining is not None
    assert 2000 * 0.9 - 51 <= remaining <= 2000
    close()


def test_a_breaker_that_is_open_stays_open(own_redis: RedisServer) -> None:
    """A server that is left alone is left alone after a reload, and by the rules that it brings."""
    edited = Edited(own_redis.url)
    edited.edit(
        "redis", {"url": own_redis.url, "deadline": "20s", "breaker": {"failures": 2, "open_for": "1h"}}
    )
    edited.use()
    own_redis.kill()
    _allowed(10)
    (site,) = current.current().stores._sync
    assert site.guard.sole.is_open
    edited.edit("redis.breaker.open_for", "2h")
    edited.edit("redis.retry", {"attempts": 1})
    assert len(reload()) == 2
    assert current.current().site("limits", current.current().loaded.policy.namespaces["limits"]) is site
    assert site.guard.sole.is_open
    assert (site.guard.breaker_rule.open_for, site.guard.retry.attempts) == (7200, 1)
    close()
