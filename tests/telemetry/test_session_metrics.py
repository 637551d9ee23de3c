"""``active_sessions`` and ``session_duration_seconds``: for the whole fleet, and nobody waits for them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint

from cachepolicy import SessionManager, close, configure
from cachepolicy.errors import Fault
from cachepolicy.flow.stores import Stores
from cachepolicy.runtime import current
from cachepolicy.runtime.census import MOST_PENDING
from cachepolicy.testing.faulty_store import FaultyServer, Trouble
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.testing.topologies import RedisCluster
from cachepolicy.tiers.commands import Command
from tests.support.colour import Colour
from tests.support.keeping import spent
from tests.support.metered import exported_metrics
from tests.support.policies import PATIENT
from tests.support.waiting import until

SESSIONS = SessionManager()


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryMetricReader]:
    """Read metrics of a provider of this test's own, with nothing counted before."""
    with exported_metrics(monkeypatch) as reader:
        yield reader


def _use(url: str, telemetry: bool = True) -> None:
    configure(
        {
            "version": 1,
            "app": "test",
            "redis": {"url": url, **PATIENT},
            "telemetry": {"enabled": telemetry},
            "namespaces": {"sessions": {"kind": "sessions", "max_per_user": 100}},
        }
    )


class Doing:
    """Verbs in one colour, in turn, on one loop."""

    def __init__(self, colour: Colour) -> None:
        self._colour = colour

    def __call__(self, *steps: Any) -> list[Any]:
        """Do steps, each a verb and its arguments."""
        if not self._colour.is_async:
            return [verb.sync(*arguments) for verb, *arguments in steps]

        async def later() -> list[Any]:
            try:
                return [await verb(*arguments) for verb, *arguments in steps]
            finally:
                await current.current().stores.aclose()  # of this loop; the policy stays open

        return asyncio.run(later())


def _read(reader: InMemoryMetricReader) -> tuple[int | None, dict[str, tuple[int, float]]]:
    """Return how many live, and by outcome how many ended and how long they lived together."""
    data = reader.get_metrics_data()
    living: int | None = None
    durations: dict[str, tuple[int, float]] = {}
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    labels = dict(point.attributes or {})
                    if metric.name == "active_sessions":
                        assert labels == {"cachepolicy.namespace": "sessions"}
                        assert isinstance(point, NumberDataPoint)
                        living = int(point.value)
                    elif metric.name == "session_duration_seconds":
                        assert isinstance(point, HistogramDataPoint)
                        assert labels.pop("cachepolicy.namespace") == "sessions"
                        durations[str(labels.pop("cachepolicy.outcome"))] = point.count, point.sum
                        assert labels == {}
    return living, durations


@pytest.mark.parametrize("where", ["memory", "redis", "cluster"])
def test_sessions_that_live_are_counted(
    colour: Colour, reader: InMemoryMetricReader, where: str, redis_url: str, redis_cluster: RedisCluster
) -> None:
    """O3: `active_sessions` follows logins, logouts, revocations and logging out everywhere."""
    for node in redis_cluster.masters():
        node.command("FLUSHALL")
    url = {"memory": "memory://", "redis": redis_url, "cluster": redis_cluster.url}[where]
    _use(url)
    do = Doing(colour)
    made = do(*[(SESSIONS.create_session, user) for user in ("ada", "ada", "ada", "bob", "bob")])
    do((SESSIONS.create_anonymous,))
    until(lambda: _read(reader)[0] == 6, "six sessions")
    assert do((SESSIONS.end_session, made[0].token)) == [True]
    assert do((SESSIONS.revoke_session, "bob", made[3].session.id)) == [True]
    until(lambda: _read(reader)[0] == 4, "four sessions")
    do((SESSIONS.revoke_others, made[1].token))
    until(lambda: _read(reader)[0] == 3, "three sessions")
    do((SESSIONS.revoke_all, "bob"))
    until(lambda: _read(reader)[0] == 2, "two sessions")
    until(lambda: _read(reader)[1].get("ended", (0, 0))[0] == 4, "four durations")
    _, seconds = _read(reader)[1]["ended"]
    assert 0 <= seconds < 120


def test_the_number_is_that_of_the_fleet(
    colour: Colour, reader: InMemoryMetricReader, redis_url: str
) -> None:
    """O3: a process that has made none tells of the sessions that others made."""
    _use(redis_url)
    do = Doing(colour)
    do(*[(SESSIONS.create_session, user) for user in range(5)])
    until(lambda: _read(reader)[0] == 5, "five sessions")
    close()
    _use(redis_url)  # as another process would
    assert do((SESSIONS.get_session, None)) == [None]
    until(lambda: _read(reader)[0] == 5, "five sessions")


def test_without_a_collector_nothing_is_told(colour: Colour, own_redis: RedisServer) -> None:
    """O1: where nothing collects metrics a verb costs its one script, and closing costs nothing."""
    _use(own_redis.url)
    do = Doing(colour)
    (made,) = do((SESSIONS.create_session, "ada"))
    own_redis.command("CONFIG", "RESETSTAT")
    do(*[(SESSIONS.get_session, made.token)] * 50)
    close()
    counted = spent(own_redis)
    assert (counted["evalsha"], counted["time"]) == (50, 50)
    assert not {"zadd", "zcount"} & counted.keys()


def test_telemetry_that_is_off_counts_nothing(
    colour: Colour, reader: InMemoryMetricReader, redis_url: str, redis_server: RedisServer
) -> None:
    """`telemetry: {enabled: false}` leaves no trace of it in Redis, nor in metrics."""
    _use(redis_url, telemetry=False)
    Doing(colour)((SESSIONS.create_session, "ada"))
    assert _read(reader) == (None, {})
    assert b"active" not in redis_server.command("KEYS", "*")


def test_a_collector_never_waits_for_redis(
    colour: Colour, reader: InMemoryMetricReader, own_redis: RedisServer
) -> None:
    """C1: while Redis hangs a collection takes no longer, and tells no number that is none."""
    _use(own_redis.url)
    Doing(colour)((SESSIONS.create_session, "ada"))
    until(lambda: _read(reader)[0] == 1, "one session")
    own_redis.pause()
    try:
        began = time.monotonic()
        for _ in range(5):
            _read(reader)
        assert time.monotonic() - began < 4.0  # of a deadline of five
    finally:
        own_redis.resume()
    until(lambda: _read(reader)[0] == 1, "one session")


def test_counting_that_fails_fails_no_verb(
    colour: Colour, reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C1: whatever becomes of the counting, verbs do what they do; what was not told is told later."""
    is_out = True
    server = FaultyServer(
        lambda command: Trouble(Fault.OOM) if is_out and ":active:" in command.key else None
    )
    for name, connect in (("_connect_sync", server.connect_sync), ("_connect_async", server.connect_async)):
        monkeypatch.setattr(Stores, name, lambda _, place, connect=connect: connect(place.db))
    _use("memory://")
    do = Doing(colour)
    (made,) = do((SESSIONS.create_session, "ada"))
    errors = current.current().sessions.store("sessions", "").records.counters.errors
    until(lambda: _read(reader)[0] is None and errors["oom"] > 0, "a fault")
    assert do((SESSIONS.get_session, made.token))[0] == made.session
    is_out = False
    until(lambda: _read(reader)[0] == 1, "one session")


def test_closing_waits_for_what_is_under_way(
    reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts in the background has ended when `close()` returns: it opens no connection after that."""
    entered, released = threading.Event(), threading.Event()

    def hold(command: Command[Any]) -> None:
        if ":active:" in command.key:
            entered.set()
            released.wait(10)

    server = FaultyServer(hold)
    monkeypatch.setattr(Stores, "_connect_sync", lambda _, place: server.connect_sync(place.db))
    _use("memory://")
    SESSIONS.create_session.sync("ada")
    _read(reader)
    assert entered.wait(10)
    closing = threading.Thread(target=close)
    closing.start()
    closing.join(0.1)
    assert closing.is_alive()
    released.set()
    closing.join(10)
    assert not closing.is_alive()
    assert current.current().stores._sync == {}
    assert _read(reader)[0] is None


def test_what_a_parent_heard_is_the_parents(reader: InMemoryMetricReader) -> None:
    """A process that is forked tells nothing that its parent heard: nothing is told twice."""
    _use("memory://")
    SESSIONS.create_session.sync("ada")
    census = current.current().sessions.store("sessions", "").events
    assert len(census._pending) == 1  # type: ignore[attr-defined] # it is what is told
    current.current().after_fork()
    assert not census._pending  # type: ignore[attr-defined] # as above


def test_a_process_that_nobody_collects_from_holds_little(reader: InMemoryMetricReader) -> None:
    """What waits to be told is bounded: a process whose metrics nobody reads does not grow."""
    _use("memory://")
    census = current.current().sessions.store("sessions", "").events
    for number in range(MOST_PENDING + 500):
        census.began("A" * 24, f"{number:016}", 1.0, 2.0)
    assert len(census._pending) == MOST_PENDING  # type: ignore[attr-defined] # it is what is bounded
