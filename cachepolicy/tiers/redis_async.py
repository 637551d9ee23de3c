"""The Redis leaf for ``async def``: multiplexed connections of one event loop, no retries, no decisions."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from hiredis import ReplyError

from cachepolicy.errors import Fault, StoreError
from cachepolicy.telemetry.servers import connected
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.dial import Conversation, Place, greeting, open_stream
from cachepolicy.tiers.endpoint import Host
from cachepolicy.tiers.multiplex import Link
from cachepolicy.tiers.replies import FAULTS, again, refused, store_error, translate
from cachepolicy.tiers.sentinel import question
from cachepolicy.tiers.wire import Wire, dismiss

T = TypeVar("T")


def connect(
    place: Place, host: Host | None = None, *, loop: asyncio.AbstractEventLoop | None = None
) -> RedisAsync | PooledAsync:
    """Build the leaf for one server; nothing is connected before it is used.

    Args:
        place: the database.
        host: which of the endpoint's servers; None for the one that the endpoint names.
        loop: that it belongs to; None for the running one.
    """
    loop = loop or asyncio.get_running_loop()
    store: RedisAsync | PooledAsync = (
        RedisAsync(_link(place, host, loop), _link(place, host, loop))
        if place.endpoint.pipelined
        else PooledAsync(place.endpoint.max_connections, lambda: _link(place, host, loop))
    )
    connected(store, place.endpoint.server("" if host is None else "{}:{}".format(*host)))
    return store


class RedisAsync:
    """``AsyncStore`` over two multiplexed connections: large values have one, so that none waits for them."""

    def __init__(self, small: Link, bulk: Link) -> None:
        self._small = small
        self._bulk = bulk

    async def execute(self, command: Command[T], timeout: float) -> T:
        """Carry out a command."""
        link = self._bulk if command.bulk else self._small
        reply = await link.submit(command.packed(), timeout, busy=command.source is not None)
        if type(reply) is ReplyError:
            raise _refused(link, reply)
        return command.read(reply)

    async def execute_all(self, commands: Sequence[Command[Any]], timeout: float) -> list[Any | StoreError]:
        """Carry out several in one round trip."""
        link = self._bulk if any(command.bulk for command in commands) else self._small
        futures: list[asyncio.Future[object]] = []
        results: list[Any | StoreError] = []
        try:
            futures.extend(link.submit(command.packed(), timeout) for command in commands)
            for command, future in zip(commands, futures, strict=True):
                results.append(await _result(link, command, future))
        except StoreError as fault:  # too many wait already
            return [again(fault) for _ in commands]
        finally:
            dismiss(futures)
        return results

    def node(self, key: str) -> str:  # noqa: ARG002 - there is one server
        """Name the one server."""
        return ""

    def spread(self) -> list[str]:
        """Return a key of the one server."""
        return [""]

    def connections(self) -> tuple[int, int]:
        """Return how many have replies due, and how many none."""
        return _connections((self._small, self._bulk))

    async def aclose(self) -> None:
        """Close the connections."""
        try:
            await self._small.aclose()
        finally:  # a caller may be cancelled meanwhile
            await self._bulk.aclose()


async def _result(link: Link, command: Command[T], future: asyncio.Future[object]) -> T | StoreError:
    try:
        reply = await future
        return _refused(link, reply) if type(reply) is ReplyError else command.read(reply)
    except StoreError as fault:
        return fault


class PooledAsync:
    """``AsyncStore`` over connections that serve one command at a time: ``pipeline.enabled: false``."""

    def __init__(self, size: int, link: Callable[[], Link]) -> None:
        self._link = link
        self._permits = asyncio.Semaphore(size)
        self._idle: deque[Link] = deque()
        self._links: list[Link] = []
        self._closed = False

    async def execute(self, command: Command[T], timeout: float) -> T:
        """Carry out a command."""
        async with self._exclusive(timeout) as (store, left):
            return await store.execute(command, left)

    async def execute_all(self, commands: Sequence[Command[Any]], timeout: float) -> list[Any | StoreError]:
        """Carry out several in one round trip."""
        async with self._exclusive(timeout) as (store, left):
            return await store.execute_all(commands, left)

    def node(self, key: str) -> str:  # noqa: ARG002 - there is one server
        """Name the one server."""
        return ""

    def spread(self) -> list[str]:
        """Return a key of the one server."""
        return [""]

    def connections(self) -> tuple[int, int]:
        """Return how many have replies due, and how many none."""
        return _connections(self._links)

    async def aclose(self) -> None:
        """Close the connections, those in use too; commands under way fail."""
        self._closed = True
        for link in self._links:
            await link.aclose()

    @asynccontextmanager
    async def _exclusive(self, timeout: float) -> AsyncIterator[tuple[RedisAsync, float]]:
        """Wait for a connection; the last used is used first."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        try:
            async with asyncio.timeout_at(deadline):
                await self._permits.acquire()
        except TimeoutError:
            raise store_error(Fault.BACKPRESSURE, sent=False) from None
        link = self._idle.pop() if self._idle else self._another()
        try:
            yield RedisAsync(link, link), deadline - loop.time()
        finally:  # a reply that is still to come is read and dropped: the link stays in step
            self._idle.append(link)
            self._permits.release()

    def _another(self) -> Link:
        if self._closed:
            self._permits.release()
            raise store_error(Fault.CLOSED, sent=False)
        link = self._link()
        self._links.append(link)
        return link


def _connections(links: Sequence[Link]) -> tuple[int, int]:
    due = [link.is_due for link in list(links) if link.is_open]
    return sum(due), len(due) - sum(due)


def _link(place: Place, host: Host | None, loop: asyncio.AbstractEventLoop) -> Link:
    endpoint = place.endpoint
    return Link(
        loop,
        partial(_open, place, host),
        size=endpoint.pipeline_size,
        connect_timeout=endpoint.connect_timeout,
        patience=endpoint.deadline / 2,
    )


def _refused(link: Link, reply: ReplyError) -> StoreError:
    fault = refused(reply)
    if fault.fault is Fault.READONLY:  # it was the master once: the next connection finds the new one
        link.lose(store_error(Fault.READONLY, sent=False))
    return fault


async def _open(
    place: Place, host: Host | None, resumed: Callable[[], None], lost: Callable[[Wire], None]
) -> Wire:
    """Connect to a server and greet it."""
    if place.local is not None:
        await place.local.aensure()
    where = host or await _find(place)
    wire, _ = await _hold(place, where, greeting(place), resumed, lost)
    return wire


async def _find(place: Place) -> Host | None:
    """Return the server to connect to; None for a unix socket."""
    address = place.endpoint.address
    if address.scheme != "redis+sentinel":
        return address.hosts[0] if address.hosts else None
    fault = store_error(Fault.REFUSED, sent=False)
    for host in address.hosts:
        try:
            wire, master = await _hold(place, host, question(place), _no_matter, _no_matter)
        except StoreError as error:
            fault = error
        except FAULTS as error:
            fault = translate(error, sent=False)
        else:
            wire.lose(store_error(Fault.CLOSED, sent=False))
            return master
    raise fault


async def _hold(
    place: Place,
    host: Host | None,
    conversation: Conversation[T],
    resumed: Callable[[], None],
    lost: Callable[[Wire], None],
) -> tuple[Wire, T]:
    """Connect and hold the first conversation."""
    wire = Wire(await open_stream(place, host), resumed, lost)
    try:
        words = next(conversation)
        while True:
            replies = await wire.ask(words)
            try:
                words = conversation.send(replies)
            except StopIteration as end:
                return wire, end.value
    except BaseException:
        wire.lose(store_error(Fault.LOST, sent=False))
        raise


def _no_matter(*_: object) -> None:
    """Ignore what becomes of a connection that served for one question."""
