"""A bounded pool whose slots cannot leak, whatever exception comes at whatever moment.

A caller holds a permit while it uses a connection. A permit that is lost, because an exception came between
taking it and the ``try`` that gives it back, returns by itself when it is collected. A connection is kept
only after a whole conversation; in doubt it is closed.
"""

from __future__ import annotations

import queue
import weakref
from collections import deque
from typing import Final, Generic, Protocol, TypeVar

from cachepolicy.errors import Fault
from cachepolicy.tiers.replies import store_error


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
    """The right to use one connection."""

    __slots__ = ("__weakref__", "_home")

    def __init__(self, home: queue.SimpleQueue[Permit]) -> None:
        self._home: Final = weakref.ref(home)

    def give_back(self) -> None:
        """Let the next caller have it."""
        home = self._home()
        if home is not None:
            home.put(self)

    def __del__(self) -> None:
        home = self._home()
        if home is not None:  # the pool lives: this one was lost
            home.put(Permit(home))


class Pool(Generic[K]):
    """At most ``size`` connections in use, and as many kept."""

    def __init__(self, size: int) -> None:
        self._permits: queue.SimpleQueue[Permit] = queue.SimpleQueue()  # its put may be called from __del__
        self._idle: deque[K] = deque()
        for _ in range(size):
            self._permits.put(Permit(self._permits))

    def permit(self, timeout: float) -> Permit:
        """Wait for the right to use a connection.

        Raises:
            StoreUnavailable: all were in use for ``timeout`` seconds.
        """
        try:
            return self._permits.get(timeout=max(0.0, timeout))
        except queue.Empty:
            raise store_error(Fault.BACKPRESSURE, sent=False) from None

    def take(self) -> K | None:
        """Return a connection that was kept, the last used first; None where there is none."""
        while True:
            try:
                kept = self._idle.pop()
            except IndexError:
                return None
            if kept.is_fit():
                return kept
            kept.close()

    def keep(self, connection: K) -> None:
        """Keep a connection for the next caller."""
        self._idle.append(connection)

    def close(self) -> None:
        """End all that are kept."""
        while self._idle:
            self._idle.pop().close()
