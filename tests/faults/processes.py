"""Rows of the server: it is gone, does not run, or refuses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import fakeredis
from redis.exceptions import NoScriptError, ResponseError

from cachepolicy.testing.redis_server import RedisServer, RedisServerError
from cachepolicy.testing.scripted import NULL, OK, Scripted, Words, bulk
from tests.faults.harness import Rig, Row, Scene, Servers
from tests.support.waiting import until

Play = Callable[[Servers], AbstractContextManager[Scene]]


@contextmanager
def _down_at_start(_: Servers) -> Iterator[Scene]:
    with RedisServer() as server:
        server.kill()
        yield Scene(server.url, lambda _: None, lambda _: server.start())


@contextmanager
def _killed(_: Servers) -> Iterator[Scene]:
    with RedisServer() as server:
        yield Scene(server.url, lambda _: server.kill(), lambda _: server.start())


@contextmanager
def _stopped(_: Servers) -> Iterator[Scene]:
    with RedisServer() as server:
        yield Scene(server.url, lambda _: server.pause(), lambda _: server.resume())


def _told(begin: list[str], end: list[str], *start: str) -> Play:
    """Have a server do as commands say; ``;`` parts them."""

    @contextmanager
    def scene(_: Servers) -> Iterator[Scene]:
        with RedisServer(*start) as server:

            def tell(commands: list[str]) -> None:
                for command in commands:
                    reply = server.command(*command.split())
                    assert not reply.startswith(b"-"), reply

            yield Scene(server.url, lambda _: tell(begin), lambda _: tell(end))

    return scene


@contextmanager
def _loading(_: Servers) -> Iterator[Scene]:
    slow = ("--key-load-delay", "300", "--loading-process-events-interval-bytes", "1024")
    with RedisServer(*slow) as server:

        def begin(_: Rig) -> None:
            fill = "for i = 1, 40000 do redis.call('SET', 'key:' .. i, string.rep('x', 20)) end"
            server.command("EVAL", fill, "0")
            assert server.command("SAVE") == b"+OK\r\n"
            server.kill()
            server._launch()
            until(lambda: _ping(server).startswith(b"-LOADING"), "a server that loads")

        def end(_: Rig) -> None:
            assert server.command("CONFIG", "SET", "key-load-delay", "0") == b"+OK\r\n"
            until(lambda: _ping(server) == b"+PONG\r\n", "a server that has loaded")

        yield Scene(server.url, begin, end)


def _ping(server: RedisServer) -> bytes:
    try:
        return server.command("PING")
    except OSError:
        return b""


@contextmanager
def _misconf(_: Servers) -> Iterator[Scene]:
    with RedisServer() as server:

        def begin(_: Rig) -> None:
            (server.folder / "dump.rdb").mkdir(exist_ok=True)  # so that a snapshot fails
            assert server.command("CONFIG", "SET", "save", "3600 1") == b"+OK\r\n"
            server.command("BGSAVE")
            until(lambda: b"bgsave_status:err" in server.command("INFO", "persistence"), "a failed snapshot")

        yield Scene(server.url, begin, lambda _: server.command("CONFIG", "SET", "save", ""))


class Shelf:
    """What a scripted server keeps, in one database however many are asked for: a Redis in this process."""

    COMMANDS: Final = ("GET", "GETRANGE", "SET", "EXISTS", "UNLINK", "EVAL", "EVALSHA")

    def __init__(self) -> None:
        self._redis = fakeredis.FakeRedis()
        self._redis.response_callbacks.clear()
        self._execute: Callable[..., object] = self._redis.execute_command
        self._lock = threading.Lock()

    def answers(self) -> dict[str, Callable[[Words], bytes]]:
        """Return its answers."""
        return dict.fromkeys(self.COMMANDS, self._answer)

    def count(self, pattern: str) -> int:
        """Count keys."""
        return len(self._redis.keys(pattern))

    def _answer(self, words: Words) -> bytes:
        with self._lock:
            try:
                return _laid_out(self._execute(*words))
            except NoScriptError:
                return b"-NOSCRIPT No matching script. Please use EVAL.\r\n"
            except ResponseError as error:
                return f"-ERR {error}\r\n".encode()


def _laid_out(reply: object) -> bytes:
    match reply:
        case None:
            return NULL
        case bool():
            return OK
        case int():
            return b":%d\r\n" % reply
        case bytes():
            return bulk(reply)
        case list():
            return b"*%d\r\n" % len(reply) + b"".join(map(_laid_out, reply))
        case _:
            return OK


def _answers(error: str, *commands: str) -> Play:
    """Have a server answer commands with an error."""

    @contextmanager
    def scene(_: Servers) -> Iterator[Scene]:
        healthy: Mapping[str, Any] = Shelf().answers()
        with Scripted(healthy) as server:
            bad = dict.fromkeys(commands or healthy, f"-{error}\r\n".encode())
            yield Scene(
                server.url, lambda _: server.answers.update(bad), lambda _: server.answers.update(healthy)
            )

    return scene


@contextmanager
def _failover(servers: Servers) -> Iterator[Scene]:
    watched = servers.sentinel
    assert watched is not None
    former: list[RedisServer] = []

    def fail_over() -> bool:
        before = watched.master
        try:
            watched.failover()
        except RedisServerError as refusal:
            assert "NOGOODSLAVE" in str(refusal)  # noqa: PT017 - the replica has not told yet how it is
            return False
        former.append(before)
        return True

    def follows() -> bool:
        try:
            return former[-1].command("ROLE").startswith(b"*5")
        except OSError:  # sentinels hang up on the clients of a master that they make a replica
            return False

    def end(_: Rig) -> None:
        until(follows, "the former master to follow")

    yield Scene(watched.url, lambda _: until(fail_over, "a failover"), end)


_MAXMEMORY = "CONFIG SET maxmemory"
_REPLICA, _MASTER = "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"

GROUP: Final = "The server"
ROWS: Final = (
    Row("down at start", _down_at_start, frozenset({"refused"}), at_start=True),
    Row("`kill -9` under load", _killed, frozenset({"lost", "refused", "timeout"}), busy=True),
    Row("`SIGSTOP`", _stopped, frozenset({"timeout"})),
    Row("`SIGSTOP` under load", _stopped, frozenset({"timeout"}), busy=True),
    Row(
        "`maxmemory` reached, `noeviction`",
        _told([f"{_MAXMEMORY} 1"], [f"{_MAXMEMORY} 0"], "--maxmemory-policy", "noeviction"),
        frozenset({"oom"}),
    ),
    Row("`READONLY`: it became a replica", _told([_REPLICA], [_MASTER]), frozenset({"readonly"})),
    Row(
        "`MASTERDOWN`: a replica without its master",
        _told(["CONFIG SET replica-serve-stale-data no", _REPLICA], [_MASTER]),
        frozenset({"masterdown", "readonly"}),
    ),
    Row("`LOADING`", _loading, frozenset({"loading", "refused", "lost", "timeout"})),
    Row("`MISCONF`: it cannot write its snapshots", _misconf, frozenset({"misconf"})),
    Row(
        "`NOREPLICAS`: too few replicas",
        _told(["CONFIG SET min-replicas-to-write 1"], ["CONFIG SET min-replicas-to-write 0"]),
        frozenset({"noreplicas"}),
    ),
    Row(
        "`MOVED`, on a server that is no cluster's",
        _answers("MOVED 1 127.0.0.1:1"),
        frozenset({"redirected"}),
    ),
    Row("`ASK`, on a server that is no cluster's", _answers("ASK 1 127.0.0.1:1"), frozenset({"redirected"})),
    Row("`CLUSTERDOWN`", _answers("CLUSTERDOWN The cluster is down"), frozenset({"clusterdown"})),
    Row(
        "`CROSSSLOT`",
        _answers("CROSSSLOT Keys in request don't hash to the same slot"),
        frozenset({"crossslot"}),
    ),
)
WATCHED: Final = (
    Row(
        "failover by sentinels",
        _failover,
        frozenset({"lost", "readonly", "refused", "timeout"}),
        heals=True,
        busy=True,
    ),
)
