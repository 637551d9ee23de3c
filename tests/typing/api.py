"""What type checkers see: read by mypy and pyright, never run.

A wrong line carries an ignore comment: were it let pass, the ignore would be an error.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, assert_type

from cachepolicy import AsyncCachedFunction, CachedFunction, cached, llm_cached, observe
from cachepolicy.flow.answer import Missing
from cachepolicy.telemetry.counters import Stats
from cachepolicy.telemetry.observe import Observation


@cached("answers")
def count(word: str, *, times: int = 1) -> int:
    """Be a ``def``."""
    return len(word) * times


@cached("answers", key="word:{word}", ttl="5m", version=2)
async def later(word: str, times: int = 1) -> list[str]:
    """Be an ``async def``."""
    return [word] * times


@llm_cached
async def bare(messages: list[dict[str, str]], model: str) -> str:
    """Be decorated without a call."""
    return model


@llm_cached(ttl="1d")
def called(prompt: str) -> str:
    """Be decorated with one."""
    return prompt


async def use() -> None:
    """Use all of it."""
    assert_type(count("a", times=2), int)
    assert_type(count.invalidate("a"), bool)
    assert_type(count.refresh("a"), int)
    assert_type(count.peek("a"), int | Missing)
    assert_type(count.key("a", times=3), str)
    assert_type(count.bypass("a"), int)
    assert_type(count.stats(), Stats)
    assert_type(count.policy.ttl, float)

    waiting = assert_type(later("a"), Coroutine[Any, Any, list[str]])
    await waiting
    assert_type(await later("a", times=2), list[str])
    assert_type(await later.invalidate("a"), bool)
    assert_type(await later.refresh("a"), list[str])
    assert_type(await later.peek("a"), list[str] | Missing)
    assert_type(later.key("a"), str)
    assert_type(await later.bypass("a"), list[str])

    assert_type(await bare([], "gpt-4o-mini"), str)
    assert_type(called("hello"), str)

    with observe() as seen:
        assert_type(seen, list[Observation])

    count(1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    count("a", 2)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    count.invalidate()  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    await later.key("a")  # type: ignore[misc] # pyright: ignore[reportGeneralTypeIssues]
    await bare("hello", "gpt-4o-mini")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def take(function: CachedFunction[[str], str]) -> None:
    """Name the handle's type."""
    assert_type(function("a"), str)


async def take_async(function: AsyncCachedFunction[[str], str]) -> None:
    """Name the handle's type for the other colour."""
    assert_type(await function.invalidate("a"), bool)


async def tell_the_colours_apart() -> None:
    """Give each the one it asks for."""
    take(called)
    await take_async(called)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
