"""M3: streams are recorded as they pass and replayed chunk for chunk; a broken one stores nothing."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from cachepolicy import (
    MISS,
    DecorationError,
    ManualClock,
    NotCached,
    Outcome,
    Tier,
    cached,
    cached_many,
    configure,
    control,
    observe,
    scope,
)
from cachepolicy.testing.redis_server import RedisServer
from tests.support.colour import ASYNC, Colour
from tests.support.origin import in_memory
from tests.support.policies import cache_policy
from tests.support.streams import END, Desk, Source, forget, no_lease_is_left, plan_of
from tests.support.trips import Trips


@pytest.fixture(autouse=True)
def _memory() -> None:
    configure(cache_policy())


CHUNKS: tuple[Any, ...] = ("", "a", None, 0, 0.5, False, {}, [], b"", {"delta": "b"})


@pytest.mark.parametrize("tier", ["l1", "l2"])
def test_m3_what_comes_again_is_what_came(colour: Colour, desk: Desk, tier: str) -> None:
    """M3: a replay gives the chunks of the stream, falsy ones too, equal and of equal types."""
    source = Source(*CHUNKS)
    tell = source.decorated(colour)
    assert desk.rest(tell()) == list(CHUNKS)
    if tier == "l2":
        forget(tell)
    again = desk.rest(tell())
    assert [(chunk, type(chunk)) for chunk in again] == [(chunk, type(chunk)) for chunk in CHUNKS]
    assert source.calls == 1


def test_m3_an_empty_stream_is_an_answer(colour: Colour, desk: Desk) -> None:
    """M3: a stream without a chunk is kept as any."""
    source = Source()
    tell = source.decorated(colour)
    assert [desk.rest(tell()) for _ in range(2)] == [[], []]
    assert source.calls == 1


def test_m3_each_reader_gets_objects_of_his_own(colour: Colour, desk: Desk) -> None:
    """M3: what one caller does to a chunk is seen by no other, of the stream or of a replay."""
    source = Source({"n": 1}, {"n": 2})
    tell = source.decorated(colour)
    first, second = tell(), tell()
    for stream in (first, second):
        chunk = desk.next(stream)
        assert chunk == {"n": 1}
        chunk["n"] = 99
    assert desk.rest(first) == [{"n": 2}]
    assert desk.rest(second) == [{"n": 2}]
    for _ in range(2):
        replay = desk.rest(tell())
        assert replay == [{"n": 1}, {"n": 2}]
        replay[0]["n"] = 99
    assert source.calls == 1


def test_m3_a_stream_passes_as_it_comes(colour: Colour, desk: Desk) -> None:
    """M3: a chunk is handed on before the next is asked for, and nothing is asked for ahead of the reader."""
    source = Source("a", "b", "c")
    stream = source.decorated(colour)()
    assert source.calls == 0  # a generator begins when it is read
    for number, chunk in enumerate("abc", start=1):
        assert desk.next(stream) == chunk
        desk.turn()
        assert source.given == number
    assert desk.next(stream) is END


def test_m3_what_has_been_read_is_over(colour: Colour, desk: Desk) -> None:
    """M3: reading a stream or a replay a second time gives nothing, and close() is harmless then."""
    source = Source("a", "b")
    tell = source.decorated(colour)
    for _ in range(2):
        stream = tell()
        assert desk.rest(stream) == ["a", "b"]
        assert desk.rest(stream) == []
        desk.close(stream)
        assert desk.rest(stream) == []


def test_m3_a_closed_replay_is_over(colour: Colour, desk: Desk) -> None:
    """M3: a replay that is closed gives no more, as a generator."""
    source = Source("a", "b")
    tell = source.decorated(colour)
    desk.rest(tell())
    replay = tell()
    assert desk.next(replay) == "a"
    desk.close(replay)
    assert desk.next(replay) is END


# streams that do not come to an end


@pytest.mark.parametrize("how", ["close", "break", "collected"])
def test_m3_an_abandoned_stream_stores_nothing(colour: Colour, desk: Desk, how: str) -> None:
    """M3: a stream that is not read to its end closes the origin, keeps nothing, and gives its lease back.

    Of cashews: an interrupted stream is kept, and replayed as if it were whole (cashews#246).
    """
    source = Source("a", "b", "c")
    tell = source.decorated(colour)
    stream = tell()
    assert desk.next(stream) == "a"
    if how == "close":
        desk.close(stream)
    elif how == "collected":
        ring: list[Any] = [stream]
        ring.append(ring)
        del ring
    del stream
    gc.collect()
    desk.turn()
    assert source.ended == 1
    no_lease_is_left()
    forget(tell)
    assert desk.rest(tell()) == ["a", "b", "c"]
    assert source.calls == 2


def test_m3_a_stream_that_is_never_read_is_never_begun(colour: Colour, desk: Desk) -> None:
    """M3: calling a generator function and dropping what it gives asks nobody for anything."""
    source = Source("a")
    stream = source.decorated(colour)()
    desk.close(stream)
    assert source.calls == 0


class Broken(Exception):
    """What an origin raises."""


@pytest.mark.parametrize("error", [Broken, ValueError, TimeoutError, KeyError])
def test_m3_an_error_comes_after_the_chunks_before_it(
    colour: Colour, desk: Desk, error: type[Exception]
) -> None:
    """M3: what the function raises in mid-stream reaches each reader as it is; nothing is kept."""
    source = Source("a", "b")
    raised = error("broken")
    source.error = lambda: raised
    tell = source.decorated(colour)
    first, second = tell(), tell()
    for stream in (first, second):
        assert [desk.next(stream), desk.next(stream)] == ["a", "b"]
    for stream in (first, second):
        with pytest.raises(error) as caught:
            desk.next(stream)
        assert caught.value is raised
        assert desk.next(stream) is END
    no_lease_is_left()
    source.error = None
    assert desk.rest(tell()) == ["a", "b"]
    assert source.calls == 2


def test_m3_an_error_before_the_first_chunk_is_that_of_a_call(colour: Colour, desk: Desk) -> None:
    """M3: a function that fails before its first chunk fails as any call: it may be kept as an answer."""
    source = Source()
    source.error = Broken
    tell = source.decorated(colour, cached("answers", negative=(Broken,)))
    for _ in range(2):
        with pytest.raises(Broken):
            desk.do(lambda: desk_next(desk, tell))
    assert source.calls == 1


def desk_next(desk: Desk, tell: Any) -> Any:
    """Call, and read the first chunk: what failed once may raise at either."""
    return anext(tell()) if desk.is_async else next(tell())


def test_m3_what_is_out_of_date_stands_in_for_what_fails_at_once(colour: Colour) -> None:
    """C7: where a stream fails before its first chunk, the recording that is out of date may answer."""
    time = ManualClock()
    configure(cache_policy(ttl="1m", stale={"if_error": "1h"}), clock=time.clock)
    desk, source = Desk(colour), Source("a", "b")
    tell = source.decorated(colour)
    desk.rest(tell())
    time.advance(61)
    source.chunks, source.error = (), Broken
    assert desk.rest(tell()) == ["a", "b"]
    desk.end()


def test_m3_a_recording_is_made_anew_behind_its_readers(colour: Colour) -> None:
    """C7: while_revalidate reads a new stream to its end behind a reader of the old recording."""
    time = ManualClock()
    configure(cache_policy(ttl="1m", stale={"while_revalidate": "1h"}), clock=time.clock)
    desk, source = Desk(colour), Source("a", "b")
    tell = source.decorated(colour)
    desk.rest(tell())
    time.advance(61)
    source.chunks = ("new", "er")
    assert desk.rest(tell()) == ["a", "b"]
    desk.turn()
    time.advance(10)
    assert desk.rest(tell()) == ["new", "er"]
    assert source.calls == 2
    desk.end()


# what is kept, and what is not


def test_m3_a_stream_that_is_too_long_passes(colour: Colour, desk: Desk) -> None:
    """M3: recording stops at admit.max_value; the stream goes on, and nothing is kept."""
    configure(cache_policy(admit={"max_value": "1KiB"}))
    source = Source(*["x" * 100] * 30)
    tell = source.decorated(colour)
    for calls in (1, 2):
        assert desk.rest(tell()) == ["x" * 100] * 30
        assert source.calls == calls


def test_m3_chunks_that_would_come_back_different_pass(
    colour: Colour, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """M3: a stream with a chunk that has no byte form is handed on as it is, not kept, and told of once."""
    odd = object()
    source = Source("a", odd, "b")
    tell = source.decorated(colour)
    for calls in (1, 2):
        assert desk.rest(tell()) == ["a", odd, "b"]
        assert source.calls == calls
    assert [record.message for record in caplog.records if "not cached" in record.message] != []
    assert len([record for record in caplog.records if "not cached" in record.message]) == 1


def test_m3_cache_if_judges_all_chunks(colour: Colour, desk: Desk) -> None:
    """M3: cache_if is given the chunks of a stream that came to its end, in copies."""
    seen: list[Any] = []

    def judge(chunks: list[Any]) -> bool:
        seen.append(list(chunks))
        return bool(chunks[-1] == "stop")

    source = Source("a", {"b": 1})
    tell = source.decorated(colour, cached("answers", cache_if=judge))
    desk.rest(tell())
    source.chunks = ("a", "stop")
    assert desk.rest(tell()) == ["a", "stop"]
    assert desk.rest(tell()) == ["a", "stop"]
    assert seen == [["a", {"b": 1}], ["a", "stop"]]
    assert source.calls == 2


@dataclass
class Delta:
    """A chunk with a type."""

    text: str
    index: int = 0


def test_m3_typed_chunks_come_back_as_what_they_were(colour: Colour, desk: Desk) -> None:
    """M3: the annotation of the chunks says what they are made to again."""
    calls: list[str] = []
    if colour.is_async:

        async def tell_async(question: str) -> AsyncIterator[Delta]:
            calls.append(question)
            yield Delta("a")
            yield Delta("b", 1)

        tell: Any = cached("answers")(tell_async)
    else:

        def tell_sync(question: str) -> Iterator[Delta]:
            calls.append(question)
            yield Delta("a")
            yield Delta("b", 1)

        tell = cached("answers")(tell_sync)
    for _ in range(3):
        assert desk.rest(tell("why?")) == [Delta("a"), Delta("b", 1)]
        forget(tell)
    assert calls == ["why?"]


def test_m3_corrupt_recordings_are_misses(colour: Colour, desk: Desk) -> None:
    """M3: bytes that no recording is made of are never replayed: the function is asked."""
    source = Source("a", "b")
    tell = source.decorated(colour)
    desk.rest(tell())
    plan, key = plan_of(tell), tell.key()
    client: Any = in_memory()
    blob = client.get(key)
    header, good = plan.codec.unseal(blob, key)
    short, swapped = good.payload[:-1], good.payload[:4] + b"\x63" + good.payload[5:]
    for calls, payload in enumerate((short, swapped, b"", b"\xff" * 40, good.payload + b"x"), start=2):
        times = (header.created, header.fresh_until, header.stale_until, header.cost)
        forged = plan.codec.seal(good._replace(payload=payload), key, times, header.versions)
        client.set(key, forged)
        forget(tell)
        assert desk.rest(tell()) == ["a", "b"]
        assert source.calls == calls
    assert plan.counters.errors["corrupt.payload"] == 5


# what a caller may wish


def test_m3_control_holds_for_streams(colour: Colour, desk: Desk) -> None:
    """M3: wishes that hold where a generator function is called are those that its stream is read under."""
    source = Source("a", "b")
    tell = source.decorated(colour)
    with control(no_store=True):
        stream = tell()
    desk.rest(stream)
    assert source.calls == 1
    with control(only_if_cached=True):
        stream = tell()
    with pytest.raises(NotCached):
        desk.next(stream)
    desk.rest(tell())
    with control(only_if_cached=True):
        assert desk.rest(tell()) == ["a", "b"]
    assert source.calls == 2
    with control(refresh=True):
        desk.rest(tell())
    with control(no_cache=True):
        desk.rest(tell())
    assert source.calls == 4
    with control(max_age=0):
        desk.rest(tell())
    assert source.calls == 5


def test_m3_the_verbs_know_streams(colour: Colour, desk: Desk) -> None:
    """C8: peek, refresh, bypass, invalidate and key do with a stream what they do with any answer."""
    source = Source("a", "b")
    tell = source.decorated(colour)
    assert desk.do(tell.peek) is MISS
    assert desk.rest(desk.do(tell.bypass)) == ["a", "b"]
    assert desk.do(tell.peek) is MISS
    assert desk.rest(desk.do(tell.refresh)) == ["a", "b"]
    assert desk.rest(desk.do(tell.peek)) == ["a", "b"]
    assert source.calls == 2
    assert desk.do(tell.invalidate) is True
    assert desk.do(tell.peek) is MISS
    assert tell.key().startswith("test:answers:cache:")
    stats = tell.stats()
    assert (stats.misses, stats.bypasses) == (1, 1)


def test_m3_a_stream_has_scope_and_tags(colour: Colour, desk: Desk) -> None:
    """M7: streams are shared by whom the scope says, and go with their tags."""
    configure(cache_policy(scope="tenant", tags=["question"]))
    source = Source("a")
    tell = source.decorated(colour)
    for tenant, calls in (("x", 1), ("y", 2), ("x", 2)):
        with scope(tenant=tenant):
            stream = tell()
        assert desk.rest(stream) == ["a"]
        assert source.calls == calls
    stream = tell()  # nobody says who asks
    assert desk.rest(stream) == ["a"]
    assert source.calls == 3


def test_m3_streams_are_observed(colour: Colour, desk: Desk) -> None:
    """O1: a stream is told of when its first chunk comes: a miss of the origin, then hits."""
    tell = Source("a").decorated(colour)
    with observe() as seen:
        desk.rest(tell())
        desk.rest(tell())
        forget(tell)
        desk.rest(tell())
    assert [(one.outcome, one.tier) for one in seen] == [
        (Outcome.MISS, Tier.ORIGIN),
        (Outcome.HIT, Tier.L1),
        (Outcome.HIT, Tier.L2),
    ]


def test_m3_methods_may_be_streams(colour: Colour, desk: Desk) -> None:
    """C8: a generator method is recorded as any function, and its verbs know the instance."""
    source = Source("a", "b")

    class Model:
        def __init__(self, name: str) -> None:
            self.name = name

        if colour.is_async:

            @cached("answers", key="model:{self.name}")
            async def tell(self) -> AsyncIterator[str]:
                async for chunk in source.read_async():
                    yield chunk
        else:

            @cached("answers", key="model:{self.name}")
            def tell(self) -> Iterator[str]:
                yield from source.read()

    small, large = Model("small"), Model("large")
    for model, calls in ((small, 1), (large, 2), (small, 2)):
        stream: Any = model.tell()
        assert desk.rest(stream) == ["a", "b"]
        assert source.calls == calls
    assert small.tell.key() == "test:answers:model:small"
    assert desk.do(small.tell.invalidate) is True
    assert desk.do(large.tell.peek) is not MISS


def test_m3_functions_may_return_iterators(colour: Colour, desk: Desk) -> None:
    """M3: a function that is no generator but returns an iterator is called at once, and recorded alike."""
    source = Source("a", "b")

    def tell(question: str) -> Iterator[str]:
        return iter(list(source.read()))

    async def tell_async(question: str) -> AsyncIterator[str]:
        return source.read_async()

    decorate: Any = cached("answers")
    ask = decorate(tell_async if colour.is_async else tell)
    for _ in range(2):
        stream = desk.do(lambda: ask("why?"))
        assert desk.rest(stream) == ["a", "b"]
    assert source.calls == 1


def test_m3_a_def_may_return_what_is_read_on_a_loop() -> None:
    """M3: a ``def`` that returns an async iterator is known by its annotation."""
    desk, source = Desk(ASYNC), Source("a", "b")

    @cached("answers")
    def tell(question: str) -> AsyncIterator[str]:
        return source.read_async()

    for _ in range(2):
        assert desk.rest(tell("why?")) == ["a", "b"]
    assert source.calls == 1
    assert desk.do(lambda: tell.invalidate("why?")) is True
    desk.end()


def test_m3_what_is_no_stream_passes(colour: Colour, desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """M3: a function that returns something else than its annotation's stream returns it all the same."""

    def tell(question: str) -> Iterator[str]:
        return ["a"]  # type: ignore[return-value] # it is what the test is about

    async def tell_async(question: str) -> AsyncIterator[str]:
        return ["a"]  # type: ignore[return-value] # as above

    decorate: Any = cached("answers")
    ask = decorate(tell_async if colour.is_async else tell)
    for _ in range(2):
        assert desk.do(lambda: ask("why?")) == ["a"]
    assert "not cached" in caplog.text


def test_c1_redis_may_go_in_mid_stream(colour: Colour, own_redis: RedisServer) -> None:
    """C1: a stream goes on to its end where Redis dies meanwhile; its readers notice nothing."""
    configure(cache_policy(own_redis.url, local={"coherence": "off"}))
    desk, source = Desk(colour), Source("a", "b", "c")
    tell = source.decorated(colour)
    first, late = tell(), tell()
    assert [desk.next(first), desk.next(late)] == ["a", "a"]
    own_redis.kill()
    assert desk.rest(first) == ["b", "c"]
    assert desk.rest(late) == ["b", "c"]
    assert desk.rest(tell()) == ["a", "b", "c"]  # out of L1
    assert source.calls == 1
    desk.end()


def test_m3_a_replay_is_one_round_trip(
    colour: Colour, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M3: five hundred chunks come out of Redis in one command.

    Of cashews: each chunk is a key of its own.
    """
    trips = Trips()
    trips.watch(monkeypatch)
    configure(cache_policy(redis_url, local={"enabled": False}))
    desk, source = Desk(colour), Source(*map(str, range(500)))
    tell = source.decorated(colour)
    for _ in range(2):
        desk.rest(tell())
    trips.take()
    assert desk.rest(tell()) == list(source.chunks)
    assert len(trips.take()) == 1
    assert source.calls == 1
    desk.end()


def test_generators_give_no_lists() -> None:
    """A generator cannot be decorated as a function of many items."""

    def tell(texts: list[str]) -> Iterator[str]:
        yield from texts

    decorate: Any = cached_many("answers", over="texts")
    with pytest.raises(DecorationError, match="generator"):
        decorate(tell)
