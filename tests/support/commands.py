"""Commands of the command line, run as users run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import redis

from tests.support.source import ROOT

MODULE = "tests.support.explained"
_WORDS = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command came to."""

    code: int
    out: str
    err: str


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a command: nothing of the shell's but what finds the code."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **more}


def command(folder: Path, *words: str, typed: str = "", **variables: str) -> Ended:
    """Run one in a folder, and wait for its end."""
    done = subprocess.run(
        [sys.executable, "-m", "cachepolicy", *words],
        cwd=folder,
        env=environment(**variables),
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@dataclass
class Watched:
    """What a Redis was asked by clients about keys of an application: names of commands, and their keys."""

    app: str
    seen: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def add(self, line: str) -> None:
        """Take a line of MONITOR."""
        if " lua]" in line:
            return
        name, *words = _WORDS.findall(line)
        if name.startswith("EVAL"):
            keys = words[2 : 2 + int(words[1])]
        else:
            keys = [word for word in words if word.startswith(f"{self.app}:")]
        if keys and all(key.startswith(f"{self.app}:") for key in keys):
            self.seen.append(("EVALSHA" if name == "EVAL" else name, tuple(keys)))


@contextmanager
def monitored(url: str, app: str) -> Iterator[Watched]:
    """Watch what a Redis is asked."""
    watched = Watched(app)
    client = redis.Redis.from_url(url)
    teller = redis.Redis.from_url(url)
    with client.monitor() as monitor:

        def listen() -> None:
            while "the end" not in (line := str(monitor.connection.read_response())):
                watched.add(line.split("'", 1)[-1] if line.startswith("b'") else line)

        thread = Thread(target=listen, daemon=True)
        thread.start()
        yield watched
        teller.echo("the end")
        thread.join(10)
    teller.close()
    client.close()


def wait_for(process: subprocess.Popen[str], word: str, seconds: float = 20) -> None:
    """Wait until a process says something on a line of its own."""
    until = time.monotonic() + seconds
    assert process.stdout is not None
    while time.monotonic() < until:
        line = process.stdout.readline()
        if line.strip() == word:
            return
        if not line and process.poll() is not None:
            break
    raise AssertionError(f"it never said {word!r}")
