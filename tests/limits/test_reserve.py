"""Reservations are settled exactly once (Q3), whatever becomes of the call; streams to what was seen."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any, Self

import pytest

from cachepolicy import (
    RateLimiter,
    RateLimitExceeded,
    UnkeyableArgument,
    Usage,
    aclose,
    configure,
    rate_limited,
)
from cachepolicy.llm.estimate import estimate
from cachepolicy.llm.seen import Seen
from cachepolicy.runtime import current
from tests.support.limiting import limits_policy

CHAT = {"by": "user", "requests": "5/hour", "tokens": "1000/day"}


@pytest.fixture
def limiter(redis_url: str) -> RateLimiter:
    """Give a limiter of requests and tokens."""
    configure(limits_policy(redis_url, rules={"chat": CHAT, "busy": {**CHAT, "concurrency": 1}}))
    return RateLimiter()


def _left(limiter: RateLimiter, rule: str = "chat") -> list[int]:
    return [state.remaining for state in limiter.peek.sync(rule, "u", cost=0).states]


async def _aleft(limiter: RateLimiter, rule: str = "chat") -> list[int]:
    return [state.remaining for state in (await limiter.peek(rule, "u", cost=0)).states]


@pytest.mark.parametrize(
    "used", [42, Usage("m", 40, 2), SimpleNamespace(usage={"prompt_tokens": 40, "completion_tokens": 2})]
)
def test_q3_a_reservation_is_settled_once(limiter: RateLimiter, used: Any) -> None:
    """Q3: what was used takes the place of the estimate; a second word changes nothing."""
    with limiter.reserve("chat", "u", tokens=600) as reserved:
        assert reserved.decision.states[1].remaining == 400
        assert reserved.decision.reservation
        assert reserved.settle.sync(used) is True
        assert reserved.settle.sync(999) is False
        assert reserved.refund.sync() is False
    assert _left(limiter) == [4, 958]


def test_the_same_holds_where_it_is_awaited(limiter: RateLimiter) -> None:
    """A block of ``async with`` settles, a handle that is awaited does, and each is done once."""

    async def main() -> None:
        async with limiter.reserve("chat", "u", tokens=600) as reserved:
            assert await reserved.settle(Usage("m", 40, 2))
            assert not await reserved.settle(1)
        held = await limiter.reserve("chat", "u", tokens=100)
        assert await _aleft(limiter) == [3, 858]
        assert await held.refund()
        assert await _aleft(limiter) == [4, 958]
        await aclose()

    asyncio.run(main())


def test_a_block_that_says_nothing_leaves_the_estimate(limiter: RateLimiter) -> None:
    """A block that ends without settling used what was estimated, and cannot be settled later."""
    with limiter.reserve("chat", "u", tokens=600) as reserved:
        pass
    assert reserved.settle.sync(1) is False
    assert _left(limiter) == [4, 400]


def test_a_block_that_failed_gives_the_estimate_back(limiter: RateLimiter) -> None:
    """An error in the block comes through, and the tokens come back; an interruption leaves them."""
    with pytest.raises(ValueError, match="own"), limiter.reserve("chat", "u", tokens=600):
        raise ValueError("own")
    assert _left(limiter) == [4, 1000]
    with pytest.raises(KeyboardInterrupt), limiter.reserve("chat", "u", tokens=600):
        raise KeyboardInterrupt
    assert _left(limiter) == [3, 400]


def test_an_interrupted_function_leaves_its_estimate(limiter: RateLimiter) -> None:
    """A function that is interrupted has not failed: what it began may go on."""

    @rate_limited("chat", tokens=600)
    def answer(user: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answer("u")
    assert _left(limiter) == [4, 400]


def test_a_denied_reservation_does_not_enter_its_block(limiter: RateLimiter) -> None:
    """Over the limit, the block does not run, and nothing is charged."""
    with pytest.raises(RateLimitExceeded), limiter.reserve("chat", "u", tokens=1001):
        pytest.fail("the block ran")
    assert _left(limiter) == [5, 1000]


def test_what_was_used_must_be_said(limiter: RateLimiter) -> None:
    """An answer that says nothing of tokens settles nothing, and the caller hears of it."""
    with limiter.reserve("chat", "u", tokens=600) as reserved:
        wrongs: list[Any] = ["text", None, -1, {"usage": {}}]
        for wrong in wrongs:
            with pytest.raises(UnkeyableArgument, match="expected tokens, a Usage, or an answer"):
                reserved.settle.sync(wrong)
        reserved.settle.sync(7)
    assert _left(limiter) == [4, 993]


def test_a_reservation_holds_a_place(limiter: RateLimiter) -> None:
    """Where the rule limits how many run at once, a block is one of them until it ends."""
    with (
        limiter.reserve("busy", "u", tokens=1),
        pytest.raises(RateLimitExceeded, match="1 calls run at once"),
    ):
        limiter.reserve("busy", "u", tokens=1).sync()
    assert limiter.reserve("busy", "u", tokens=1).sync().decision.allowed


def _chunk(text: str, **more: Any) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}], **more}


LAST = _chunk("", usage={"prompt_tokens": 30, "completion_tokens": 50})
PARTS = [_chunk("x" * 40) for _ in range(4)]


class _Stream:
    """What an SDK returns: an iterator, a context manager, and more."""

    response = "of the wire"

    def __init__(self, chunks: list[Any]) -> None:
        self._chunks = iter(chunks)
        self.closed = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        chunk = next(self._chunks)
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.closed = True


class _AsyncStream:
    """The same, asynchronous."""

    response = "of the wire"

    def __init__(self, chunks: list[Any]) -> None:
        self._inner = _Stream(chunks)

    @property
    def closed(self) -> bool:
        return self._inner.closed

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return next(self._inner)
        except StopIteration:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        self._inner.close()


def _ask(stream: Any) -> Any:
    @rate_limited("chat")
    def answer(user: str, prompt: str, max_tokens: int) -> Any:
        return stream

    return answer("u", "y" * 80, max_tokens=500)


def _aask(stream: Any) -> Any:
    @rate_limited("chat")
    async def answer(user: str, prompt: str, max_tokens: int) -> Any:
        return stream

    return answer("u", "y" * 80, max_tokens=500)


def test_a_stream_is_settled_at_its_end(limiter: RateLimiter) -> None:
    """A stream whose last part says what it took is charged that; until then the estimate stands."""
    stream = _ask(_Stream([*PARTS, LAST]))
    assert stream.response == "of the wire"
    assert next(stream) == PARTS[0]
    assert _left(limiter) == [4, 480]
    assert list(stream) == [*PARTS[1:], LAST]
    assert _left(limiter) == [4, 920]


@pytest.mark.parametrize("way", ["closed", "left", "broken"])
def test_a_stream_that_ends_early_used_what_was_seen(limiter: RateLimiter, way: str) -> None:
    """Closed, left or broken off, it is charged the request and the text that passed, and not nothing."""
    inner = _Stream([*PARTS[:2], ValueError("broken"), LAST])
    stream = _ask(inner)
    if way == "left":
        with stream as opened:
            assert [next(opened), next(opened)] == PARTS[:2]
    else:
        assert [next(stream), next(stream)] == PARTS[:2]
        if way == "closed":
            stream.close()
        else:
            with pytest.raises(ValueError, match="broken"):
                next(stream)
    assert inner.closed is (way != "broken")
    assert _left(limiter) == [4, 1000 - 20 - 20]


@pytest.mark.parametrize("way", ["read", "closed", "left", "broken"])
def test_an_asynchronous_stream_is_settled_likewise(limiter: RateLimiter, way: str) -> None:
    """Read to its end, closed, left or broken off."""

    async def main() -> list[int]:
        stream = await _aask(
            _AsyncStream([*PARTS[:2], *([LAST] if way == "read" else [ValueError("broken")])])
        )
        assert stream.response == "of the wire"
        assert [await anext(stream), await anext(stream)] == PARTS[:2]
        assert await _aleft(limiter) == [4, 480]
        if way == "read":
            assert [chunk async for chunk in stream] == [LAST]
        elif way == "closed":
            await stream.close()
        elif way == "left":
            async with stream:
                pass
        else:
            with pytest.raises(ValueError, match="broken"):
                await anext(stream)
        left = await _aleft(limiter)
        await aclose()
        return left

    assert asyncio.run(main()) == [4, 920 if way == "read" else 960]


def test_generators_are_limited_too(limiter: RateLimiter) -> None:
    """A generator is admitted when its first part is asked for, and settled when it ends or is closed."""

    @rate_limited("chat")
    def parts(user: str, prompt: str, max_tokens: int = 500) -> Iterator[Any]:
        yield from [*PARTS, LAST]

    @rate_limited("chat")
    async def chunks(user: str, prompt: str, max_tokens: int = 500) -> AsyncIterator[Any]:
        for part in PARTS:
            yield part

    unread = parts("u", "y" * 80)
    assert _left(limiter) == [5, 1000]
    unread.close()  # type: ignore[attr-defined] # a generator it is
    assert list(parts("u", "y" * 80)) == [*PARTS, LAST]
    assert _left(limiter) == [4, 920]

    async def main() -> None:
        stream: Any = chunks("u", "y" * 80)
        assert [await anext(stream), await anext(stream)] == PARTS[:2]
        await stream.aclose()
        assert await _aleft(limiter) == [3, 880]
        assert [chunk async for chunk in chunks("u", "y" * 80)] == PARTS
        assert await _aleft(limiter) == [2, 820]
        await aclose()

    asyncio.run(main())
    list(parts("u", "y" * 80))
    list(parts("u", "y" * 80))
    with pytest.raises(RateLimitExceeded):
        next(parts("u", "y" * 80))


def test_a_stream_holds_its_place_to_the_end(limiter: RateLimiter) -> None:
    """A call whose answer still comes runs; one that is thrown away leaves by itself, within its lease."""
    configure(
        limits_policy(
            current.current().loaded.policy.redis.url.get_secret_value(),
            rules={"busy": {"by": "user", "concurrency": 1}},
        )
    )

    @rate_limited("busy")
    def answer(user: str) -> Any:
        return _Stream([1, 2])

    stream = answer("u")
    with pytest.raises(RateLimitExceeded):
        answer("u")
    assert list(stream) == [1, 2]
    abandoned = answer("u")
    place = abandoned._watcher._admission.places[0]
    del abandoned
    gc.collect()
    assert place._is_abandoned
    place._renew()
    assert list(answer("u")) == [1, 2]


def test_what_a_stream_said_last_counts() -> None:
    """Usage of a whole stream is believed; that of its beginning is not, where more was written."""
    seen = Seen(Usage("m", 9, 500))
    seen.add(
        {
            "type": "message_start",
            "message": {"model": "n", "usage": {"input_tokens": 30, "output_tokens": 1}},
        }
    )
    seen.add({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x" * 80}})
    assert seen.usage() == Usage("n", 30, 20)
    seen.add({"type": "message_delta", "usage": {"output_tokens": 33}})
    assert seen.usage() == Usage("n", 30, 33)
    assert Seen(Usage("m", 9, 500)).usage() == Usage("m", 9, 0)


@pytest.mark.parametrize(
    ("arguments", "usage", "is_bounded"),
    [
        ({"user": "u"}, Usage("", 1, 0), False),
        ({"prompt": "x" * 40, "max_tokens": 7, "model": "m"}, Usage("m", 10, 7), True),
        ({"prompt": "x" * 40, "max_tokens": 7, "max_completion_tokens": 90}, Usage("", 10, 90), True),
        ({"prompt": "x" * 40, "max_tokens": 7, "n": 3}, Usage("", 10, 21), True),
        ({"prompt": "x" * 40, "max_tokens": None}, Usage("", 10, 1000), False),
        ({"messages": [{"role": "user", "content": "x" * 40}] * 2}, Usage("", 28, 1000), False),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x" * 40}]}]},
            Usage("", 14, 1000),
            False,
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x" * 9999}}]}
                ]
            },
            Usage("", 4, 1000),
            False,
        ),
        ({"input": ["x" * 40, "x" * 40], "model": 5}, Usage("", 20, 1000), False),
    ],
)
def test_a_call_is_estimated_by_its_text_and_its_bound(
    arguments: Any, usage: Usage, is_bounded: bool
) -> None:
    """A quarter of a token for each byte of text, and the larger of what the call lets the model write."""
    assert estimate(arguments) == (usage, is_bounded)
