"""What type checkers see of batches: read by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_type

from cachepolicy import AsyncCachedManyFunction, CachedManyFunction, cached, cached_many
from cachepolicy.flow.answer import Missing
from cachepolicy.telemetry.counters import Stats


@cached_many("answers", over="words")
def lengths(words: Sequence[str], *, times: int = 1) -> list[int]:
    """Be a ``def``."""
    return [len(word) * times for word in words]


@cached_many("answers", over="words", ttl="5m")
def by_word(words: list[str]) -> dict[str, bytes]:
    """Return a mapping."""
    return {word: word.encode() for word in words}


@cached_many("answers", over="texts", key="embedding:{model}:{texts}")
async def embed(texts: list[str], model: str) -> list[list[float]]:
    """Be an ``async def``."""
    return [[float(len(text + model))] for text in texts]


class Model:
    """Has methods."""

    @cached_many("answers", over="texts", ignore=("self",))
    def embed(self, texts: list[str]) -> tuple[float, ...]:
        """Be a method."""
        return tuple(float(len(text)) for text in texts)


@cached("answers")
def single(word: str, *, times: int = 1) -> int:
    """Be for one item."""
    return len(word) * times


@cached("answers")
async def single_later(word: str) -> str:
    """Be for one item, later."""
    return word


async def use() -> None:
    """Use all of it."""
    assert_type(lengths(["a"], times=2), list[int])
    assert_type(lengths.peek(("a",)), list[int | Missing])
    assert_type(lengths.invalidate(["a"]), int)
    assert_type(lengths.expire(["a"]), int)
    assert_type(lengths.refresh(["a"]), list[int])
    assert_type(lengths.bypass(["a"]), list[int])
    assert_type(lengths.keys(["a"]), list[str])
    assert_type(lengths.stats(), Stats)
    assert_type(lengths.policy.ttl, float)
    assert_type(by_word(["a"]), list[bytes])

    assert_type(await embed(["a"], "m"), list[list[float]])
    assert_type(await embed.peek(["a"], "m"), list[list[float] | Missing])
    assert_type(await embed.invalidate(["a"], model="m"), int)
    assert_type(embed.keys(["a"], "m"), list[str])

    assert_type(Model().embed(["a"]), list[float])
    assert_type(Model().embed.peek(["a"]), list[float | Missing])

    assert_type(single.get_many([single.call("a", times=2)]), Sequence[int | Missing])
    assert_type(await single_later.get_many([single_later.call("a")]), Sequence[str | Missing])

    lengths([1])  # type: ignore[list-item] # pyright: ignore[reportArgumentType]
    lengths(["a"], 2)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    await embed(["a"])  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    single.call(1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def take(function: CachedManyFunction[[list[str]], bytes]) -> None:
    """Name the handle's type."""
    assert_type(function(["a"]), list[bytes])


async def take_async(function: AsyncCachedManyFunction[[list[str], str], list[float]]) -> None:
    """Name the handle's type for the other colour."""
    assert_type(await function(["a"], "m"), list[list[float]])


async def hand_over() -> None:
    """Give each the one it asks for."""
    take(by_word)
    await take_async(embed)
