"""Faults of many servers at once: masters that die, slots that move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Final

from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.testing.topologies import RedisCluster, RedisSentinel
from tests.faults.harness import KNOWN, Rig, Row, Scene, Servers

NODE_TIMEOUT: Final = 1.0  # seconds until servers agree that one of them is lost


@contextmanager
def _cluster_master_killed(_: Servers) -> Iterator[Scene]:
    with RedisCluster(replicas=1, node_timeout=NODE_TIMEOUT) as cluster:
        for node in cluster.nodes:
            node.command("CONFIG", "SET", "cluster-require-full-coverage", "no")
        yield Scene(
            cluster.url,
            lambda rig: cluster.kill_master_of(rig.answer.key("known 0")),
            lambda _: cluster.wait_until_ok(),
        )


@contextmanager
def _watched_master_killed(_: Servers) -> Iterator[Scene]:
    killed: list[RedisServer] = []
    with RedisSentinel(replicas=1) as watched:
        yield Scene(
            watched.url,
            lambda _: killed.append(watched.kill_master()),
            lambda _: watched.wait_for_another_master(killed[-1]),
        )


def _moving(
    begin: Callable[[RedisCluster, list[str], ExitStack], None],
) -> Callable[[Servers], AbstractContextManager[Scene]]:
    """Make a scene in which slots move under the keys that are asked for."""

    @contextmanager
    def scene(_: Servers) -> Iterator[Scene]:
        with RedisCluster() as cluster, ExitStack() as opened:

            def move(rig: Rig) -> None:
                begin(cluster, [rig.answer.key(f"known {number}") for number in range(KNOWN)], opened)

            yield Scene(cluster.url, move, lambda _: opened.close())

    return scene


def _move(cluster: RedisCluster, keys: list[str], _: ExitStack) -> None:
    for key in keys:
        cluster.move_slot(key)


def _migrate(cluster: RedisCluster, keys: list[str], opened: ExitStack) -> None:
    for key in {cluster.slot(key): key for key in keys}.values():
        opened.enter_context(cluster.migrating(key))


_LOST: Final = frozenset({"lost", "refused", "timeout", "clusterdown", "readonly", "masterdown"})
_SPLIT: Final = _LOST | {"tryagain"}  # a script over an entry and its lease, unless both have been moved

GROUP: Final = "Many servers"
ROWS: Final = (
    Row("cluster: a master killed under load", _cluster_master_killed, _LOST, busy=True),
    Row("sentinels: the master killed under load", _watched_master_killed, _LOST, busy=True),
    Row("cluster: `MOVED`, slots moved under load", _moving(_move), _SPLIT, heals=True, busy=True),
    Row("cluster: `ASK`, slots migrating under load", _moving(_migrate), _SPLIT, heals=True, busy=True),
)
