"""What type checkers see of limits: read by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, assert_type

from cachepolicy import (
    Decision,
    RateLimiter,
    RateLimitExceeded,
    RateLimitResult,
    Reservation,
    Usage,
    cached,
    rate_limited,
)


def two(user: str) -> int:
    """Count for two."""
    return 2


def took(user: str) -> Usage:
    """Take so many."""
    return Usage("m", 1, 2)


@rate_limited("chat", by="user", plan="plan")
def plain(user: str, *, plan: str | None = None) -> int:
    """Keep the parameters and the result."""
    return len(user)


@rate_limited("chat", "ip", by={"ip": ("request.client", "user")}, cost=two, wait="1s")
async def coroutine(user: str) -> int:
    """Keep the colour."""
    return len(user)


@rate_limited("chat")
@cached("answers")
async def above(user: str) -> int:
    """Keep the handle of what is below."""
    return len(user)


@cached("answers")
@rate_limited("chat", tokens="max_tokens", on_exceeded=lambda denied: 0)
def below(user: str, max_tokens: int = 5) -> int:
    """Be cached as any function."""
    return len(user)


@rate_limited("chat", tokens=took)
async def chunks(user: str) -> AsyncIterator[str]:
    """Stay a generator."""
    yield user


@rate_limited("chat")
def parts(user: str) -> Iterator[str]:
    """Stay a generator."""
    yield user


class Client:
    """Methods stay methods."""

    @rate_limited("chat")
    def own(self, user: str) -> int:
        """Be bound."""
        return len(user)

    @rate_limited("chat")
    @staticmethod
    def static(user: str) -> int:
        """Be static."""
        return len(user)


async def use() -> None:
    """Use all of it."""
    assert_type(plain("u", plan="free"), int)
    plain(5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    same: Callable[[str], Coroutine[Any, Any, int]] = coroutine
    assert_type(await same("u"), int)
    assert_type(await above("u"), int)
    assert_type(await above.invalidate("u"), bool)
    assert_type(below("u", max_tokens=1), int)
    assert_type(below.invalidate("u"), bool)
    async for chunk in chunks("u"):
        assert_type(chunk, str)
    for part in parts("u"):
        assert_type(part, str)
    assert_type(Client().own("u"), int)
    assert_type(Client.static("u"), int)

    limiter = RateLimiter()
    assert_type(await limiter.check("chat", "u", cost=2, tokens=5, plan="free"), Decision)
    assert_type(limiter.check.sync("chat", ("t", "u"), tokens=Usage("m", 1, 2)), Decision)
    assert_type(await limiter.check_all([("chat", "u"), ("ip", "1.2.3.4")]), list[Decision])
    assert_type(await limiter.peek("chat", "u"), Decision)
    assert_type(await limiter.reset("chat", "u"), bool)
    await limiter.refund("chat", "u", cost=2)
    assert_type(limiter.check_rate_limit.sync("u", "login", 5, "1m"), RateLimitResult)
    assert_type(await limiter.get_override("chat", "u"), dict[str, int])
    assert_type(await limiter.set_override("chat", "u", {"requests 1/hour": 5}, ttl="1d"), bool)
    limiter.check.sync("chat")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    with limiter.reserve("chat", "u", tokens=100) as reserved:
        assert_type(reserved, Reservation)
        assert_type(reserved.settle.sync(Usage("m", 1, 2)), bool)
    async with limiter.acquire("chat", "u", wait=1.5) as held:
        assert_type(await held.refund(), bool)
    assert_type(await limiter.reserve("chat", "u"), Reservation)
    error = RateLimitExceeded("over", rule="chat")
    assert_type(error.retry_after, float | None)
