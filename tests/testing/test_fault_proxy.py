"""The proxy that makes the network bad: each fault does what its name says, and goes when it is cleared."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress

import pytest

from cachepolicy.testing.fault_proxy import (
    BlackHole,
    Delay,
    Drip,
    Drop,
    FaultProxy,
    Fin,
    Garbage,
    HalfReply,
    Late,
    Refuse,
    Reset,
)
from cachepolicy.testing.redis_server import RedisServer
from tests.support.waiting import until

PATIENCE = 20.0  # what must come is waited for as long
SILENCE = 0.05  # what must not come is not waited for longer


@pytest.fixture
def proxy(redis_server: RedisServer, redis_url: str) -> Iterator[FaultProxy]:
    """Put a proxy in front of the shared server, emptied."""
    with FaultProxy(redis_url) as proxy:
        yield proxy


@pytest.fixture
def dial(proxy: FaultProxy) -> Iterator[Callable[[], socket.socket]]:
    """Connect by way of the proxy; the connections are closed after the test."""
    made: list[socket.socket] = []

    def connect() -> socket.socket:
        made.append(socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE))
        return made[-1]

    yield connect
    for connection in made:
        connection.close()


def _ask(connection: socket.socket, command: bytes = b"PING") -> bytes:
    connection.sendall(command + b"\r\n")
    return connection.recv(4096)


def _whole(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(4096), b""))


def _is_silent(connection: socket.socket) -> bool:
    connection.settimeout(SILENCE)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    else:
        return False
    finally:
        connection.settimeout(PATIENCE)


def test_a_healthy_network_changes_nothing(proxy: FaultProxy, dial: Callable[[], socket.socket]) -> None:
    """Without a fault a reply is the server's, small or large, and every byte is counted."""
    connection = dial()
    assert _ask(connection) == b"+PONG\r\n"
    value = bytes(3_000_000)
    connection.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n%b\r\n" % (len(value), value))
    assert connection.recv(4096) == b"+OK\r\n"
    connection.sendall(b"GET k\r\n")
    expected = b"$%d\r\n%b\r\n" % (len(value), value)
    received = bytearray()
    while len(received) < len(expected):
        received += connection.recv(1 << 20)
    assert received == expected
    (seen,) = proxy.connections
    assert seen.replies == len(b"+PONG\r\n+OK\r\n") + len(expected)
    assert seen.requests > len(value)
    assert seen.open


def test_the_url_is_the_upstreams_by_way_of_the_proxy() -> None:
    """User, password, scheme and path stay; host and port are the proxy's."""
    proxy = FaultProxy("rediss://me:secret@redis.example:6380/0")
    assert proxy.url == f"rediss://me:secret@127.0.0.1:{proxy.port}/0"
    proxy.close()


def test_a_unix_socket_can_be_behind_it(redis_binary: str) -> None:
    """A server that listens on a socket file is reached by TCP."""
    with RedisServer(unix=True) as server, FaultProxy(server.url) as proxy:
        assert proxy.url == f"redis://127.0.0.1:{proxy.port}"
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE) as connection:
            assert _ask(connection) == b"+PONG\r\n"


def test_refuse(proxy: FaultProxy, dial: Callable[[], socket.socket]) -> None:
    """Connecting is refused while it is set, at the same port it works again; what lives goes on."""
    connection = dial()
    assert _ask(connection) == b"+PONG\r\n"
    proxy.fault = Refuse()
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            dial()
    assert _ask(connection) == b"+PONG\r\n"
    proxy.fault = None
    assert _ask(dial()) == b"+PONG\r\n"


def test_drop(proxy: FaultProxy, dial: Callable[[], socket.socket]) -> None:
    """A new connection is made and ends before anything is said; what lives goes on."""
    connection = dial()
    assert _ask(connection) == b"+PONG\r\n"
    proxy.fault = Drop()
    assert dial().recv(1) == b""
    assert _ask(connection) == b"+PONG\r\n"
    assert [seen.open for seen in proxy.connections] == [True, False]


def test_black_hole(proxy: FaultProxy, dial: Callable[[], socket.socket], redis_server: RedisServer) -> None:
    """Old and new connections are swallowed: nothing is carried out, nothing answered, also not later."""
    old = dial()
    assert _ask(old) == b"+PONG\r\n"
    proxy.fault = BlackHole()
    new = dial()
    for connection in (old, new):
        connection.sendall(b"INCR n\r\n")
        assert _is_silent(connection)
    until(lambda: [seen.requests for seen in proxy.connections] == [14, 8], "both to be swallowed")
    proxy.fault = None
    assert redis_server.command("EXISTS", "n") == b":0\r\n"
    assert _ask(old) == _ask(new) == b"+PONG\r\n"
    assert [seen.requests for seen in proxy.connections] == [20, 14]


@pytest.mark.parametrize(
    ("fault", "carried_out"), [(Delay(math.inf), b":0\r\n"), (Late(math.inf), b":1\r\n")]
)
def test_delay_and_late_hold_until_they_are_cleared(
    proxy: FaultProxy,
    dial: Callable[[], socket.socket],
    redis_server: RedisServer,
    fault: Delay | Late,
    carried_out: bytes,
) -> None:
    """A delayed request is not carried out yet, one with a late reply is; cleared, both are answered."""
    connection = dial()
    assert _ask(connection) == b"+PONG\r\n"
    proxy.fault = fault
    connection.sendall(b"INCR n\r\n")
    until(lambda: proxy.connections[0].requests == 14, "it to arrive")
    until(lambda: redis_server.command("EXISTS", "n") == carried_out, "what is to be carried out")
    assert _is_silent(connection)
    assert redis_server.command("EXISTS", "n") == carried_out
    connection.sendall(b"INCR n\r\n")
    proxy.fault = None
    received = b""
    while len(received) < 8:
        received += connection.recv(4096)
    assert received == b":1\r\n:2\r\n"


@pytest.mark.parametrize("fault", [Delay(0.1), Late(0.1)])
def test_delays_do_not_add_up(
    proxy: FaultProxy, dial: Callable[[], socket.socket], fault: Delay | Late
) -> None:
    """Each piece is late by the time given, counted from when it came, not after the one before it."""
    connections = [dial() for _ in range(2)]
    for connection in connections:
        assert _ask(connection) == b"+PONG\r\n"
    proxy.fault = fault
    began = time.monotonic()
    for connection in connections:
        connection.sendall(b"PING\r\n")
    assert [connection.recv(64) for connection in connections] == [b"+PONG\r\n"] * 2
    assert time.monotonic() - began >= 0.1


def test_drip(proxy: FaultProxy, dial: Callable[[], socket.socket]) -> None:
    """A reply comes byte by byte; cleared, the rest comes at once."""
    connection = dial()
    assert _ask(connection) == b"+PONG\r\n"
    proxy.fault = Drip(0.005)
    began = time.monotonic()
    connection.sendall(b"PING\r\n")
    assert b"".join(connection.recv(1) for _ in range(7)) == b"+PONG\r\n"
    assert time.monotonic() - began >= 6 * 0.005
    proxy.fault = Drip(math.inf)
    assert _ask(connection) == b"+"
    assert _is_silent(connection)
    proxy.fault = None
    assert connection.recv(64) == b"PONG\r\n"


@pytest.mark.parametrize("then_close", [False, True])
def test_half_reply(proxy: FaultProxy, dial: Callable[[], socket.socket], then_close: bool) -> None:
    """Half of a reply comes, then silence for good, or the end."""
    connection = dial()
    proxy.fault = HalfReply(then_close)
    assert _ask(connection) == b"+PO"
    if then_close:
        assert connection.recv(64) == b""
    else:
        proxy.fault = None
        connection.sendall(b"PING\r\n")
        assert _is_silent(connection)


def test_garbage(proxy: FaultProxy, dial: Callable[[], socket.socket]) -> None:
    """Bytes that are no RESP, or any others, come in place of the reply."""
    connection = dial()
    proxy.fault = Garbage()
    assert _ask(connection)[:1] not in b"+-:$*_,#!=(%~>|"
    proxy.fault = Garbage(b"-LOADING\r\n")
    assert _ask(connection) == b"-LOADING\r\n"
    proxy.fault = None
    assert _ask(connection) == b"+PONG\r\n"


def test_fin(proxy: FaultProxy, dial: Callable[[], socket.socket], redis_server: RedisServer) -> None:
    """The request is carried out, and the connection ends in order without a reply."""
    connection = dial()
    proxy.fault = Fin()
    assert _ask(connection, b"INCR n") == b""
    assert redis_server.command("GET", "n") == b"$1\r\n1\r\n"


def test_reset(proxy: FaultProxy, dial: Callable[[], socket.socket], redis_server: RedisServer) -> None:
    """The request is carried out, and the connection is reset without a reply."""
    connection = dial()
    proxy.fault = Reset()
    with pytest.raises(ConnectionResetError):
        _ask(connection, b"INCR n")
    assert redis_server.command("GET", "n") == b"$1\r\n1\r\n"


@pytest.mark.parametrize("reset", [False, True])
def test_cut(proxy: FaultProxy, dial: Callable[[], socket.socket], reset: bool) -> None:
    """All that live end at once, in order or by a reset; the next connection works."""
    connections = [dial() for _ in range(3)]
    assert {_ask(connection) for connection in connections} == {b"+PONG\r\n"}
    proxy.cut(reset=reset)
    assert [seen.open for seen in proxy.connections] == [False] * 3
    for connection in connections:
        if reset:
            with pytest.raises(ConnectionResetError):
                connection.recv(64)
        else:
            assert connection.recv(64) == b""
    assert _ask(dial()) == b"+PONG\r\n"


def test_cut_does_not_wait_for_who_comes_back(proxy: FaultProxy) -> None:
    """Clients that come back at once, ever again, do not keep ``cut`` from ending."""
    over = threading.Event()

    def come_back() -> None:
        while not over.is_set():
            with suppress(OSError), socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
                while _ask(client):
                    pass

    clients = [threading.Thread(target=come_back) for _ in range(8)]
    for client in clients:
        client.start()
    try:
        cutting = Future[int]()
        threading.Thread(target=lambda: cutting.set_result(_cut_often(proxy, 20)), daemon=True).start()
        assert cutting.result(timeout=20) == 20
    finally:
        over.set()
        proxy.fault = Refuse()
        proxy.cut()
        for client in clients:
            client.join()


def _cut_often(proxy: FaultProxy, times: int) -> int:
    for _ in range(times):
        proxy.cut()
    return times


def test_the_server_hanging_up_is_passed_on(dial: Callable[[], socket.socket]) -> None:
    """What the server sent before it hung up arrives whole, and then the end."""
    connection = dial()
    connection.sendall(b"ECHO hello\r\nQUIT\r\n")
    assert _whole(connection) == b"$5\r\nhello\r\n+OK\r\n"


def test_a_server_that_is_down_ends_the_connection(redis_binary: str) -> None:
    """With nobody behind the proxy a connection is made, and ends at the first request."""
    with RedisServer() as server, FaultProxy(server.url) as proxy:
        server.kill()
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE) as connection:
            assert _ask(connection) == b""


def test_closing_leaves_nothing(redis_url: str) -> None:
    """Closed, also twice and under a delay, the proxy has no thread, no port and no connection."""
    before = set(threading.enumerate())
    proxy = FaultProxy(redis_url).start()
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE) as connection:
        proxy.fault = Delay(60)
        connection.sendall(b"PING\r\n")
        proxy.close()
        proxy.close()
        assert connection.recv(64) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE)
    assert "fault-proxy" not in {thread.name for thread in set(threading.enumerate()) - before}
