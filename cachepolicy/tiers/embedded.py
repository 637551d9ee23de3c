"""``local://DIR``: a private redis-server in a folder, shared by processes, gone with its last user.

::

    users.lock    shared by every process that uses the server; its keeper waits to have it alone
    keeper.lock   held by whoever starts the server, then by its keeper
    server.lock   held by redis-server
    redis.sock, log, appendonly…

There are locks and no pid files: the kernel gives a lock back however its holder ended, so nothing is stale.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Final

from cachepolicy.clock import SYSTEM
from cachepolicy.errors import Fault, PolicyError, StoreError, StoreMisconfigured, StoreUnavailable
from cachepolicy.tiers import server
from cachepolicy.tiers.shared_locks import (
    LONGEST_SOCKET,
    Lease,
    close_files,
    give_up,
    open_lock,
    try_lock,
    try_right,
)

PATIENCE: Final = 5.0
"""Seconds that the first call waits for the server; it takes a tenth of one, unless it has much to load."""

_POLL: Final = 0.003
_FIRST_PAUSE: Final = 1.0  # seconds until a start that failed is tried again; doubled each time
_LONGEST_PAUSE: Final = 30.0
_SETTINGS: Final = {
    "port": "0",
    "unixsocket": "redis.sock",
    "unixsocketperm": "700",
    "appendonly": "yes",  # what was answered outlives even SIGKILL
    "save": "",
}


class LocalServer:
    """The server of one folder, as one process uses it.

    Args:
        folder: as the address has it; ``~`` is the user's home, and a relative one is resolved here and now.
    """

    def __init__(self, folder: str) -> None:
        home = os.path.expanduser(folder)  # noqa: PTH111 - pathlib raises where there is no such user
        if home.startswith("~"):
            raise PolicyError(f"redis.url: local://{folder}: there is no such user")
        self.folder = Path(os.path.abspath(home))  # noqa: PTH100 - symbolic links stay as they are
        self._lock = threading.Lock()
        self._lease: Lease | None = None
        self._starting: Future[StoreError | None] | None = None
        self._failures = 0
        self._not_before = 0.0

    @property
    def socket(self) -> str:
        """The path to connect to.

        Raises:
            StoreUnavailable: the server was released meanwhile.
        """
        lease = self._lease
        if lease is None:
            raise self._unavailable("is not in use any more", Fault.CLOSED)
        return lease.socket

    def is_ready(self) -> bool:
        """Tell whether a server is kept there, for us too; that it answers is for the connection to see."""
        lease = self._lease
        if lease is None or not lease.is_current():
            return False
        try:
            right = try_right(self.folder, fcntl.LOCK_SH)
        except OSError:
            return False
        if right is not None:
            give_up(right)
        return right is None

    def wake(self) -> None:
        """Wait until the server runs, as long as a first start may take; a fault is told to who connects."""
        if not self.is_ready():
            with suppress(TimeoutError):
                self._start().result(PATIENCE)

    def ensure(self, timeout: float) -> None:
        """See that the server runs.

        Raises:
            StoreUnavailable: it does not, or not in time.
            StoreMisconfigured: it cannot.
        """
        if not self.is_ready():
            try:
                self._judge(self._start().result(max(0.0, timeout)))
            except TimeoutError:
                raise self._unavailable("is still starting", Fault.LOADING) from None

    async def aensure(self) -> None:
        """See that the server runs; the loop goes on meanwhile.

        Raises:
            StoreUnavailable: it does not.
            StoreMisconfigured: it cannot.
        """
        if not self.is_ready():
            self._judge(await asyncio.wrap_future(self._start()))

    def release(self) -> None:
        """Let the server stop, unless others use it."""
        with self._lock:
            lease, self._lease = self._lease, None
        if lease is not None:
            lease.end()

    def after_fork(self) -> None:
        """Forget a start that a thread of the parent has under way."""
        self._lock = threading.Lock()
        self._starting = None

    def _start(self) -> Future[StoreError | None]:
        """Begin to start the server, unless that is under way, or has failed a moment ago."""
        with self._lock:
            last = self._starting
            if last is not None and (not last.done() or SYSTEM.monotonic() < self._not_before):
                return last
            self._starting = found = Future[StoreError | None]()
            found.set_running_or_notify_cancel()  # one waiter's cancellation is not the others'
            thread = threading.Thread(target=self._run, args=(found,), name="cachepolicy-local", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no more threads, or the interpreter is ending
                found.set_result(
                    self._unavailable("is not started: there is no thread for it", Fault.REFUSED)
                )
            return found

    def _run(self, found: Future[StoreError | None]) -> None:
        fault: StoreError | None = self._unavailable("could not be started", Fault.REFUSED)
        try:
            self._serve()
            fault, self._failures = None, 0
        except StoreError as error:
            fault = error
        except server.NoRedisServer:
            fault = self._misconfigured(
                "needs a redis-server: install one (`apt-get install redis-server`), "
                "or `pip install 'cachepolicy[local]'`"
            )
        except OSError as error:
            fault = self._misconfigured(f"cannot be used ({error.strerror}): name a folder on a local disk")
        finally:
            if fault is not None and fault.fault is not Fault.LOADING:
                pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**self._failures)
                self._failures = min(self._failures + 1, 16)
                self._not_before = SYSTEM.monotonic() + pause
            found.set_result(fault)

    def _serve(self) -> None:
        """Have a server running, started here or elsewhere, and hold a lease of it."""
        self._make_private()
        deadline = SYSTEM.monotonic() + PATIENCE
        lease = self._take_lease(deadline)
        launched = False
        while True:
            right = try_right(self.folder, fcntl.LOCK_EX)
            if right is not None:
                try:
                    if launched:
                        raise self._failed()
                    self._launch(lease, right)
                    launched = True
                finally:
                    give_up(right)
            elif server.answers(lease.socket):
                break
            if SYSTEM.monotonic() >= deadline:  # it is being started, and we are among its users
                self._lease = lease
                raise self._unavailable("is still starting", Fault.LOADING)
            time.sleep(_POLL)
        self._lease = lease

    def _make_private(self) -> None:
        folder = self.folder
        if sys.platform != "linux" and len(os.fsencode(folder / "redis.sock")) > LONGEST_SOCKET:
            raise self._misconfigured("has too long a path for a unix socket: name a shorter one")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        is_empty = not any(folder.iterdir())  # before its mode is read: another process may be at it
        status = folder.stat()
        if status.st_uid != os.geteuid():
            raise self._misconfigured("belongs to another user: name a folder of your own")
        if status.st_mode & 0o077:
            if not is_empty:
                raise self._misconfigured("is open to other users: `chmod 700` it, or name a new folder")
            folder.chmod(0o700)

    def _take_lease(self, deadline: float) -> Lease:
        """Become a user; while the last server is being stopped, wait."""
        directory = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        users = -1
        try:
            users = open_lock(self.folder / "users.lock")
            while not try_lock(users, fcntl.LOCK_SH):
                if SYSTEM.monotonic() >= deadline:
                    raise self._unavailable("is still stopping", Fault.LOADING)
                time.sleep(_POLL)
            return Lease(self.folder, users, directory)
        except BaseException:
            close_files(users, directory)
            raise

    def _launch(self, lease: Lease, right: int) -> None:
        """Start a keeper, which gets the right to start, and starts the server."""
        if server.answers(lease.socket):  # its keeper was killed, and no kernel ended it
            with suppress(OSError):
                server.ask(lease.socket, "SHUTDOWN", "NOSAVE")
        words = server.options(_SETTINGS)
        command = [*server.KEEPER, "keep", str(right), server.find_redis_server(), *words]
        with server.launch(command, self.folder, cwd=self.folder, pass_fds=[right]) as keeper:
            if keeper.wait():
                raise self._failed()

    def _failed(self) -> StoreUnavailable:
        words = server.last_words(self.folder).strip().splitlines()
        told = f"; its last words: {words[-1][:200]}" if words else ""
        return self._unavailable(
            f"could not be started: see {self.folder / server.LOG}, or remove the folder{told}", Fault.REFUSED
        )

    def _judge(self, fault: StoreError | None) -> None:
        if fault is not None:  # a new one each time: a traceback grows with every raise
            raise type(fault)(str(fault), fault.fault, sent=False)

    def _unavailable(self, what: str, fault: Fault) -> StoreUnavailable:
        return StoreUnavailable(f"the private Redis in {self.folder} {what}", fault, sent=False)

    def _misconfigured(self, what: str) -> StoreMisconfigured:
        return StoreMisconfigured(f"local://{self.folder} {what}", Fault.REFUSED, sent=False)
