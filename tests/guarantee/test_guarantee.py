"""``guarantee``: what a server may evict is refused where the policy says so, and told loudly elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from cachepolicy import ManualClock, PolicyError
from cachepolicy.errors import StoreUnavailable
from cachepolicy.telemetry import faults
from cachepolicy.testing.conversation import ask
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.testing.topologies import RedisCluster
from cachepolicy.tiers.maxmemory import Maxmemory, maxmemory
from tests.support.colour import Colour
from tests.support.keeping import KINDS, User, keep, set_memory, spent

EVICTING = [
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
]
MUST_STAY = [kind for kind in KINDS if kind != "cache"]
LIMIT = "100mb"


@pytest.fixture(scope="module")
def _server(redis_binary: str) -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def server(_server: RedisServer) -> RedisServer:
    """Give a server that evicts nothing until a test says otherwise, emptied; nothing is counted yet."""
    set_memory(_server, "0", "noeviction")
    _server.command("FLUSHALL")
    _server.command("CONFIG", "RESETSTAT")
    faults.errors("kept").clear()
    return _server


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and "namespace kept:" in record.getMessage()
    ]


@pytest.mark.parametrize("policy", EVICTING)
@pytest.mark.parametrize("kind", KINDS)
def test_required_is_refused_where_keys_may_be_evicted(
    colour: Colour, server: RedisServer, kind: str, policy: str
) -> None:
    """S1: with `guarantee: required` the first use raises under each evicting policy, and writes nothing."""
    set_memory(server, LIMIT, policy)
    keep(server.url, kind, "required")
    for refused in User(colour, kind).use(3):
        assert isinstance(refused, PolicyError)
        assert str(refused).startswith("namespace kept: guarantee: required, but its Redis may evict")
        assert f"maxmemory-policy {policy})" in str(refused)
        assert "set maxmemory-policy noeviction there, or give the namespace a Redis of its own" in str(
            refused
        )
    assert server.command("DBSIZE") == b":0\r\n"
    assert faults.errors("kept")["evictable"] == 1


@pytest.mark.parametrize(
    ("limit", "policy"), [(LIMIT, "noeviction"), ("0", "allkeys-lru"), ("0", "volatile-ttl")]
)
@pytest.mark.parametrize("kind", KINDS)
def test_required_is_served_where_nothing_is_evicted(
    colour: Colour,
    server: RedisServer,
    kind: str,
    limit: str,
    policy: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """S1: a server without a limit, or that refuses writes instead of evicting, is as good as promised."""
    set_memory(server, limit, policy)
    keep(server.url, kind, "required")
    assert not [use for use in User(colour, kind).use(2) if isinstance(use, Exception)]
    assert server.command("DBSIZE") != b":0\r\n"
    assert _warnings(caplog) == []
    assert not faults.errors("kept")


@pytest.mark.parametrize("policy", EVICTING)
@pytest.mark.parametrize("kind", MUST_STAY)
def test_without_it_one_warning_is_loud(
    colour: Colour, server: RedisServer, kind: str, policy: str, caplog: pytest.LogCaptureFixture
) -> None:
    """S1: with `best_effort` calls go on; one warning says what may be lost, and how to mend it."""
    set_memory(server, LIMIT, policy)
    keep(server.url, kind, "best_effort")
    for _ in range(2):
        assert not [use for use in User(colour, kind).use(3) if isinstance(use, Exception)]
    (told,) = _warnings(caplog)
    assert f"(maxmemory-policy {policy})" in told
    assert "noeviction" in told
    assert faults.errors("kept") == {"evictable": 1}


def test_a_cache_may_be_evicted(
    colour: Colour, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A cache is made to be evicted: unless the policy asks, its server is not even looked at."""
    set_memory(server, LIMIT, "allkeys-lru")
    keep(server.url, "cache", "best_effort")
    assert User(colour, "cache").use(2) == ["key-1", "key-2"]
    assert _warnings(caplog) == []
    assert "info" not in spent(server)


@pytest.mark.parametrize("guarantee", ["required", "best_effort"])
@pytest.mark.parametrize(
    ("kind", "command"), [("cache", "getrange"), ("ratelimit", "evalsha"), ("sessions", "set")]
)
def test_a_use_costs_no_round_trip_more(
    colour: Colour, server: RedisServer, kind: str, command: str, guarantee: str
) -> None:
    """Of fifty uses one asks the server for its policy, and the next fifty cost what they cost without."""
    keep(server.url, kind, guarantee)
    user = User(colour, kind)
    user.use(50)
    assert spent(server).get("info", 0) == (kind != "cache" or guarantee == "required")
    server.command("CONFIG", "RESETSTAT")
    user.again()  # with the same keys, so that a cache has them
    assert not [use for use in user.use(50) if isinstance(use, Exception)]
    counted = spent(server)
    assert counted[command] == 50
    assert "info" not in counted


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_operator_mends_is_seen(colour: Colour, server: RedisServer, kind: str) -> None:
    """A refusal is no verdict for ever: after a moment the server is asked again, and not at every call."""
    time = ManualClock()
    set_memory(server, LIMIT, "volatile-lru")
    keep(server.url, kind, "required", clock=time.clock)
    user = User(colour, kind)
    assert all(isinstance(refused, PolicyError) for refused in user.use(5))
    assert spent(server)["info"] == 1
    set_memory(server, LIMIT, "noeviction")
    assert isinstance(user.use()[0], PolicyError)
    time.advance(1.5)
    assert not [use for use in user.use(2) if isinstance(use, Exception)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_does_not_tell_is_no_guarantee(colour: Colour, server: RedisServer, kind: str) -> None:
    """S1: a user who may not run INFO is refused with what to grant; once it is granted, calls are served."""
    time = ManualClock()
    _without_info(server)
    keep(server.url, kind, "required", clock=time.clock, redis={"username": "app", "password": "pass"})
    user = User(colour, kind)
    (refused,) = user.use()
    assert isinstance(refused, PolicyError)
    assert "+info" in str(refused)
    assert "or say guarantee: best_effort" in str(refused)
    assert faults.errors("kept") == {"evictable.unknown": 1}
    server.command("ACL", "SETUSER", "app", "+info")
    time.advance(1.5)
    assert not [use for use in user.use(2) if isinstance(use, Exception)]


@pytest.mark.parametrize("kind", MUST_STAY)
def test_a_server_that_does_not_tell_is_told_of_once(
    colour: Colour, server: RedisServer, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Where INFO is forbidden and nothing is required, calls go on, and one warning says what to grant."""
    _without_info(server)
    keep(server.url, kind, "best_effort", redis={"username": "app", "password": "pass"})
    assert not [use for use in User(colour, kind).use(20) if isinstance(use, Exception)]
    (told,) = _warnings(caplog)
    assert "+info" in told
    assert faults.errors("kept") == {"evictable.unknown": 1}


def _without_info(server: RedisServer) -> None:
    user = ("app", "reset", "on", ">pass", "~*", "&*", "+@all", "-info")
    assert server.command("ACL", "SETUSER", *user) == b"+OK\r\n"


@pytest.fixture
def one_bad(redis_cluster: RedisCluster) -> Iterator[RedisCluster]:
    """Give the shared cluster with one master that evicts."""
    for node in redis_cluster.masters():
        ask(node, "FLUSHALL")
        ask(node, "CONFIG", "RESETSTAT")
    set_memory(redis_cluster.masters()[1], LIMIT, "allkeys-lfu")
    faults.errors("kept").clear()
    yield redis_cluster
    set_memory(redis_cluster.masters()[1], "0", "noeviction")


@pytest.mark.parametrize("kind", KINDS)
def test_every_master_of_a_cluster_is_asked(colour: Colour, one_bad: RedisCluster, kind: str) -> None:
    """S1: one of three masters that evicts is enough to refuse, wherever the key of the first call is."""
    keep(one_bad.url, kind, "required")
    for refused in User(colour, kind).use(6):
        assert isinstance(refused, PolicyError)
        assert "allkeys-lfu" in str(refused)
    assert [ask(node, "DBSIZE") for node in one_bad.masters()] == [0, 0, 0]


def test_masters_of_a_cluster_are_asked_once(
    colour: Colour, one_bad: RedisCluster, caplog: pytest.LogCaptureFixture
) -> None:
    """Beside the first call each master is asked once; later calls ask nothing, and one warning is given."""
    keep(one_bad.url, "ratelimit", "best_effort")
    assert not [use for use in User(colour, "ratelimit").use(60) if isinstance(use, Exception)]
    assert [spent(node).get("info") for node in one_bad.masters()] == [1, 1, 1]
    assert len(_warnings(caplog)) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_memory_in_the_process_evicts_nothing(
    colour: Colour, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """``memory://`` is as good as promised: first runs and unit tests are never refused, nor warned."""
    keep("memory://", kind, "required")
    assert not [use for use in User(colour, kind).use(2) if isinstance(use, Exception)]
    assert _warnings(caplog) == []


def test_a_server_that_is_out_is_a_fault_and_no_verdict(colour: Colour, own_redis: RedisServer) -> None:
    """S1: while a server cannot be asked a call raises the fault; once it is back it is asked first."""
    time = ManualClock()
    set_memory(own_redis, LIMIT, "allkeys-lru")
    own_redis.stop()
    keep(own_redis.url, "sessions", "required", clock=time.clock)
    user = User(colour, "sessions")
    assert isinstance(user.use()[0], StoreUnavailable)
    own_redis.start()
    set_memory(own_redis, LIMIT, "allkeys-lru")
    time.advance(5)
    assert isinstance(user.use()[0], PolicyError)
    assert own_redis.command("DBSIZE") == b":0\r\n"


def test_c1_a_cache_whose_server_is_out_goes_on(colour: Colour, own_redis: RedisServer) -> None:
    """C1: a cache that must not be evicted asks its function while its server cannot be asked about it."""
    time = ManualClock()
    set_memory(own_redis, LIMIT, "allkeys-lru")
    keep(own_redis.url, "cache", "required", clock=time.clock)
    own_redis.stop()
    user = User(colour, "cache")
    assert user.use(3) == ["key-1", "key-2", "key-3"]
    own_redis.start()
    set_memory(own_redis, LIMIT, "allkeys-lru")
    time.advance(5)
    assert isinstance(user.use()[0], PolicyError)


@pytest.mark.parametrize("on_fault", ["allow", "deny", "local"])
def test_a_limit_whose_server_is_out_does_as_on_fault_says(
    colour: Colour, own_redis: RedisServer, on_fault: str
) -> None:
    """Q5: a server that is out is no refusal of the policy: the decision is made as `on_fault` says."""
    own_redis.stop()
    keep(own_redis.url, "ratelimit", "required", on_fault=on_fault)
    (decision,) = User(colour, "ratelimit").use()
    assert (decision.allowed, decision.degraded) == (on_fault != "deny", True)


@pytest.mark.parametrize(
    ("info", "told"),
    [
        (b"# Memory\r\nmaxmemory:5\r\nmaxmemory_policy:volatile-lrm\r\n", True),
        (b"maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n", False),
        (b"maxmemory_policy:noeviction\r\n", False),
        (b"maxmemory:5\r\n", None),
        (b"maxmemory_policy:allkeys-lru\r\n", None),
        (b"", None),
        (b"maxmemory:lots\r\nmaxmemory_policy:allkeys-lru\r\n", None),
        (b"maxmemory:5\r\nmaxmemory_policy:\xff secret\r\n", None),
    ],
)
def test_a_field_that_is_left_out_is_not_known(info: bytes, told: bool | None) -> None:
    """Managed services leave fields of INFO out: what is not told is not known, and never taken for good."""
    found: Maxmemory = maxmemory("").read(info)
    assert found.evicts is told
