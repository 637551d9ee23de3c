"""Streams: what a tee costs until the first chunk, and five hundred chunks that come again out of Redis."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

import cachepolicy
from cachepolicy.codec.serialize import serializer_for
from cachepolicy.codec.streamed import Streamed, kind_of
from cachepolicy.flow.single_flight import Flight
from cachepolicy.flow.streaming import Streaming, opener, straight
from cachepolicy.flow.tape import Tape
from cachepolicy.flow.tee import Begun, Tee
from cachepolicy.flow.tee_async import AsyncTee
from tests.benchmarks.harness import OURS, Row, Table, timed, timed_async
from tests.benchmarks.origins import Calls
from tests.benchmarks.stage import Stage, on_stage, peer

FIRST: Final = "first chunk of a stream, def"
FIRST_ASYNC: Final = "first chunk of a stream, async def"
MISS: Final = "a stream of one chunk, missed, def"
MISS_ASYNC: Final = "a stream of one chunk, missed, async def"
REPLAY: Final = "500 chunks replayed from L2"
TITLES: Final = (FIRST, FIRST_ASYNC, MISS, MISS_ASYNC, REPLAY)

BARE: Final = "the generator"
WHOLE: Final = "the same answer, whole"
CASHEWS: Final = "cashews' iterator"

_CHUNKS: Final = [f"chunk number {number} of an answer" for number in range(500)]
_LIMIT: Final = 2**20


def tables(loop: asyncio.AbstractEventLoop, is_wanted: Callable[[str], bool]) -> Iterator[Table]:
    """Make the tables that are wanted, one after the other."""
    makers = {FIRST: _first, FIRST_ASYNC: _first_async, MISS: _miss, MISS_ASYNC: _miss_async, REPLAY: _replay}
    for title, make in makers.items():
        if is_wanted(title):
            with on_stage(loop) as stage:
                yield make(stage)


def _tell() -> Iterator[str]:
    yield from _CHUNKS


async def _tell_async() -> AsyncIterator[str]:
    for chunk in _CHUNKS:
        yield chunk


def _streaming(function: Callable[..., Any], *, is_async: bool) -> Streaming:
    annotation = AsyncIterator[str] if is_async else Iterator[str]
    kind = kind_of(function, annotation, is_async=is_async)
    assert isinstance(kind, Streamed)
    return Streaming(kind, serializer_for(str), opener(function, kind), straight(function, kind))


def _flight() -> Flight:
    flight = Flight(None, b"", threading.Lock())
    flight.enter(None)
    return flight


def _first(_: Stage) -> Table:
    """Compare a generator's first chunk with that of a tee of it; neither asks a store."""
    streaming = _streaming(_tell, is_async=False)
    clock = cachepolicy.Clock()

    def through() -> Any:
        flight = _flight()
        tape = Tape(streaming.chunks, _LIMIT)
        tee = Tee(Begun(streaming.open(), streaming, tape, flight, clock, 60.0))
        stream: Any = tee.join()
        return next(stream)

    rows = [
        Row(BARE, timed("next(f())", f=_tell, next=next)),
        Row(OURS, timed("f()", f=through)),
    ]
    return Table(FIRST, "no store; the stream is dropped after it", rows)


def _first_async(stage: Stage) -> Table:
    """Compare the same on a loop."""
    streaming = _streaming(_tell_async, is_async=True)
    clock = cachepolicy.Clock()

    async def bare() -> str:
        stream: Any = _tell_async()
        chunk: str = await anext(stream)
        await stream.aclose()
        return chunk

    async def through() -> Any:
        flight = _flight()
        tape = Tape(streaming.chunks, _LIMIT)
        opening = await streaming.open()
        tee = AsyncTee(Begun(opening, streaming, tape, flight, clock, 60.0))
        stream: Any = tee.join()
        chunk = await anext(stream)
        await opening.source.close()
        return chunk

    rows = [
        Row(BARE, timed_async(stage.loop, "await f()", f=bare)),
        Row(OURS, timed_async(stage.loop, "await f()", f=through)),
    ]
    return Table(FIRST_ASYNC, "no store; the stream is closed after it", rows)


def _miss(stage: Stage) -> Table:
    """Compare a stream that is recorded with an answer that is kept, from the call to the end."""
    _configure(stage)

    async def closed() -> None:
        cachepolicy.close()

    stage.at_end(closed)
    numbers = itertools.count()

    @cachepolicy.cached("answers")
    def whole(number: int) -> str:
        return "an answer"

    @cachepolicy.cached("answers")
    def tell(number: int) -> Iterator[str]:
        yield "an answer"

    rows = [
        Row(WHOLE, timed("f(next(turn))", f=whole, turn=numbers, next=next)),
        Row(OURS, timed("list(f(next(turn)))", f=tell, turn=numbers, next=next, list=list)),
    ]
    return Table(MISS, _NOTE, rows, slice_seconds=0.03, server=stage.server.pid, pinned=True)


def _miss_async(stage: Stage) -> Table:
    """Compare the same on a loop."""
    _configure(stage)
    stage.at_end(cachepolicy.aclose)
    numbers = itertools.count()

    @cachepolicy.cached("answers")
    async def whole(number: int) -> str:
        return "an answer"

    @cachepolicy.cached("answers")
    async def tell(number: int) -> AsyncIterator[str]:
        yield "an answer"

    async def read() -> list[str]:
        return [chunk async for chunk in tell(next(numbers))]

    rows = [
        Row(WHOLE, timed_async(stage.loop, "await f(next(turn))", f=whole, turn=numbers, next=next)),
        Row(OURS, timed_async(stage.loop, "await f()", f=read)),
    ]
    return Table(MISS_ASYNC, _NOTE, rows, slice_seconds=0.03, server=stage.server.pid, pinned=True)


_NOTE: Final = "lookup, lease, call, store; client and server on one processor"


def _replay(stage: Stage) -> Table:
    """Compare replays; each of ours is read from Redis, for L1 is off."""
    _configure(stage)
    stage.at_end(cachepolicy.aclose)
    calls, their_calls = Calls(), Calls()
    cashews = peer("cashews").Cache()
    cashews.setup(f"{stage.address}/1")
    stage.at_end(cashews.close)

    @cachepolicy.cached("answers")
    async def tell() -> AsyncIterator[str]:
        calls.count += 1
        for chunk in _CHUNKS:
            yield chunk

    @cashews.iterator("1h", key="told")  # type: ignore[untyped-decorator] # a peer is Any
    async def told() -> AsyncIterator[str]:
        their_calls.count += 1
        for chunk in _CHUNKS:
            yield chunk

    async def ours() -> int:
        return len([chunk async for chunk in tell()])

    async def theirs() -> int:
        return len([chunk async for chunk in told()])

    for read in (ours, theirs):
        for _ in range(2):
            assert stage.run(read()) == len(_CHUNKS)
    calls.count = their_calls.count = 0
    rows = [
        Row(CASHEWS, timed_async(stage.loop, "await f()", f=theirs), their_calls),
        Row(OURS, timed_async(stage.loop, "await f()", f=ours), calls),
    ]
    note = "texts of 30 bytes, no L1; client and server on one processor"
    return Table(REPLAY, note, rows, slice_seconds=0.05, server=stage.server.pid, pinned=True)


def _configure(stage: Stage) -> None:
    rule = {"kind": "cache", "db": 3, "scope": "global", "ttl": "1h", "local": {"enabled": False}}
    cachepolicy.configure(
        {
            "version": 1,
            "app": "bench",
            "redis": {"url": stage.address, "deadline": "5s"},
            "namespaces": {"answers": rule},
        }
    )
