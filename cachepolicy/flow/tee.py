"""A running stream of a ``def``, read by threads: whoever comes to its end asks the origin for more."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from cachepolicy.clock import Clock
from cachepolicy.errors import Corruption, CorruptValue, StreamLost
from cachepolicy.flow.reader import Reader
from cachepolicy.flow.single_flight import Flight
from cachepolicy.flow.streaming import NO_CHUNK, Opening, Streaming
from cachepolicy.flow.tape import End, Place, Tape

_TAKEN: Final[Any] = object()
_LOOK: Final = 0.1  # seconds until who waits for room looks whether there is some
PROPER: Final = End()
ABANDONED: Final = End(abandoned=True)
LIVE: Final = -1
"""A form that is never stored: of a stream that runs."""


class Begun(NamedTuple):
    """A stream that has begun, and what is needed to share it.

    Attributes:
        opening: the stream, up to its first chunk.
        streaming: how chunks are written, and what callers get.
        tape: empty.
        flight: that it goes on from.
        clock: the source of time.
        patience: seconds that a reader may keep the others waiting.
    """

    opening: Opening
    streaming: Streaming
    tape: Tape
    flight: Flight
    clock: Clock
    patience: float


class Tee:
    """One stream and its readers."""

    def __init__(self, begun: Begun) -> None:
        opening, self._streaming, self.tape, self.flight, self._clock, self._patience = begun
        self._source, self._first, self._context, self._first_took = opening
        self._moved = threading.Condition(threading.Lock())
        self._puller: int | None = None  # the thread that asks the origin
        self._end: End | None = None
        self._is_forsaken = False
        self.conclude: Callable[[End], object] = lambda _: None
        """Called once it has ended, before its readers are told."""
        self.abandon: Callable[[], object] = lambda: None
        """Called instead where nobody reads it any more; it takes no lock."""

    def join(self, _: bytes = b"") -> object:
        """Return a stream for one more reader, from the first chunk on.

        Raises:
            CorruptValue: the first chunk is gone, or nobody reads any more.
        """
        with self._moved:
            place = self.tape.sit(threading.get_ident())
            if place is not None:
                self.flight.enter(place)
        if place is None or self._is_forsaken:
            raise CorruptValue(Corruption.PAYLOAD)
        return self._streaming.kind.present(Reader(self, place), self._source.response)

    def read(self, place: Place) -> object:
        """Return the next chunk; ask the origin for it where nobody else does.

        Raises:
            StopIteration: there is none.
            StreamLost: it cannot be read on.
        """
        me = place.owner = threading.get_ident()
        with self._moved:
            if self._wait(place, me):
                chunk = self.tape.give(place)
                if not self.tape.is_whole:
                    self._moved.notify_all()
            else:
                chunk = None
                self._puller = me
        return self._pull(place) if chunk is None else chunk.take()

    def drain(self) -> None:
        """Read it to its end, for nobody."""
        place = Place(0, threading.get_ident())
        self.flight.enter(place)
        try:
            while self._end is None:
                self._puller = threading.get_ident()
                self._pull(place)
        except StopIteration:
            pass
        finally:
            self.flight.leave(place)

    def leave(self, place: Place) -> None:
        """Let a reader go; with the last it ends. It waits for no lock: garbage collection may call."""
        place.has_left = True
        self.flight.leave(place)
        if not self.tape.is_whole and self._moved.acquire(blocking=False):
            self._moved.notify_all()
            self._moved.release()

    def forsake(self) -> None:
        """End it: nobody reads it any more. It takes no lock: garbage collection may call."""
        self._is_forsaken = True
        if self.flight.party:  # somebody came at the last moment
            self._is_forsaken = False
        elif self._puller is None and self._end is None:
            self._end = ABANDONED
            try:
                self._source.close()
            finally:
                self.abandon()

    def _wait(self, place: Place, me: int) -> bool:
        """Wait for the next chunk, with the lock held; False where this thread is to ask for it.

        Raises:
            StopIteration, StreamLost: there is none.
        """
        until = None  # when a slow reader has kept this one waiting for too long, monotonic
        while not place.is_lost:
            if place.at < self.tape.end:
                return True
            if self._end is not None:
                raise what_comes_of(self._end)
            if self._puller == me:
                raise ValueError("stream already being read")  # as a generator says that reads itself
            slowest = None if self._puller is not None else self.tape.slowest()
            if self._puller is None and (slowest is None or slowest.owner == me):
                return False
            if slowest is None:
                self._moved.wait()
                continue
            now = self._clock.monotonic()
            until = until or now + self._patience
            if now >= until:
                self.tape.lose(slowest)
            else:
                self._moved.wait(min(_LOOK, until - now))  # who leaves may not be able to tell
        raise StreamLost("this reader kept the other readers of its stream waiting for too long")

    def _pull(self, place: Place) -> object:
        """Ask the origin for the next chunk."""
        value, took = NO_CHUNK, 0.0
        end: End | None = ABANDONED
        try:
            value, took, end = self._next()
        except BaseException as error:
            end = End(error, error.__traceback__)
            self._source.close()
            raise
        finally:
            try:
                if end is not None:
                    self.conclude(end)
            finally:
                self._move(place, value, took, end)
        if value is NO_CHUNK:
            raise StopIteration
        return value

    def _move(self, place: Place, value: object, took: float, end: End | None) -> None:
        """Let the others go on."""
        with self._moved:
            if end is None:
                self.tape.add(value, took)
                self.tape.step(place)
            self._end = end
            self._puller = None
            self._moved.notify_all()

    def _next(self) -> tuple[object, float, End | None]:
        """Return the next chunk, the seconds it took, and how the stream ended, where it has."""
        if self._first is not _TAKEN:
            value, took = self._first, self._first_took
            self._first = _TAKEN
        else:
            began = self._clock.monotonic()
            value = self._context.run(next, self._source.chunks, NO_CHUNK)
            took = self._clock.monotonic() - began
        if value is NO_CHUNK or self._is_forsaken:
            self._source.close()
            return value, took, ABANDONED if self._is_forsaken else PROPER
        return value, took, None


def what_comes_of(end: End) -> BaseException:
    """Return what a reader is raised who has come to the end of a stream."""
    if end.abandoned or not (end.error is None or isinstance(end.error, Exception)):
        return StreamLost("whoever ran the stream was interrupted")
    return StopIteration() if end.error is None else end.error.with_traceback(end.traceback)
