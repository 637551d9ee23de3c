"""One open connection that is listened to: nothing waits for what is sent, and whatever comes is handed out.

Its thread waits for the server and for other threads of this process at once: those ring a bell.
"""

from __future__ import annotations

import selectors
import socket
import ssl
from contextlib import suppress
from typing import Final

from hiredis import HiredisError

from cachepolicy.clock import SYSTEM
from cachepolicy.errors import Fault
from cachepolicy.tiers.replies import store_error
from cachepolicy.tiers.resp import INCOMPLETE, parser

_CHUNK: Final = 64 * 1024
_CHUNKS: Final = 16  # read in one turn: canaries and what others ask for have theirs
_NOT_YET: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_READ: Final = selectors.EVENT_READ
_BOTH: Final = selectors.EVENT_READ | selectors.EVENT_WRITE

# No epoll: a forked child would share it. And ``select`` knows a highest descriptor: only where it has to do.
_Selector: Final[type[selectors.BaseSelector]] = getattr(selectors, "PollSelector", selectors.SelectSelector)


class Bell:
    """Wakes the thread that waits for it; any thread may ring, and none waits when it does."""

    def __init__(self) -> None:
        self.here, self._there = socket.socketpair()
        self.here.settimeout(0)
        self._there.settimeout(0)
        self._has_rung = False

    def ring(self) -> None:
        """Wake who waits, or who will wait next."""
        if not self._has_rung:
            self._has_rung = True
            with suppress(OSError):  # full, so it has rung; or closed, so nobody waits
                self._there.send(b"!")

    def quiet(self) -> None:
        """Let it ring anew; what it rang for is to be looked for after this."""
        with suppress(OSError):
            while self.here.recv(64):
                pass
        self._has_rung = False  # the last step: who does not ring before it has said what for

    def wait(self, seconds: float) -> None:
        """Wait until it rings, but no longer."""
        end = SYSTEM.monotonic() + seconds
        with _Selector() as selector:
            selector.register(self.here, _READ)
            selector.select(max(0.0, end - SYSTEM.monotonic()))
        self.quiet()

    def close(self) -> None:
        """Give its descriptors back; a forked child closes its copies only."""
        self.here.close()
        self._there.close()


class Line:
    """The connection. Only the thread that listens uses it, but ``close`` is for a forked child, too.

    Args:
        connected: the socket, greeted; it is the line's from now on.
        bell: ends a turn early.
    """

    def __init__(self, connected: socket.socket, bell: Bell) -> None:
        self._socket = connected
        self._socket.settimeout(0)
        self._bell = bell
        self._parser = parser()
        self._out = bytearray()
        self._has_more = False
        self._waits_to_write = False
        self._selector = _Selector()
        self._selector.register(connected, _READ)
        self._selector.register(bell.here, _READ)

    def send(self, packed: bytes) -> None:
        """Have commands sent with the next turn."""
        self._out += packed

    def turn(self, seconds: float) -> list[object]:
        """Send what is to be sent, wait for something to come, and return it: replies and pushes, in order.

        Args:
            seconds: the longest that is waited.

        Raises:
            StoreUnavailable: the connection ended, or what came is no RESP.
            OSError: the connection broke.
        """
        self._write()
        if bool(self._out) != self._waits_to_write:
            self._waits_to_write = bool(self._out)
            self._selector.modify(self._socket, _BOTH if self._waits_to_write else _READ)
        self._selector.select(0 if self._has_more else max(0.0, seconds))
        self._bell.quiet()
        return self._read()

    def close(self) -> None:
        """Hang up. A forked child closes its copy only: the parent's conversation goes on."""
        self._selector.close()
        self._socket.close()

    def _write(self) -> None:
        while self._out:
            try:
                sent = self._socket.send(self._out[:_CHUNK])
            except _NOT_YET:
                return
            del self._out[:sent]

    def _read(self) -> list[object]:
        heard: list[object] = []
        gets = self._parser.gets
        self._has_more = False
        for _ in range(_CHUNKS):
            try:
                data = self._socket.recv(_CHUNK)
            except _NOT_YET:
                return heard
            if not data:
                raise store_error(Fault.LOST, sent=True)
            try:
                self._parser.feed(data)
                while (item := gets()) is not INCOMPLETE:
                    heard.append(item)
            except HiredisError:
                raise store_error(Fault.PROTOCOL, sent=True) from None
        self._has_more = True
        return heard
