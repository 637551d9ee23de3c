"""The server that answers what it is told to."""

from __future__ import annotations

import socket
import threading

import pytest
import redis

from cachepolicy.testing.scripted import NULL, OK, Scripted, Words, bulk
from cachepolicy.tiers.resp import pack


def _ask(server: Scripted, *commands: tuple[str, ...]) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(b"".join(map(pack, commands)))
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(4096), b""))


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_client_is_at_home(protocol: int) -> None:
    """redis-py shakes hands, names itself, selects a database, in either version of the protocol."""
    with Scripted({"GET": bulk(b"value")}) as server:
        with redis.Redis(
            port=server.port, db=3, password="any", client_name="me", protocol=protocol
        ) as client:
            assert client.ping()
            assert client.get("key") == b"value"
        assert (b"SELECT", b"3") in server.heard
        assert server.heard[-1] == (b"GET", b"key")


def test_a_table_answers_by_name() -> None:
    """A command is found by its name, or more exactly by its first two words; others are unknown."""
    with Scripted({"GET": NULL, "CLIENT SETNAME": b"-NOPERM no\r\n"}) as server:
        said = _ask(server, ("get", "k"), ("CLIENT", "SETNAME", "me"), ("CLIENT", "ID"), ("PUT", "k"))
    assert said == NULL + b"-NOPERM no\r\n" + OK + b"-ERR unknown command\r\n"


def test_several_are_given_in_turn() -> None:
    """A sequence is used up, one reply a command, and its last stays."""
    with Scripted({"GET": [b"-LOADING wait\r\n", NULL]}) as server:
        said = _ask(server, *[("GET", "k")] * 3)
    assert said == b"-LOADING wait\r\n" + NULL + NULL


def test_a_function_sees_the_command() -> None:
    """A function makes the reply of the words, in a table or alone; None is silence, an error hangs up."""

    def answer(words: Words) -> bytes | None:
        if words[0] == b"QUIT":
            raise ConnectionError
        return bulk(words[-1]) if words[0] == b"ECHO" else None

    asked = [("SLEEP",), ("ECHO", "one"), ("QUIT",), ("ECHO", "two")]
    for script in (answer, {"ECHO": answer, "QUIT": answer, "SLEEP": answer}):
        with Scripted(script) as server:
            assert _ask(server, *asked) == bulk(b"one")


def test_answers_change_while_it_runs() -> None:
    """The table may be changed between two commands."""
    with Scripted({"GET": b"-CLUSTERDOWN down\r\n"}) as server:
        assert _ask(server, ("GET", "k")) == b"-CLUSTERDOWN down\r\n"
        server.answers["GET"] = NULL
        assert _ask(server, ("GET", "k")) == NULL


def test_closing_leaves_nothing() -> None:
    """Closed with a client connected, also twice, it has no thread, no port and no connection."""
    before = set(threading.enumerate())
    server = Scripted({}).start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(pack(["PING"]))
        assert connection.recv(64) == b"+PONG\r\n"
        server.close()
        server.close()
        assert connection.recv(64) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=20)
    assert "scripted-redis" not in {thread.name for thread in set(threading.enumerate()) - before}
