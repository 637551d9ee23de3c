"""Words with a private redis-server: a command and its reply, and waiting for what a reply says."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Final

from cachepolicy.clock import SYSTEM
from cachepolicy.testing.background import LOOPBACK
from cachepolicy.testing.redis_server import RedisServer, RedisServerError
from cachepolicy.tiers.resp import INCOMPLETE, Word, pack, parser

_POLL: Final = 0.02
_PATIENCE: Final = 10.0


def ask(server: RedisServer, *words: Word) -> object:
    """Send one command on a connection of its own; give the reply, read.

    Raises:
        RedisServerError: the server answered with an error.
    """
    replies = parser()
    with socket.create_connection((LOOPBACK, server.port), timeout=_PATIENCE) as connection:
        connection.sendall(pack(words))
        while (reply := replies.gets()) is INCOMPLETE:
            data = connection.recv(1 << 16)
            if not data:
                raise RedisServerError(f"{server!r} hung up")
            replies.feed(data)
    if isinstance(reply, Exception):
        raise RedisServerError(f"{' '.join(map(str, words[:2]))}: {reply}")
    return reply


def wait_until(is_so: Callable[[], bool], timeout: float, otherwise: str) -> None:
    """Ask until it is so.

    Raises:
        RedisServerError: it was not within ``timeout`` seconds; ``otherwise`` says what.
    """
    deadline = SYSTEM.monotonic() + timeout
    while not is_so():
        if SYSTEM.monotonic() > deadline:
            raise RedisServerError(f"after {timeout:g} seconds: {otherwise}")
        time.sleep(_POLL)


def bound_alone(port: int) -> socket.socket:
    """Take a loopback port that nobody else has, to see that it is free."""
    probe = socket.socket()
    try:
        probe.bind((LOOPBACK, port))
    except OSError:
        probe.close()
        raise
    return probe
