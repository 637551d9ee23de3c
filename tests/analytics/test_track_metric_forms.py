"""``@track_metric`` around every kind of function, above and below other decorators: each is what it was."""

from __future__ import annotations

import asyncio
import functools
import inspect
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest

from cachepolicy import (
    DecorationError,
    RateLimitExceeded,
    cached,
    llm_cached,
    rate_limited,
    track_metric,
)
from cachepolicy.runtime import current
from tests.support.colour import Colour
from tests.support.limiting import Asked
from tests.support.tracking import Tracking

MORE = {
    "answers": {"kind": "cache", "scope": "global", "ttl": "1h"},
    "llm": {"kind": "cache", "scope": "global", "ttl": "1d"},
    "ratelimit": {"kind": "ratelimit", "rules": {"chat": {"by": "user", "requests": "2/hour"}}},
}


@pytest.fixture
def tracking() -> Tracking:
    """Count in memory, while time stands still."""
    return Tracking().configure(more=MORE)


def test_a_function_keeps_its_signature(colour: Colour, tracking: Tracking) -> None:
    """Name, docstring, signature and colour stay; arguments arrive as they were passed, defaults and all."""
    seen: list[object] = []

    def answer(a: int, /, b: int = 2, *args: int, c: int, d: int = 4, **rest: int) -> tuple[object, ...]:
        """Answer."""
        return a, b, args, c, d, rest

    tracked = colour.decorate(track_metric("calls", value="b", labels={"more": "x"}))(answer)
    assert inspect.signature(tracked) == inspect.signature(answer)
    assert (tracked.__name__, tracked.__doc__) == ("answer", "Answer.")
    assert inspect.iscoroutinefunction(tracked) is colour.is_async
    for args, kwargs in (
        ((1,), {"c": 3}),
        ((1, 5, 6, 7), {"c": 3, "d": 9, "x": 8}),
        ((1,), {"b": 3, "c": 0}),
    ):
        seen.append(colour.run(partial(tracked, *args, **kwargs)))
    assert seen == [
        (1, 2, (), 3, 4, {}),
        (1, 5, (6, 7), 3, 9, {"x": 8}),
        (1, 3, (), 0, 4, {}),
    ]
    assert tracking.taken()["calls"] == {("unknown",): 5, ("8",): 5}
    with pytest.raises(TypeError, match="missing"):
        colour.run(lambda: tracked(1))
    assert tracking.cells() == {}


def test_methods_are_counted(colour: Colour, tracking: Tracking) -> None:
    """Methods, class methods, static methods, of either order; ``self`` may be asked."""
    paint = colour.paint
    count: Any = track_metric("calls", labels={"by": "who.name", "plan": "plan"})

    class Client:
        name = "class"

        def __init__(self) -> None:
            self.name = "own"

        own = count(paint(lambda who, plan: plan))
        of_class: Any = count(classmethod(paint(lambda who, plan: plan)))
        above: Any = classmethod(count(paint(lambda who, plan: plan)))
        static: Any = track_metric("calls", labels=("plan",))(staticmethod(paint(lambda plan: plan)))

    client = Client()
    for method in (client.own, client.of_class, Client.of_class, client.above, client.static, Client.static):
        assert colour.run(partial(method, "free")) == "free"
    assert tracking.taken()["calls"] == {("own", "free"): 1, ("class", "free"): 3, ("free",): 2}


def test_partials_and_objects_are_counted(colour: Colour, tracking: Tracking) -> None:
    """A partial, a bound method, an object that can be called."""

    class Answerer:
        @colour.paint
        def __call__(self, plan: str) -> str:
            return plan

    @colour.paint
    def answer(model: str, plan: str) -> str:
        return plan

    count = track_metric("calls", labels=("plan",))
    for function in (functools.partial(answer, "m1"), Answerer(), Answerer().__call__):
        assert colour.run(partial(count(function), "free")) == "free"
    assert tracking.taken()["calls"] == {("free",): 3}


@pytest.mark.parametrize("what", [property(len), functools.partialmethod(len), int, 5])
def test_what_is_no_function_is_refused(what: Any) -> None:
    """A property, a class, a number: the error says what to do instead."""
    with pytest.raises(DecorationError, match="cannot be counted"):
        track_metric("calls")(what)


Stack = Callable[[Callable[..., Any]], Any]


@pytest.mark.parametrize("cache", [cached("answers"), llm_cached], ids=["cached", "llm_cached"])
def test_above_a_cache_every_call_counts_and_its_verbs_stay(
    colour: Colour, tracking: Tracking, cache: Stack
) -> None:
    """Above a cache hits count too, and the handle is still there; below it only calls of the function do."""
    question = {"messages": [{"role": "user", "content": "why?"}], "model": "m1"}

    def answer(messages: list[dict[str, str]], model: str) -> str:
        return "because"

    above = track_metric("above", labels=("model",))(cache(colour.paint(answer)))
    below = cache(track_metric("below", labels=("model",))(colour.paint(answer)))

    for function in (above, below):
        for _ in range(3):
            assert colour.run(partial(function, **question)) == "because"
        assert colour.run(partial(function.peek, **question)) == "because"
        assert colour.run(partial(function.invalidate, **question)) is True
        assert function.key(**question).startswith("test:")
        assert colour.run(partial(function, **question)) == "because"
    taken = tracking.taken()
    assert taken["above"] == {("m1",): 4}
    assert taken["below"] == {("m1",): 2}


def test_cached_methods_keep_their_verbs(colour: Colour, tracking: Tracking) -> None:
    """A counted method of a cached one knows its instance, and so do the verbs."""

    class Client:
        @colour.decorate(
            lambda f: track_metric("calls", labels=("user",))(cached("answers", ignore=("self",))(f))
        )
        def answer(self, user: str) -> str:
            return user

    client = Client()
    assert colour.run(lambda: client.answer("a")) == "a"
    assert colour.run(lambda: client.answer("a")) == "a"
    assert colour.run(lambda: client.answer.peek("a")) == "a"
    assert colour.run(lambda: client.answer.invalidate("a")) is True
    assert tracking.taken()["calls"] == {("a",): 2}


def test_a_call_that_a_limit_refuses_is_an_error_above_it_and_none_below(
    colour: Colour, tracking: Tracking
) -> None:
    """Above limits a refusal is an error of the call; below them there was no call."""
    limit = rate_limited("chat")

    def answer(user: str) -> str:
        return "done"

    above = track_metric("above")(limit(colour.paint(answer)))
    below = limit(track_metric("below")(colour.paint(answer)))
    for function, user in ((above, "a"), (below, "b")):
        for _ in range(2):
            colour.run(partial(function, user))
        with pytest.raises(RateLimitExceeded):
            colour.run(partial(function, user))
    sums = tracking.sums()
    assert (sums["above"], sums["above.calls"], sums["above.errors"]) == (2, 3, 1)
    assert (sums["below"], sums["below.calls"], "below.errors" in sums) == (2, 2, False)


def test_an_error_is_raised_as_it_is(colour: Colour, tracking: Tracking) -> None:
    """The very error, with no other behind it, through one frame more."""
    error = ValueError("own")

    @colour.decorate(track_metric("calls"))
    def answer() -> None:
        raise error

    with pytest.raises(ValueError, match="own") as raised:
        colour.run(answer)
    assert raised.value is error
    assert error.__context__ is None
    assert error.__cause__ is None


def test_many_tasks_and_threads_lose_nothing(tracking: Tracking) -> None:
    """Calls side by side are all counted, each with its own labels."""
    from concurrent.futures import ThreadPoolExecutor

    @track_metric("calls", labels=("plan",), duration=False)
    def answer(plan: str) -> None:
        return None

    @track_metric("tasks", labels=("plan",), duration=False)
    async def aanswer(plan: str) -> None:
        await asyncio.sleep(0)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(answer, ["free", "pro"] * 2000))

    async def main() -> None:
        await asyncio.gather(*[aanswer(plan) for plan in ["free", "pro"] * 500])

    asyncio.run(main())
    taken = tracking.taken()
    assert taken["calls"] == {("free",): 2000, ("pro",): 2000}
    assert taken["tasks"] == {("free",): 500, ("pro",): 500}


def test_decorating_loads_no_third_party() -> None:
    """Until the first call a decorated function costs no import of redis, pydantic or OpenTelemetry."""
    code = (
        "import sys\nfrom cachepolicy import track_metric\n"
        "@track_metric('calls', labels={'m': 'result.model'})\ndef f(a): return a\n"
        "print([m for m in ('pydantic', 'redis', 'opentelemetry', 'yaml') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("mode", ["buffered", "sync"])
def test_a_value_reaches_redis_as_the_policy_says(colour: Colour, redis_url: str, mode: str) -> None:
    """``mode: sync``: the value is in Redis when the call returns; all else waits, and is flushed."""
    tracking = Tracking().configure(redis_url, metrics={"tokens": {"mode": mode, "labels": ["plan"]}})
    flushes = current.current().analytics.desk("analytics", "test")._flushes
    before = flushes.flushed

    @colour.decorate(track_metric("tokens", value=7, labels=("plan",)))
    def answer(plan: str) -> str:
        return plan

    @track_metric("tokens", value="result")
    async def parts() -> AsyncIterator[int]:
        yield 7

    async def read() -> None:
        assert [part async for part in parts()] == [7]

    *_, waits, flushed = Asked(colour).all(
        partial(answer, "free"),
        *([read] if colour.is_async else []),
        tracking.sums,
        lambda: flushes.flushed - before,
    )
    calls = 1 + colour.is_async
    assert waits.pop("tokens.duration") == 0
    assert waits == {"tokens.calls": calls} | ({"tokens": 7 * calls} if mode == "buffered" else {})
    assert flushed == (calls if mode == "sync" else 0)


def test_c1_redis_that_is_out_is_no_error_of_a_call(colour: Colour) -> None:
    """C1: in ``mode: sync`` with ``on_fault: raise`` too, a call has its result; the fault is counted."""
    tracking = Tracking().configure("redis://127.0.0.1:1/0", mode="sync", on_fault="raise")

    @colour.decorate(track_metric("calls", labels=("plan",)))
    def answer(plan: str) -> str:
        if plan == "none":
            raise ValueError("own")
        return plan

    assert Asked(colour).all(partial(answer, "free")) == ["free"]
    assert sum(tracking.errors().values()) >= 1
    with pytest.raises(ValueError, match="own"):
        Asked(colour).all(partial(answer, "none"))


def test_c1_no_room_is_no_error_of_a_call(colour: Colour) -> None:
    """C1: where no more can be held, and ``on_fault: raise`` says so, a call has its result."""
    tracking = Tracking().configure(flush={"interval": "1h", "max_pending": 1}, on_fault="raise")

    @colour.decorate(track_metric("calls", labels=("plan",)))
    def answer(plan: str) -> str:
        return plan

    assert Asked(colour).all(partial(answer, "free"), partial(answer, "pro")) == ["free", "pro"]
    assert tracking.errors() == {"backpressure": 2}
