"""Clusters and watched masters: they come up in order, break as told, and leave nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest

from cachepolicy.testing.conversation import ask, wait_until
from cachepolicy.testing.redis_server import RedisServer, RedisServerError
from cachepolicy.testing.topologies import RedisCluster, RedisSentinel
from cachepolicy.tiers.endpoint import Endpoint


def test_a_cluster_serves_every_slot(redis_cluster: RedisCluster) -> None:
    """Each key has one master, which answers; the others say MOVED. The URL names all nodes."""
    assert len(Endpoint(redis_cluster.url).address.hosts) == len(redis_cluster.nodes) == 3
    owners = {redis_cluster.master_of(f"key-{index}").port for index in range(50)}
    assert owners == {node.port for node in redis_cluster.masters()}
    owner = redis_cluster.master_of("key")
    for node in redis_cluster.nodes:
        assert node.command("GET", "key").startswith(b"$" if node is owner else b"-MOVED")


def test_a_slot_that_moves_says_ask(redis_cluster: RedisCluster) -> None:
    """While a slot moves its keys are at the target and the master says ASK; then all is as it was."""
    owner = redis_cluster.master_of("moving")
    ask(owner, "SET", "moving", "value")
    with redis_cluster.migrating("moving") as target:
        assert owner.command("GET", "moving").startswith(b"-ASK")
        assert owner.command("GET", "moving").endswith(b":%d\r\n" % target.port)
        assert target.command("GET", "moving").startswith(b"-MOVED")
    assert owner.command("GET", "moving") == b"$5\r\nvalue\r\n"
    assert redis_cluster.master_of("moving") is owner


def test_a_slot_that_moved_says_moved(redis_cluster: RedisCluster) -> None:
    """After a move the former master says MOVED, and the new one has what was there."""
    owner = redis_cluster.master_of("moved")
    ask(owner, "SET", "moved", "value")
    target = redis_cluster.move_slot("moved")
    assert owner.command("GET", "moved").endswith(b":%d\r\n" % target.port)
    assert target.command("GET", "moved") == b"$5\r\nvalue\r\n"
    redis_cluster.move_slot("moved", owner)
    redis_cluster.wait_until_ok()
    assert owner.command("GET", "moved") == b"$5\r\nvalue\r\n"


def test_a_slot_that_moved_is_not_taken_back(redis_cluster: RedisCluster) -> None:
    """After a move no node has anything left to hear that could make it doubt the owner."""
    for node in redis_cluster.nodes:
        ask(node, "CLUSTER", "BUMPEPOCH")  # each by itself: the others hear of it within seconds
    target = redis_cluster.move_slot("moved")
    (rows,) = {frozenset(_rows(node)) for node in redis_cluster.nodes}
    epochs = {epoch: port for port, epoch, _ in rows}
    assert len(epochs) == len(rows) == 3
    assert epochs[max(epochs)] == target.port


def test_a_killed_master_is_replaced(redis_binary: str) -> None:
    """A replica takes the place of a killed master, with what was stored; the killed one comes back."""
    with RedisCluster(replicas=1, node_timeout=30.0) as cluster:
        assert len(cluster.nodes) == 6
        ask(cluster.master_of("key"), "SET", "key", "value")
        assert ask(cluster.master_of("key"), "WAIT", 1, 5000) == 1
        with _quick_to_fail_over(cluster):
            killed = cluster.kill_master_of("key")
            cluster.wait_until_ok()
        assert ask(cluster.master_of("key"), "GET", "key") == b"value"
        killed.start()
        cluster.wait_until_ok()
        assert cluster.master_of("key") is not killed
    assert not any(node.running or node.folder.exists() for node in cluster.nodes)


def test_sentinels_fail_over_when_told(redis_sentinel: RedisSentinel) -> None:
    """After a failover all sentinels name another master, the former one follows it."""
    address = Endpoint(redis_sentinel.url).address
    assert (len(address.hosts), address.service) == (3, "mymaster")
    before = redis_sentinel.master
    after = redis_sentinel.failover()
    assert after is not before
    assert redis_sentinel.master is after
    wait_until(
        lambda: before.command("SET", "k", "v").startswith(b"-READONLY"), 10.0, "it still takes writes"
    )
    redis_sentinel.wait_until_ok()


def test_sentinels_replace_a_killed_master(redis_binary: str) -> None:
    """A killed master is replaced by one of its replicas; closing leaves no process and no folder."""
    with RedisSentinel(replicas=2, down_after=30.0) as redis:
        _miss(redis, after=0.5)
        killed = redis.kill_master()
        master = redis.wait_for_another_master(killed)
        _miss(redis, after=30.0)
        assert ask(master, "SET", "key", "value") == b"OK"
        killed.start()
        redis.wait_until_ok()
    assert not any(one.running or one.folder.exists() for one in (*redis.nodes, *redis.sentinels))


def test_waiting_has_an_end() -> None:
    """What does not come about is an error that says what."""
    with pytest.raises(RedisServerError, match="never"):
        wait_until(lambda: False, 0.01, "never")


@contextmanager
def _quick_to_fail_over(cluster: RedisCluster) -> Iterator[None]:
    """Have a cluster take a silent node for lost soon; before and after, a busy machine may be silent."""
    _time_out(cluster, 1.0)
    yield
    _time_out(cluster, 30.0)


def _time_out(cluster: RedisCluster, after: float) -> None:
    for node in cluster.nodes:
        if node.running:
            ask(node, "CONFIG", "SET", "cluster-node-timeout", str(round(after * 1000)))


def _miss(redis: RedisSentinel, *, after: float) -> None:
    """Have the sentinels take a silent server for lost after so many seconds."""
    for sentinel in redis.sentinels:
        ask(sentinel, "SENTINEL", "SET", "mymaster", "down-after-milliseconds", str(round(after * 1000)))


def _rows(node: RedisServer) -> Iterator[tuple[int, int, str]]:
    """Give port, epoch and slots of all nodes, as one of them sees them."""
    for line in cast("bytes", ask(node, "CLUSTER", "NODES")).decode().splitlines():
        words = line.split()
        yield int(words[1].partition("@")[0].rpartition(":")[2]), int(words[6]), " ".join(words[8:])
