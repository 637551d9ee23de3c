"""M3, C3, C4, C5: one origin stream for all who read, whoever comes late, leaves early or is slow."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cachepolicy import Outcome, StreamLost, aclose, cached, configure, control, observe
from cachepolicy.keys.layout import WHOLE
from cachepolicy.testing.redis_server import RedisServer
from tests.support.colour import ASYNC, SYNC, Colour
from tests.support.policies import cache_policy
from tests.support.streams import END, Desk, Source, leases, no_lease_is_left, plan_of, turns
from tests.support.waiting import until

PATIENCE = 20.0
DEAD = "redis://127.0.0.1:1"


@pytest.fixture(autouse=True)
def _memory() -> None:
    configure(cache_policy())


@pytest.mark.parametrize("url", ["memory://", DEAD])
def test_c3_who_comes_late_gets_what_was_read_and_then_what_comes(
    colour: Colour, desk: Desk, url: str
) -> None:
    """C3: a caller who asks while a stream runs gets its beginning at once, then each chunk as it comes."""
    configure(cache_policy(url))
    source = Source(*range(6))
    tell = source.decorated(colour)
    first = tell()
    assert [desk.next(first) for _ in range(3)] == [0, 1, 2]
    with observe() as seen:
        late = tell()
        assert [desk.next(late) for _ in range(3)] == [0, 1, 2]
    assert source.given == 3
    assert desk.next(late) == 3  # he may as well be the first to ask
    assert desk.rest(first) == [3, 4, 5]
    assert desk.rest(late) == [4, 5]
    assert (source.calls, source.given, source.ended) == (1, 6, 1)
    assert seen[0].outcome is Outcome.COALESCED


def test_c4_the_others_go_on_when_the_first_leaves(colour: Colour, desk: Desk) -> None:
    """C4: who leaves, the one who began it included, ends the stream for nobody else."""
    source = Source(*range(4))
    tell = source.decorated(colour)
    streams = [tell() for _ in range(3)]
    assert [desk.next(stream) for stream in streams] == [0, 0, 0]
    desk.close(streams[0])
    assert desk.next(streams[1]) == 1
    desk.close(streams[1])
    assert desk.rest(streams[2]) == [1, 2, 3]
    assert (source.calls, source.ended) == (1, 1)
    assert desk.rest(tell()) == [0, 1, 2, 3]
    assert source.calls == 1


def test_m3_with_the_last_reader_the_origin_is_closed(colour: Colour, desk: Desk) -> None:
    """M3: when nobody reads any more the origin is closed, and who asks next begins another stream."""
    source = Source(*range(4))
    tell = source.decorated(colour)
    streams = [tell() for _ in range(3)]
    assert [desk.next(stream) for stream in streams] == [0, 0, 0]
    for number, stream in enumerate(streams, start=1):
        assert source.ended == 0
        desk.close(stream)
        assert source.ended == (number == 3)
    no_lease_is_left()
    assert desk.rest(tell()) == [0, 1, 2, 3]
    assert source.calls == 2


def test_c5_an_invalidation_wins_over_a_stream_that_runs(colour: Colour, desk: Desk) -> None:
    """C5: a stream that began before an invalidation is not kept after it, and nobody joins it any more."""
    source = Source("old", "stream")
    tell = source.decorated(colour)
    old = tell()
    assert desk.next(old) == "old"
    desk.do(tell.invalidate)
    source.chunks = ("new", "stream")
    new = tell()
    assert desk.next(new) == "new"
    assert desk.rest(old) == ["stream"]
    assert desk.rest(new) == ["stream"]
    assert source.calls == 2
    assert desk.rest(tell()) == ["new", "stream"]
    assert source.calls == 2


def test_c5_an_invalidated_stream_is_not_kept(colour: Colour, desk: Desk) -> None:
    """C5: where nobody asks in between, nothing is there after the stream has ended."""
    source = Source("a", "b")
    tell = source.decorated(colour)
    stream = tell()
    desk.next(stream)
    desk.do(tell.invalidate)
    assert desk.rest(stream) == ["b"]
    desk.rest(tell())
    assert source.calls == 2


def test_c5_a_refresh_wins_over_a_stream_that_runs(colour: Colour, desk: Desk) -> None:
    """C5: refresh() begins a stream of its own; the older one answers its readers and is not kept."""
    source = Source("old", "stream")
    tell = source.decorated(colour)
    old = tell()
    desk.next(old)
    source.chunks = ("new", "stream")
    assert desk.rest(desk.do(tell.refresh)) == ["new", "stream"]
    assert desk.rest(old) == ["stream"]
    assert desk.rest(tell()) == ["new", "stream"]
    assert source.calls == 2


def test_m3_one_who_wants_it_kept_is_enough(colour: Colour, desk: Desk) -> None:
    """M3: a stream whose first reader said no_store is kept where another joined who did not."""
    source = Source("a", "b")
    tell = source.decorated(colour)
    with control(no_store=True):
        first = tell()
    assert desk.next(first) == "a"
    second = tell()
    assert desk.rest(second) == ["a", "b"]
    assert desk.rest(first) == ["b"]
    desk.rest(tell())
    assert source.calls == 1


def test_m3_a_stream_that_asks_for_itself_does_not_wait(colour: Colour, desk: Desk) -> None:
    """C3: a function that calls itself with the same arguments in mid-stream does not join its own stream."""
    depth = []
    if colour.is_async:

        async def tell_async() -> AsyncIterator[str]:
            depth.append(1)
            yield "a"
            if len(depth) < 2:
                yield "".join([chunk async for chunk in tell()])

        tell: Any = cached("answers")(tell_async)
    else:

        def tell_sync() -> Iterator[str]:
            depth.append(1)
            yield "a"
            if len(depth) < 2:
                yield "".join(tell())

        tell = cached("answers")(tell_sync)
    assert desk.rest(tell()) == ["a", "a"]


# memory


def test_m3_who_comes_late_to_what_is_too_long_goes_alone(colour: Colour, desk: Desk) -> None:
    """M3: what is over admit.max_value is not held from its beginning: later callers ask by themselves."""
    configure(cache_policy(admit={"max_value": "1KiB"}))
    source = Source(*["x" * 100] * 30)
    tell = source.decorated(colour)
    first = tell()
    for _ in range(20):
        desk.next(first)
    second = tell()
    assert len(desk.rest(second)) == 30
    assert len(desk.rest(first)) == 10
    assert source.calls == 2


@pytest.mark.parametrize("colour", [SYNC], ids=["def"])
def test_m3_a_slow_reader_does_not_fill_the_memory(colour: Colour) -> None:
    """M3: beyond what is recorded, who is fast waits for who is slow, so that little is held for him."""
    configure(cache_policy(admit={"max_value": "1KiB"}))
    source = Source(*["x" * 100] * 200)
    tell = source.decorated(colour)
    slow = tell()
    next(slow)
    ahead: list[Any] = []
    with ThreadPoolExecutor(1) as pool:
        fast = pool.submit(lambda: ahead.extend(tell()))
        until(lambda: ahead, "the fast one to have joined")
        tape = _tape(slow)
        taken = 1
        while taken < 200:
            assert tape._held <= 1024 + 200
            assert next(slow) == "x" * 100
            taken += 1
        fast.result(PATIENCE)
    assert len(ahead) == 200
    assert next(slow, END) is END
    assert source.calls == 1


def _tape(stream: Any) -> Any:
    """Return what is held of a stream that somebody reads."""
    return stream.gi_yieldfrom._tee.tape


def test_m3_tasks_wait_for_a_slow_one() -> None:
    """M3: the same of tasks on a loop."""
    configure(cache_policy(admit={"max_value": "1KiB"}))
    source = Source(*["x" * 100] * 200)
    tell = source.decorated(ASYNC)
    ahead: list[int] = []

    async def main() -> None:
        slow = tell()
        await anext(slow)

        async def race() -> None:
            ahead.append(len([chunk async for chunk in tell()]))

        fast = asyncio.create_task(race())
        taken = 1
        while await anext(slow, END) is not END:
            taken += 1
            for _ in range(20):
                await asyncio.sleep(0)
            assert source.given <= taken + 24
        await fast
        assert taken == 200
        await aclose()

    asyncio.run(main())
    assert ahead == [200]
    assert source.calls == 1


def test_m3_one_task_may_read_one_stream_after_the_other(colour: Colour, desk: Desk) -> None:
    """M3: where one thread or task reads two parts of a long stream, nobody waits for himself."""
    configure(cache_policy(admit={"max_value": "1KiB"}))
    source = Source(*["x" * 100] * 100)
    tell = source.decorated(colour)

    def both() -> Any:
        first, second = tell(), tell()
        return [next(first), next(second)], list(first), list(second)

    async def both_async() -> Any:
        first, second = tell(), tell()
        begun = [await anext(first), await anext(second)]
        return begun, [chunk async for chunk in first], [chunk async for chunk in second]

    begun, one, two = desk.do(both_async if colour.is_async else both)
    assert (len(begun), len(one), len(two)) == (2, 99, 99)
    assert source.calls == 1


def test_m3_who_keeps_the_others_waiting_for_too_long_is_lost() -> None:
    """M3: a reader who does not read while others wait for room is told, and they go on."""
    configure(cache_policy(admit={"max_value": "1KiB"}, stampede={"wait": "50ms", "lease": "10s"}))
    source = Source(*["x" * 100] * 100)
    tell = source.decorated(SYNC)
    slow = tell()
    next(slow)
    with ThreadPoolExecutor(1) as pool:
        assert len(pool.submit(lambda: list(tell())).result(PATIENCE)) == 100
    with pytest.raises(StreamLost):
        list(slow)


# threads, tasks, loops


def test_c3_many_threads_share_one_stream() -> None:
    """C3: threads that read at once get every chunk, of one origin stream."""
    source = Source(*range(300))
    tell = source.decorated(SYNC)
    gate = threading.Barrier(12)

    def read() -> list[int]:
        gate.wait()
        return list(tell())

    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(read) for _ in range(12)]
        assert [one.result(PATIENCE) for one in asked] == [list(range(300))] * 12
    assert (source.calls, source.given, source.ended) == (1, 300, 1)


def test_c3_many_tasks_of_several_loops_share_one_stream() -> None:
    """C3: tasks that read at once, on whatever loop, get every chunk, of one origin stream."""
    gate, go = threading.Barrier(3), threading.Event()
    calls: list[int] = []

    @cached("answers")
    async def tell() -> AsyncIterator[int]:
        calls.append(1)
        await asyncio.to_thread(go.wait, PATIENCE)
        for number in range(100):
            await asyncio.sleep(0)
            yield number

    async def read_all() -> list[list[int]]:
        async def read() -> list[int]:
            return [chunk async for chunk in tell()]

        tasks = [asyncio.create_task(read()) for _ in range(5)]
        for _ in range(50):
            await asyncio.sleep(0)
        await asyncio.to_thread(gate.wait)
        go.set()
        found = await asyncio.gather(*tasks)
        await asyncio.to_thread(gate.wait)  # the stream runs on one of the loops: none ends before the others
        await aclose()
        return found

    with ThreadPoolExecutor(3) as pool:
        loops = [pool.submit(asyncio.run, read_all()) for _ in range(3)]
        for loop in loops:
            assert loop.result(PATIENCE) == [list(range(100))] * 5
    assert sum(calls) == 1


def test_c4_a_cancelled_reader_harms_nobody() -> None:
    """C4: cancelling the task that began a stream, before or after its first chunk, fails nobody else."""
    go = asyncio.Event()
    calls, ended = [], []

    @cached("answers")
    async def tell(question: str) -> AsyncIterator[str]:
        calls.append(question)
        try:
            await go.wait()
            yield "a"
            await asyncio.sleep(0)
            yield "b"
        finally:
            ended.append(question)

    async def read(question: str) -> list[str]:
        return [chunk async for chunk in tell(question)]

    async def main() -> None:
        for question in ("early", "late"):
            go.clear()
            tasks = [asyncio.create_task(read(question)) for _ in range(3)]
            await turns()
            if question == "late":
                go.set()
                await asyncio.sleep(0)
            tasks[0].cancel()
            await asyncio.sleep(0)
            go.set()
            told = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(told[0], asyncio.CancelledError)
            assert told[1:] == [["a", "b"]] * 2
            assert calls.count(question) == ended.count(question) == 1
        await aclose()

    asyncio.run(main())


def test_m3_cancelling_every_reader_closes_the_origin() -> None:
    """M3: an origin that hangs in mid-stream is closed when the last who waits for it is cancelled."""
    ended = []

    @cached("answers")
    async def tell() -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def read() -> list[str]:
        return [chunk async for chunk in tell()]

    async def main() -> None:
        tasks = [asyncio.create_task(read()) for _ in range(3)]
        await turns()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await turns()
        assert ended == [True]
        assert leases() == 0
        await aclose()

    asyncio.run(main())


def test_m3_a_timeout_on_one_chunk_does_not_end_a_stream() -> None:
    """C4: ``wait_for`` around one chunk may give up; the next reading goes on where it was."""
    go = asyncio.Event()

    @cached("answers")
    async def tell() -> AsyncIterator[str]:
        yield "a"
        await go.wait()
        yield "b"

    @cached("answers")
    async def told() -> AsyncIterator[str]:
        return tell()

    async def main() -> None:
        stream = await told()
        assert await anext(stream) == "a"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), 0.01)
        go.set()
        assert [chunk async for chunk in stream] == ["b"]
        await aclose()

    asyncio.run(main())


@pytest.mark.usefixtures("uncollected")  # a client that is collected may add a task
def test_m3_closing_ends_streams_that_nobody_finishes() -> None:
    """M3: aclose() ends the streams of its loop; who still reads one is told, and no task is left."""
    source = Source("a", "b")
    tell = source.decorated(ASYNC)

    async def main() -> None:
        stream = tell()
        assert await anext(stream) == "a"
        await asyncio.wait_for(aclose(), PATIENCE)
        assert source.ended == 1
        with pytest.raises(StreamLost):
            await anext(stream)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_m3_a_loop_that_ends_takes_its_streams_along() -> None:
    """M3: a stream that is left on a loop that ends is closed there; who asks afterwards begins another."""
    source = Source("a", "b")
    tell = source.decorated(ASYNC)
    held: list[Any] = []

    async def begin() -> None:
        held.append(tell())
        assert await anext(held[0]) == "a"

    async def again() -> list[Any]:
        found = [chunk async for chunk in tell()]
        await aclose()
        return found

    asyncio.run(begin())
    assert source.ended == 1
    assert asyncio.run(again()) == ["a", "b"]
    assert source.calls == 2


def test_m3_an_interrupted_stream_is_lost_to_the_others(ctrl_c: None) -> None:
    """M3: KeyboardInterrupt reaches the thread that it hit; who shared its stream is told so."""
    source = Source("a")
    source.error = KeyboardInterrupt
    tell = source.decorated(SYNC)
    first, second = tell(), tell()
    assert [next(first), next(second)] == ["a", "a"]
    with pytest.raises(KeyboardInterrupt):
        next(first)
    with pytest.raises(StreamLost):
        next(second)
    source.error = None
    assert list(tell()) == ["a"]
    assert plan_of(tell).counters.errors == {}


def test_c3_who_may_not_join_does_not_wait_for_himself(own_redis: RedisServer, colour: Colour) -> None:
    """C3, C5: a stream whose key has changed meanwhile is not joined, and its lease not waited for."""
    configure(cache_policy(own_redis.url))
    desk, source = Desk(colour), Source("a", "b")
    tell = source.decorated(colour)
    old = tell()
    assert desk.next(old) == "a"
    plan = plan_of(tell)
    plan.flights.shut_tagged(plan.prefix, WHOLE)  # as when somebody else purges a tag
    new = tell()
    assert desk.rest(new) == ["a", "b"]
    assert desk.rest(old) == ["b"]
    assert source.calls == 2
    desk.end()
