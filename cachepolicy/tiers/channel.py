"""One open connection of sync code: asks and waits, with one deadline over all it writes and reads.

The socket does not block. What waits is ``poll``, with what is left until the deadline: a socket's own
timeout begins anew with every piece of a reply, and to set it anew is a system call.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Final

from hiredis import HiredisError, PushNotification

from cachepolicy.clock import SYSTEM
from cachepolicy.errors import Fault
from cachepolicy.tiers.replies import store_error
from cachepolicy.tiers.resp import INCOMPLETE, Word, pack, parser

_CHUNK: Final = 64 * 1024
_NOT_YET: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Channel:
    """An open connection. Whoever gets an exception out of it closes it: it may be out of step.

    Args:
        connected: the socket; it is the channel's from now on.
        now: the monotonic clock.
    """

    def __init__(self, connected: socket.socket, now: Callable[[], float] = SYSTEM.monotonic) -> None:
        self._socket = connected
        self._socket.settimeout(0)
        self._send = self._socket.send
        self._recv = self._socket.recv
        self._can_read = _watch(self._socket)
        self._now = now
        self._parser = parser()

    def ask(self, packed: bytes, count: int, deadline: float) -> list[object]:
        """Send commands and return their replies, errors of the server among them.

        Args:
            packed: the commands.
            count: how many they are.
            deadline: on the monotonic clock, for all of it.

        Raises:
            StoreUnavailable: the deadline passed, the connection ended, or what came is no reply.
            OSError: the connection broke.
        """
        self._write(packed, deadline)
        if count == 1:
            return [self._read(deadline)]
        return [self._read(deadline) for _ in range(count)]

    def say(self, commands: Sequence[tuple[Word, ...]], deadline: float) -> list[object]:
        """Send commands that are not packed yet, as ``ask`` does."""
        return self.ask(b"".join(map(pack, commands)), len(commands), deadline)

    def is_fit(self) -> bool:
        """Tell whether nothing is unread and the server has not hung up."""
        return not self._can_read(0) and not self._parser.has_data()

    def give_up(self) -> socket.socket:
        """Hand the socket over, nothing being unread, to one who goes on with it in another way."""
        connected = self._socket
        del self._socket
        return connected

    def close(self) -> None:
        """Hang up. A forked child closes its copy only: the parent's conversation goes on."""
        self._socket.close()

    def __del__(self) -> None:
        """Hang up when dropped: by an exception from outside, or with the leaf of a forked child."""
        if hasattr(self, "_socket"):  # such an exception may come before it is set
            self.close()

    def _write(self, packed: bytes, deadline: float) -> None:
        try:
            sent = self._send(packed)
        except _NOT_YET:
            sent = 0
        if sent < len(packed):
            self._write_rest(memoryview(packed)[sent:], deadline)

    def _write_rest(self, rest: memoryview, deadline: float) -> None:
        can_write = _watch(self._socket, writing=True)
        while rest:
            if not can_write(self._left(deadline)):
                raise store_error(Fault.TIMEOUT, sent=True)
            try:
                rest = rest[self._send(rest) :]
            except _NOT_YET:
                continue

    def _read(self, deadline: float) -> object:
        """Return the next reply; what the server pushes unasked is dropped."""
        gets = self._parser.gets
        try:
            reply = gets()
            while reply is INCOMPLETE or type(reply) is PushNotification:
                if reply is INCOMPLETE:
                    if not self._can_read(self._left(deadline)):
                        raise store_error(Fault.TIMEOUT, sent=True)
                    self._feed()
                reply = gets()
        except HiredisError:
            raise store_error(Fault.PROTOCOL, sent=True) from None
        return reply

    def _feed(self) -> None:
        try:
            data = self._recv(_CHUNK)
        except _NOT_YET:  # a part of what TLS needs
            return
        if not data:
            raise store_error(Fault.LOST, sent=True)
        self._parser.feed(data)

    def _left(self, deadline: float) -> float:
        """Return how many milliseconds are left."""
        left = deadline - self._now()
        if left <= 0:
            raise store_error(Fault.TIMEOUT, sent=True)
        return left * 1000


def _watch(sock: socket.socket, *, writing: bool = False) -> Callable[[float], object]:
    """Return what waits, at most so many milliseconds, until a socket can be read, or written to.

    ``poll`` knows no highest descriptor; where there is none (Windows), ``select`` has to do.
    """
    wait: Callable[[float], object]
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLOUT if writing else select.POLLIN)
        wait = poll.poll
    else:

        def wait(milliseconds: float, /) -> object:
            readers, writers = ([], [sock]) if writing else ([sock], [])
            return any(select.select(readers, writers, [], milliseconds / 1000))

    if isinstance(sock, ssl.SSLSocket) and not writing:
        pending = sock.pending
        return lambda milliseconds: pending() or wait(milliseconds)
    return wait
