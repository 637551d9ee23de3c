"""One open connection of an event loop, from the end of the handshake to its loss.

Replies come in the order of the commands, so each waiter has its place in a queue. One that is cancelled, or
gives up, leaves its place: the reply is read and dropped, and the connection stays in step.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from hiredis import HiredisError, PushNotification

from cachepolicy.errors import Fault, StoreError
from cachepolicy.tiers.replies import again, store_error
from cachepolicy.tiers.resp import INCOMPLETE, Word, pack, parser

NEVER: Final = float("inf")
_PIECE: Final = 64 * 1024


Waiter = tuple[asyncio.Future[object], float, bytes]
"""One command: who waits for its reply, until when (on the loop's clock), and its bytes."""


class Wire(asyncio.Protocol):
    """Writes commands, hands out replies; after ``lose`` it does nothing more.

    Args:
        stream: just opened; from now on its bytes come here.
        resumed: called when the socket takes bytes again.
        lost: called once, when the connection is gone.
    """

    def __init__(
        self,
        stream: asyncio.StreamWriter,
        resumed: Callable[[], None],
        lost: Callable[[Wire], None],
    ) -> None:
        self.is_full = False  # the socket takes no more
        self.sent: deque[Waiter] = deque()
        self.heard = 0.0  # when the last byte came, or the queue began
        self.progress = 0.0  # when the last whole reply came, or the queue began
        self.on_push: Callable[[list[Any]], None] = _ignore
        self._loop = asyncio.get_running_loop()
        self._stream = stream  # closes its transport when it is dropped
        self._transport = transport = stream.transport
        self._resumed = resumed
        self._lost = lost
        self._rest = memoryview(b"")  # of what is written piece by piece
        self.is_lost = False
        self._parser = parser()
        self._previous: asyncio.BaseProtocol | None = transport.get_protocol()
        transport.set_protocol(self)

    @property
    def is_busy(self) -> bool:
        """Tell whether nothing more should be sent for now."""
        return self.is_full or bool(self._rest)

    def send(self, waiters: Sequence[Waiter]) -> None:
        """Write commands, all in one."""
        if not self.sent:
            self.heard = self.progress = self._loop.time()
        self.sent.extend(waiters)
        whole = b"".join([packed for _, _, packed in waiters])
        if len(whole) <= _PIECE:
            self._transport.write(whole)
        else:
            self._rest = memoryview(whole)
            self._write_on()

    async def ask(self, commands: Sequence[tuple[Word, ...]]) -> list[object]:
        """Send commands at once and return their replies, errors of the server among them."""
        waiters: list[Waiter] = [(self._loop.create_future(), NEVER, pack(words)) for words in commands]
        self.send(waiters)
        futures = [future for future, _, _ in waiters]
        try:
            return await asyncio.gather(*futures)
        finally:
            dismiss(futures)

    def lose(self, fault: StoreError) -> None:
        """Give the connection up; those who wait for a reply are told at once."""
        if self.is_lost:
            return
        self.is_lost = True
        sent, self.sent = self.sent, deque()
        self._transport.abort()
        for future, _, _ in sent:
            if not future.done():
                future.set_exception(again(fault))
        self._lost(self)

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        """Hand replies to those who wait for them, in order."""
        if self.is_lost:
            return
        self.heard = self._loop.time()
        sent, gets = self.sent, self._parser.gets
        try:
            self._parser.feed(data)
            reply = gets()
            while reply is not INCOMPLETE:
                if type(reply) is PushNotification:
                    self.on_push(reply)
                else:
                    future = sent.popleft()[0]
                    if not future.done():
                        future.set_result(reply)
                    self.progress = self.heard
                reply = gets()
        except (HiredisError, IndexError):  # not RESP, or a reply that nobody asked for
            self.lose(store_error(Fault.PROTOCOL, sent=True))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what waits; let the stream, which waits to hear of it, know."""
        self.lose(store_error(Fault.LOST, sent=True))
        if self._previous is not None:
            self._previous.connection_lost(exc)
            self._previous = None

    def eof_received(self) -> bool:
        """Have the transport close itself."""
        return False

    def pause_writing(self) -> None:
        """Take no more for now."""
        self.is_full = True

    def resume_writing(self) -> None:
        """Take more."""
        self.is_full = False
        if self._rest:
            self._write_on()
        else:
            self._resumed()

    def _write_on(self) -> None:
        """Write one piece a tick: the kernel copies what it is given at once, and the loop waits for it."""
        if self.is_full or self.is_lost:
            return
        self._transport.write(self._rest[:_PIECE])
        self._rest = self._rest[_PIECE:]
        if self._rest:
            self._loop.call_soon(self._write_on)
        else:
            self._loop.call_soon(self._resumed)


def dismiss(futures: Iterable[asyncio.Future[object]]) -> None:
    """Take no more interest: what is still to come is dropped, what failed was told already."""
    for future in futures:
        if not future.cancel() and not future.cancelled():
            future.exception()


def _ignore(_: list[Any]) -> None:
    """Drop a push that nobody listens for."""
