"""What a call's commands meet is told on its span: that they are sent again, that Redis is left alone."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from opentelemetry import trace

from cachepolicy import (
    AnalyticsCache,
    RateLimiter,
    SessionManager,
    StoreError,
    cached,
    cached_many,
    configure,
)
from cachepolicy.clock import ManualClock
from cachepolicy.errors import Fault
from cachepolicy.flow.stores import Stores
from cachepolicy.keys.layout import lease_key
from cachepolicy.testing.faulty_store import FaultyServer, Trouble
from tests.support.colour import Colour
from tests.support.limiting import limits_policy
from tests.support.metrics import metrics_policy
from tests.support.origin import settle, settled
from tests.support.policies import cache_policy
from tests.support.sessions_policy import do, sessions_policy
from tests.support.traces import Traces, happened, told

ONCE = ("cache.retry", {"cachepolicy.attempt": 2, "error.type": "lost"})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FaultyServer:
    """Stand in for Redis."""
    server = FaultyServer()
    for name, connect in (("_connect_sync", server.connect_sync), ("_connect_async", server.connect_async)):
        monkeypatch.setattr(Stores, name, lambda _, place, connect=connect: connect(place.db))
    return server


def _answer(colour: Colour) -> Any:
    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    return answer


def test_a_retry_is_an_event_of_the_lookup(colour: Colour, server: FaultyServer, traces: Traces) -> None:
    """A command that is sent again is told on the span of the call that had to wait for it."""
    configure(cache_policy())
    answer = _answer(colour)
    server.plan([Trouble(Fault.LOST)])
    colour.run(lambda: answer("canary"))
    assert happened(traces.one("cache.get answers")) == [ONCE]
    assert sum(len(span.events) for span in traces.spans) == 1


def test_a_retry_of_a_batch_is_an_event_of_its_lookup(
    colour: Colour, server: FaultyServer, traces: Traces
) -> None:
    """The one span of a call for many items tells what their one round trip met."""
    configure(cache_policy())

    @colour.decorate(cached_many("answers", over="words"))
    def length(words: list[str]) -> list[int]:
        return [len(word) for word in words]

    server.plan([Trouble(Fault.LOST)])
    colour.run(lambda: length(["a", "bb"]))
    assert happened(traces.one("cache.get answers")) == [ONCE]


def test_the_breaker_is_told_where_it_opens_and_closes(
    colour: Colour, server: FaultyServer, traces: Traces
) -> None:
    """The call that opens the breaker says so, and so does the one whose probe closes it; no other does."""
    time = ManualClock()
    redis = {"breaker": {"failures": 2, "open_for": "1s"}, "retry": {"attempts": 1}}
    configure(cache_policy(redis=redis), clock=time.clock)
    answer = _answer(colour)
    server.plan(lambda _: Trouble(Fault.REFUSED))
    for question in "abc":
        colour.run(partial(answer, question))
    server.plan(None)
    time.advance(2)
    colour.run(lambda: answer("d"))
    states = [
        attributes["cachepolicy.state"]
        for span in traces.all("cache.get answers")
        for name, attributes in happened(span)
        if name == "cache.breaker"
    ]
    assert states == ["open", "closed"]
    assert told(traces.all("cache.get answers")[0])["error.type"] == "refused"


def test_a_refresh_tells_what_it_met_itself(colour: Colour, server: FaultyServer, traces: Traces) -> None:
    """A command that is sent again behind a caller is told on the refresh, not on the caller's span."""
    time = ManualClock()
    stale = {"while_revalidate": "1m"}
    configure(cache_policy(ttl="1m", stale=stale, local={"enabled": False}), clock=time.clock)
    answer = _answer(colour)
    colour.run(lambda: answer("why?"))
    time.advance(61)
    traces.forget()
    lease = lease_key(answer.key("why?"))
    troubles = [Trouble(Fault.REFUSED)]
    server.plan(lambda command: troubles.pop() if lease in command.words and troubles else None)
    settled(colour, lambda: answer("why?"))
    assert happened(traces.one("cache.get answers")) == []
    (event,) = happened(traces.one("cache.refresh answers"))
    assert event == ("cache.retry", {"cachepolicy.attempt": 2, "error.type": "refused"})


def test_a_retry_is_an_event_of_a_decision(colour: Colour, server: FaultyServer, traces: Traces) -> None:
    """A decision of a limit tells what its command met."""
    configure(limits_policy())
    limiter = RateLimiter()
    server.plan([Trouble(Fault.REFUSED)])
    do(colour, limiter.check_rate_limit, "ada", "chat", 5)
    (event,) = happened(traces.one("limit.check ratelimit"))
    assert event == ("cache.retry", {"cachepolicy.attempt": 2, "error.type": "refused"})


def test_a_retry_is_an_event_of_a_verb(colour: Colour, server: FaultyServer, traces: Traces) -> None:
    """A verb of sessions tells what its commands met, and what failed it."""
    configure(sessions_policy())
    sessions = SessionManager()
    server.plan([Trouble(Fault.REFUSED)])
    do(colour, sessions.create_session, "ada")
    span = traces.one("session.create sessions")
    assert ("cache.retry", {"cachepolicy.attempt": 2, "error.type": "refused"}) in happened(span)
    traces.forget()
    server.plan(lambda _: Trouble(Fault.OOM))
    with pytest.raises(StoreError):
        do(colour, sessions.create_session, "ada")
    (failed,) = traces.spans
    assert told(failed) == {"cachepolicy.namespace": "sessions", "error.type": "oom"}


def test_a_flush_is_a_span_of_each_batch(colour: Colour, server: FaultyServer, traces: Traces) -> None:
    """A batch of counts that is sent has a span with its size, and tells of retries and of what failed it."""
    configure(metrics_policy(flush={"interval": "1h"}))
    counts = AnalyticsCache()
    do(colour, counts.increment_metric, "calls", 1, {"model": "small"})
    do(colour, counts.increment_metric, "calls", 1, {"model": "large"})
    server.plan([Trouble(Fault.REFUSED)])
    do(colour, counts.flush)
    span = traces.one("analytics.flush analytics")
    assert told(span) == {"cachepolicy.namespace": "analytics", "cachepolicy.cells": 2}
    assert [name for name, _ in happened(span)] == ["cache.retry"]
    traces.forget()
    do(colour, counts.increment_metric, "calls", 1, {"model": "small"})
    server.plan(lambda _: Trouble(Fault.OOM))
    with pytest.raises(StoreError):
        do(colour, counts.flush)
    failed = traces.one("analytics.flush analytics")
    assert told(failed)["error.type"] == "oom"
    assert failed.status.description == "StoreUnavailable"
    server.plan(None)


def test_a_flush_does_not_hang_on_the_call_that_filled_the_buffer(traces: Traces) -> None:
    """What is flushed behind a request, because it counted one cell too many, is a trace of its own."""
    configure(metrics_policy(flush={"interval": "1h", "max_cells": 2}))
    counts = AnalyticsCache()
    with trace.get_tracer("application").start_as_current_span("request"):
        for model in ("small", "large"):
            counts.increment_metric.sync("calls", 1, {"model": model})
    settle()
    assert traces.one("analytics.flush analytics").parent is None
