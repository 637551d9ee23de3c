"""Servers in trouble, each a real one: what the look names."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from cachepolicy import HealthState
from cachepolicy.runtime import current
from cachepolicy.testing.conversation import wait_until
from cachepolicy.testing.fault_proxy import BlackHole, FaultProxy
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.testing.topologies import RedisCluster, RedisSentinel
from cachepolicy.tiers.redis_sync import RedisSync
from tests.support.colour import SYNC, Colour
from tests.support.health import CACHE, Watching, states, wrong
from tests.support.waiting import until

_DEGRADED, _UNHEALTHY, _UNKNOWN = HealthState.DEGRADED, HealthState.UNHEALTHY, HealthState.UNKNOWN


def _fill(server: RedisServer, count: int = 400) -> None:
    for number in range(count):
        server.command("SET", f"filler:{number}", "x" * 10_000)


@pytest.fixture
def replica(own_redis: RedisServer) -> Iterator[RedisServer]:
    """A server that follows ``own_redis``."""
    own_redis.command("CONFIG", "SET", "repl-diskless-sync-delay", "0")
    with RedisServer("--replicaof", "127.0.0.1", str(own_redis.port)) as server:
        wait_until(
            lambda: b"master_link_status:up" in server.command("INFO", "replication"), 10.0, "no replica"
        )
        yield server


def test_memory_is_full(redis_binary: str, colour: Colour) -> None:
    """A server that may not evict and is full takes no writes: OOM is named, and memory is unhealthy."""
    with RedisServer("--maxmemory", "4mb", "--maxmemory-policy", "noeviction") as server:
        _fill(server)
        report = Watching(server.url, colour).look()
    assert report.status is _UNHEALTHY
    assert not report.ready
    assert "oom" in report.check("writable").detail
    assert report.check("writable").advice.startswith("raise maxmemory")
    assert report.check("memory").state is _UNHEALTHY
    assert report.memory_usage_percent is not None
    assert report.memory_usage_percent > 95


def test_sessions_are_evicted(redis_binary: str, colour: Colour) -> None:
    """A server that evicts is unhealthy where sessions lie, at the look after it did."""
    namespaces = {"llm": dict(CACHE), "sessions": {"kind": "sessions", "ttl": "1h"}}
    with RedisServer("--maxmemory", "4mb", "--maxmemory-policy", "allkeys-lru") as server:
        watching = Watching(server.url, colour, namespaces)
        assert watching.look().check("policy").state is _DEGRADED
        _fill(server)
        report = watching.look()
        assert report.check("eviction").state is _UNHEALTHY
        assert "sessions" in report.check("eviction").advice
        assert report.check("eviction").value
        assert watching.look().check("eviction").state is HealthState.HEALTHY  # nothing since


def test_a_full_cache_is_in_order(redis_binary: str, colour: Colour) -> None:
    """Where only caches lie, a server that evicts as it is told to is at worst degraded, however full."""
    namespaces = {"llm": {**CACHE, "eviction": {"redis": "allkeys-lru"}}}
    with RedisServer("--maxmemory", "4mb", "--maxmemory-policy", "allkeys-lru") as server:
        watching = Watching(server.url, colour, namespaces)
        watching.look()
        _fill(server)
        report = watching.look()
    assert report.ready
    assert wrong(report) == {"memory": _DEGRADED}
    assert report.check("eviction").value


def test_another_eviction_than_the_policy_counts_on(redis_binary: str, colour: Colour) -> None:
    """A cache whose server would refuse writes, where its policy counts on eviction, is degraded."""
    namespaces = {"llm": {**CACHE, "eviction": {"redis": "allkeys-lru"}}}
    with RedisServer("--maxmemory", "100mb", "--maxmemory-policy", "noeviction") as server:
        report = Watching(server.url, colour, namespaces).look()
    assert wrong(report) == {"policy": _DEGRADED}
    assert "allkeys-lru" in report.check("policy").advice


def test_a_replica(own_redis: RedisServer, replica: RedisServer, colour: Colour) -> None:
    """A replica takes no writes, and READONLY is named; without its master it is unhealthy besides."""
    watching = Watching(replica.url, colour)
    report = watching.look()
    assert "readonly" in report.check("writable").detail
    assert report.servers[0].role == "slave"
    assert report.check("replication").state is HealthState.HEALTHY
    own_redis.kill()
    wait_until(
        lambda: b"master_link_status:down" in replica.command("INFO", "replication"), 10.0, "still linked"
    )
    assert watching.look().check("replication").state is _UNHEALTHY


def test_a_master_loses_its_replica(own_redis: RedisServer, replica: RedisServer, colour: Colour) -> None:
    """A master tells of its replica's lag, and is degraded once when the replica has gone."""
    watching = Watching(own_redis.url, colour)
    check = watching.look().check("replication")
    assert (check.state, check.value is not None) == (HealthState.HEALTHY, True)
    replica.kill()
    wait_until(
        lambda: b"connected_slaves:0" in own_redis.command("INFO", "replication"), 10.0, "still linked"
    )
    assert watching.look().check("replication").state is _DEGRADED


def test_all_connections_are_taken(redis_binary: str, colour: Colour) -> None:
    """A server that refuses connections for their number is told by that cause; afterwards it was."""
    with RedisServer("--maxclients", "8") as server:
        watching = Watching(server.url, colour)
        watching.look()
        taken = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(8)]
        try:
            wait_until(lambda: b"max number" in server.command("PING"), 5.0, "there is still room")
            if colour.is_async:  # its connection ended with its loop
                assert "max_clients" in watching.look().check("reachable").detail
            else:
                assert watching.look().check("clients").state is _DEGRADED
        finally:
            for connection in taken:
                connection.close()
        wait_until(lambda: server.command("PING") == b"+PONG\r\n", 5.0, "there is no room yet")
        if colour.is_async:
            assert watching.look().check("clients").state is _DEGRADED


def test_an_acl_that_allows_little(own_redis: RedisServer, colour: Colour) -> None:
    """A user who may run no INFO, CONFIG, CLIENT or TIME is told what can be known: the rest is unknown."""
    own_redis.command(
        "ACL",
        "SETUSER",
        "app",
        "on",
        ">secret-word",
        "~health:*",
        "+hello",
        "+get",
        "+set",
        "+unlink",
        "+ping",
    )
    url = f"redis://app:secret-word@127.0.0.1:{own_redis.port}"
    report = Watching(url, colour).look()
    found = states(report.checks)
    assert report.status is HealthState.HEALTHY
    assert {found["reachable"], found["writable"]} == {HealthState.HEALTHY}
    assert {found[name] for name in ("clock", "memory", "errors", "clients", "scripts")} == {_UNKNOWN}
    assert report.ping_time_ms is not None
    assert "secret-word" not in repr(report)


def test_an_acl_that_forbids_writing(own_redis: RedisServer, colour: Colour) -> None:
    """A user who may not write is unhealthy, and the ACL is named."""
    own_redis.command("ACL", "SETUSER", "app", "on", ">pw", "~health:*", "+@all", "-set")
    report = Watching(f"redis://app:pw@127.0.0.1:{own_redis.port}", colour).look()
    assert report.check("writable").state is _UNHEALTHY
    assert "forbidden" in report.check("writable").detail


def test_a_wrong_password(redis_binary: str, colour: Colour) -> None:
    """A wrong password is unhealthy at once, and is not told."""
    with RedisServer("--requirepass", "right-word") as server:
        report = Watching(f"redis://:wrong-word@127.0.0.1:{server.port}", colour).look()
    assert report.check("reachable").state is _UNHEALTHY
    assert "auth" in report.check("reachable").detail
    assert "wrong-word" not in repr(report)


def test_a_server_that_loads(redis_binary: str, colour: Colour) -> None:
    """A server that loads what it kept answers, and takes nothing: LOADING is named."""
    options = ("--enable-debug-command", "yes", "--loading-process-events-interval-bytes", "1024")
    with RedisServer(*options) as server:
        watching = Watching(server.url, colour)
        assert watching.look().ready
        _fill(server, 600)
        server.command("CONFIG", "SET", "key-load-delay", "30000")  # µs for each key
        with socket.create_connection(("127.0.0.1", server.port)) as waiting:
            waiting.sendall(b"DEBUG RELOAD\r\n")
            wait_until(lambda: server.command("PING").startswith(b"-LOADING"), 10.0, "it does not load")
            check = watching.look().check("writable")
            server.command("CONFIG", "SET", "key-load-delay", "0")
        assert (check.state, check.detail) == (_UNHEALTHY, "a write fails: loading")


def test_a_disk_that_cannot_be_written(redis_binary: str, colour: Colour) -> None:
    """A server that could not save takes no writes: MISCONF is named, and persistence is degraded."""
    with RedisServer("--dbfilename", "taken.rdb", "--save", "3600 1") as server:
        (server.folder / "taken.rdb" / "folder").mkdir(parents=True)
        server.command("BGSAVE")
        wait_until(
            lambda: b"rdb_last_bgsave_status:err" in server.command("INFO", "persistence"), 10.0, "it saved"
        )
        report = Watching(server.url, colour).look()
        server.kill()  # it would not end before it has saved
    assert report.check("writable").detail == "a write fails: misconf"
    assert report.check("persistence").state is _DEGRADED


def test_commands_that_are_refused(own_redis: RedisServer, colour: Colour) -> None:
    """Refusals that are never in order are degraded, whoever met them."""
    watching = Watching(own_redis.url, colour)
    watching.look()
    own_redis.command("AUTH", "nobody", "knows")
    check = watching.look().check("errors")
    assert (check.state, "WRONGPASS 1" in check.detail) == (_DEGRADED, True)
    assert watching.look().check("errors").state is HealthState.HEALTHY


def test_scripts_made_for_each_call(own_redis: RedisServer, colour: Colour) -> None:
    """A server whose cache fills with scripts is degraded."""
    watching = Watching(own_redis.url, colour, health={"scripts": 20})
    assert watching.look().check("scripts").state is HealthState.HEALTHY
    for number in range(20):
        own_redis.command("EVAL", f"return {number}", "0")
    assert watching.look().check("scripts").state is _DEGRADED


def test_a_cluster(redis_cluster: RedisCluster, colour: Colour) -> None:
    """Each master of a cluster is a server of the report, and what is written reaches each."""
    for node in redis_cluster.masters():
        node.command("CONFIG", "RESETSTAT")  # others had keys expire there
    report = Watching(redis_cluster.url, colour).look()
    assert {server.address for server in report.servers} == {
        f"127.0.0.1:{node.port}" for node in redis_cluster.masters()
    }
    assert report.status is HealthState.HEALTHY
    assert [server.check("cluster").state for server in report.servers] == [HealthState.HEALTHY] * 3
    assert report.connected_clients == sum(server.connected_clients or 0 for server in report.servers)


def test_a_cluster_loses_a_master(redis_binary: str, colour: Colour) -> None:
    """A cluster that misses a master tells so at those that live, and of the one that does not answer."""
    with RedisCluster(node_timeout=30.0) as cluster:
        watching = Watching(cluster.url, colour)
        assert watching.look().ready
        for node in cluster.nodes:
            node.command("CONFIG", "SET", "cluster-node-timeout", "1000")
        lost = cluster.kill_master_of("a")
        others = [node for node in cluster.nodes if node is not lost]
        wait_until(
            lambda: all(b"cluster_state:fail" in node.command("CLUSTER", "INFO") for node in others),
            20.0,
            "nobody misses it",
        )
        report = watching.look()
        by_port = {server.address.rpartition(":")[2]: states(server.checks) for server in report.servers}
    assert by_port[str(lost.port)]["reachable"] is _DEGRADED
    assert {by_port[str(node.port)]["cluster"] for node in others} == {_UNHEALTHY}
    assert {by_port[str(node.port)]["reachable"] for node in others} == {HealthState.HEALTHY}


def test_a_sentinel(redis_sentinel: RedisSentinel, colour: Colour) -> None:
    """What sentinels name is looked at by their name for it, before and after a failover."""
    watching = Watching(redis_sentinel.url, colour)
    report = watching.look()
    (server,) = report.servers
    assert (server.address, server.role) == ("mymaster", "master")
    assert report.ready
    redis_sentinel.failover()
    redis_sentinel.wait_until_ok()
    report = watching.look()
    assert (report.ready, report.servers[0].role) == (True, "master")


def test_namespaces_with_a_redis_of_their_own(
    redis_url: str, redis_server: RedisServer, own_redis: RedisServer, colour: Colour
) -> None:
    """Each Redis of the policy is a server of the report; one that is silent hides nothing of the others."""
    with FaultProxy(own_redis.url) as proxy:
        namespaces = {
            "other": {**CACHE, "url": proxy.url},
            "llm": dict(CACHE),
            "ratelimit": {"kind": "ratelimit", "db": 2},
        }
        watching = Watching(redis_url, colour, namespaces, health={"timeout": "500ms", "failures": 1000})

        def seen() -> list[HealthState]:
            return [server.status for server in watching.look().servers]

        until(lambda: seen() == [HealthState.HEALTHY] * 2, "a look that is not held up")
        report = watching.again()
        assert [(server.address, server.namespaces) for server in report.servers] == [
            (f"127.0.0.1:{redis_server.port}", ("llm", "ratelimit")),
            (f"127.0.0.1:{proxy.port}", ("other",)),
        ]
        assert report.status is HealthState.HEALTHY
        proxy.fault = BlackHole()
        began = time.perf_counter()
        watching.look()
        assert time.perf_counter() - began < 0.5 + 8.0  # a busy machine may add to it; a deadline is ten
        until(lambda: seen() == [HealthState.HEALTHY, _DEGRADED], "a look that is not held up")
        report = watching.again()
    assert report.servers[0].redis_version
    assert report.check("reachable").server == f"127.0.0.1:{proxy.port}"


def test_nothing_is_left_behind(redis_server: RedisServer, redis_url: str, colour: Colour) -> None:
    """A look leaves no key."""
    Watching(redis_url, colour).look()
    assert redis_server.command("DBSIZE") == b":0\r\n"


def test_connections_of_threads(redis_url: str) -> None:
    """Threads that hold most of the process's connections are told as degraded."""
    watching = Watching(redis_url, SYNC, health={"timeout": "200ms"}, redis={"max_connections": 5})
    assert watching.look().check("pool").value == 0.0
    (site,) = current.current().health.sites()
    store = current.current().stores.sync_store(site)
    assert isinstance(store, RedisSync)
    permits = [store._pool.permit(1.0) for _ in range(4)]
    assert watching.look().check("pool").state is _DEGRADED
    permits.append(store._pool.permit(1.0))
    assert "backpressure" in watching.look().check("reachable").detail
    del permits
    check = watching.look().check("pool")
    assert check.state is HealthState.HEALTHY
