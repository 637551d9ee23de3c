"""A bounded pool whose slots cannot leak, whatever exception comes at whatever moment.

A signal's handler, a debugger or a soft time limit may raise between any two steps of a call. So nothing here
counts slots up and down. A caller holds a permit while it uses a connection, and the pool knows every permit
by a weak reference: one that nobody holds any more is issued anew by whoever finds no other free.
A connection is kept only after a whole conversation; in doubt it is closed.
"""

from __future__ import annotations

import queue
import weakref
from collections import deque
from typing import Final, Generic, Protocol, TypeVar

from cachepolicy.clock import SYSTEM
from cachepolicy.errors import Fault
from cachepolicy.tiers.replies import store_error

_LOOK_AGAIN: Final = 0.02  # seconds: how soon one who waits sees that a permit was lost


class Kept(Protocol):
    """What a pool keeps."""

    def is_fit(self) -> bool:
        """Tell whether it can be used again."""
        ...

    def close(self) -> None:
        """End it."""
        ...


K = TypeVar("K", bound=Kept)


class Permit:
    """The right to use one connection, as long as somebody holds this object."""

    __slots__ = ("__weakref__",)


class _Closing(deque[K]):
    """Keeps nothing: what is put back is ended."""

    def append(self, kept: K, /) -> None:
        """End a connection."""
        kept.close()


class Pool(Generic[K]):
    """At most ``size`` connections in use, and as many kept.

    Attributes:
        idle: the connections that are kept. Whoever takes one puts it back into the deque that it came from:
            after ``close`` that is no longer this one, nobody will find it there, and they ``drop`` it.
        give_back: let the next caller have a permit. It is not written in Python: an exception from outside
            cannot stop it half way.
    """

    def __init__(self, size: int) -> None:
        self.idle: deque[K] = deque()
        self._free: queue.SimpleQueue[Permit] = queue.SimpleQueue()
        self.give_back: Final = self._free.put
        permits = [Permit() for _ in range(size)]
        self._issued = [weakref.ref(permit) for permit in permits]
        for permit in permits:
            self.give_back(permit)

    @property
    def busy(self) -> float:
        """The share of its connections that is in use."""
        in_use, _ = self.connections()
        return in_use / len(self._issued)

    def permit(self, timeout: float) -> Permit:
        """Wait for the right to use a connection.

        Raises:
            StoreUnavailable: all were in use for ``timeout`` seconds.
        """
        try:
            return self._free.get_nowait()
        except queue.Empty:
            pass
        deadline = SYSTEM.monotonic() + timeout
        while True:
            self._issue_lost()
            left = deadline - SYSTEM.monotonic()
            try:
                return self._free.get(timeout=min(max(0.0, left), _LOOK_AGAIN))
            except queue.Empty:
                if left <= _LOOK_AGAIN:
                    raise store_error(Fault.BACKPRESSURE, sent=False) from None

    def take(self) -> K | None:
        """Return a connection that was kept, the last used first; None where there is none."""
        idle = self.idle
        while idle:
            try:
                kept = idle.pop()
            except IndexError:  # another thread had it
                break
            if kept.is_fit():
                return kept
            kept.close()
        return None

    def connections(self) -> tuple[int, int]:
        """Return how many are in use, and how many are kept; a lost permit counts until it is missed."""
        return len(self._issued) - self._free.qsize(), len(self.idle)

    def close(self) -> None:
        """End all that are kept; those in use end when they come back."""
        self._leave(deque())

    def end(self) -> None:
        """Do as ``close`` does, for good: a call that is still under way may connect, and nothing is kept."""
        self._leave(_Closing())

    def _leave(self, successor: deque[K]) -> None:
        idle, self.idle = self.idle, successor
        self.drop(idle)

    def drop(self, idle: deque[K]) -> None:
        """End what is in a deque that is no longer this one's: a traceback may keep it for a long time."""
        while True:
            try:
                idle.pop().close()
            except IndexError:
                return

    def _issue_lost(self) -> None:
        """Replace the permits that nobody holds."""
        issued = self._issued
        for slot, lost in enumerate(issued):
            if lost() is None:
                permit = Permit()
                heir = weakref.ref(permit)
                if issued[slot] is lost:  # no call until it is set: nothing, and nobody, comes between
                    issued[slot] = heir
                    self.give_back(permit)
