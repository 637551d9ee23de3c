"""A script that starts redis-server so that it cannot outlive those it is for. Nothing imports it.

::

    keeper.py tied PARENT BINARY …   becomes redis-server, which ends when the process PARENT does
    keeper.py keep LOCK BINARY …     stays behind as its keeper, detached, until its last user is gone

The keeper runs in the server's folder. It holds the lock that it is given as an open file; users share
``users.lock``, which the kernel hands to the keeper when the last of them has ended, in whatever way. The
server holds ``server.lock``, so that none is started beside one that lost its keeper.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import sys
import threading
import time
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_PATIENCE = 10.0  # seconds that the server has to end by itself


def tied(parent: int, command: list[str]) -> NoReturn:
    """Become redis-server; on Linux, the kernel is asked to end it with its parent.

    It watches the *thread* that started this process. (``preexec_fn`` would do the same, but is unsafe once
    the parent has threads.) What the server has answered is in the kernel's hands, so SIGKILL loses nothing.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it is gone already
        os._exit(1)
    os.execv(command[0], command)  # noqa: S606 - a full path, and no shell


def keep(lock: int, command: list[str]) -> NoReturn:
    """Run redis-server until its last user is gone, or it ends by itself."""
    if os.fork():  # the starter waits for this process; nobody has to wait for its child
        os._exit(0)
    fcntl.fcntl(lock, fcntl.F_SETFD, fcntl.FD_CLOEXEC)  # the server is not to hold it
    os.umask(0o077)
    users = os.open("users.lock", os.O_RDWR)
    serving = os.open("server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(serving, fcntl.LOCK_EX)  # until a server that lost its keeper is gone
    _remove_socket()
    keeper = os.getpid()
    server = os.fork()
    if server == 0:
        fcntl.fcntl(serving, fcntl.F_SETFD, 0)  # the server is to hold it
        tied(keeper, command)
    os.close(serving)
    threading.Thread(target=_end_after_last_user, args=(users, server), daemon=True).start()
    os.waitpid(server, 0)
    _remove_socket()
    os._exit(0)


def _end_after_last_user(users: int, server: int) -> None:
    fcntl.flock(users, fcntl.LOCK_EX)  # who comes now waits until the server is gone
    os.kill(server, signal.SIGTERM)
    os.kill(server, signal.SIGCONT)  # a paused process would sleep through SIGTERM
    time.sleep(_PATIENCE)
    os.kill(server, signal.SIGKILL)


def _remove_socket() -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink("redis.sock")  # noqa: PTH108 - pathlib takes 10 ms to import


if __name__ == "__main__":
    {"tied": tied, "keep": keep}[sys.argv[1]](int(sys.argv[2]), sys.argv[3:])
