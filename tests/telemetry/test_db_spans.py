"""``db_spans: true``: each command to Redis is a span of the stable semantic conventions, made once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import redis
from opentelemetry import trace
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import SpanKind

from cachepolicy import aclose, cached, cached_many, configure
from cachepolicy.errors import Fault
from cachepolicy.flow.stores import Stores
from cachepolicy.testing.faulty_store import FaultyServer, Trouble
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.testing.topologies import RedisCluster
from cachepolicy.tiers.traced import TracedAsync, TracedSync
from tests.support.colour import Colour
from tests.support.policies import cache_policy
from tests.support.traces import Traces, told
from tests.support.waiting import until

NO_L1 = {"enabled": False}


def _policy(url: str, *, db_spans: bool = True) -> dict[str, Any]:
    policy = cache_policy(url, local=NO_L1)
    return {**policy, "telemetry": {"db_spans": db_spans}}


def _answer(colour: Colour) -> Any:
    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    return answer


def _run(colour: Colour, *calls: Callable[[], Any]) -> list[Any]:
    """Make calls in a colour, one after the other, and leave nothing of their loop behind."""
    if not colour.is_async:
        return [call() for call in calls]

    async def main() -> list[Any]:
        try:
            return [await call() for call in calls]
        finally:
            await aclose()

    return asyncio.run(main())


def _commands(traces: Traces) -> list[ReadableSpan]:
    return [span for span in traces.spans if span.kind is SpanKind.CLIENT]


@pytest.fixture
def contrib() -> Iterator[list[str]]:
    """Have redis-py traced by OpenTelemetry's own instrumentation; give what it has seen."""
    seen: list[str] = []
    instrumentor = RedisInstrumentor()
    instrumentor.instrument(request_hook=lambda _span, _client, args, _kwargs: seen.append(str(args[0])))
    yield seen
    instrumentor.uninstrument()


def test_a_command_is_a_span_of_the_stable_conventions(
    colour: Colour, traces: Traces, redis_url: str
) -> None:
    """A command's span has its name, its server and database; a script's its digest; no key, no value."""
    configure(_policy(redis_url))
    answer = _answer(colour)

    def looks() -> list[ReadableSpan]:
        _run(colour, *[partial(answer, "canary")] * 3)  # versions of tags are asked for too, unless it hears
        return [span for span in _commands(traces) if span.name == "GETRANGE"]

    until(looks, "a look that asks for nothing else")
    server = urlsplit(redis_url)
    common = {
        "db.system.name": "redis",
        "db.namespace": "1",
        "server.address": server.hostname,
        "server.port": server.port,
    }
    look = looks()[-1]
    assert told(look) == {**common, "db.operation.name": "GETRANGE"}
    assert {traces.parent(span) for span in _commands(traces)} == {"cache.get answers"}
    scripts = [span for span in _commands(traces) if span.name == "EVALSHA"]
    assert scripts
    for span in scripts:
        assert len(told(span).pop("db.stored_procedure.name")) == 40
    assert "canary" not in "".join(span.to_json() for span in traces.spans)
    assert answer.key("canary") not in "".join(span.to_json() for span in traces.spans)


def test_without_the_option_no_store_is_wrapped(colour: Colour, traces: Traces, redis_url: str) -> None:
    """``db_spans: false`` makes no such span, and puts nothing between a flow and its connection."""
    configure(_policy(redis_url, db_spans=False))
    answer = _answer(colour)
    _run(colour, partial(answer, "why?"))
    assert traces.spans
    assert _commands(traces) == []


def test_commands_that_go_together_are_one_span(colour: Colour, traces: Traces, redis_url: str) -> None:
    """A round trip of several commands is one span with their number, named by what they have in common."""
    configure(_policy(redis_url))

    @colour.decorate(cached_many("answers", over="words"))
    def length(words: list[str]) -> list[int]:
        return [len(word) for word in words]

    _run(colour, partial(length, ["a", "bb", "ccc"]))
    together = [span for span in _commands(traces) if "db.operation.batch.size" in told(span)]
    assert together
    for span in together:
        assert span.name.startswith("PIPELINE")
        assert told(span)["db.operation.name"] == span.name
        assert told(span)["db.operation.batch.size"] > 1
    assert "PIPELINE EVALSHA" in [span.name for span in together]


def test_an_attempt_is_a_span_of_its_own(
    colour: Colour, traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that is sent again has a span for each time, the first with the class of its error."""
    server = FaultyServer()
    monkeypatch.setattr(
        Stores, "_connect_sync", lambda _, place: TracedSync(place, server.connect_sync(place.db))
    )
    monkeypatch.setattr(
        Stores, "_connect_async", lambda _, place: TracedAsync(place, server.connect_async(place.db))
    )
    configure(_policy("memory://"))
    answer = _answer(colour)
    troubles, key = [Trouble(Fault.LOST)], answer.key("second")
    server.plan(lambda command: troubles.pop() if command.key == key and troubles else None)
    _run(colour, partial(answer, "first"), partial(answer, "second"))  # the first asks for versions too
    first, second = [span for span in _commands(traces) if span.name == "GETRANGE"]
    assert (told(first)["error.type"], first.status.description) == ("lost", "lost")
    assert "error.type" not in told(second)
    assert [len(span.events) for span in traces.all("cache.get answers")] == [0, 1]


def test_the_servers_own_code_is_told(colour: Colour, traces: Traces, own_redis: RedisServer) -> None:
    """What the server refuses is told by its code, beside the class of the error."""
    configure(_policy(own_redis.url))
    answer = _answer(colour)
    _run(colour, partial(answer, "first"))
    own_redis.command("CONFIG", "SET", "maxmemory", "1")
    traces.forget()
    _run(colour, partial(answer, "second"))
    failed = [span for span in _commands(traces) if told(span).get("error.type", "noscript") != "noscript"]
    assert failed
    for span in failed:
        assert (told(span)["error.type"], told(span)["db.response.status_code"]) == ("oom", "OOM")


def test_in_a_cluster_the_server_is_the_keys_own(
    colour: Colour, traces: Traces, redis_cluster: RedisCluster
) -> None:
    """A command's span names the master that has its key, and database 0: a cluster has no other."""
    configure(_policy(redis_cluster.url))
    answer = _answer(colour)
    _run(
        colour, *[partial(answer, f"{number} {uuid4()}") for number in range(5)]
    )  # the server is others' too
    masters = {("127.0.0.1", node.port) for node in redis_cluster.masters()}
    places = {(told(span).get("server.address"), told(span).get("server.port")) for span in _commands(traces)}
    assert set() < places - {(None, None)} <= masters  # before the first command nobody knows
    assert {told(span)["db.namespace"] for span in _commands(traces)} == {"0"}


@pytest.mark.parametrize("db_spans", [False, True])
def test_the_instrumentation_of_redis_py_doubles_nothing(
    colour: Colour, traces: Traces, contrib: list[str], every_url: str, *, db_spans: bool
) -> None:
    """With redis-py traced too, a command has our span or none: its own see nothing of our connections."""
    configure(_policy(every_url, db_spans=db_spans))
    answer = _answer(colour)
    _run(colour, *[partial(answer, question) for question in "aab"])
    assert contrib == []
    names = [span.name for span in _commands(traces)]
    assert bool(names) is (db_spans and every_url != "memory://")
    assert names.count("GETRANGE") < 4


def test_the_instrumentation_sees_redis_py_itself(contrib: list[str], redis_url: str) -> None:
    """The watch of the test above sees a command that redis-py sends."""
    with redis.Redis.from_url(redis_url) as client:
        client.get("x")
    assert contrib == ["GET"]


def test_c1_a_processor_that_fails_fails_no_command(
    colour: Colour, monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> None:
    """C1: broken telemetry of the application costs a command its span, and nothing else."""

    class Broken(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            if span.kind is SpanKind.CLIENT and span.name == "GETRANGE":
                raise RuntimeError("on start")

        def on_end(self, span: ReadableSpan) -> None:
            raise RuntimeError("on end")

    provider = TracerProvider()
    provider.add_span_processor(Broken())
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    configure(_policy(redis_url))
    answer = _answer(colour)
    assert _run(colour, *[partial(answer, "why?")] * 2) == ["why?", "why?"]
    provider.shutdown()
