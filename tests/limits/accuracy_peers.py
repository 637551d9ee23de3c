"""Other limiters under the same attacks, over a real Redis.

Where a limiter asks the clock of its client, that clock is made up. Where it asks the server's, the attack
takes place in real time, with periods of a second.
"""

from __future__ import annotations

import asyncio
import importlib
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final
from unittest import mock

import redis

AMOUNT: Final = 100
SLOW: Final = 3_600_000
FAST: Final = 1_000

Hit = Callable[[], bool]


@dataclass
class Peer:
    """A subject of another limiter.

    Attributes:
        call: makes one call.
        ms: the time that was made up; None: it is real.
    """

    call: Hit
    ms: float | None

    def now(self) -> float:
        """Return the time in ms."""
        return time.time() * 1000 if self.ms is None else self.ms

    def wait(self, ms: float) -> None:
        """Let time pass."""
        if self.ms is None:
            until = time.monotonic() + ms / 1000
            while time.monotonic() < until:
                continue
        else:
            self.ms += ms

    def hit(self) -> bool:
        """Make one call, at the time that was made up."""
        if self.ms is None:
            return self.call()
        seconds = self.ms / 1000
        with ExitStack() as patches:
            for name, value in _CLOCKS.items():
                patches.enter_context(mock.patch(name, return_value=value(seconds)))
            return self.call()


_CLOCKS: Final[dict[str, Callable[[float], float]]] = {
    "limits.storage.redis.time.time": lambda seconds: seconds,
    "pyrate_limiter.buckets.redis_bucket.time_ns": lambda seconds: round(seconds * 1e9),
}


@dataclass(frozen=True)
class Strategy:
    """One algorithm of one limiter.

    Attributes:
        name: of both.
        make: a limit of so many in so many seconds for a subject.
        is_fake: whether its clock can be made up.
    """

    name: str
    make: Callable[[str, int, int], Hit]
    is_fake: bool

    @property
    def period(self) -> int:
        """How long its windows are, in ms."""
        return SLOW if self.is_fake else FAST

    def subjects(self) -> Iterator[Peer]:
        """Make subjects that have used nothing."""
        for number in itertools.count():
            call = self.make(f"{self.name}:{number}", AMOUNT, self.period // 1000)
            yield Peer(call, 1_699_999_200_000.0 if self.is_fake else None)


@contextmanager
def strategies(url: str) -> Iterator[list[Strategy]]:
    """Open the limiters on a server."""
    client = redis.Redis.from_url(url)
    loop = asyncio.new_event_loop()
    backend = _peer("redis_fastapi.ratelimit_backend")
    on_loop = redis.asyncio.Redis.from_url(url)
    counter = backend.RateLimitBackend(on_loop)
    limits, storage = _peer("limits"), _peer("limits.storage").RedisStorage(url)

    def of_limits(kind: str) -> Callable[[str, int, int], Hit]:
        limiter = getattr(limits.strategies, kind)(storage)

        def make(subject: str, amount: int, seconds: int) -> Hit:
            item = limits.RateLimitItemPerSecond(amount, seconds)
            return lambda: bool(limiter.hit(item, subject))

        return make

    def of_throttled(kind: str) -> Callable[[str, int, int], Hit]:
        throttled, datetime = _peer("throttled"), _peer("datetime")
        store = throttled.RedisStore(server=url)

        def make(subject: str, amount: int, seconds: int) -> Hit:
            quota = throttled.per_duration(datetime.timedelta(seconds=seconds), amount, burst=amount)
            limiter = throttled.Throttled(key=subject, using=kind, quota=quota, store=store)
            return lambda: not limiter.limit().limited

        return make

    def of_pyrate(subject: str, amount: int, seconds: int) -> Hit:
        pyrate = _peer("pyrate_limiter")
        bucket = pyrate.RedisBucket.init([pyrate.Rate(amount, seconds * 1000)], client, subject)
        item, numbers = _peer("pyrate_limiter.abstracts").RateItem, itertools.count()
        return lambda: bool(bucket.put(item(str(next(numbers)), bucket.now())))

    def of_fastapi(subject: str, amount: int, seconds: int) -> Hit:
        async def hit() -> bool:
            return bool((await counter.hit(subject, limit=amount, window=seconds)).allowed)

        return lambda: loop.run_until_complete(hit())

    try:
        yield [
            Strategy("limits, moving window", of_limits("MovingWindowRateLimiter"), is_fake=True),
            Strategy("limits, fixed window", of_limits("FixedWindowRateLimiter"), is_fake=False),
            Strategy("limits, sliding window", of_limits("SlidingWindowCounterRateLimiter"), is_fake=False),
            Strategy("pyrate-limiter, log", of_pyrate, is_fake=True),
            Strategy("throttled-py, fixed window", of_throttled("fixed_window"), is_fake=False),
            Strategy("throttled-py, sliding window", of_throttled("sliding_window"), is_fake=False),
            Strategy("throttled-py, token bucket", of_throttled("token_bucket"), is_fake=False),
            Strategy("throttled-py, leaking bucket", of_throttled("leaking_bucket"), is_fake=False),
            Strategy("throttled-py, GCRA", of_throttled("gcra"), is_fake=False),
            Strategy("fastapi-redis-sdk, window counter", of_fastapi, is_fake=False),
        ]
    finally:
        loop.run_until_complete(on_loop.aclose())
        loop.close()
        client.close()


def _peer(name: str) -> Any:
    return importlib.import_module(name)
