"""The vocabulary of a flow: each effect can be run in either colour, and decides nothing.

A flow yields no effect bare: it uses the typed helpers at the end, and ``resilience.ask`` for what it wants
of Redis. ``read_through`` alone yields ``Ask`` itself, to spare a hit the steps between.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from cachepolicy.flow.signal import Signal
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.ports import AsyncStore, SyncStore

T = TypeVar("T")


class Effect(Protocol):
    """Something a flow asks its driver to do."""

    def run(self, io: SyncIO) -> object:
        """Do it in the calling thread."""
        ...

    def arun(self, io: AsyncIO) -> Awaitable[object]:
        """Do it on the running loop."""
        ...


Flow = Generator[Effect, Any, T]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class SyncIO:
    """What sync effects work with.

    ``run`` is the driver; ``spawn`` drives a flow in a thread of its own, then calls back, unless it says no.
    """

    store: SyncStore
    run: Callable[[Flow[object]], object]
    spawn: Callable[[Flow[object], Callable[[], None]], bool]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class AsyncIO:
    """What async effects work with; ``spawn`` drives a flow in a task of its own, then calls back.

    ``streams`` are those that run on this loop, as what ends each.
    """

    store: AsyncStore
    spawn: Callable[[Flow[object], Callable[[], None]], None]
    streams: set[Callable[[], None]] = field(default_factory=set)


@dataclass(slots=True)
class Ask:
    """Carry out a command of Redis, within ``timeout`` seconds."""

    command: Command[Any]
    timeout: float

    def run(self, io: SyncIO) -> object:
        """Ask the sync leaf."""
        return io.store.execute(self.command, self.timeout)

    def arun(self, io: AsyncIO) -> Awaitable[object]:
        """Ask the async leaf."""
        return io.store.execute(self.command, self.timeout)


@dataclass(slots=True)
class AskAll:
    """Carry out several commands in one round trip; each has a result or an error of its own."""

    commands: Sequence[Command[Any]]
    timeout: float

    def run(self, io: SyncIO) -> object:
        """Ask the sync leaf."""
        return io.store.execute_all(self.commands, self.timeout)

    def arun(self, io: AsyncIO) -> Awaitable[object]:
        """Ask the async leaf."""
        return io.store.execute_all(self.commands, self.timeout)


@dataclass(slots=True)
class Route:
    """Name the server that holds a key."""

    key: str

    def run(self, io: SyncIO) -> str:
        """Ask the sync leaf."""
        return io.store.node(self.key)

    async def arun(self, io: AsyncIO) -> str:
        """Ask the async leaf."""
        return io.store.node(self.key)


@dataclass(slots=True)
class Spread:
    """Name keys, one on each server."""

    def run(self, io: SyncIO) -> list[str]:
        """Ask the sync leaf."""
        return io.store.spread()

    async def arun(self, io: AsyncIO) -> list[str]:
        """Ask the async leaf."""
        return io.store.spread()


@dataclass(slots=True)
class Sleep:
    """Wait a moment: before a retry, for one's turn."""

    seconds: float

    def run(self, io: SyncIO) -> None:  # noqa: ARG002 - time needs no store
        """Block this thread."""
        time.sleep(self.seconds)

    async def arun(self, io: AsyncIO) -> None:  # noqa: ARG002 - time needs no store
        """Suspend this task."""
        await asyncio.sleep(self.seconds)


@dataclass(slots=True)
class IsAsync:
    """Tell which driver this is, for what must know who may wait for whom."""

    def run(self, io: SyncIO) -> bool:  # noqa: ARG002 - it needs no store
        """Say that it is a thread."""
        return False

    async def arun(self, io: AsyncIO) -> bool:  # noqa: ARG002 - it needs no store
        """Say that it is a task."""
        return True


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the origin did: returned a value, or raised; ``of_many``: for several items, none alone."""

    value: object = None
    error: BaseException | None = None
    of_many: bool = False


@dataclass(frozen=True, slots=True)
class CallOrigin:
    """Call the decorated function; ``behind``: an older answer serves, and no caller waits.

    Its exception comes back boxed, never thrown: a StopIteration thrown into a generator would become a
    RuntimeError (PEP 479), and the flow must tell the function's errors from its own.
    """

    function: Callable[..., Any]
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    behind: bool = False

    def run(self, io: SyncIO) -> Attempt:  # noqa: ARG002 - the origin needs none of it
        """Call it in this thread."""
        try:
            return Attempt(self.function(*self.args, **self.kwargs))
        except BaseException as error:  # noqa: BLE001 - whatever it raises is handed on to its caller
            return Attempt(error=error)

    async def arun(self, io: AsyncIO) -> Attempt:  # noqa: ARG002 - the origin needs none of it
        """Await it in this task."""
        try:
            return Attempt(await self.function(*self.args, **self.kwargs))
        except GeneratorExit:  # this coroutine is thrown away
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return Attempt(error=error)  # the function's own doing: nobody cancelled this task
        except BaseException as error:  # noqa: BLE001 - whatever it raises is handed on to its caller
            return Attempt(error=error)


@dataclass(frozen=True, slots=True)
class Join:
    """Wait until something has happened, at most ``timeout`` seconds (None: however long)."""

    signal: Signal
    timeout: float | None

    def run(self, io: SyncIO) -> bool:  # noqa: ARG002 - threads wait on the signal itself
        """Block this thread."""
        return self.signal.wait(self.timeout)

    async def arun(self, io: AsyncIO) -> bool:  # noqa: ARG002 - tasks wait on the signal itself
        """Suspend this task."""
        return await self.signal.wait_async(self.timeout)


@dataclass(frozen=True, slots=True)
class Pump:
    """Have a stream go on to its end: in this task; in sync code its readers' threads see to that.

    Attributes:
        pump: pulls its chunks, and returns how it ended.
        shut: ends it early.
    """

    pump: Callable[[], Awaitable[object]]
    shut: Callable[[], None]

    def run(self, io: SyncIO) -> None:
        """Leave it to its readers."""

    async def arun(self, io: AsyncIO) -> object:
        """Pull until it ends."""
        io.streams.add(self.shut)
        try:
            return await self.pump()
        finally:
            io.streams.discard(self.shut)


def call_origin(
    function: Callable[..., object], args: tuple[object, ...], kwargs: Mapping[str, object]
) -> Flow[Attempt]:
    """Call the decorated function; never raises what it raised."""
    attempt: Attempt = yield CallOrigin(function, args, kwargs)
    return attempt


def spread() -> Flow[list[str]]:
    """Return keys, one on each server that has any; none while the servers are not known."""
    keys: list[str] = yield Spread()
    return keys


def in_task() -> Flow[bool]:
    """Tell whether this flow runs in a task, or in a thread."""
    is_async: bool = yield IsAsync()
    return is_async


def sleep(seconds: float) -> Flow[None]:
    """Wait so long."""
    yield Sleep(seconds)


def join(signal: Signal, timeout: float | None) -> Flow[bool]:
    """Wait until something has happened; tell whether it has."""
    happened: bool = yield Join(signal, timeout)
    return happened


def pump(pump: Callable[[], Awaitable[object]], shut: Callable[[], None]) -> Flow[Any]:
    """Have an asynchronous stream go on to its end; return how it ended."""
    ended: object = yield Pump(pump, shut)
    return ended
