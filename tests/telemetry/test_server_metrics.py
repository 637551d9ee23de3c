"""Retries, breakers, connections, and the policy in use, as metrics."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from cachepolicy import ManualClock, cached, close, configure
from cachepolicy.errors import Fault, PolicyError
from cachepolicy.flow.breaker import BreakerRule
from cachepolicy.flow.repeating import RetryRule
from cachepolicy.flow.resilience import Guard
from cachepolicy.flow.stores import Stores
from cachepolicy.runtime import current
from cachepolicy.telemetry import servers
from cachepolicy.telemetry.servers import Server
from cachepolicy.testing.faulty_store import FaultyServer, Trouble
from cachepolicy.testing.topologies import RedisCluster
from cachepolicy.tiers.endpoint import Endpoint
from tests.support.colour import Colour
from tests.support.metered import exported_metrics, numbers
from tests.support.policies import cache_policy


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryMetricReader]:
    """Read metrics of a provider of this test's own, with nothing counted before."""
    with exported_metrics(monkeypatch) as reader:
        yield reader


def _faulty(monkeypatch: pytest.MonkeyPatch, *troubles: Trouble) -> FaultyServer:
    """Have memory:// do as it is told."""
    server = FaultyServer(troubles)
    for name, connect in (("_connect_sync", server.connect_sync), ("_connect_async", server.connect_async)):
        monkeypatch.setattr(Stores, name, lambda _, place, connect=connect: connect(place.db))
    return server


def _answer(colour: Colour) -> Any:
    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    return lambda question: colour.run(lambda: answer(question))


_URL = "redis://127.0.0.1:1"  # that nothing connects to: its stores are faulty ones


def _policy(**redis: Any) -> dict[str, Any]:
    return cache_policy(_URL, redis=redis, local={"coherence": "off"})


def _value(reader: InMemoryMetricReader, name: str) -> float:
    """Return the one series of a metric, that of the server."""
    ((at, value),) = numbers(reader)[name].items()
    assert dict(at) == {"server.address": "127.0.0.1", "server.port": "1"}
    return value


def test_retries_are_counted_over_policies(
    colour: Colour, reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that is sent again is counted, and a replaced policy's count stays in the sum."""
    _faulty(monkeypatch, Trouble(Fault.LOST))
    configure(_policy())
    _answer(colour)("why?")
    assert _value(reader, "cachepolicy.retries") == 1
    _faulty(monkeypatch, Trouble(Fault.LOST))
    configure(_policy())
    _answer(colour)("why?")
    gc.collect()
    assert _value(reader, "cachepolicy.retries") == 2


def test_breakers_are_seen(
    colour: Colour, reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A breaker that opens and closes is 2, then 0, and both are transitions; they stay in the sum."""
    server, time = _faulty(monkeypatch), ManualClock()
    configure(_policy(breaker={"failures": 2, "open_for": "1s"}, retry={"attempts": 1}), clock=time.clock)
    answer = _answer(colour)
    answer("at first")
    assert _value(reader, "cachepolicy.breaker.state") == 0
    server.plan(lambda _: Trouble(Fault.REFUSED))
    for number in range(5):
        answer(f"while it is down {number}")
    assert _value(reader, "cachepolicy.breaker.state") == 2
    assert _value(reader, "cachepolicy.breaker.transitions") == 1
    server.plan(None)
    time.advance(10)
    answer("afterwards")
    assert _value(reader, "cachepolicy.breaker.state") == 0
    assert _value(reader, "cachepolicy.breaker.transitions") == 2
    configure(_policy())
    _answer(colour)("under another policy")
    gc.collect()
    assert _value(reader, "cachepolicy.breaker.transitions") == 2


class _Owner:
    """Whose guard it is."""


def test_what_a_guard_counted_stays_when_it_is_gone(reader: InMemoryMetricReader) -> None:
    """Sums never fall: what is gone is added to them once, and is held no longer."""
    configure(_policy())
    rule, owner = BreakerRule(failures=1), _Owner()
    guard = Guard(RetryRule(), rule, ManualClock().clock, lambda: 0.5)
    guard.retries = 3
    guard.sole.failed(Fault.AUTH)
    servers.export(guard, Endpoint(_URL).server, owner)
    servers.export(guard, Endpoint(_URL).server, owner)
    for _ in range(2):
        assert _value(reader, "cachepolicy.retries") == 3
        assert _value(reader, "cachepolicy.breaker.transitions") == 1
    del owner
    gc.collect()
    for _ in range(2):
        assert _value(reader, "cachepolicy.retries") == 3
        assert _value(reader, "cachepolicy.breaker.transitions") == 1
    assert not servers._SOURCES


def _connections(reader: InMemoryMetricReader) -> dict[str, float]:
    return {
        dict(at)["cachepolicy.state"]: count
        for at, count in numbers(reader).get("cachepolicy.pool.connections", {}).items()
    }


@pytest.mark.parametrize("pipelined", [True, False], ids=["pipelined", "one at a time"])
def test_connections_are_counted(
    colour: Colour, reader: InMemoryMetricReader, redis_url: str, pipelined: bool
) -> None:
    """Connections that are kept are `idle`; when they are closed there are none."""
    configure(cache_policy(redis_url, redis={"pipeline": {"enabled": pipelined}}))
    seen: list[dict[str, float]] = []

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    async def later() -> None:
        await answer("why?")
        seen.append(_connections(reader))
        await current.current().stores.aclose()

    if colour.is_async:
        asyncio.run(later())
    else:
        answer("why?")
        seen.append(_connections(reader))
        close()
    assert seen[0]["used"] == 0
    assert 1 <= seen[0]["idle"] <= 2
    gc.collect()
    assert sum(_connections(reader).values()) == 0


def test_a_connection_in_use_is_told_so(reader: InMemoryMetricReader, redis_url: str) -> None:
    """A connection whose reply is awaited is `used`: it is what a pool runs out of."""
    configure(cache_policy(redis_url))
    _answer(Colour(is_async=False))("why?")
    (io,) = current.current().stores._sync.values()
    pool = io.store._pool  # type: ignore[attr-defined] # of one server
    permit = pool.permit(1.0)
    assert _connections(reader) == {"used": 1, "idle": 1}
    pool.give_back(permit)
    assert _connections(reader) == {"used": 0, "idle": 1}


def test_each_server_of_a_cluster_is_told_by_its_name(
    colour: Colour, reader: InMemoryMetricReader, redis_cluster: RedisCluster
) -> None:
    """A breaker of a cluster is that of one of its servers, and has its address and port."""
    configure(cache_policy(redis_cluster.url))

    @colour.decorate(cached("answers"))
    def answer(question: int) -> int:
        return question

    async def later() -> None:
        for number in range(20):
            await answer(number)
        await current.current().stores.aclose()

    if colour.is_async:
        asyncio.run(later())
    else:
        for number in range(20):
            answer(number)
    states = numbers(reader)["cachepolicy.breaker.state"]
    named = {(dict(at)["server.address"], dict(at)["server.port"]): state for at, state in states.items()}
    assert len(named) == len(redis_cluster.masters())
    assert all(address and port.isdigit() for address, port in named)
    assert set(named.values()) == {0}


@pytest.mark.parametrize(
    ("url", "node", "server"),
    [
        ("redis://me:secret@somewhere:6380", "", Server("somewhere", "6380")),
        ("rediss://:secret@somewhere", "", Server("somewhere", "6379")),
        ("unix:///run/redis.sock", "", Server("/run/redis.sock")),
        ("memory://", "", Server("memory")),
        ("redis+sentinel://:secret@one,two:1/main", "", Server("main")),
        ("redis+cluster://:secret@one:1,two:2", "", Server("one:1,two:2")),
        ("redis+cluster://:secret@one:1,two:2", "two:2", Server("two", "2")),
        ("redis+cluster://[::1]:1", "::1:7000", Server("::1", "7000")),
    ],
)
def test_a_server_is_called_without_its_secrets(url: str, node: str, server: Server) -> None:
    """A server is told by its address and port; no user and no password of the url is in either."""
    assert Endpoint(url).server(node) == server


def test_the_policy_in_use_is_told(reader: InMemoryMetricReader) -> None:
    """`config.info` is 1 for the policy in use, by a hash that other policies do not have, and no other."""
    configure(cache_policy())
    (first,) = numbers(reader)["cachepolicy.config.info"].items()
    configure({**cache_policy(ttl="2h"), "environments": {"test": {}}}, environment="test")
    (second,) = numbers(reader)["cachepolicy.config.info"].items()
    assert first[1] == second[1] == 1
    told = dict(first[0]), dict(second[0])
    assert told[0]["cachepolicy.policy"] != told[1]["cachepolicy.policy"]
    assert [one["cachepolicy.environment"] for one in told] == ["", "test"]


def test_the_hash_of_a_policy_tells_nothing_of_its_secrets(reader: InMemoryMetricReader) -> None:
    """Two policies that differ by a password alone have one hash: no password can be tried against it."""
    found = []
    for password in ("canary", "another"):
        configure(cache_policy(redis={"password": password}, url="redis://127.0.0.1:1"))
        found += list(numbers(reader)["cachepolicy.config.info"])
    assert found[0] == found[1]


def test_policies_that_replace_one_are_counted(reader: InMemoryMetricReader) -> None:
    """`config.reloads` counts what took a policy's place, and what was wrong and did not."""
    configure(cache_policy())
    before = _reloads(reader)
    configure(cache_policy(ttl="2h"))
    with pytest.raises(PolicyError):
        configure({"version": "none"})
    after = _reloads(reader)
    assert {outcome: after[outcome] - before[outcome] for outcome in after} == {"ok": 1, "rejected": 1}


def _reloads(reader: InMemoryMetricReader) -> dict[str, float]:
    found = numbers(reader)["cachepolicy.config.reloads"]
    return {dict(at)["cachepolicy.outcome"]: count for at, count in found.items()}
