"""What type checkers see of functions that answer in parts: read by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import assert_type

from anthropic.lib.streaming import AsyncMessageStreamManager, MessageStreamManager
from openai import AsyncStream, Stream
from openai.types.chat import ChatCompletionChunk

from cachepolicy import AsyncCachedStream, CachedFunction, cached, llm_cached
from cachepolicy.flow.answer import Missing


@cached("answers")
def words(text: str) -> Iterator[str]:
    """Be a generator function."""
    yield from text.split()


@llm_cached(ttl="1d")
def told(text: str) -> Generator[str, None, None]:
    """Be one with all its parameters."""
    yield text


@llm_cached
async def later(text: str, *, times: int = 1) -> AsyncIterator[str]:
    """Be an async generator function."""
    yield text * times


@cached("answers")
async def promised(text: str) -> AsyncGenerator[int, None]:
    """Be one with all its parameters."""
    yield len(text)


@llm_cached
def raw(question: str) -> Stream[ChatCompletionChunk]:
    """Give an SDK's stream."""
    raise NotImplementedError


@llm_cached
async def raw_async(question: str) -> AsyncStream[ChatCompletionChunk]:
    """Give one that is read on a loop."""
    raise NotImplementedError


@llm_cached
def managed(question: str) -> MessageStreamManager[None]:
    """Give what opens one."""
    raise NotImplementedError


@llm_cached
def managed_async(question: str) -> AsyncMessageStreamManager[None]:
    """Give what opens one that is read on a loop."""
    raise NotImplementedError


class Model:
    """Have methods."""

    @cached("answers", ignore=("self",))
    async def tell(self, text: str) -> AsyncIterator[str]:
        """Be one."""
        yield text


async def use() -> None:
    """Use all of it."""
    assert_type(words("a"), Iterator[str])
    assert_type(words.refresh("a"), Iterator[str])
    assert_type(words.peek("a"), Iterator[str] | Missing)
    assert_type(words.invalidate("a"), bool)
    assert_type(told("a"), Generator[str, None, None])

    async for chunk in later("a", times=2):
        assert_type(chunk, str)
    assert_type(later("a"), AsyncIterator[str])
    assert_type(await later.refresh("a"), AsyncIterator[str])
    assert_type(await later.peek("a"), AsyncIterator[str] | Missing)
    assert_type(await later.invalidate("a"), bool)
    assert_type(later.key("a"), str)
    assert_type(promised("a"), AsyncGenerator[int, None])

    assert_type(raw("a"), Stream[ChatCompletionChunk])
    assert_type(await raw_async("a"), AsyncStream[ChatCompletionChunk])
    assert_type(managed("a"), MessageStreamManager[None])
    async with managed_async("a") as stream:
        assert_type(await stream.get_final_text(), str)

    assert_type(Model().tell("a"), AsyncIterator[str])
    assert_type(await Model().tell.invalidate("a"), bool)

    later(1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await later.key("a")  # type: ignore[misc] # pyright: ignore[reportGeneralTypeIssues]


def take(function: CachedFunction[[str], Iterator[str]]) -> None:
    """Name the handle's type."""
    assert_type(function("a"), Iterator[str])


async def take_async(function: AsyncCachedStream[[str], AsyncIterator[str]]) -> None:
    """Name the handle's type of what is read on a loop."""
    assert_type(function("a"), AsyncIterator[str])
