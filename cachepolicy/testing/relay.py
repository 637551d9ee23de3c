"""One proxied connection: requests there, replies back, each as bad as the network is at the moment."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from cachepolicy.testing.network_faults import (
    BlackHole,
    Delay,
    Drip,
    Fin,
    Garbage,
    HalfReply,
    Late,
    NetworkFault,
    Reset,
)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Chunks = asyncio.Queue[tuple[float, bytes]]

CHUNK: Final = 64 * 1024
_CHUNKS_AHEAD: Final = 64  # read while earlier ones are held back; after that the sender feels it
_LINGER_NOT: Final = struct.pack("ii", 1, 0)  # closing resets


@dataclass(slots=True, eq=False)
class Connection:
    """What passed over one connection that a client made; for reading only.

    Attributes:
        requests: bytes that the client sent, swallowed ones included.
        replies: bytes that the client was sent.
        open: whether it still is.
    """

    requests: int = 0
    replies: int = 0
    open: bool = True


@dataclass(slots=True, eq=False)
class Weather:
    """The fault of the moment, and a way to wait that notices when it changes."""

    fault: NetworkFault | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def become(self, fault: NetworkFault | None) -> None:
        """Change; whoever waits looks again."""
        self.fault = fault
        self._changed.set()
        self._changed = asyncio.Event()

    async def hold(self, seconds: Callable[[NetworkFault | None], float], since: float) -> None:
        """Wait until as many seconds have passed ``since`` as the fault, whatever it becomes, asks for."""
        now = asyncio.get_running_loop().time
        while (rest := since + seconds(self.fault) - now()) > 0:
            changed = self._changed.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed, None if math.isinf(rest) else rest)


class Relay:
    """Passes on what a client sends and what the server replies; the server is dialled when it is needed."""

    def __init__(
        self,
        weather: Weather,
        connection: Connection,
        client: Streams,
        dial: Callable[[], Awaitable[Streams]],
    ) -> None:
        self.connection = connection
        self._weather = weather
        self._client = client
        self._dial = dial
        self._server: asyncio.Future[Streams] = asyncio.get_running_loop().create_future()
        self._hung_up = asyncio.Event()

    async def serve(self) -> None:
        """Work until either side has hung up, or it is told to."""
        ways = [asyncio.ensure_future(way) for way in (self._requests(), self._replies(), self._end())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self.hang_up()
            self._leave_server()  # it may have answered since it was hung up

    async def _end(self) -> None:
        await self._hung_up.wait()

    def hang_up(self, *, reset: bool = False) -> None:
        """End the connection on both sides: in order, or by a reset of the client's."""
        if self._hung_up.is_set():
            return
        self._hung_up.set()
        self.connection.open = False
        _end(self._client[1], reset=reset)
        self._leave_server()

    def _leave_server(self) -> None:
        if self._server.done() and not self._server.cancelled():
            _end(self._server.result()[1], reset=False)

    async def _requests(self) -> None:
        async with _reading(self._client[0]) as chunks:
            while (arrived := await chunks.get())[1]:
                since, data = arrived
                self.connection.requests += len(data)
                await self._weather.hold(_before_request, since)
                if isinstance(self._weather.fault, BlackHole):
                    continue
                if not self._server.done():
                    self._server.set_result(await self._dialled())
                await _send(self._server.result()[1], data)

    async def _dialled(self) -> Streams:
        """Connect to the server; one who is cancelled at the moment that it answers leaves nothing open."""
        dialling = asyncio.ensure_future(self._dial())
        try:
            return await asyncio.shield(dialling)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):
                _end((await dialling)[1], reset=False)
            raise

    async def _replies(self) -> None:
        server, _ = await asyncio.shield(self._server)
        async with _reading(server) as chunks:
            while (arrived := await chunks.get())[1]:
                since, data = arrived
                await self._weather.hold(_before_reply, since)
                if not await self._reply(data):
                    return

    async def _reply(self, data: bytes) -> bool:
        """Send a reply as the fault of the moment has it; tells whether the connection goes on."""
        match self._weather.fault:
            case BlackHole():
                pass
            case Drip():
                await self._drip(data)
            case HalfReply(then_close):
                await self._send(data[: len(data) // 2])
                if not then_close:
                    await asyncio.get_running_loop().create_future()  # silent, until the client hangs up
                return False
            case Garbage(instead):
                await self._send(instead)
            case Fin():
                return False
            case Reset():
                self.hang_up(reset=True)
                return False
            case _:
                await self._send(data)
        return True

    async def _drip(self, data: bytes) -> None:
        now = asyncio.get_running_loop().time
        await self._send(data[:1])
        for index in range(1, len(data)):
            await self._weather.hold(_between_bytes, now())
            if not isinstance(self._weather.fault, Drip):
                await self._send(data[index:])
                return
            await self._send(data[index : index + 1])

    async def _send(self, data: bytes) -> None:
        self.connection.replies += len(data)
        await _send(self._client[1], data)


def _before_request(fault: NetworkFault | None) -> float:
    return fault.seconds if isinstance(fault, Delay) else 0.0


def _before_reply(fault: NetworkFault | None) -> float:
    return fault.seconds if isinstance(fault, Late) else 0.0


def _between_bytes(fault: NetworkFault | None) -> float:
    return fault.seconds_per_byte if isinstance(fault, Drip) else 0.0


@contextlib.asynccontextmanager
async def _reading(reader: asyncio.StreamReader) -> AsyncGenerator[Chunks]:
    """Read ahead, and note when each chunk came: a delay is counted from there; b"" is the end."""
    chunks: Chunks = asyncio.Queue(_CHUNKS_AHEAD)
    now = asyncio.get_running_loop().time

    async def read() -> None:
        data = b"-"
        while data:
            try:
                data = await reader.read(CHUNK)
            except OSError:
                data = b""
            await chunks.put((now(), data))

    task = asyncio.ensure_future(read())
    try:
        yield chunks
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


def _end(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):  # the other side was quicker
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        else:
            connection.shutdown(socket.SHUT_WR)
    writer.transport.abort()
