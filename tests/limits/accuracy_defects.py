"""Defects of other limiters, brought about on a real Redis, and the tests that show them absent here."""

from __future__ import annotations

import datetime
import importlib
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import redis


class Defect(NamedTuple):
    """What goes wrong, where, and which test says that it does not here.

    Attributes:
        what: it is about.
        whose: the limiter.
        found: brings it about on a server; says what came of it.
        test: of ours, in tests/limits.
        here: what comes of it here.
    """

    what: str
    whose: str
    found: Callable[[str], str]
    test: str
    here: str


def _forgotten_bucket(url: str) -> str:
    throttled = _peer("throttled")
    quota = throttled.per_sec(10, burst=4)
    limiter = throttled.Throttled(key="k", using="token_bucket", quota=quota, store=_store(url))
    return f"{sum(not limiter.limit().limited for _ in range(200))} of 200 allowed"


def _lost_fractions(url: str) -> str:
    throttled = _peer("throttled")
    quota = throttled.per_duration(datetime.timedelta(seconds=2), 1, burst=6)
    limiter = throttled.Throttled(key="k", using="token_bucket", quota=quota, store=_store(url))
    allowed = 0
    for _ in range(10):
        begin = time.monotonic()
        allowed += not limiter.limit().limited
        while time.monotonic() < begin + 1:
            continue
    return f"{allowed} of 10 allowed"


def _wrong_type(url: str) -> str:
    limits = _peer("limits")
    storage, item = _storage(url), limits.RateLimitItemPerHour(100)
    limits.strategies.FixedWindowRateLimiter(storage).hit(item, "k")
    try:
        limits.strategies.MovingWindowRateLimiter(storage).hit(item, "k")
    except redis.ResponseError as error:
        return f"`{str(error).split()[0]}` is raised"
    return "it goes on"


def _log_of_limits(url: str) -> str:
    limits = _peer("limits")
    limiter = limits.strategies.MovingWindowRateLimiter(_storage(url))
    item = limits.RateLimitItemPerMinute(60_000)
    for _ in range(30):
        limiter.hit(item, "k", cost=2_000)
    return f"{_largest(url):,} bytes"


def _log_of_pyrate(url: str) -> str:
    pyrate = _peer("pyrate_limiter")
    client = redis.Redis.from_url(url)
    bucket = pyrate.RedisBucket.init([pyrate.Rate(60_000, 60_000)], client, "k")
    item = _peer("pyrate_limiter.abstracts").RateItem
    for number in range(30):
        bucket.put(item(str(number), bucket.now(), weight=2_000))
    with client:
        return f"{_largest(url):,} bytes, TTL {client.ttl('k')}"


def _denied_is_charged(url: str) -> str:
    limits = _peer("limits")
    limiter = limits.strategies.FixedWindowRateLimiter(_storage(url))
    item = limits.RateLimitItemPerHour(100)
    for _ in range(2):
        limiter.hit(item, "k", cost=60)
    return f"{limiter.get_window_stats(item, 'k').remaining} left of 100"


def _passed_stay_charged(url: str) -> str:
    limits = _peer("limits")
    limiter = limits.strategies.FixedWindowRateLimiter(_storage(url))
    large, small = limits.RateLimitItemPerHour(100), limits.RateLimitItemPerHour(3)
    for _ in range(6):
        if limiter.hit(large, "large"):
            limiter.hit(small, "small")
    return f"{limiter.get_window_stats(large, 'large').remaining} left of 100"


DEFECTS: Final = (
    Defect(
        "a small, fast bucket (10/s, burst 4) whose life is rounded down to nothing; 200 calls at once",
        "throttled-py, token bucket",
        _forgotten_bucket,
        "test_a_small_bucket_is_not_forgotten",
        "4, and what drains meanwhile",
    ),
    Defect(
        "refills of less than one: 1/2s, burst 6, a call each second",
        "throttled-py, token bucket",
        _lost_fractions,
        "test_slow_rates_lose_no_fraction",
        "10 of 10 allowed",
    ),
    Defect(
        "another algorithm on live keys",
        "limits",
        _wrong_type,
        "test_another_algorithm_is_no_wrong_type",
        "it goes on",
    ),
    Defect(
        "60,000 tokens a minute, used by 2,000",
        "limits, moving window",
        _log_of_limits,
        "test_tokens_are_no_log",
        "at most 200 bytes",
    ),
    Defect(
        "the same",
        "pyrate-limiter",
        _log_of_pyrate,
        "test_tokens_are_no_log",
        "at most 200 bytes, and a TTL",
    ),
    Defect(
        "a cost that is denied: 60 of 100, then 60",
        "limits, fixed window",
        _denied_is_charged,
        "test_a_denied_cost_is_not_charged",
        "40 left of 100",
    ),
    Defect(
        "two limits, of which one denies the last three of six calls",
        "limits",
        _passed_stay_charged,
        "test_a_denied_cost_is_not_charged",
        "97 left of 100",
    ),
)

KNOWN: Final = (
    ("bursts that lose one at some rates and times (floating point)", "test_bursts_are_whole_at_any_time"),
    ("a refused large cost that blocks a small one", "test_a_cheaper_call_is_not_blocked_by_a_dearer_one"),
    ("a cost above the limit that is allowed", "test_more_than_the_limit_is_never_allowed"),
    ("a clock that steps back and refills", "test_a_clock_that_steps_back_refills_nothing"),
    ("keys that never expire", "test_tokens_are_no_log"),
    ("permits that are drawn in blocks and exceed the limit", "test_no_period_of_time_holds_more"),
)
"""Defects that were reported of limiters in other languages, or that models show."""


def _largest(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return max(client.memory_usage(key, samples=0) or 0 for key in client.scan_iter())


def _store(url: str) -> Any:
    return _peer("throttled").RedisStore(server=url)


def _storage(url: str) -> Any:
    return _peer("limits.storage").RedisStorage(url)


def _peer(name: str) -> Any:
    return importlib.import_module(name)
