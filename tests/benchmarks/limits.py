"""Rate limits on a real Redis: this package beside a bare script and its peers, and what needs no Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any, Final

import cachepolicy
from cachepolicy.clock import SYSTEM
from cachepolicy.flow.denials import Denials
from cachepolicy.flow.permit_terms import terms
from cachepolicy.flow.permits import Held, Permits
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.tiers.limits import Algorithm, Charged, Limit, Part, Row, Unit
from tests.benchmarks import harness
from tests.benchmarks.harness import OURS, Failures, Table, timed, timed_async, timed_tasks
from tests.benchmarks.stage import Stage, peer

ONE: Final = "rate limit, one limit"
THREE: Final = "rate limit, three limits"
CONCURRENT: Final = "rate limit, 64 tasks"
DENIED: Final = "rate limit, denied in the process"
BATCH: Final = "rate limit, batch"
BYTES: Final = "rate limit, bytes per subject"
TITLES: Final = (ONE, THREE, CONCURRENT, DENIED, BATCH)

EVALSHA: Final = "EVALSHA of nothing, redis-py"
LIMITS: Final = "limits"
THREE_HITS: Final = "limits, three hits"
THROTTLED: Final = "throttled-py"
PYRATE: Final = "pyrate-limiter"
FASTAPI: Final = "fastapi-redis-sdk"
NOTHING: Final = "an empty function"
REFUSAL: Final = "its refusal of three limits alone"
SPENDING: Final = "its spending of a permit alone"

MOST_BYTES: Final = 200
_TASKS: Final = 64
_MANY: Final = 100_000_000
_SUBJECTS: Final = [f"user-{number}" for number in range(1_000)]
_RULES: Final = {
    "one": {"requests": f"{_MANY}/hour"},
    "three": {"requests": [f"{_MANY}/hour", f"{_MANY // 2}/day"], "tokens": f"{_MANY}/hour"},
    "few": {"requests": "1/hour"},
    "batch": {"requests": f"{_MANY}/hour", "batch": "2%"},
}
"""Nobody reaches them, so that what is measured is what a call that is allowed costs; but ``few``."""

Check = Callable[[str], Awaitable[object]]


def tables(loop: asyncio.AbstractEventLoop, is_wanted: Callable[[str], bool]) -> Iterator[Table]:
    """Make the tables that are wanted, one after the other."""
    makers = {
        ONE: _one,
        THREE: _three,
        CONCURRENT: _concurrent,
        DENIED: _denied,
        BATCH: _batch,
    }
    for title, make in makers.items():
        if is_wanted(title):
            with _stage(loop) as stage:
                yield make(stage)


def bytes_per_subject(loop: asyncio.AbstractEventLoop) -> int:
    """Return what Redis keeps of a subject with three limits, all told."""
    with _stage(loop) as stage:
        check = _ours("three")
        client = stage.redis_py()

        async def measured() -> int:
            for _ in range(1_000):
                await check("user-1")
            (key,) = await client.keys("*rate_limit*")
            return int(await client.memory_usage(key))

        return stage.run(measured())


def _one(stage: Stage) -> Table:
    rows = {
        OURS: _ours("one"),
        EVALSHA: _evalsha(stage),
        LIMITS: _limits(stage),
        FASTAPI: _fastapi(stage),
        THROTTLED: _throttled(stage),
    }
    return _sequential(stage, ONE, rows)


def _three(stage: Stage) -> Table:
    rows = {OURS: _ours("three"), EVALSHA: _evalsha(stage), THREE_HITS: _three_hits(stage)}
    return _sequential(stage, THREE, rows)


def _sequential(stage: Stage, title: str, checks: dict[str, Check]) -> Table:
    rows = [
        harness.Row(
            name, timed_async(stage.loop, "await f(next(turn))", f=f, turn=cycle(_SUBJECTS), next=next)
        )
        for name, f in checks.items()
    ]
    note = "1,000 subjects, one task; client and server on one processor"
    return Table(title, note, rows, slice_seconds=0.03, server=stage.server.pid, pinned=True)


def _concurrent(stage: Stage) -> Table:
    checks = {
        OURS: _ours("one"),
        LIMITS: _limits(stage),
        THROTTLED: _throttled(stage),
        PYRATE: _pyrate(stage),
        FASTAPI: _fastapi(stage),
    }
    rows = []
    for name, check in checks.items():
        failures = Failures()
        rows.append(
            harness.Row(name, timed_tasks(stage.loop, _TASKS, check, _SUBJECTS, failures), failures=failures)
        )
    note = "1,000 subjects, one limit, one event loop"
    return Table(CONCURRENT, note, rows, slice_seconds=0.06, server=stage.server.pid)


def _denied(stage: Stage) -> Table:
    limits = tuple(
        Limit(Unit.REQUESTS, Algorithm.GCRA, 100, period, burst=100)
        for period in (3_600_000, 86_400_000, 604_800_000)
    )
    rows = tuple(Row(0, wait, wait) for wait in (1_800_000, 3_600_000, 0))
    denials = Denials(SYSTEM, life=3_600.0)
    denials.learn("key", limits, (1, 1, 1), Charged(allowed=False, now=1, wait=0, rows=rows))
    lines = [
        harness.Row(OURS, timed_async(stage.loop, 'await f("user-1")', f=_ours("few"))),
        harness.Row(REFUSAL, timed('denied("key", costs)', denied=denials.denied, costs=(1, 1, 1))),
        harness.Row(NOTHING, timed('f("key", costs)', f=_nothing, costs=(1, 1, 1))),
    ]
    return Table(DENIED, "one subject that is over its limit, asked about through RateLimiter.check", lines)


def _batch(stage: Stage) -> Table:
    limit = Limit(Unit.REQUESTS, Algorithm.CALENDAR, 2**40, 2_678_400_000, calendar="month")
    rows = (Row(1, 0, 2_678_400_000),)
    charged = Charged(allowed=True, now=1, wait=0, rows=rows)
    permits = Permits(SYSTEM)
    how = terms((Part("key", (limit,), (1,)),), 0.5)
    permits.fill("key", Held(how, (1,), how.block, SYSTEM.monotonic(), charged))
    lines = [
        harness.Row(
            OURS,
            timed_async(stage.loop, 'await check("batch", "user-1")', check=cachepolicy.RateLimiter().check),
        ),
        harness.Row(SPENDING, timed('spend("key", costs)', spend=permits.spend, costs=(1,))),
        harness.Row(NOTHING, timed('f("key", costs)', f=_nothing, costs=(1,))),
    ]
    return Table(BATCH, "one subject, permits that are held: asked for through RateLimiter.check", lines)


def _nothing(key: str, costs: tuple[int, ...]) -> None:
    return None


def _ours(rule: str) -> Check:
    limiter = cachepolicy.RateLimiter()

    async def check(subject: str) -> object:
        return await limiter.check(rule, subject)

    return check


def _evalsha(stage: Stage) -> Check:
    client = stage.redis_py()
    script = stage.run(client.script_load("return 1"))

    async def check(subject: str) -> object:
        return await client.evalsha(script, 1, subject, 1, 2)

    return check


def _limits(stage: Stage) -> Check:
    limits, strategies = peer("limits"), peer("limits.aio.strategies")
    limiter = strategies.FixedWindowRateLimiter(_limits_storage(stage))
    hour = limits.RateLimitItemPerHour(_MANY)

    async def check(subject: str) -> object:
        return await limiter.hit(hour, subject)

    return check


def _three_hits(stage: Stage) -> Check:
    limits, strategies = peer("limits"), peer("limits.aio.strategies")
    limiter = strategies.FixedWindowRateLimiter(_limits_storage(stage))
    hour, day = limits.RateLimitItemPerHour(_MANY), limits.RateLimitItemPerDay(_MANY // 2)
    tokens = limits.RateLimitItemPerHour(_MANY)

    async def check(subject: str) -> object:
        allowed = await limiter.hit(hour, subject) and await limiter.hit(day, subject)
        return allowed and await limiter.hit(tokens, subject, "tokens", cost=1)

    return check


def _limits_storage(stage: Stage) -> Any:
    address = f"async+{stage.address}/2"
    return peer("limits.aio.storage").RedisStorage(address, implementation="redispy")


def _throttled(stage: Stage) -> Check:
    throttled = peer("throttled.asyncio")
    limiter = throttled.Throttled(
        using="fixed_window",
        quota=throttled.per_hour(_MANY),
        store=throttled.RedisStore(server=f"{stage.address}/3"),
    )

    async def check(subject: str) -> object:
        return await limiter.limit(subject)

    return check


def _pyrate(stage: Stage) -> Check:
    pyrate = peer("pyrate_limiter")
    client = stage.redis_py()
    buckets: dict[str, Any] = {}

    async def limiter_of(subject: str) -> Any:
        bucket = await pyrate.RedisBucket.init([pyrate.Rate(_MANY, 3_600_000)], client, f"pyrate:{subject}")
        return pyrate.Limiter(bucket)

    async def check(subject: str) -> object:
        limiter = buckets.get(subject)
        if limiter is None:
            limiter = buckets[subject] = await limiter_of(subject)
        return await limiter.try_acquire_async(subject)

    return check


def _fastapi(stage: Stage) -> Check:
    backends = peer("redis_fastapi.ratelimit_backend")
    backend = backends.RateLimitBackend(stage.redis_py())

    async def check(subject: str) -> object:
        return await backend.hit(subject, limit=_MANY, window=3_600)

    return check


@contextmanager
def _stage(loop: asyncio.AbstractEventLoop) -> Iterator[Stage]:
    with RedisServer("--maxclients", "4000") as server:
        stage = Stage(loop, server)
        cachepolicy.configure(
            {
                "version": 1,
                "app": "bench",
                "redis": {"url": stage.address, "deadline": "5s"},
                "namespaces": {"ratelimit": {"kind": "ratelimit", "db": 1, "rules": _RULES}},
            }
        )
        try:
            yield stage
        finally:
            loop.run_until_complete(cachepolicy.aclose())
            loop.run_until_complete(stage.aclose())
