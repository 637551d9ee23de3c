from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, Self

import pytest

from cachepolicy import Tier, cached, configure, observe
from cachepolicy.clock import SYSTEM
from cachepolicy.errors import Fault, StoreMisconfigured, StoreUnavailable
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.tiers import redis_sync
from cachepolicy.tiers.channel import Channel
from cachepolicy.tiers.commands import Command, Repeat, get, head, put
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.dial_sync import open_channel
from cachepolicy.tiers.endpoint import Endpoint
from cachepolicy.tiers.redis_sync import RedisSync
from cachepolicy.tiers.resp import pack
from tests.support.policies import cache_policy
from tests.support.source import ROOT

PATIENCE = 20.0
SLACK = (
    5.0  # seconds that a call may take on a busy machine; where a deadline does not hold it is ten and more
)
WELCOME = b"%2\r\n$5\r\nproto\r\n:3\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="signals, /proc and limits of Linux")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")

Talk = Callable[[socket.socket, int], object]


@contextmanager
def _leaf(url: str, db: int = 1, **settings: Any) -> Iterator[RedisSync]:
    store = redis_sync.connect(Place(Endpoint(url, **{"connect_timeout": PATIENCE, **settings}), db))
    try:
        yield store
    finally:
        store.close()


def test_a_connection_in_use_while_the_leaf_is_closed_ends_with_its_call(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not left to the garbage collector: a fault's traceback may hold what it was put back into."""
    opened: list[Channel] = []

    def refuse(*_: object) -> Channel:
        raise ConnectionRefusedError

    def close_meanwhile(*place: Any) -> Channel:
        opened.append(open_channel(*place))
        leaf.close()
        return opened[0]

    with _leaf(redis_url) as leaf:
        monkeypatch.setattr(redis_sync, "open_channel", refuse)
        with pytest.raises(StoreUnavailable) as refused:
            leaf.execute(get("key"), PATIENCE)
        monkeypatch.setattr(redis_sync, "open_channel", close_meanwhile)
        assert leaf.execute(get("key"), PATIENCE) is None
    assert opened[0]._socket.fileno() == -1
    assert refused.value.__traceback__ is not None


class Scripted:
    """A server that does as the test says: ``talk`` gets each connection, and its number."""

    def __init__(self, talk: Talk) -> None:
        self.ended = threading.Event()
        self.hung_up: list[int] = []
        self._talk = talk
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._connections: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for closing in (self._listener, *self._connections):
            closing.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            number = len(self._connections)
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection, number))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with suppress(OSError):
            self._talk(connection, number)
            while connection.recv(1 << 16):
                pass
        self.hung_up.append(number)


def _answer(connection: socket.socket, *replies: bytes) -> None:
    """Give one reply to each thing heard."""
    for reply in replies:
        if connection.recv(1 << 16):
            connection.sendall(reply)


def _replies(*replies: bytes) -> Talk:
    return lambda connection, number: _answer(connection, *replies)


def _timed(call: Callable[[], object]) -> tuple[StoreUnavailable, float]:
    began = SYSTEM.monotonic()
    with pytest.raises(StoreUnavailable) as refusal:
        call()
    return refusal.value, SYSTEM.monotonic() - began


def _until(condition: Callable[[], object]) -> None:
    deadline = SYSTEM.monotonic() + PATIENCE
    while not condition():
        assert SYSTEM.monotonic() < deadline
        select.select([], [], [], 0.005)


# one deadline


@pytest.mark.parametrize("place", ["greeting", "reply", "second reply"])
def test_a_deadline_holds_over_all_that_is_read(place: str) -> None:
    """C2: a server that sends a byte now and then costs a call its deadline, not that of each byte."""

    def talk(connection: socket.socket, number: int) -> None:
        if place != "greeting":
            _answer(connection, WELCOME, b"$-1\r\n")
        connection.recv(1 << 16)
        if place == "second reply":
            connection.sendall(b"$-1\r\n")
        for byte in b"$490\r\n" + b"x" * 490 + b"\r\n":  # ten seconds
            if server.ended.wait(0.02):
                return
            connection.sendall(bytes([byte]))

    with Scripted(talk) as server, _leaf(server.url, db=0) as store:
        if place != "greeting":
            assert store.execute(head("key"), PATIENCE) is None
        if place == "second reply":
            began = SYSTEM.monotonic()
            faults = store.execute_all([head("a"), head("b")], 0.1)
            took = SYSTEM.monotonic() - began
            assert [fault.fault for fault in faults] == [Fault.TIMEOUT] * 2
        else:
            fault, took = _timed(lambda: store.execute(head("key"), 0.1))
            assert fault.fault is Fault.TIMEOUT
            assert fault.sent == (place == "reply")  # a command whose greeting failed was never sent
        assert took < SLACK
        assert not store._pool.idle


def test_a_deadline_holds_over_all_that_is_written() -> None:
    """C2: a server that does not read cannot hold up a call that writes more than the buffers take."""
    silent, command = threading.Event(), put("key", bytes(1 << 24), 60)

    def talk(connection: socket.socket, number: int) -> None:
        _answer(connection, WELCOME)
        silent.wait(PATIENCE)

    with Scripted(talk) as server, _leaf(server.url, db=0) as store:
        try:
            fault, took = _timed(lambda: store.execute(command, 0.3))
        finally:
            silent.set()
        assert fault.fault is Fault.TIMEOUT
        assert took < SLACK


@needs_linux
def test_a_deadline_holds_over_connecting() -> None:
    """C2: a server whose queue of connections is full costs a call its deadline; nothing was sent."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        with _leaf(f"redis://127.0.0.1:{port}") as store:
            fault, took = _timed(lambda: store.execute(head("key"), 0.1))
        for filler in fillers:
            filler.close()
    assert (fault.fault, fault.sent) == (Fault.TIMEOUT, False)
    assert took < SLACK


def test_a_silent_sentinel_leaves_time_for_the_next(own_redis: RedisServer) -> None:
    """A sentinel that never answers takes its share of the deadline, so that the next one is asked."""
    master = f"*2\r\n$9\r\n127.0.0.1\r\n${len(str(own_redis.port))}\r\n{own_redis.port}\r\n".encode()
    with Scripted(_replies()) as silent, Scripted(_replies(WELCOME + master)) as sentinel:
        hosts = f"{silent.url.removeprefix('redis://')},{sentinel.url.removeprefix('redis://')}"
        with _leaf(f"redis+sentinel://{hosts}/main") as store:
            assert store.execute(head("key"), 4.0) is None


# slots and crossed replies


def _hammer(what: str, url: str) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.hammer", what, url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-3000:]}"
    report: dict[str, int] = json.loads(done.stdout)
    return report


@needs_linux
@pytest.mark.timeout(170)  # a count of exceptions, not a time: a busy machine takes longer
@pytest.mark.parametrize("what", ["signals", "keyboard", "threads"])
def test_exceptions_from_outside_cross_no_replies_and_leak_nothing(what: str, redis_url: str) -> None:
    """R5, P1, P6, P7: raised at any moment, from handlers or other threads, they cost no slot or descriptor.

    And no value is another key's, and the interpreter lives.
    """
    report = _hammer(what, redis_url)
    assert (report["wrong"], report["free"], report["descriptors"]) == (0, 2, 0)
    assert report["kept"] <= 2
    assert report["interrupted"] >= 100
    assert report["answered"] >= 100


@needs_linux
def test_running_out_of_descriptors_is_survived(redis_url: str) -> None:
    """Without a free descriptor a call is refused as unsent; with one again, the same leaf works."""
    assert _hammer("descriptors", redis_url) == {"refused": 5, "wrong": 0, "free": 2}


@needs_linux
def test_high_descriptors_work(redis_url: str) -> None:
    """A process with thousands of open files can use Redis: ``select`` would refuse its descriptors."""
    report = _hammer("high", redis_url)
    assert report["wrong"] == 0
    assert report["descriptor"] >= 1024


@needs_linux
@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("moment", ["greeting", "reply"])
def test_ctrl_c_in_flight_drops_the_connection(moment: str) -> None:
    """Ctrl-C is the caller's, at once; the connection that it cut is hung up, and the next call goes on."""
    main = threading.main_thread().ident

    def talk(connection: socket.socket, number: int) -> None:
        if number or moment == "reply":
            _answer(connection, WELCOME)
        if number:
            _answer(connection, b"$4\r\nnext\r\n")
        else:
            connection.recv(1 << 16)
            assert main is not None
            signal.pthread_kill(main, signal.SIGINT)

    with Scripted(talk) as server, _leaf(server.url, db=0, max_connections=1) as store:
        with pytest.raises(KeyboardInterrupt):
            store.execute(head("key"), PATIENCE)
        _until(lambda: server.hung_up == [0])
        assert store.execute(head("key"), PATIENCE) == b"next"


def test_more_threads_than_connections(own_redis: RedisServer) -> None:
    """Sixteen threads share four connections: each gets the values of its own keys, in bounded time."""
    with _leaf(own_redis.url, max_connections=4) as store:

        def work(thread: int) -> int:
            wrong = 0
            for number in range(100):
                key = f"key:{thread}:{number}"
                store.execute(put(key, key.encode() * 50, 60), PATIENCE)
                wrong += store.execute(head(key), PATIENCE) != key.encode() * 50
            return wrong

        with ThreadPoolExecutor(16) as threads:
            assert list(threads.map(work, range(16))) == [0] * 16
        listed = own_redis.command("CLIENT", "LIST").count(b"name=cachepolicy")
        assert 1 <= listed <= 4


# fork


@needs_linux
@needs_fork
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # 3.12 warns of forking beside threads
def test_a_fork_shares_no_connection(own_redis: RedisServer) -> None:
    """P4: child and parent go on at once, no value is wrong, and the parent's connections stay open."""
    configure(cache_policy(own_redis.url, local={"enabled": False}, redis={"deadline": "10s"}))

    @cached("answers")
    def answer(question: str) -> str:
        return f"answer to {question}"

    def ask(who: str) -> int:
        questions = [f"{who}{number % 30}" for number in range(300)]
        return sum(answer(question) != f"answer to {question}" for question in questions)

    assert ask("before") == 0
    mine = _connections(own_redis)
    child = os.fork()
    if child == 0:
        wrong = 255
        try:
            wrong = min(ask("child") + ask("before"), 254)
        finally:
            os._exit(wrong)
    assert ask("parent") + ask("before") == 0
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert mine <= _connections(own_redis)
    with observe() as seen:
        assert ask("before") == 0
    assert {(one.tier, one.fault) for one in seen} == {(Tier.L2, None)}


def _connections(server: RedisServer) -> set[bytes]:
    lines = server.command("CLIENT", "LIST").splitlines()
    return {line.split()[0] for line in lines if b"name=cachepolicy" in line}


# idle connections


@pytest.mark.parametrize("how", ["killed", "restarted", "timed out"])
def test_an_idle_connection_that_the_server_closed_is_no_error(own_redis: RedisServer, how: str) -> None:
    """What the server hung up while it was idle is noticed before it is used."""
    with _leaf(own_redis.url) as store:
        store.execute(put("key", b"value", 60), PATIENCE)
        channel = store._pool.idle[-1]
        if how == "timed out":
            own_redis.command("CONFIG", "SET", "timeout", "1")
        elif how == "killed":
            own_redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        elif how == "restarted":
            own_redis.restart()
        assert select.select([channel._socket], [], [], PATIENCE)[0]
        own_redis.command("CONFIG", "SET", "timeout", "0")
        assert store.execute(head("key"), PATIENCE) == (None if how == "restarted" else b"value")
        assert channel not in store._pool.idle


def test_unread_bytes_on_an_idle_connection_are_never_an_answer(redis_url: str) -> None:
    """P1: a connection with a reply that nobody read is dropped, not used."""
    with _leaf(redis_url) as store:
        store.execute(put("one", b"value of one", 60), PATIENCE)
        store.execute(put("two", b"value of two", 60), PATIENCE)
        channel = store._pool.idle[-1]
        channel._socket.sendall(pack(("GET", "one")))
        assert select.select([channel._socket], [], [], PATIENCE)[0]
        assert store.execute(head("two"), PATIENCE) == b"value of two"
        assert channel not in store._pool.idle


def test_a_reply_too_many_is_never_an_answer() -> None:
    """P1: where a server sent more than was asked for in one piece, the rest is not kept for the next."""

    def talk(connection: socket.socket, number: int) -> None:
        _answer(connection, WELCOME, b"$3\r\nown\r\n$5\r\nother\r\n", b"$5\r\nwrong\r\n")

    with Scripted(talk) as server, _leaf(server.url, db=0) as store:
        assert store.execute(head("one"), PATIENCE) == b"own"
        assert store.execute(head("two"), PATIENCE) == b"own"  # the first of a new connection
        assert len(server.hung_up) <= 2


def test_a_reply_of_the_wrong_kind_drops_the_connections() -> None:
    """A connection that answers a GET with a number is out of step: it is not used again."""

    def talk(connection: socket.socket, number: int) -> None:
        _answer(connection, WELCOME, b":1\r\n" if number == 0 else b"$5\r\nright\r\n")

    with Scripted(talk) as server, _leaf(server.url, db=0) as store:
        with pytest.raises(StoreUnavailable) as refusal:
            store.execute(head("key"), PATIENCE)
        assert refusal.value.fault is Fault.PROTOCOL
        assert store.execute(head("key"), PATIENCE) == b"right"


def test_a_push_is_no_reply() -> None:
    """What the server says unasked, on RESP3, is not taken for the answer."""
    push = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\nkey\r\n"
    with (
        Scripted(_replies(push + WELCOME + push, push + b"$5\r\nvalue\r\n")) as server,
        _leaf(server.url, db=0) as store,
    ):
        (reply,) = _channel(store).ask(pack(("GET", "key")), 1, SYSTEM.monotonic() + PATIENCE)
        assert reply == b"value"


def _channel(store: RedisSync) -> Channel:
    """Return a connection that was greeted."""
    channel = open_channel(store._place, None, SYSTEM.monotonic() + PATIENCE)
    store._pool.idle.append(channel)  # closed with the leaf
    return channel


# servers that are not what they were


def test_readonly_drops_the_connections(own_redis: RedisServer) -> None:
    """A master that became a replica is left: the next connection looks for the new one."""
    with _leaf(own_redis.url) as store:
        store.execute(put("key", b"value", 60), PATIENCE)
        own_redis.command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(StoreUnavailable) as refusal:
            store.execute(put("key", b"value", 60), PATIENCE)
        assert refusal.value.fault is Fault.READONLY
        assert not store._pool.idle


def test_a_connection_that_is_logged_out_is_dropped(own_redis: RedisServer) -> None:
    """NOAUTH on a connection that worked: the next one logs in."""
    with _leaf(own_redis.url, password="secret") as store:
        assert store.execute(head("key"), PATIENCE) is None
        own_redis.command("CONFIG", "SET", "requirepass", "secret")
        assert store.execute(Command(("RESET",), "", bool, Repeat.ONCE), PATIENCE)
        with pytest.raises(StoreMisconfigured) as refusal:
            store.execute(head("key"), PATIENCE)
        assert refusal.value.fault is Fault.AUTH
        assert store.execute(head("key"), PATIENCE) is None


def test_a_huge_value_passes(own_redis: RedisServer) -> None:
    """64 MiB are written and read whole, if the deadline lets them."""
    value = os.urandom(1 << 20) * 64
    with _leaf(own_redis.url) as store:
        store.execute(put("key", value, 60), PATIENCE)
        assert store.execute(get("key"), PATIENCE) == value


def test_each_of_several_has_an_error_of_its_own() -> None:
    """Where a round trip fails as a whole, no two share an object: tracebacks grow when raised."""
    with socket.socket() as silent:  # it does not listen
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        with _leaf(f"redis://127.0.0.1:{port}") as store:
            faults: list[Any] = store.execute_all([head("a"), head("b"), head("c")], PATIENCE)
    assert [(fault.fault, fault.sent) for fault in faults] == [(Fault.REFUSED, False)] * 3
    assert len(set(map(id, faults))) == 3


def test_it_works_without_poll(own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no ``poll``, ``select`` does: in time, in full, and for a closed connection."""
    monkeypatch.delattr(select, "poll")
    value = bytes(1 << 22)
    with _leaf(own_redis.url) as store:
        store.execute(put("key", value, 60), PATIENCE)
        assert store.execute(get("key"), PATIENCE) == value
        channel = store._pool.idle[-1]
        own_redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert select.select([channel._socket], [], [], PATIENCE)[0]
        assert store.execute(head("absent"), PATIENCE) is None
        own_redis.pause()
        try:
            fault, took = _timed(lambda: store.execute(head("key"), 0.1))
        finally:
            own_redis.resume()
        assert fault.fault is Fault.TIMEOUT
        assert took < SLACK


def test_a_leaf_that_was_closed_refuses_nobody(own_redis: RedisServer) -> None:
    """Closing drops connections; a caller that comes later is served on a new one, which is not kept."""
    with _leaf(own_redis.url) as store:
        store.execute(put("key", b"value", 60), PATIENCE)
        store.close()
        assert store.execute(head("key"), PATIENCE) == b"value"
        assert len(store._pool.idle) == 0
