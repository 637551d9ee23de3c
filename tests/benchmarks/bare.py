"""What is possible: a bare protocol on asyncio, hiredis, and one write a tick; no deadline, no recovery."""

from __future__ import annotations

import asyncio
from collections import deque

import hiredis


class BareProtocol(asyncio.Protocol):
    """GETs of one loop tick leave in one write; replies are handed out in order."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._out: list[bytes] = []
        self._waiting: deque[asyncio.Future[object]] = deque()

    def get(self, key: str) -> asyncio.Future[object]:
        """Ask for a value."""
        future: asyncio.Future[object] = self._loop.create_future()
        self._waiting.append(future)
        if not self._out:
            self._loop.call_soon(self._flush)
        content = key.encode()
        self._out.append(b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(content), content))
        return future

    def select(self, db: int) -> None:
        """Use a database from now on."""
        self._waiting.append(self._loop.create_future())
        self.transport.write(b"*2\r\n$6\r\nSELECT\r\n$1\r\n%d\r\n" % db)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand replies to those who wait for them."""
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            self._waiting.popleft().set_result(reply)

    def _flush(self) -> None:
        out, self._out = self._out, []
        self.transport.write(b"".join(out))


async def connect(host: str, port: int) -> BareProtocol:
    """Open a connection."""
    _, protocol = await asyncio.get_running_loop().create_connection(BareProtocol, host, port)
    return protocol
