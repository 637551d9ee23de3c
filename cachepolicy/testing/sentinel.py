"""A private master with replicas, watched by sentinels: real ``redis-server`` processes on loopback.

>>> with RedisSentinel() as redis:                                  # doctest: +SKIP
...     configure({"redis": {"url": redis.url}, ...})
...     redis.failover()
"""

from __future__ import annotations

import contextlib
from typing import Final, Self, cast

from cachepolicy.testing.background import LOOPBACK
from cachepolicy.testing.conversation import ask, wait_until
from cachepolicy.testing.redis_server import RedisServer, RedisServerError

SERVICE: Final = "mymaster"
_FOLLOW: Final = ("--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0")
# Redis 7: sentinels that look about them ten times as often find each other at once. Redis 6 takes seconds.
# Four times PUBLISH-PERIOD is what a promoted replica is given before the others make it a replica again; the
# sentinel that promotes it looks once a second.
_HURRY: Final = ("INFO-PERIOD", "200", "PUBLISH-PERIOD", "400", "ASK-PERIOD", "100", "TILT-PERIOD", "1000")


class RedisSentinel:
    """One master, its replicas and the sentinels, from ``start`` (or ``with``) to ``close``.

    Args:
        replicas: how many.
        sentinels: how many; most of them must live for a failover.
        down_after: seconds after which a silent server is taken for lost.
    """

    def __init__(self, replicas: int = 1, sentinels: int = 3, down_after: float = 1.0) -> None:
        self._replicas = replicas
        self._quorum = sentinels // 2 + 1
        self._sentinels = sentinels
        self._down_after = down_after
        self.nodes: list[RedisServer] = []
        """The master of the beginning, then the replicas."""
        self.sentinels: list[RedisServer] = []

    @property
    def url(self) -> str:
        """What ``redis.url`` in a policy takes."""
        hosts = ",".join(f"{LOOPBACK}:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}"

    @property
    def master(self) -> RedisServer:
        """The master that a sentinel which lives would name now."""
        return self._named_by(next(sentinel for sentinel in self.sentinels if sentinel.running))

    def start(self) -> Self:
        """Start everything, and wait until the sentinels know each other and the replicas follow."""
        try:
            self.nodes.append(RedisServer(*_FOLLOW).start())
            master = ("--replicaof", LOOPBACK, str(self.nodes[0].port))
            for _ in range(self._replicas):
                self.nodes.append(RedisServer(*_FOLLOW, *master).start())
            for _ in range(self._sentinels):
                self.sentinels.append(RedisServer("--sentinel", config=self._config()).start())
                with contextlib.suppress(RedisServerError):
                    ask(self.sentinels[-1], "SENTINEL", "DEBUG", *_HURRY)
            self.wait_until_ok()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """End all processes and remove their folders."""
        for server in (*self.sentinels, *self.nodes):
            server.kill()
            server.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def failover(self) -> RedisServer:
        """Have the sentinels make a replica the master; returns it once all of them name it."""
        before = self.master
        sentinel = next(sentinel for sentinel in self.sentinels if sentinel.running)

        def begun() -> bool:
            try:
                ask(sentinel, "SENTINEL", "FAILOVER", SERVICE)
            except RedisServerError as refused:
                # It has not heard of its replicas for a moment, or the last failover is not over.
                if "NOGOODSLAVE" in str(refused) or "INPROG" in str(refused):
                    return False
                raise
            return True

        wait_until(begun, 20.0, "the sentinels know of no replica to promote")
        return self.wait_for_another_master(before)

    def kill_master(self) -> RedisServer:
        """Kill the master, and return it; the sentinels notice. ``start()`` brings it back."""
        master = self.master
        master.kill()
        return master

    def wait_for_another_master(self, before: RedisServer, timeout: float = 20.0) -> RedisServer:
        """Wait until all sentinels that live name another master than ``before``, and it takes writes."""

        def promoted() -> bool:
            named = {self._named_by(sentinel) for sentinel in self.sentinels if sentinel.running}
            return len(named) == 1 and before not in named and _role(named.pop()) == "master"

        wait_until(promoted, timeout, "the sentinels have not agreed on another master")
        return self.master

    def wait_until_ok(self, timeout: float = 30.0) -> None:
        """Wait until all sentinels know each other and every replica, and every replica follows."""
        wait_until(self._is_ok, timeout, "the sentinels are not in order")

    def _is_ok(self) -> bool:
        for sentinel in self.sentinels:
            row = cast("list[bytes]", ask(sentinel, "SENTINEL", "MASTER", SERVICE))
            known = dict(zip(row[::2], row[1::2], strict=True))
            if known[b"flags"] != b"master" or (
                int(known[b"num-other-sentinels"]) != self._sentinels - 1
                or int(known[b"num-slaves"]) != self._replicas
            ):
                return False
        linked = [
            node for node in self.nodes if b"master_link_status:up" in node.command("INFO", "replication")
        ]
        return len(linked) == self._replicas

    def _named_by(self, sentinel: RedisServer) -> RedisServer:
        _, port = cast("list[bytes]", ask(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE))
        return next(node for node in self.nodes if node.port == int(port))

    def _config(self) -> str:
        return (
            f"sentinel monitor {SERVICE} {LOOPBACK} {self.nodes[0].port} {self._quorum}\n"
            f"sentinel down-after-milliseconds {SERVICE} {round(self._down_after * 1000)}\n"
            f"sentinel failover-timeout {SERVICE} 5000\n"
        )


def _role(server: RedisServer) -> str:
    return cast("list[bytes]", ask(server, "ROLE"))[0].decode()
