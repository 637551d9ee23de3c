"""A running stream of an ``async def``: one task pulls, when a reader wants more; tasks of any loop read."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

from cachepolicy.errors import Corruption, CorruptValue, StreamLost
from cachepolicy.flow.reader import AsyncReader
from cachepolicy.flow.streaming import NO_CHUNK
from cachepolicy.flow.tape import End, Place
from cachepolicy.flow.tee import ABANDONED, PROPER, Begun, what_comes_of

_Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]", object]


class AsyncTee:
    """One stream and its readers."""

    def __init__(self, begun: Begun) -> None:
        opening, self._streaming, self.tape, self.flight, self._clock, self._patience = begun
        self._source, first, _, took = opening
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Waiter] = []
        self._idle: asyncio.Future[None] | None = None
        self._life: asyncio.Timeout | None = None
        self._end: End | None = None
        self._has_shut = False
        self._closed = asyncio.Event()
        self._is_empty = first is NO_CHUNK
        self.drains = False
        if first is not NO_CHUNK:
            self.tape.add(first, took)

    def join(self, _: bytes = b"") -> object:
        """Return a stream for one more reader, from the first chunk on.

        Raises:
            CorruptValue: the first chunk is gone, or nobody reads any more.
        """
        with self._lock:
            place = None if self._has_shut else self.tape.sit(asyncio.current_task())
            if place is not None:
                self.flight.enter(place)
        if place is None:
            raise CorruptValue(Corruption.PAYLOAD)
        return self._streaming.kind.present(AsyncReader(self, place), self._source.response)

    async def read(self, place: Place) -> object:
        """Return the next chunk, once it has come.

        Raises:
            StopAsyncIteration: there is none.
            StreamLost: it cannot be read on.
        """
        place.owner = asyncio.current_task()
        loop = asyncio.get_running_loop()
        while True:
            with self._lock:
                if place.is_lost:
                    raise StreamLost("this reader kept the other readers of its stream waiting for too long")
                if place.at < self.tape.end:
                    chunk = self.tape.give(place)
                    if self._idle is not None and not self.tape.is_whole:
                        self._nudge(loop)  # there may be room again
                    return chunk.take()
                if self._end is not None:
                    raise _outcome(self._end)
                future: asyncio.Future[None] = loop.create_future()
                self._waiting.append((loop, future, place.owner))
                self._nudge(loop)
            await future

    def leave(self, place: Place) -> None:
        """Let a reader go; with the last it ends. It waits for no lock: garbage collection may call."""
        place.has_left = True
        self.flight.leave(place)
        if not self.tape.is_whole:
            self._call(self._nudged)

    async def left(self, place: Place) -> None:
        """Let a reader go; with the last, wait until the origin is closed."""
        self.leave(place)
        if not self.flight.party and self._loop is asyncio.get_running_loop():
            await self._closed.wait()

    def forsake(self) -> None:
        """End it: nobody reads it any more. It takes no lock: garbage collection may call."""
        self._call(self._forsaken)

    def shut(self) -> None:
        """End it, whoever reads it."""
        with self._lock:
            self._has_shut = True
        if self._life is not None:
            self._life.reschedule(self._loop.time())

    async def pump(self) -> End:
        """Pull while somebody wants more; tell how it ended. Its readers are told with ``tell``."""
        end = ABANDONED
        life = self._life = asyncio.timeout(None)
        try:
            async with life:
                end = await self._pump()
        except TimeoutError:
            if not life.expired():
                raise
        finally:
            self._life = None
            try:
                if end is not PROPER:
                    await self._source.close()
            finally:
                self._closed.set()
        return end

    def tell(self, end: End) -> None:
        """Let its readers know how it ended: what is to be kept is kept."""
        with self._lock:
            self._end = end
            self._has_shut = self._has_shut or end.abandoned
            self._wake()
        self._closed.set()

    async def _pump(self) -> End:
        while not self._is_empty:
            with self._lock:
                if not (self.drains or self.flight.party):
                    self._has_shut = True
                if self._has_shut:
                    return ABANDONED
                wanting = self._wanting()
                slowest = self.tape.slowest() if wanting else None
                is_crowded = slowest is not None and slowest.owner not in wanting
                idle = self._idle = None if wanting and not is_crowded else self._loop.create_future()
            if idle is None:
                end = await self._pull()
                if end is not None:
                    return end
            elif slowest is None:
                await idle
            else:
                await self._wait_for(slowest, idle)
        return PROPER

    async def _pull(self) -> End | None:
        """Ask the origin for the next chunk; tell how it ended, if it has."""
        began = self._clock.monotonic()
        try:
            value = await anext(self._source.chunks, NO_CHUNK)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return End(error, error.__traceback__)  # the function's own doing: nobody cancelled this task
        except Exception as error:  # noqa: BLE001 - whatever it raises is handed on to its readers
            return End(error, error.__traceback__)
        if value is NO_CHUNK:
            return PROPER
        with self._lock:
            self.tape.add(value, self._clock.monotonic() - began)
            self._wake()
        return None

    async def _wait_for(self, slowest: Place, idle: asyncio.Future[None]) -> None:
        """Let a slow reader catch up, for a while."""
        try:
            async with asyncio.timeout(self._patience):
                await idle
        except TimeoutError:
            with self._lock:
                self.tape.lose(slowest)

    def _wanting(self) -> list[object]:
        """Say in which tasks somebody waits for the next chunk."""
        wanting = [owner for _, future, owner in self._waiting if not future.done()]
        return [None] if self.drains else wanting

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for loop, future, _ in waiting:
            if loop is self._loop:
                _let_go(future)
            else:
                with suppress(RuntimeError):  # that loop is closed: nobody waits there any more
                    loop.call_soon_threadsafe(_let_go, future)

    def _nudge(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the pump look again, where it waits."""
        if self._idle is not None:
            if loop is self._loop:
                _let_go(self._idle)
            else:
                self._call(self._nudged)

    def _nudged(self) -> None:
        if self._idle is not None:
            _let_go(self._idle)

    def _forsaken(self) -> None:
        if not self.flight.party:  # otherwise somebody came at the last moment
            self.shut()

    def _call(self, work: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # its loop is closed: there is nothing left to end
            self._loop.call_soon_threadsafe(work)


def _let_go(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _outcome(end: End) -> BaseException:
    error = what_comes_of(end)
    return StopAsyncIteration() if type(error) is StopIteration else error
