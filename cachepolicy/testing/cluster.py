"""A private Redis Cluster of real ``redis-server`` processes on loopback.

>>> with RedisCluster() as cluster:                                 # doctest: +SKIP
...     configure({"redis": {"url": cluster.url}, ...})
"""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import Generator
from typing import Any, Final, Self, cast

from cachepolicy.testing.background import LOOPBACK
from cachepolicy.testing.conversation import ask, bound_alone, wait_until
from cachepolicy.testing.redis_server import RedisServer, RedisServerError

SLOTS: Final = 16_384
_BUS: Final = 10_000  # the port of the nodes among themselves is so much higher
_PORTS: Final = range(12_000, 22_000)  # both ports below those that systems hand out
_ATTEMPTS: Final = 5


class RedisCluster:
    """Masters that share the slots evenly, each with replicas, from ``start`` (or ``with``) to ``close``.

    Args:
        masters: how many; at least three, or the loss of one could not be voted on.
        replicas: of each master.
        node_timeout: seconds after which a silent node is taken for lost. A short one makes a failover quick,
            and a busy machine prone to false ones.
    """

    def __init__(self, masters: int = 3, replicas: int = 0, node_timeout: float = 5.0) -> None:
        self._masters = masters
        self._replicas = replicas
        self._node_timeout = node_timeout
        self.nodes: list[RedisServer] = []
        """The masters of the beginning, then their replicas."""

    @property
    def url(self) -> str:
        """What ``redis.url`` in a policy takes."""
        return "redis+cluster://" + ",".join(f"{LOOPBACK}:{node.port}" for node in self.nodes)

    def start(self) -> Self:
        """Start the nodes, join them, and wait until all slots are served and all replicas follow."""
        try:
            for _ in range(self._masters * (1 + self._replicas)):
                self.nodes.append(self._start_node())
            self._join()
            self.wait_until_ok()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """End all nodes and remove their folders."""
        for node in self.nodes:
            node.kill()
            node.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def slot(self, key: str) -> int:
        """Tell which slot a key is in."""
        return cast("int", ask(self._any(), "CLUSTER", "KEYSLOT", key))

    def master_of(self, key: str) -> RedisServer:
        """Return the master that serves a key, as a node that lives sees it."""
        slot = self.slot(key)
        for first, last, port in _ranges(self._any()):
            if first <= slot <= last:
                return self._node(port)
        raise RedisServerError(f"nobody serves slot {slot}")

    def kill_master_of(self, key: str) -> RedisServer:
        """Kill the master that serves a key, and return it; ``start()`` brings it back."""
        master = self.master_of(key)
        master.kill()
        return master

    def move_slot(self, key: str, target: RedisServer | None = None) -> RedisServer:
        """Move the slot of a key, with all in it, to another master; the former one now answers MOVED."""
        self._settle()
        slot, source = self.slot(key), self.master_of(key)
        target = target or self._other_master(source)
        _open(slot, source, target)
        for node in (target, source):  # the others hear of it from the target
            ask(node, "CLUSTER", "SETSLOT", str(slot), "NODE", _id(target))
        self._settle()
        return target

    def _settle(self) -> None:
        """Wait until all nodes say the same of who owns what, and since which epoch.

        A master that takes a slot before it has heard of the epoch of the last move may claim it with one
        that is no greater: nobody has to believe that, and the masters point to each other.
        """
        wait_until(self._is_settled, 20.0, "the masters do not agree on who owns what")

    def _is_settled(self) -> bool:
        told = {_claims(node) for node in self._living()}
        claims = told.pop()
        return not told and len({epoch for epoch, _, _ in claims}) == len(claims)

    @contextlib.contextmanager
    def migrating(self, key: str) -> Generator[RedisServer]:
        """Begin to move the slot of a key: what it holds is at the target, and its master answers ASK.

        Gives the target; afterwards all is back where it was.
        """
        self._settle()
        slot, source = self.slot(key), self.master_of(key)
        target = self._other_master(source)
        _open(slot, source, target)
        try:
            yield target
        finally:
            ask(source, "CLUSTER", "SETSLOT", str(slot), "STABLE")
            _move_keys(slot, target, source)
            ask(target, "CLUSTER", "SETSLOT", str(slot), "STABLE")

    def masters(self) -> list[RedisServer]:
        """Return the nodes that serve slots now."""
        return [self._node(port) for port in sorted({port for _, _, port in _ranges(self._any())})]

    def wait_until_ok(self, timeout: float = 20.0) -> None:
        """Wait until every node that lives says that all slots are served, and knows the same masters."""
        wait_until(self._is_ok, timeout, "the cluster is not in order")

    def _is_ok(self) -> bool:
        living = self._living()
        served = {tuple(_ranges(node)) for node in living}
        return (
            len(served) == 1
            and sum(last - first + 1 for first, last, _ in served.pop()) == SLOTS
            and all(b"cluster_state:ok" in node.command("CLUSTER", "INFO") for node in living)
            and all(b"master_link_status:down" not in node.command("INFO", "replication") for node in living)
        )

    def _start_node(self) -> RedisServer:
        options = {
            "cluster-enabled": "yes",
            "cluster-config-file": "nodes.conf",
            "cluster-node-timeout": str(round(self._node_timeout * 1000)),
            "cluster-replica-validity-factor": "0",  # however old its data: a test waits for a failover
            "repl-diskless-sync": "yes",
            "repl-diskless-sync-delay": "0",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        for attempt in range(1, _ATTEMPTS + 1):
            node = RedisServer(*words, port=_free_pair())
            try:
                return node.start()
            except RedisServerError:  # somebody was quicker to take a port
                node.close()
                if attempt == _ATTEMPTS:
                    raise
        raise AssertionError

    def _join(self) -> None:
        masters, replicas = self.nodes[: self._masters], self.nodes[self._masters :]
        bounds = [SLOTS * index // self._masters for index in range(self._masters + 1)]
        for epoch, node in enumerate(self.nodes, start=1):
            ask(node, "CLUSTER", "SET-CONFIG-EPOCH", str(epoch))
        for node, first, end in zip(masters, bounds, bounds[1:], strict=False):
            ask(node, "CLUSTER", "ADDSLOTS", *map(str, range(first, end)))
        for node in self.nodes:
            for other in self.nodes:
                if other is not node:
                    ask(node, "CLUSTER", "MEET", LOOPBACK, str(other.port))
        for index, replica in enumerate(replicas):
            follows = functools.partial(_follows, replica, _id(masters[index % len(masters)]))
            wait_until(follows, 10.0, "a replica cannot follow its master")

    def _any(self) -> RedisServer:
        return self._living()[0]

    def _living(self) -> list[RedisServer]:
        return [node for node in self.nodes if node.running]

    def _node(self, port: int) -> RedisServer:
        return next(node for node in self.nodes if node.port == port)

    def _other_master(self, source: RedisServer) -> RedisServer:
        return next(node for node in self.masters() if node is not source)


def _open(slot: int, source: RedisServer, target: RedisServer) -> None:
    """Begin to move a slot: from here on the source says ASK for what it has no longer."""
    ask(target, "CLUSTER", "SETSLOT", str(slot), "IMPORTING", _id(source))
    ask(source, "CLUSTER", "SETSLOT", str(slot), "MIGRATING", _id(target))
    _move_keys(slot, source, target)


def _move_keys(slot: int, source: RedisServer, target: RedisServer) -> None:
    while keys := cast("list[bytes]", ask(source, "CLUSTER", "GETKEYSINSLOT", str(slot), "100")):
        ask(source, "MIGRATE", LOOPBACK, str(target.port), "", "0", "5000", "REPLACE", "KEYS", *keys)


def _claims(node: RedisServer) -> frozenset[tuple[int, str, tuple[str, ...]]]:
    """Return the epoch, id and slots of each master, as a node sees them; slots on the move are left out."""
    rows = [row.split() for row in cast("bytes", ask(node, "CLUSTER", "NODES")).decode().splitlines()]
    seen = [(int(row[6]), row[0], tuple(word for word in row[8:] if word[0] != "[")) for row in rows]
    return frozenset(claim for claim in seen if claim[2])


def _id(node: RedisServer) -> str:
    return cast("bytes", ask(node, "CLUSTER", "MYID")).decode()


def _ranges(node: RedisServer) -> list[tuple[int, int, int]]:
    """Return the first and last slot of each range, and the port of the master that serves it."""
    rows = cast("list[list[Any]]", ask(node, "CLUSTER", "SLOTS"))
    return sorted((int(row[0]), int(row[1]), int(row[2][1])) for row in rows)


def _follows(replica: RedisServer, master: str) -> bool:
    """Make a node a replica; it must have heard of the master before."""
    try:
        ask(replica, "CLUSTER", "REPLICATE", master)
    except RedisServerError:
        return False
    return True


def _free_pair() -> int:
    """Find a port that is free together with that of the bus."""
    while True:
        port = random.choice(_PORTS)  # noqa: S311 - no secret
        with contextlib.suppress(OSError), bound_alone(port), bound_alone(port + _BUS):
            return port
