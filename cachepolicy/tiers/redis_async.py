"""The Redis leaf for ``async def``: multiplexed connections of one event loop, no retries, no decisions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from hiredis import ReplyError

from cachepolicy.errors import Fault, StoreError
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.dial import Conversation, Place, connection, greeting
from cachepolicy.tiers.endpoint import Host
from cachepolicy.tiers.multiplex import Link
from cachepolicy.tiers.replies import FAULTS, refused, store_error, translate
from cachepolicy.tiers.sentinel import question
from cachepolicy.tiers.wire import Wire

T = TypeVar("T")


def connect(
    place: Place, host: Host | None = None, *, loop: asyncio.AbstractEventLoop | None = None
) -> RedisAsync:
    """Build the leaf for one server; nothing is connected before it is used.

    Args:
        place: the database.
        host: which of the endpoint's servers; None for the one that the endpoint names.
        loop: that it belongs to; None for the running one.
    """
    return RedisAsync(place, host, loop or asyncio.get_running_loop())


class RedisAsync:
    """``AsyncStore`` over two multiplexed connections: large values have one, so that none waits for them."""

    def __init__(self, place: Place, host: Host | None, loop: asyncio.AbstractEventLoop) -> None:
        endpoint = place.endpoint
        link = partial(
            Link,
            loop,
            partial(_open, place, host),
            size=endpoint.pipeline_size,
            connect_timeout=endpoint.connect_timeout,
            patience=endpoint.deadline / 2,
        )
        self._small = link()
        self._bulk = link()

    async def execute(self, command: Command[T], timeout: float) -> T:
        """Carry out a command."""
        link = self._bulk if command.bulk else self._small
        reply = await link.submit(command.packed(), timeout)
        if type(reply) is ReplyError:
            raise _refused(link, reply)
        return command.read(reply)

    async def execute_all(self, commands: Sequence[Command[Any]], timeout: float) -> list[Any | StoreError]:
        """Carry out several in one round trip."""
        link = self._bulk if any(command.bulk for command in commands) else self._small
        futures = [link.submit(command.packed(), timeout) for command in commands]
        results: list[Any | StoreError] = []
        for command, future in zip(commands, futures, strict=True):
            try:
                reply = await future
                results.append(_refused(link, reply) if type(reply) is ReplyError else command.read(reply))
            except StoreError as fault:
                results.append(fault)
        return results

    def node(self, key: str) -> str:  # noqa: ARG002 - there is one server
        """Name the one server."""
        return ""

    async def aclose(self) -> None:
        """Close the connections."""
        await self._small.aclose()
        await self._bulk.aclose()


def _refused(link: Link, reply: ReplyError) -> StoreError:
    fault = refused(reply)
    if fault.fault is Fault.READONLY:  # it was the master once: the next connection finds the new one
        link.lose(store_error(Fault.READONLY, sent=False))
    return fault


async def _open(
    place: Place, host: Host | None, resumed: Callable[[], None], lost: Callable[[Wire], None]
) -> Wire:
    """Connect to a server and greet it."""
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
    """Have redis-py connect, take its stream, and hold the first conversation."""
    dialled = connection(place, host, is_async=True)
    try:
        await dialled.connect()
        wire = Wire(take_stream(dialled), resumed, lost)
    except BaseException:
        await dialled.disconnect(nowait=True)
        raise
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


def take_stream(dialled: Any) -> asyncio.StreamWriter:
    """Take the stream away from redis-py's connection; a test guards the two private names."""
    stream: asyncio.StreamWriter = dialled._writer  # noqa: SLF001 - see above
    dialled._reader = dialled._writer = None  # noqa: SLF001 - see above
    return stream
