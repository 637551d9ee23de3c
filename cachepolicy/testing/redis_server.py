"""A private, real ``redis-server``: started on a free port or a unix socket, gone with its owner.

>>> with RedisServer() as server:                                   # doctest: +SKIP
...     configure({"redis": {"url": server.url}, ...})
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Self

from cachepolicy.clock import SYSTEM
from cachepolicy.testing.background import LOOPBACK, bound
from cachepolicy.tiers import server
from cachepolicy.tiers.endpoint import Host
from cachepolicy.tiers.server import NoRedisServer, RedisServerError, find_redis_server

__all__ = ["NoRedisServer", "RedisServer", "RedisServerError", "find_redis_server"]

_PORT_ATTEMPTS = 5
_POLL = 0.005
_PATIENCE = 20.0  # seconds for one command: a busy machine may leave a server alone for a while
_PROCESS = re.compile(rb"\bprocess_id:(\d+)")

_running: weakref.WeakSet[RedisServer] = weakref.WeakSet()


class RedisServer:
    """One redis-server process, for one owner.

    It keeps nothing on disk unless told to by ``extra``: configuration as the command line takes it,
    ``RedisServer("--maxmemory", "2mb", "--requirepass", "x")``. ``unix=True`` listens on a socket file only.
    ``config`` is the text of a configuration file, which the server may rewrite. Without ``port`` a free one
    is found at the start. ``binary`` is another server than ``find_redis_server()`` names, such as Valkey's.
    """

    def __init__(
        self,
        *extra: str,
        unix: bool = False,
        start_timeout: float = 30.0,
        port: int = 0,
        config: str | None = None,
        binary: str | None = None,
    ) -> None:
        self.folder: Path = Path(tempfile.mkdtemp(prefix="cachepolicy-redis-"))
        self.socket_path: Path | None = self.folder / "redis.sock" if unix else None
        self.port: int = port
        self._remove_folder = weakref.finalize(self, _remove, self.folder, os.getpid())
        self._give_port_back: Callable[[], object] = _nothing
        self._owner = os.getpid()
        self._binary = binary or find_redis_server()
        self._extra = extra
        self._config = config
        self._start_timeout = start_timeout
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What ``redis.url`` in a policy takes."""
        return f"unix://{self.socket_path}" if self.socket_path else f"redis://{LOOPBACK}:{self.port}/0"

    @property
    def running(self) -> bool:
        """Tell whether it was started, and neither stopped nor killed since."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._running_process().pid

    @property
    def log(self) -> str:
        """All the server has printed."""
        return server.last_words(self.folder)

    def start(self) -> Self:
        """Start the server and wait until it answers; a server that runs already is left alone."""
        if self._process is not None:
            return self
        same_address = self.port or self.socket_path
        for _ in range(1 if same_address else _PORT_ATTEMPTS):
            if not same_address:
                self._take_port()
            self._launch()
            if self._answers():
                return self
            self.kill()
            if "in use" not in self.log:
                break
        if not same_address:
            self.port = 0
        raise RedisServerError(f"{self._binary} gave no answer; it said:\n{self.log[-2000:]}")

    def stop(self) -> None:
        """Ask the server to end (SIGTERM) and wait for it; insist (SIGKILL) after five seconds."""
        self._end(signal.SIGTERM, patience=5.0)

    def kill(self) -> None:
        """End the server at once (SIGKILL), as a crash would."""
        self._end(signal.SIGKILL, patience=5.0)

    def restart(self) -> Self:
        """Stop, then start again at the same address."""
        self.stop()
        return self.start()

    def pause(self) -> None:
        """Stop the process (SIGSTOP): when this returns, connections stay open and nothing answers."""
        self._running_process().send_signal(signal.SIGSTOP)
        if sys.platform == "linux":
            with contextlib.suppress(ChildProcessError):  # whoever forked from its owner cannot tell
                os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let a paused process run on (SIGCONT)."""
        self._running_process().send_signal(signal.SIGCONT)

    def command(self, *words: str) -> bytes:
        """Send one command on a connection of its own; give the first bytes of the raw reply."""
        return server.ask(self._address(), *words, patience=_PATIENCE)

    def close(self) -> None:
        """Stop the server and remove its folder; a closed server stays closed."""
        self.stop()
        self._remove_folder()
        self._give_port_back()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<RedisServer {self.url} {'running' if self._process else 'stopped'}>"

    def _take_port(self) -> None:
        """Find a free port, and keep it to the end: whoever was killed there is to be started there again."""
        self._give_port_back()
        self.port, keeper = _free_port()
        self._give_port_back = weakref.finalize(self, keeper.close)

    def _launch(self) -> None:
        settings = {
            "port": str(self.port),
            "bind": LOOPBACK,
            "dir": str(self.folder),
            "save": "",
            "appendonly": "no",
        }
        if self.socket_path:
            settings["unixsocket"] = str(self.socket_path)
        words = server.options(settings)
        if self._config is not None:
            file = self.folder / "redis.conf"
            if not file.exists():  # what the server wrote there, a restart finds again
                file.write_text(self._config)
            words = [str(file), *words]
        self._process = server.launch([*_prefix(), self._binary, *words, *self._extra], self.folder)
        _running.add(self)

    def _answers(self) -> bool:
        deadline = SYSTEM.monotonic() + self._start_timeout
        while SYSTEM.monotonic() < deadline and self._running_process().poll() is None:
            if server.answers(self._address()) and self._is_ours():
                return self._running_process().poll() is None
            time.sleep(_POLL)
        return False

    def _is_ours(self) -> bool:
        """Tell whether what answers is this server: another may have been quicker to take the port."""
        try:
            told = _PROCESS.search(server.ask(self._address(), "INFO", "server"))
        except OSError:  # it has gone, or is held up: it is asked again
            return False
        return told is None or int(told[1]) == self.pid  # one with a password tells nothing

    def _address(self) -> Host | str:
        return str(self.socket_path) if self.socket_path else (LOOPBACK, self.port)

    def _running_process(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RedisServerError(
                "this redis-server is not running: call start(), or use it in a with block"
            )
        return self._process

    def _end(self, sign: signal.Signals, patience: float) -> None:
        process, self._process = self._process, None
        _running.discard(self)
        if process is None or os.getpid() != self._owner:
            return
        process.send_signal(sign)
        process.send_signal(signal.SIGCONT)  # a paused process would sleep through SIGTERM
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _prefix() -> list[str]:
    """Tie the server's life to this process, where the kernel can.

    The kernel watches the *thread* that starts the process, so only the main thread, which lives as long as
    the process does, may ask for it.
    """
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return []
    return [*server.KEEPER, "tied", str(os.getpid())]


def _free_port() -> tuple[int, socket.socket]:
    """Find a free port, and take it where a server can have it all the same, as we never listen."""
    keeper = bound(0)
    port: int = keeper.getsockname()[1]
    if sys.platform != "linux":
        keeper.close()
    return port, keeper


def _nothing() -> None:
    """Do nothing: no port was taken."""


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked child leaves its parent's server and files alone
        shutil.rmtree(folder, ignore_errors=True)


@atexit.register
def _close_all() -> None:
    for running in list(_running):
        running.close()
