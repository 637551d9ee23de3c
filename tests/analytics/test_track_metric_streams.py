"""``@track_metric`` around what comes in parts: counted at its end, and passed on as it is."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from openai import AsyncStream, Stream

from cachepolicy import aclose, cached, rate_limited, track_metric
from cachepolicy.runtime import current
from tests.support.tracking import Tracking

MORE = {
    "cache": {"kind": "cache", "scope": "global"},
    "ratelimit": {"kind": "ratelimit", "rules": {"chat": {"by": "user", "requests": "99/hour"}}},
}


@pytest.fixture
def tracking() -> Tracking:
    """Count in memory, while time stands still."""
    return Tracking().configure(more=MORE)


def _ends(tracking: Tracking) -> tuple[int, int, int, int]:
    """Take what was counted: the value, calls, errors, cancellations."""
    sums = tracking.sums()
    names = ("parts", "parts.calls", "parts.errors", "parts.cancelled")
    return tuple(sums.get(name, 0) for name in names)  # type: ignore[return-value] # four they are


@track_metric("parts")
def parts(tracking: Tracking, error: Exception | None = None) -> Iterator[int]:
    """Give two parts in a second each, then fail, if so asked."""
    for part in (1, 2):
        tracking.time.advance(1)
        yield part
    if error is not None:
        raise error


@track_metric("parts")
async def aparts(tracking: Tracking, error: Exception | None = None) -> AsyncIterator[int]:
    """Give the same."""
    for part in (1, 2):
        tracking.time.advance(1)
        await asyncio.sleep(0)
        yield part
    if error is not None:
        raise error


def test_a_generator_is_counted_at_its_end(tracking: Tracking) -> None:
    """Read to its end it is one call, with all the time that it took from the first read on."""
    stream = parts(tracking)
    assert inspect.isgenerator(stream)
    tracking.time.advance(5)
    assert next(stream) == 1
    assert tracking.cells() == {}
    assert list(stream) == [2]
    sums = tracking.sums()
    assert (sums["parts"], sums["parts.calls"], sums["parts.duration"]) == (1, 1, 2_000_000)


def test_an_async_generator_is_counted_at_its_end(tracking: Tracking) -> None:
    """The same."""

    async def main() -> None:
        stream = aparts(tracking)
        assert inspect.isasyncgen(stream)
        assert await anext(stream) == 1
        assert tracking.cells() == {}
        assert [part async for part in stream] == [2]

    asyncio.run(main())
    sums = tracking.sums()
    assert (sums["parts"], sums["parts.calls"], sums["parts.duration"]) == (1, 1, 2_000_000)


def test_one_that_fails_is_an_error(tracking: Tracking) -> None:
    """What a generator raises reaches its reader, and is counted as an error."""
    error = ValueError("own")
    with pytest.raises(ValueError, match="own") as raised:
        list(parts(tracking, error))
    assert raised.value is error
    assert _ends(tracking) == (0, 1, 1, 0)

    async def main() -> None:
        with pytest.raises(ValueError, match="own") as raised:
            [part async for part in aparts(tracking, error)]
        assert raised.value is error

    asyncio.run(main())
    assert _ends(tracking) == (0, 1, 1, 0)


def test_one_whose_rest_nobody_wants_is_cancelled(tracking: Tracking) -> None:
    """Closed early, or thrown away, it is a call, no success and no error."""
    stream: Any = parts(tracking)
    next(stream)
    stream.close()
    assert _ends(tracking) == (0, 1, 0, 1)
    stream = parts(tracking)
    next(stream)
    del stream
    gc.collect()
    assert _ends(tracking) == (0, 1, 0, 1)

    async def main() -> None:
        stream: Any = aparts(tracking)
        await anext(stream)
        await stream.aclose()

    asyncio.run(main())
    assert _ends(tracking) == (0, 1, 0, 1)


def test_a_finalizer_may_count_while_its_thread_counts(tracking: Tracking) -> None:
    """A stream that is thrown away while its own thread has locked the buffer is counted all the same."""
    lock = current.current().analytics.desk("analytics", "test").buffer.lock
    for opened in (parts(tracking), _sdk_parts()):
        next(opened)
        streams = [opened]
        del opened
        with lock:
            streams.clear()
    assert _ends(tracking) == (0, 2, 0, 2)


@track_metric("parts")
def _sdk_parts() -> Stream[int]:
    opened: Stream[int] = _sdk_stream(Stream, iter([1, 2]))
    return opened


def test_one_that_nobody_reads_is_no_call(tracking: Tracking) -> None:
    """A generator that was never begun did nothing, and counts as nothing."""
    parts(tracking).close()  # type: ignore[attr-defined] # a generator it is
    assert tracking.cells() == {}


def test_what_is_sent_and_thrown_reaches_a_generator(tracking: Tracking) -> None:
    """``send``, ``throw`` and the returned value work as without the decorator."""

    def talk(last: object = None) -> Generator[object, object, str]:
        got: object = "begin"
        while got != "end":
            try:
                got = yield got
            except KeyError as error:
                got = repr(error)
        return "returned"

    for decorator in (track_metric("parts"), track_metric("parts", labels={"last": "result"})):
        told: list[object] = []

        def reader(talk: Any, told: list[object]) -> Iterator[object]:
            told.append((yield from talk()))

        talking = decorator(talk)
        stream: Any = reader(talking, told)
        assert next(stream) == "begin"
        assert stream.send("a") == "a"
        assert stream.throw(KeyError("b")) == "KeyError('b')"
        with pytest.raises(StopIteration):
            stream.send("end")
        assert told == ["returned"]
        assert _ends(tracking) == (1, 1, 0, 0)
        stream = reader(talking, told)
        next(stream)
        with pytest.raises(ValueError, match="own"):
            stream.throw(ValueError("own"))
        assert _ends(tracking) == (0, 1, 1, 0)


def test_what_is_sent_and_thrown_reaches_an_async_generator(tracking: Tracking) -> None:
    """``asend``, ``athrow`` and ``aclose`` work as without the decorator."""
    closed = []

    @track_metric("parts")
    async def talk() -> AsyncGenerator[object, object]:
        got: object = "begin"
        try:
            while got != "end":
                try:
                    got = yield got
                except KeyError as error:
                    got = repr(error)
        finally:
            closed.append(1)

    async def main() -> None:
        stream = talk()
        assert await stream.asend(None) == "begin"
        assert await stream.asend("a") == "a"
        assert await stream.athrow(KeyError("b")) == "KeyError('b')"
        with pytest.raises(StopAsyncIteration):
            await stream.asend("end")
        assert _ends(tracking) == (1, 1, 0, 0)
        stream = talk()
        await anext(stream)
        with pytest.raises(ValueError, match="own"):
            await stream.athrow(ValueError("own"))
        assert _ends(tracking) == (0, 1, 1, 0)
        stream = talk()
        await anext(stream)
        await stream.aclose()
        assert closed == [1, 1, 1]
        assert _ends(tracking) == (0, 1, 0, 1)

    asyncio.run(main())


def test_a_reader_that_is_cancelled_cancels_the_call(tracking: Tracking) -> None:
    """A cancellation that comes while an async generator works is the call's end, and no error."""

    @track_metric("parts")
    async def stuck() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    async def main() -> None:
        async def read() -> None:
            async for _ in stuck():
                pass

        task = asyncio.create_task(read())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert _ends(tracking) == (0, 1, 0, 1)


def test_the_result_of_a_stream_is_its_last_part(tracking: Tracking) -> None:
    """What providers tell at the end of a stream can be counted; of one that failed too, by its labels."""
    chunks = [SimpleNamespace(model="m1", tokens=None), SimpleNamespace(model="m1", tokens=7)]
    options: dict[str, Any] = {"value": "result.tokens", "labels": {"model": "result.model"}}

    @track_metric("parts", **options)
    def stream(fails: bool = False) -> Iterator[Any]:
        yield chunks[0]
        if fails:
            raise ValueError("own")
        yield chunks[1]

    @track_metric("parts", **options)
    async def astream() -> AsyncIterator[Any]:
        for chunk in chunks:
            yield chunk

    async def main() -> None:
        assert [chunk async for chunk in astream()] == chunks

    assert list(stream()) == chunks
    asyncio.run(main())
    with pytest.raises(ValueError, match="own"):
        list(stream(fails=True))
    taken = tracking.taken()
    assert taken["parts"] == {("m1",): 14}
    assert taken["parts.errors"] == {("m1",): 1}
    assert tracking.errors() == {}


@pytest.mark.parametrize(
    "below",
    [lambda function: function, cached("cache"), rate_limited("chat")],
    ids=["plain", "cached", "limited"],
)
def test_a_function_that_returns_a_stream_is_counted_at_its_end(
    tracking: Tracking, below: Callable[[Any], Any]
) -> None:
    """What gives a generator, cached or limited, is counted when that ends; a generator it stays."""

    @track_metric("parts", value="result")
    @below
    def stream(user: str) -> Iterator[int]:
        yield 1
        yield 5

    @track_metric("parts", value="result")
    @below
    async def astream(user: str) -> AsyncIterator[int]:
        yield 1
        yield 5

    def five() -> Iterator[int]:
        yield 5

    @track_metric("parts", value="result")
    def returning() -> Iterator[int]:
        return five()

    async def main() -> None:
        assert [part async for part in astream("u")] == [1, 5]
        early: Any = astream("v")
        assert await anext(early) == 1
        await early.aclose()
        assert _ends(tracking) == (5, 2, 0, 1)
        await aclose()

    assert list(stream("u")) == [1, 5]
    assert _ends(tracking) == (5, 1, 0, 0)
    assert inspect.isgenerator(stream("u"))
    assert list(returning()) == [5]
    assert _ends(tracking) == (5, 1, 0, 0)
    asyncio.run(main())


def test_other_iterators_are_passed_on_as_they_are(tracking: Tracking) -> None:
    """A file, a map, a cursor: the call is counted when it returns, and its result is the very object."""
    result = map(str, [1, 2])

    @track_metric("parts")
    def mapped() -> Iterator[str]:
        return result

    assert mapped() is result
    assert _ends(tracking) == (1, 1, 0, 0)


def _sdk_stream(kind: type[Any], chunks: Any) -> Any:
    """Return a stream of an SDK around chunks that need no network."""
    stream: Any = object.__new__(kind)
    stream._iterator = chunks
    stream.response = SimpleNamespace(close=lambda: None)
    return stream


def test_streams_of_an_sdk_are_counted_at_their_end(tracking: Tracking) -> None:
    """They are still what they are to ``isinstance``, with all that they can do; closed early, cancelled."""
    chunks = [SimpleNamespace(usage=None), SimpleNamespace(usage=9)]

    @track_metric("parts", value="result.usage")
    def stream() -> Stream[Any]:
        opened: Stream[Any] = _sdk_stream(Stream, iter(chunks))
        return opened

    @track_metric("parts", value="result.usage")
    async def astream() -> AsyncStream[Any]:
        async def later() -> AsyncIterator[Any]:
            for chunk in chunks:
                yield chunk

        opened: AsyncStream[Any] = _sdk_stream(AsyncStream, later())
        return opened

    async def main() -> None:
        opened = await astream()
        assert isinstance(opened, AsyncStream)
        assert [chunk async for chunk in opened] == chunks

    opened = stream()
    assert isinstance(opened, Stream)
    assert opened.response is not None
    assert list(opened) == chunks
    assert _ends(tracking) == (9, 1, 0, 0)
    opened = stream()
    next(opened)
    opened.close()
    opened.close()
    assert _ends(tracking) == (0, 1, 0, 1)
    opened = stream()
    del opened
    assert _ends(tracking) == (0, 1, 0, 1)
    asyncio.run(main())
    assert _ends(tracking) == (9, 1, 0, 0)
