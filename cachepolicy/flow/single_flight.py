"""One origin call per key and process, whatever mix of threads, tasks and loops asks (C3, C4).

The first caller leads a flight, the others wait for it to land. Each waiter has a future or a wait of its
own, so cancelling one reaches no other. A flight whose leader is gone lands abandoned, and one of its
waiters leads the next.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import weakref
from contextvars import ContextVar
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cachepolicy.flow.answer import Answer


class Role(Enum):
    """What a caller is to do about a key."""

    LEAD = auto()
    FOLLOW = auto()
    ALONE = auto()  # waiting would be waiting for itself, or for a result of another type


class Landing(NamedTuple):
    """How a flight ended: with an answer, or, when ``answer`` is None, abandoned."""

    answer: Answer | None


_ABOARD: ContextVar[frozenset[int]] = ContextVar("cachepolicy_flights_aboard", default=frozenset())
"""The flights that this context runs inside of: a function that calls itself must not wait for itself."""


_NUMBERS = itertools.count(1)


class Flight:
    """One load under way. Most land before anybody waits, so what waiting needs is made by the first."""

    fenced = False  # invalidated meanwhile: answer the callers, store nothing
    number = 0  # given when its origin runs
    landing: Landing | None = None
    _landed: threading.Event | None = None
    _tasks: dict[asyncio.AbstractEventLoop, set[asyncio.Future[Landing]]] | None = None

    def __init__(self, loop: asyncio.AbstractEventLoop | None, schema: bytes, lock: threading.Lock) -> None:
        self.schema = schema  # of the result that is awaited
        self.loop = loop  # the leader's, None for a thread
        self._lock = lock

    def wait(self, timeout: float | None) -> Landing | None:
        """Block until the flight has landed; None after ``timeout`` seconds."""
        with self._lock:
            if self.landing is not None:
                return self.landing
            landed = self._landed = self._landed or threading.Event()
        landed.wait(timeout)
        return self.landing

    async def wait_async(self, timeout: float | None) -> Landing | None:
        """Suspend until the flight has landed; None after ``timeout`` seconds."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if self.landing is not None:
                return self.landing
            future: asyncio.Future[Landing] = loop.create_future()
            if self._tasks is None:
                self._tasks = {}
            futures = self._tasks.setdefault(loop, set())
            futures.add(future)
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            return None
        finally:
            futures.discard(future)

    def wake(self) -> None:
        """Wake every waiter, each in its own thread or loop."""
        landing, landed, tasks = self.landing, self._landed, self._tasks
        if landed is not None:
            landed.set()
        if tasks is None or landing is None:
            return
        for loop, futures in tasks.items():
            try:
                loop.call_soon_threadsafe(_wake, futures, landing)
            except RuntimeError:  # that loop is closed: nobody waits there any more
                continue


def _wake(futures: set[asyncio.Future[Landing]], landing: Landing) -> None:
    for future in futures:
        if not future.done():
            future.set_result(landing)


class Flights:
    """The flights of a process, by key: functions that share a key share its flight.

    They are held weakly. A signal's handler may raise before its leader has come to where it lands the flight
    whatever happens; with the leader's frames the flight is gone too, and the next caller leads another.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_key: dict[str, weakref.ref[Flight]] = {}

    def board(self, key: str, schema: bytes, *, is_async: bool) -> tuple[Role, Flight]:
        """Join the flight of a key, or start it."""
        loop = asyncio._get_running_loop()  # noqa: SLF001 - the public function raises where None is meant
        with self._lock:
            known = self._by_key.get(key)
            flight = None if known is None else known()
            if flight is None or (flight.loop is not None and flight.loop.is_closed()):  # it never lands
                flight = Flight(loop if is_async else None, schema, self._lock)
                self._by_key[key] = weakref.ref(flight)
                return Role.LEAD, flight
            if flight.number in _ABOARD.get() or flight.schema != schema:
                return Role.ALONE, flight
            if not is_async and loop is not None and flight.loop is loop:
                return Role.ALONE, flight  # its task could not run while this thread waits for it
            return Role.FOLLOW, flight

    def lead(self, key: str, schema: bytes, *, is_async: bool) -> Flight:
        """Start a flight whatever is under way; an older one answers its callers but stores nothing."""
        loop = asyncio._get_running_loop() if is_async else None  # noqa: SLF001 - as in ``board``
        with self._lock:
            self._fence(key)
            flight = Flight(loop, schema, self._lock)
            self._by_key[key] = weakref.ref(flight)
            return flight

    def land(self, key: str, flight: Flight, answer: Answer | None) -> None:
        """End a flight: later callers start another, those who wait get the answer; once, for good."""
        with self._lock:
            known = self._by_key.get(key)
            if known is not None and known() is flight:
                del self._by_key[key]
            if flight.landing is not None:
                return
            flight.landing = Landing(answer)
        flight.wake()

    def fence(self, key: str) -> None:
        """Keep a load that is under way from storing its result; later callers start another."""
        with self._lock:
            self._fence(key)

    def _fence(self, key: str) -> None:
        known = self._by_key.pop(key, None)
        flight = None if known is None else known()
        if flight is not None:
            flight.fenced = True

    def clear(self) -> None:
        """Forget flights whose leaders do not exist in this process: it was forked."""
        self._lock = threading.Lock()
        self._by_key.clear()


def aboard(flight: Flight) -> None:
    """Mark this context, and those copied from it, as running inside a flight."""
    flight.number = flight.number or next(_NUMBERS)
    _ABOARD.set(_ABOARD.get() | {flight.number})


def ashore(flight: Flight) -> None:
    """Undo ``aboard`` in this context."""
    _ABOARD.set(_ABOARD.get() - {flight.number})
