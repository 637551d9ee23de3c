"""``cachepolicy top``: frames of a real Redis and a fleet, and a terminal that is left as it was."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cachepolicy import close, configure
from cachepolicy.__main__ import main
from cachepolicy.cli import top_gather
from cachepolicy.cli.asking import in_use
from cachepolicy.cli.top_gather import Watcher
from cachepolicy.runtime import current
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.tiers.commands import head, put
from tests.support.commands import environment, monitored
from tests.support.fleet_member import Member
from tests.support.fleet_policy import fleet_policy


@pytest.fixture
def policy(own_redis: RedisServer, tmp_path: Path) -> Iterator[str]:
    """Use a policy over a real Redis that nobody else has used, with a fleet that counts."""
    yield fleet_policy(tmp_path, own_redis.url)
    close()


def frame(capsys: pytest.CaptureFixture[str], policy: str) -> Any:
    """Return one frame, as JSON."""
    capsys.readouterr()
    assert main(["top", "--json", "--policy", policy]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_frame_tells_of_fleet_and_servers(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Hit rates by tier, savings, denials, memory, ping, latency and breakers are in one frame."""
    me = Member(policy, is_async=False)
    me.call(10)
    me.say(5)
    close()
    found = frame(capsys, policy)
    answers = found["fleet"]["usage"][0]["answers"]
    assert (answers["l1"] + answers["l2"], answers["shared"], answers["origin"]) == (5, 0, 5)
    assert found["fleet"]["limits"][0]["exceeded"] == 3
    assert float(found["fleet"]["savings"][0]["cost"]) > 0
    (server,) = found["servers"]
    assert (server["breaker"], server["trouble"]) == ("closed", [])
    assert server["ping_ms"] > 0
    assert server["memory_mb"] > 0
    assert server["clients"] >= 1
    assert {"evalsha"} <= {command["name"] for command in server["commands"]} or len(server["commands"]) == 5
    assert sum(command["micros"] for command in server["commands"]) > 0  # some take less than one


def test_without_a_fleet_the_servers_are_told_of(
    own_redis: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where processes count nothing, what the server tells is there all the same, and it is said why."""
    policy = fleet_policy(tmp_path, own_redis.url, on=False)
    assert main(["top", "--once", "--policy", policy]) == 0
    out = capsys.readouterr().out
    assert "fleet_stats: true" in out
    assert "Servers" in out
    assert "healthy" in out
    assert frame(capsys, policy)["fleet"] is None


class _Options:
    policy: str
    environment = None


def test_rates_are_of_what_happened_in_between(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second frame tells what came since the first: its misses are not outweighed by hits of before."""
    monkeypatch.setattr(top_gather, "FLEET_EVERY", 0.0)
    options: Any = _Options()
    options.policy = policy
    with in_use(options) as runtime:
        watcher = Watcher(runtime)
        home = runtime.site("llm", runtime.loaded.policy.namespaces["llm"])
        store = runtime.stores.sync_io(home).store
        store.execute(put("shop:llm:something", b"something", 60), 5)
        for _ in range(200):
            store.execute(head("shop:llm:something"), 5)
        first = watcher.frame()
        assert (first.servers[0].per_second, first.calls_per_second) == (None, None)
        for _ in range(50):
            store.execute(head("shop:llm:nothing"), 5)
        second = watcher.frame()
    (server,) = second.servers
    assert server.per_second is not None
    assert server.per_second > 0
    assert server.hit_rate is not None
    assert server.hit_rate < 0.5
    busiest = server.commands[0]
    assert (busiest.name, busiest.per_second is not None) == ("getrange", True)


def test_looking_costs_redis_little(
    policy: str, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame asks a server at most a dozen things; the fleet's counts are not read for each."""
    monkeypatch.setattr(top_gather, "FLEET_EVERY", 3600.0)  # however long the frames take
    options: Any = _Options()
    options.policy = policy
    with in_use(options) as runtime:
        watcher = Watcher(runtime)
        watcher.frame()
        with monitored(own_redis.url, "shop") as seen:
            for _ in range(5):
                watcher.frame()
    assert len(seen.seen) <= 5 * 4, seen.seen


def test_a_server_that_is_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A server that cannot be reached is a row that says so, and no error of the command."""
    policy = fleet_policy(tmp_path, "redis://127.0.0.1:1", on=False)
    (server,) = frame(capsys, policy)["servers"]
    assert server["status"] == "unhealthy"
    assert any("reachable" in trouble for trouble in server["trouble"])
    memory = fleet_policy(tmp_path, "memory://", on=False)
    assert main(["top", "--once", "--policy", memory]) == 1
    assert "has no server" in capsys.readouterr().err


class Terminal:
    """A terminal with ``cachepolicy top`` in it."""

    def __init__(self, policy: str, *words: str) -> None:
        self.master, self.end = pty.openpty()
        self.size(40, 140)
        self.before = termios.tcgetattr(self.end)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cachepolicy", "top", "--policy", policy, *words],
            stdin=self.end,
            stdout=self.end,
            stderr=self.end,
            env=environment(TERM="xterm", HOME="/"),
            start_new_session=True,
        )
        self.seen = ""

    def size(self, rows: int, columns: int) -> None:
        """Have it so large."""
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, word: str, seconds: float = 20) -> None:
        """Read until something is shown."""
        self.seen, last = "", time.monotonic() + seconds
        while word not in self.seen:
            assert time.monotonic() < last, f"{word!r} was never shown: {self.seen[-2000:]!r}"
            if select.select([self.master], [], [], 0.2)[0]:
                self.seen += os.read(self.master, 65536).decode(errors="replace")

    def ended(self, seconds: float = 20) -> int | None:
        """Read until it has ended, for who is not read from cannot end; return its exit code."""
        last = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < last:
            if select.select([self.master], [], [], 0.05)[0]:
                os.read(self.master, 65536)
        return self.process.poll()

    def close(self) -> None:
        """End what is left."""
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.end)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("key", [b"q", b"\x03"], ids=["q", "Ctrl-C"])
def test_it_lives_in_a_terminal(key: bytes, policy: str) -> None:
    """It draws anew as its window changes, ends on q or Ctrl-C, and leaves the terminal as it was."""
    configure(policy)
    current.close()
    terminal = Terminal(policy, "--interval", "1s")
    try:
        terminal.until("q: quit")
        assert "Servers" in terminal.seen
        terminal.size(40, 60)
        terminal.until("q: quit")
        if key == b"\x03":
            terminal.process.send_signal(2)
        else:
            os.write(terminal.master, key)
        assert terminal.ended() == 0
        assert termios.tcgetattr(terminal.end)[3] == terminal.before[3]
    finally:
        terminal.close()


def test_too_often_is_refused() -> None:
    """Looks less than a second apart are refused: every one asks every server."""
    with pytest.raises(SystemExit, match="2"):
        main(["top", "--interval", "100ms"])
