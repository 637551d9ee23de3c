"""O1: the parts of a call have spans of their own, where they belong in its trace."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, SamplingResult, StaticSampler

from cachepolicy import ManualClock, aclose, cached, cached_many, close, configure, control
from cachepolicy.keys.layout import lease_key
from cachepolicy.runtime import current
from tests.support.colour import SYNC, Colour
from tests.support.origin import Origin, in_memory, past_its_ttl, settled
from tests.support.policies import cache_policy
from tests.support.traces import Traces, linked, told
from tests.support.waiting import until

NO_L1 = {"enabled": False}
STALE = {"while_revalidate": "1m", "throttle": "1ms"}


def _tracing(colour: Colour, work: Callable[[str], str] = str, **options: Any) -> Any:
    tracer = trace.get_tracer("origin")

    @colour.decorate(cached("answers", **options))
    def answer(question: str) -> str:
        with tracer.start_as_current_span("model call"):
            return work(question)

    return answer


def _is_followed(key: str) -> bool:
    """Tell whether anybody waits for the load of a key."""
    flight = current.current().flights._by_key[key]()
    return flight is not None and flight.wanted


def test_a_miss_is_a_lookup_a_look_and_a_call(colour: Colour, traces: Traces) -> None:
    """A miss tells how long Redis took and how long the function took, each as a part of the lookup."""
    configure(cache_policy())
    answer = _tracing(colour)
    colour.run(lambda: answer("why?"))
    assert {span.name: traces.parent(span) for span in traces.spans} == {
        "cache.get answers": None,
        "cache.l2 answers": "cache.get answers",
        "cache.origin answers": "cache.get answers",
        "model call": "cache.origin answers",
    }
    lookup, look, call = map(traces.one, ["cache.get answers", "cache.l2 answers", "cache.origin answers"])
    assert told(look) == {"cachepolicy.namespace": "answers", "cache.hit": False}
    assert told(call) == {"cachepolicy.namespace": "answers"}
    assert lookup.start_time == look.start_time
    assert look.end_time is not None
    assert call.start_time is not None
    assert look.end_time <= call.start_time


def test_a_hit_in_redis_is_one_span(colour: Colour, traces: Traces) -> None:
    """Where the look into Redis answers, the lookup is all there is."""
    configure(cache_policy(local=NO_L1))
    answer = _tracing(colour)
    colour.run(lambda: answer("why?"))
    traces.forget()
    colour.run(lambda: answer("why?"))
    assert traces.names == ["cache.get answers"]


def test_a_function_that_raises_marks_its_call(colour: Colour, traces: Traces) -> None:
    """The span of the call has the class of the error, and not its text."""
    configure(cache_policy())

    def fail(question: str) -> str:
        raise LookupError(question)

    answer = _tracing(colour, fail)
    with pytest.raises(LookupError):
        colour.run(lambda: answer("canary"))
    assert traces.one("cache.origin answers").status.description == "LookupError"


@pytest.mark.parametrize("verb", ["refresh", "bypass", "no_cache"])
def test_calls_past_the_cache_have_the_same_parts(colour: Colour, traces: Traces, verb: str) -> None:
    """However a caller wants the function called, what it traces hangs on the span of the call."""
    configure(cache_policy())
    answer = _tracing(colour)

    def call() -> Any:
        if verb == "no_cache":
            with control(no_cache=True):
                return colour.run(lambda: answer("why?"))
        return colour.run(lambda: getattr(answer, verb)("why?"))

    call()
    assert traces.parent(traces.one("model call")) == "cache.origin answers"
    assert traces.parent(traces.one("cache.origin answers")) == "cache.get answers"


def test_a_refresh_is_a_trace_of_its_own_and_points_to_its_cause(
    colour: Colour, time: ManualClock, origin: Origin, traces: Traces
) -> None:
    """What is computed anew behind a caller hangs on a root that is linked to the caller's lookup."""
    answer = past_its_ttl(colour, time, origin, STALE, local=NO_L1)
    traces.forget()
    application = trace.get_tracer("application")

    def call() -> Any:
        with application.start_as_current_span("request"):
            return answer()

    async def call_async() -> Any:
        with application.start_as_current_span("request"):
            return await answer()

    settled(colour, call_async if colour.is_async else call)
    refresh, lookup = traces.one("cache.refresh answers"), traces.one("cache.get answers")
    assert traces.parent(lookup) == "request"
    assert refresh.parent is None
    assert linked(refresh) == [lookup.context]
    assert refresh.context is not None
    assert lookup.context is not None
    assert refresh.context.trace_id != lookup.context.trace_id
    assert traces.parent(traces.one("cache.origin answers")) == "cache.refresh answers"


@pytest.mark.parametrize(
    "telemetry", [{"spans": "none"}, {"enabled": False}, {}], ids=["none", "off", "auto"]
)
def test_what_a_refresh_calls_never_hangs_on_the_request_that_has_ended(
    colour: Colour, time: ManualClock, traces: Traces, telemetry: dict[str, Any]
) -> None:
    """Whether this library traces or not, no span of the function is a child of a request that is over."""
    configure({**cache_policy(ttl="1m", stale=STALE, local=NO_L1), "telemetry": telemetry}, clock=time.clock)
    answer = _tracing(colour)
    colour.run(lambda: answer("why?"))
    time.advance(61)
    traces.forget()
    application = trace.get_tracer("application")

    def call() -> Any:
        with application.start_as_current_span("request"):
            return answer("why?")

    async def call_async() -> Any:
        with application.start_as_current_span("request"):
            return await answer("why?")

    settled(colour, call_async if colour.is_async else call)
    model = traces.one("model call")
    assert traces.parent(model) == (None if telemetry else "cache.origin answers")
    assert model.context is not None
    request = traces.one("request")
    assert request.context is not None
    assert model.context.trace_id != request.context.trace_id


def test_waiting_for_another_process_is_a_span(colour: Colour, traces: Traces) -> None:
    """A wait for whoever holds the lease is a part of the lookup, and says how long it was."""
    configure(cache_policy(stampede={"lease": "10s", "wait": "100ms"}))
    answer = _tracing(colour)
    colour.run(lambda: answer("other"))  # the in-memory Redis is there
    traces.forget()
    in_memory().set(lease_key(answer.key("why?")), "somebody", px=10_000)
    assert colour.run(lambda: answer("why?")) == "why?"
    wait = traces.one("cache.wait answers")
    assert traces.parent(wait) == "cache.get answers"
    assert told(wait)["cachepolicy.namespace"] == "answers"
    assert told(wait)["cachepolicy.waited_s"] >= 0.1
    assert traces.parent(traces.one("cache.origin answers")) == "cache.get answers"


def test_coalesced_threads_link_to_their_leader(traces: Traces) -> None:
    """A caller of another thread that shared a load points to the one that made it."""
    configure(cache_policy())
    asked, gate = threading.Event(), threading.Event()

    def wait(question: str) -> str:
        asked.set()
        assert gate.wait(20)
        return question

    answer = _tracing(SYNC, wait)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(answer, "why?")
        assert asked.wait(20)
        second = pool.submit(answer, "why?")
        until(lambda: _is_followed(answer.key("why?")), "a follower")
        gate.set()
        assert first.result(20) == second.result(20) == "why?"
    by_outcome = {told(span)["cachepolicy.outcome"]: span for span in traces.all("cache.get answers")}
    assert linked(by_outcome["coalesced"]) == [by_outcome["miss"].context]


def test_coalesced_loops_link_to_their_leader(traces: Traces) -> None:
    """A caller on another loop that shared a load points to the one that made it."""
    configure(cache_policy())
    asked, gate = threading.Event(), threading.Event()
    tracer = trace.get_tracer("origin")

    @cached("answers")
    async def answer(question: str) -> str:
        asked.set()
        await asyncio.to_thread(gate.wait, 20)
        tracer.start_span("model call").end()
        return question

    async def ask() -> str:
        try:
            return await answer("why?")
        finally:
            await aclose()

    async def follow() -> str:
        calling = asyncio.create_task(answer("why?"))
        await asyncio.to_thread(until, lambda: _is_followed(answer.key("why?")), "a follower")
        gate.set()
        try:
            return await calling
        finally:
            await aclose()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(asyncio.run, ask())
        assert asked.wait(20)
        second = pool.submit(asyncio.run, follow())
        assert first.result(20) == second.result(20) == "why?"
    by_outcome = {told(span)["cachepolicy.outcome"]: span for span in traces.all("cache.get answers")}
    assert linked(by_outcome["coalesced"]) == [by_outcome["miss"].context]
    assert traces.parent(traces.one("model call")) == "cache.origin answers"


def _lengths(colour: Colour) -> Any:
    tracer = trace.get_tracer("origin")

    @colour.decorate(cached_many("answers", over="words"))
    def length(words: list[str]) -> list[int]:
        tracer.start_span("model call").end()
        return [len(word) for word in words]

    return length


def test_a_batch_is_one_lookup_one_look_and_one_call(colour: Colour, traces: Traces) -> None:
    """A call for many items has one span of each kind, however many items it is for."""
    configure(cache_policy(local=NO_L1))
    length = _lengths(colour)
    colour.run(lambda: length(["a", "bb"]))
    traces.forget()
    colour.run(lambda: length(["a", "bb", "ccc", "dddd"]))
    assert {span.name: traces.parent(span) for span in traces.spans} == {
        "cache.get answers": None,
        "cache.l2 answers": "cache.get answers",
        "cache.origin answers": "cache.get answers",
        "model call": "cache.origin answers",
    }
    assert len(traces.spans) == 4
    look, call = traces.one("cache.l2 answers"), traces.one("cache.origin answers")
    assert (told(look)["cachepolicy.batch.size"], told(look)["cachepolicy.batch.hits"]) == (4, 2)
    assert told(call)["cachepolicy.batch.size"] == 2
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_a_batch_links_to_whoever_computes_some_of_it(traces: Traces) -> None:
    """Items that another batch computes make one link to it, not one for each."""
    configure(cache_policy())
    gate, asked = asyncio.Event(), asyncio.Event()

    @cached_many("answers", over="words")
    async def length(words: list[str]) -> list[int]:
        asked.set()
        await gate.wait()
        return [len(word) for word in words]

    async def main() -> None:
        first = asyncio.create_task(length(["a", "bb"]))
        await asked.wait()
        asked.clear()
        second = asyncio.create_task(length(["a", "bb", "ccc"]))
        await asked.wait()
        gate.set()
        assert (await first, await second) == ([1, 2], [1, 2, 3])
        await aclose()

    asyncio.run(main())
    by_size = {told(span)["cachepolicy.batch.size"]: span for span in traces.all("cache.get answers")}
    assert linked(by_size[3]) == [by_size[2].context]


def test_a_batch_that_is_refreshed_behind_is_one_trace_of_its_own(
    colour: Colour, time: ManualClock, traces: Traces
) -> None:
    """All items that are computed anew behind one caller are one refresh, linked to its lookup."""
    configure(cache_policy(ttl="1m", stale=STALE, local=NO_L1), clock=time.clock)
    length = _lengths(colour)
    colour.run(lambda: length(["a", "bb"]))
    time.advance(61)
    traces.forget()
    application = trace.get_tracer("application")

    def call() -> Any:
        with application.start_as_current_span("request"):
            return length(["a", "bb"])

    async def call_async() -> Any:
        with application.start_as_current_span("request"):
            return await length(["a", "bb"])

    assert settled(colour, call_async if colour.is_async else call) == [1, 2]
    refresh = traces.one("cache.refresh answers")
    assert refresh.parent is None
    assert linked(refresh) == [traces.one("cache.get answers").context]
    assert traces.parent(traces.one("cache.origin answers")) == "cache.refresh answers"
    assert traces.parent(traces.one("model call")) == "cache.origin answers"


def test_the_span_of_a_streams_call_ends_with_its_first_chunk(traces: Traces) -> None:
    """A stream's call is over when it has begun; what it traces later still hangs on that."""
    configure(cache_policy())
    tracer = trace.get_tracer("origin")

    @cached("answers")
    def chunks(question: str) -> Iterator[str]:
        yield question
        tracer.start_span("late").end()
        yield question

    stream = chunks("why?")
    assert next(stream) == "why?"
    assert traces.names == ["cache.l2 answers", "cache.origin answers", "cache.get answers"]
    assert list(stream) == ["why?"]
    assert traces.parent(traces.one("late")) == "cache.origin answers"
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_a_caller_that_is_cancelled_leaves_no_span_current(traces: Traces) -> None:
    """C4: the function goes on, traced; its caller's span has ended, and its context is as it was."""
    configure(cache_policy())
    gate, asked = asyncio.Event(), asyncio.Event()

    @cached("answers")
    async def answer(question: str) -> str:
        asked.set()
        await gate.wait()
        return question

    async def main() -> None:
        calling = asyncio.create_task(answer("why?"))
        await asked.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert trace.get_current_span() is trace.INVALID_SPAN
        gate.set()
        await aclose()

    asyncio.run(main())
    assert traces.one("cache.get answers").status.description == "CancelledError"
    assert traces.parent(traces.one("cache.origin answers")) == "cache.get answers"


def test_a_refresh_for_which_there_is_no_thread_leaves_no_span(
    time: ManualClock, origin: Origin, traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a refresh is left to another time, nothing is told of it."""
    answer = past_its_ttl(SYNC, time, origin, STALE, local=NO_L1)
    monkeypatch.setattr("cachepolicy.flow.background.MOST_THREADS", 0)
    traces.forget()
    answer()
    assert traces.names == ["cache.get answers"]
    close()


class _DropsLookups(StaticSampler):
    """Samples whatever an application begins but lookups."""

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        """Decide by the name."""
        found = super().should_sample(*args, **kwargs)
        return SamplingResult(Decision.DROP) if kwargs["name"].startswith("cache.") else found


def test_sampling_that_drops_a_trace_drops_what_the_function_traces(
    colour: Colour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the application's sampler drops the lookup, none of its parts, nor the function's, is sampled."""
    provider = TracerProvider(sampler=ParentBased(_DropsLookups(Decision.RECORD_AND_SAMPLE)))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    configure(cache_policy(local=NO_L1))
    seen: list[Any] = []

    def look(question: str) -> str:
        seen.append(trace.get_current_span().get_span_context())
        return question

    answer = _tracing(colour, look)
    colour.run(partial(answer, "why?"))
    colour.run(partial(answer, "why?"))
    (context,) = seen
    assert context.is_valid
    assert not context.trace_flags.sampled
    assert trace.get_current_span() is trace.INVALID_SPAN
