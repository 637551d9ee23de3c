"""A TCP proxy in front of a Redis, which makes the network as bad as a test wants it.

``proxy.fault`` says what is wrong from now on, for connections that live and for those to come; ``None`` is a
healthy network. ``proxy.cut()`` ends the connections that live.

>>> with RedisServer() as server, FaultProxy(server.url) as proxy:     # doctest: +SKIP
...     configure({"redis": {"url": proxy.url}, ...})
...     proxy.fault = Late(seconds=0.2)
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Self
from urllib.parse import urlsplit

from cachepolicy.testing.background import LOOPBACK, Background, bound
from cachepolicy.testing.network_faults import (
    BlackHole,
    Delay,
    Drip,
    Drop,
    Fin,
    Garbage,
    HalfReply,
    Late,
    NetworkFault,
    Refuse,
    Reset,
)
from cachepolicy.testing.relay import CHUNK, Connection, Relay, Streams, Weather

__all__ = [
    "BlackHole",
    "Connection",
    "Delay",
    "Drip",
    "Drop",
    "FaultProxy",
    "Fin",
    "Garbage",
    "HalfReply",
    "Late",
    "NetworkFault",
    "Refuse",
    "Reset",
]


class FaultProxy:
    """A proxy on a free loopback port, from ``start`` (or ``with``) to ``close``.

    Args:
        upstream: the Redis behind it: ``redis://``, ``rediss://`` (passed on as it is) or ``unix://``.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream)
        self._reserved = bound(0)  # never listens: it keeps the port ours while a Refuse is on
        self.port: int = self._reserved.getsockname()[1]
        self._background = Background("fault-proxy")
        self._listener: socket.socket | None = None
        self._weather = Weather()
        self._opening = 0  # taken, and not yet among the relays
        self._settled = asyncio.Event()
        self._relays: set[Relay] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._connections: list[Connection] = []

    @property
    def url(self) -> str:
        """What ``redis.url`` in a policy takes: the upstream's, by way of the proxy."""
        parts = self._upstream
        user = "".join(parts.netloc.rpartition("@")[:2])
        scheme, path = ("redis", "") if parts.scheme == "unix" else (parts.scheme, parts.path)
        return f"{scheme}://{user}{LOOPBACK}:{self.port}{path}"

    @property
    def fault(self) -> NetworkFault | None:
        """What is wrong with the network; it holds as soon as it is set."""
        return self._weather.fault

    @fault.setter
    def fault(self, fault: NetworkFault | None) -> None:
        self._background.run(self._become(fault))

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Every connection that was ever taken, the oldest first."""
        return tuple(self._connections)

    def cut(self, *, reset: bool = False) -> None:
        """End all connections that live: in order (FIN), or by ``reset`` (RST)."""
        self._background.run(self._cut(reset=reset))

    def start(self) -> Self:
        """Take connections from now on."""
        self.fault = self.fault
        return self

    def close(self) -> None:
        """Stop listening, end all connections, and wait for the thread to end; closing again does nothing."""
        if not self._background.closed:
            self._background.run(self._shut())
        self._background.close()
        self._reserved.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<FaultProxy {LOOPBACK}:{self.port} {self.fault}>"

    async def _become(self, fault: NetworkFault | None) -> None:
        if isinstance(fault, Refuse):
            self._listen_no_more()
        elif self._listener is None:
            self._listener = bound(self.port)
            self._listener.settimeout(0)
            self._listener.listen(1024)
            asyncio.get_running_loop().add_reader(self._listener, self._accept)
        self._accept()  # who connected before the change is of the time before it
        self._weather.become(fault)

    def _listen_no_more(self) -> None:
        if self._listener is not None:
            self._accept()
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self) -> None:
        while self._listener is not None:
            try:
                client, _ = self._listener.accept()
            except OSError:  # nobody waits, or who waited has gone
                return
            connection = Connection()
            self._connections.append(connection)
            if isinstance(self.fault, Drop):
                connection.open = False
                client.close()
            else:
                self._opening += 1
                task = asyncio.get_running_loop().create_task(self._serve(client, connection))
                self._serving.add(task)
                task.add_done_callback(self._serving.discard)

    async def _serve(self, client: socket.socket, connection: Connection) -> None:
        reader, writer = await asyncio.open_connection(sock=client, limit=CHUNK)
        writer.transport.set_write_buffer_limits(0)  # what was sent has left when `drain` returns
        relay = Relay(self._weather, connection, (reader, writer), self._dial)
        self._relays.add(relay)
        self._opening -= 1
        self._settled.set()
        try:
            await relay.serve()
        finally:
            self._relays.discard(relay)
            self._settled.set()

    async def _cut(self, *, reset: bool) -> None:
        self._accept()
        await self._until(lambda: not self._opening)
        cut = set(self._relays)  # not those of clients who come back at once
        for relay in cut:
            relay.hang_up(reset=reset)
        await self._until(lambda: not cut & self._relays)

    async def _until(self, settled: Callable[[], bool]) -> None:
        while not settled():
            self._settled.clear()
            await self._settled.wait()

    async def _shut(self) -> None:
        self._listen_no_more()
        await self._cut(reset=False)

    async def _dial(self) -> Streams:
        parts = self._upstream
        if parts.scheme == "unix":
            return await asyncio.open_unix_connection(parts.path, limit=CHUNK)
        return await asyncio.open_connection(parts.hostname, parts.port or 6379, limit=CHUNK)
