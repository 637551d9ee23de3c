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
from typing import TYPE_CHECKING, NamedTuple, Protocol

from cachepolicy.flow.signal import Signal

if TYPE_CHECKING:
    from cachepolicy.flow.answer import Answer, Spare


class Role(Enum):
    """What a caller is to do about a key."""

    LEAD = auto()
    FOLLOW = auto()
    ALONE = auto()  # waiting would be waiting for itself, or for a result of another type


class Running(Protocol):
    """What goes on after a flight has landed: a stream, for as long as somebody reads it."""

    def forsake(self) -> None:
        """End it: nobody reads it any more. It takes no lock: garbage collection may call."""
        ...


class Landing(NamedTuple):
    """How a flight ended: with an answer, or, when ``answer`` is None, abandoned."""

    answer: Answer | None


_ABOARD: ContextVar[frozenset[int]] = ContextVar("cachepolicy_flights_aboard", default=frozenset())
"""The flights that this context runs inside of: a function that calls itself must not wait for itself."""


_NUMBERS = itertools.count(1)


class Flight(Signal):
    """One load under way; set when it has landed."""

    fenced = False  # invalidated meanwhile: answer the callers, store nothing
    number = 0  # given when its origin runs, at the latest
    landing: Landing | None = None
    token = ""  # of the lease that its origin runs under
    over = ""  # the token of one that cannot land any more: its lease is taken over
    fallback: Spare | None = None  # what answers where the origin takes too long
    wanted = False  # by somebody who has nothing against its being kept, whatever its leader says
    running: Running | None = None  # what goes on after it has landed
    party: set[object] | None = None  # of a stream: who waits for it, and who reads it

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None,
        schema: bytes,
        lock: threading.Lock,
        tags: tuple[bytes, ...] = (),
    ) -> None:
        super().__init__(lock)
        self.schema = schema  # of the result that is awaited
        self.tags = tags  # of the call
        self.loop = loop  # the leader's, None for a thread

    def is_deserted(self) -> bool:
        """Tell whether nothing comes of it any more: its loop is closed, or nobody reads its stream."""
        if self.loop is not None and self.loop.is_closed():
            return True
        return self.running is not None and not self.party

    def enter(self, who: object) -> None:
        """Count somebody in who waits for a stream, or reads it."""
        if self.party is None:
            self.party = set()
        self.party.add(who)

    def leave(self, who: object) -> None:
        """Count somebody out; with the last a stream ends. It takes no lock: garbage collection may call."""
        if self.party is not None:
            self.party.discard(who)
            if not self.party and self.running is not None:
                self.running.forsake()


class Flights:
    """The flights of a process, by key: functions that share a key share its flight.

    They are held weakly. A signal's handler may raise before its leader has come to where it lands the flight
    whatever happens; with the leader's frames the flight is gone too, and the next caller leads another.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._by_key: dict[str, weakref.ref[Flight]] = {}
        self._shut: weakref.WeakValueDictionary[str, Flight] = weakref.WeakValueDictionary()

    def board(
        self, key: str, schema: bytes, *, is_async: bool, tags: tuple[bytes, ...] = ()
    ) -> tuple[Role, Flight]:
        """Join the flight of a key, or start it."""
        loop = asyncio._get_running_loop()  # noqa: SLF001 - the public function raises where None is meant
        with self.lock:
            known = self._by_key.get(key)
            flight = None if known is None else known()
            if flight is None or flight.is_deserted():  # it never lands
                over = "" if flight is None else flight.token
                if self._shut and (gone := self._shut.get(key)) is not None and gone.running is not None:
                    over = gone.token  # a stream that may not be joined ends with its readers: nobody waits
                flight = Flight(loop if is_async else None, schema, self.lock, tags)
                flight.over = over
                self._by_key[key] = weakref.ref(flight)
                return Role.LEAD, flight
            if flight.number in _ABOARD.get() or flight.schema != schema:
                return Role.ALONE, flight
            if not is_async and loop is not None and flight.loop is loop:
                return Role.ALONE, flight  # its task could not run while this thread waits for it
            return Role.FOLLOW, flight

    def lead(self, key: str, schema: bytes, *, is_async: bool, tags: tuple[bytes, ...] = ()) -> Flight:
        """Start a flight whatever is under way; an older one answers its callers but stores nothing."""
        loop = asyncio._get_running_loop() if is_async else None  # noqa: SLF001 - as in ``board``
        with self.lock:
            self._fence(key)
            flight = Flight(loop, schema, self.lock, tags)
            self._by_key[key] = weakref.ref(flight)
            return flight

    def land(self, key: str, flight: Flight, answer: Answer | None, *, running: bool = False) -> None:
        """End a flight: later callers start another, those who wait get the answer; once, for good.

        Args:
            key: of the flight.
            flight: to end.
            answer: None where it is abandoned.
            running: later callers join all the same, until it is landed once more.
        """
        with self.lock:
            known = self._by_key.get(key)
            if not running and known is not None and known() is flight:
                del self._by_key[key]
            if flight.landing is not None:
                return
            flight.landing = Landing(answer)
            flight.is_set = True
            awaited = flight.awaited
        if awaited:
            flight.wake()

    def forget(self, key: str, flight: Flight) -> None:
        """Let nobody join a stream that nobody reads, if that can be said without waiting for a lock."""
        if self.lock.acquire(blocking=False):
            try:
                known = self._by_key.get(key)
                if known is not None and known() is flight:
                    del self._by_key[key]
            finally:
                self.lock.release()

    def fence(self, key: str) -> None:
        """Keep a load that is under way from storing its result; later callers start another."""
        with self.lock:
            self._fence(key)

    def shut(self, key: str) -> None:
        """Let nobody join the flight of a key any more: the key has changed since it began."""
        with self.lock:
            known = self._by_key.pop(key, None)
            flight = None if known is None else known()
            if flight is not None:
                self._shut[key] = flight

    def shut_tagged(self, prefix: str, tag: bytes) -> None:
        """Let nobody join the flights of a namespace whose answers depend on a tag."""
        with self.lock:
            for key, known in list(self._by_key.items()):
                flight = known()
                if key.startswith(prefix) and flight is not None and tag in flight.tags:
                    del self._by_key[key]
                    self._shut[key] = flight

    def _fence(self, key: str) -> None:
        known = self._by_key.pop(key, None)
        flight = None if known is None else known()
        if flight is not None:
            flight.fenced = True

    def clear(self) -> None:
        """Forget flights whose leaders do not exist in this process: it was forked."""
        self.lock = threading.Lock()
        self._by_key.clear()
        self._shut.clear()


def new_number() -> int:
    """Return a number for flights that one call of the origin answers: none of them waits for another."""
    return next(_NUMBERS)


def aboard(flight: Flight) -> None:
    """Mark this context, and those copied from it, as running inside a flight."""
    flight.number = flight.number or next(_NUMBERS)
    _ABOARD.set(_ABOARD.get() | {flight.number})


def ashore(flight: Flight) -> None:
    """Undo ``aboard`` in this context."""
    _ABOARD.set(_ABOARD.get() - {flight.number})
