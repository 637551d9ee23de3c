"""An in-memory store that fails as planned: what a flow does then can be tested without a network or a wait.

>>> time = ManualClock()
>>> server = FaultyServer([Trouble(Fault.OOM), None, Trouble(delay=0.2)], time)
>>> store = server.connect_sync(1)      # and connect_async(1), over the same data and the same plan
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from cachepolicy.clock import ManualClock
from cachepolicy.errors import Fault, StoreError
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.memory import MemoryAsync, MemoryServer, one_by_one
from cachepolicy.tiers.ports import SyncStore
from cachepolicy.tiers.replies import store_error

T = TypeVar("T")

_NEVER_SENT: Final = frozenset({Fault.REFUSED, Fault.BACKPRESSURE, Fault.OPEN, Fault.CLOSED})


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong with one command.

    Attributes:
        fault: the error that its caller gets; None for none, but for a timeout.
        delay: seconds that pass before the reply. Where that is more than the command may take, only those
            pass, and it times out.
        carried_out: it was done all the same; only the reply is lost.
    """

    fault: Fault | None = None
    delay: float = 0.0
    carried_out: bool = False


Plan = Iterable[Trouble | None] | Callable[[Command[Any]], Trouble | None]
"""One trouble, or none, for each command in turn, and none after the last; or what decides by the command."""


class FaultyServer:
    """One in-memory Redis that sync and async code share, with a plan of what goes wrong.

    Args:
        plan: None for nothing.
        clock: what delays move.
    """

    def __init__(self, plan: Plan | None = None, clock: ManualClock | None = None) -> None:
        self.asked: list[Command[Any]] = []
        """Every command that came, whatever became of it."""
        self._clock = clock or ManualClock()
        self._memory = MemoryServer()
        self._lock = threading.Lock()
        self._next: Callable[[Command[Any]], Trouble | None] = _no_trouble
        self.plan(plan)

    def plan(self, plan: Plan | None) -> None:
        """Say what goes wrong from now on; None for nothing."""
        if plan is None:
            self._next = _no_trouble
        elif callable(plan):
            self._next = plan
        else:
            troubles = iter(plan)
            self._next = lambda _: next(troubles, None)

    def connect_sync(self, db: int) -> FaultySync:
        """Build a sync leaf for one database."""
        return FaultySync(self, self._memory.connect_sync(db))

    def connect_async(self, db: int) -> FaultyAsync:
        """Build an async leaf for one database."""
        return FaultyAsync(self.connect_sync(db))

    def carry_out(self, store: SyncStore, command: Command[T], timeout: float) -> T:
        """Carry out a command as planned."""
        with self._lock:
            self.asked.append(command)
            trouble = self._next(command) or Trouble()
        in_time = trouble.delay <= timeout
        self._clock.advance(min(trouble.delay, timeout))
        fault = trouble.fault if in_time else Fault.TIMEOUT
        if fault is None:
            return store.execute(command, timeout)
        if trouble.carried_out:
            store.execute(command, timeout)
        raise store_error(fault, sent=trouble.carried_out or fault not in _NEVER_SENT)


class FaultySync:
    """``SyncStore`` over a ``FaultyServer``."""

    def __init__(self, server: FaultyServer, store: SyncStore) -> None:
        self._server = server
        self._store = store

    def execute(self, command: Command[T], timeout: float) -> T:
        """Carry out a command, as planned."""
        return self._server.carry_out(self._store, command, timeout)

    def execute_all(self, commands: Sequence[Command[Any]], timeout: float) -> list[Any | StoreError]:
        """Carry out several, each as planned."""
        return one_by_one(self, commands, timeout)

    def node(self, key: str) -> str:
        """Name the one server."""
        return self._store.node(key)

    def spread(self) -> list[str]:
        """Return a key of the one server."""
        return self._store.spread()

    def close(self) -> None:
        """Close the store; the data stays with the server."""
        self._store.close()


class FaultyAsync(MemoryAsync):
    """``AsyncStore`` over a ``FaultyServer``; nothing is waited for but the clock, which is told to move."""


def _no_trouble(_: Command[Any]) -> None:
    return None
