"""redis-py connections for ``def`` that keep to one deadline per call, however the server spreads its bytes.

redis-py's own ``socket_timeout`` starts anew with every ``recv``: a server that drips one byte at a time holds
a caller for as long as it likes. Here each wait (for a connection, for the handshake, for a reply) may only
use what is left of the call's time.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any, Final

from redis.connection import (
    BlockingConnectionPool,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)

from cachepolicy.clock import SYSTEM


class _Call(threading.local):
    until: float = 0.0


_CALL: Final = _Call()


def begin(timeout: float) -> None:
    """Give the store operation that begins in this thread so many seconds in all."""
    _CALL.until = SYSTEM.monotonic() + timeout


def left() -> float:
    """Return how many seconds the operation still has.

    Raises:
        TimeoutError: none.
    """
    seconds = _CALL.until - SYSTEM.monotonic()
    if seconds <= 0:
        raise TimeoutError("the call's deadline for Redis is spent")
    return seconds


class _TimedSocket:
    """A connected socket whose every wait ends with the call's deadline."""

    def __init__(self, inner: socket.socket) -> None:
        self._inner = inner

    def recv_into(self, buffer: bytearray) -> int:
        self._inner.settimeout(left())
        return self._inner.recv_into(buffer)

    def sendall(self, data: bytes) -> None:
        self._inner.settimeout(left())
        self._inner.sendall(data)

    def __getattr__(self, name: str) -> Any:  # the rest of a socket
        return getattr(self._inner, name)


class _Timed:
    """Mixed into a connection class of redis-py."""

    socket_connect_timeout: Any
    disconnect: Callable[[], None]

    def _connect(self) -> _TimedSocket:
        most = self.socket_connect_timeout
        self.socket_connect_timeout = min(most, left())
        try:
            return _TimedSocket(super()._connect())  # type: ignore[misc] # redis-py's class comes next in line
        finally:
            self.socket_connect_timeout = most

    def on_connect_check_health(self, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's signature
        """Greet the server; a connection that was not greeted to the end is closed, whatever stopped it."""
        try:
            super().on_connect_check_health(check_health)  # type: ignore[misc] # redis-py's class comes next in line
        except BaseException:
            self.disconnect()
            raise


class TimedConnection(_Timed, Connection):
    """TCP."""


class TimedSSLConnection(_Timed, SSLConnection):
    """TCP with TLS."""


class TimedUnixConnection(_Timed, UnixDomainSocketConnection):
    """A unix socket."""


class TimedPool(BlockingConnectionPool):
    """A pool that is waited for no longer than the call may last."""

    @property
    def timeout(self) -> float:
        """Say how long to wait for a connection."""
        return left()

    @timeout.setter
    def timeout(self, _: float) -> None:
        """Leave redis-py's own out of account."""
