"""What Redis did not hear of while it was out: kept in bounds, made up for when it is back.

An invalidation that failed must not leave old data alive: until Redis has heard of it, what was made before
it is not served here, and when it is replayed, only what is older than it goes. Of an entry, the last word
counts.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from cachepolicy.clock import Clock
from cachepolicy.codec.envelope import CREATED_AT
from cachepolicy.errors import StoreError
from cachepolicy.flow.effects import Flow, detach
from cachepolicy.flow.resilience import Budget, Guard, ask
from cachepolicy.tiers import scripts
from cachepolicy.tiers.commands import Command, Repeat, flag

MOST_ENTRIES: Final = 10_000
MOST_BYTES: Final = 16 * 2**20
MOST_AT_ONCE: Final = 100
_OVERHEAD: Final = 200  # bytes that an entry takes besides its key and value

_SCRIPT: Final = scripts.load("replay")


@dataclass(frozen=True, slots=True)
class _Pending:
    at: float  # wall clock: when the value was made, or the entry invalidated
    until: float = 0.0  # when the value ends; 0: an invalidation
    blob: bytes = field(repr=False, default=b"")


class Replay:
    """The last words that Redis did not hear, by key."""

    def __init__(self, clock: Clock) -> None:
        self.draining = False
        self.dropped = 0
        self.floor = 0.0
        self._clock = clock
        self._lock = threading.Lock()
        self._pending: OrderedDict[str, _Pending] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._pending)

    def forbids(self, key: str, created: float) -> bool:
        """Tell whether a stored value is older than an invalidation that Redis may not have heard of."""
        if created <= self.floor:
            return True
        pending = self._pending.get(key)
        return pending is not None and (created < pending.at or (created == pending.at and not pending.until))

    def keep_write(self, key: str, blob: bytes, created: float, until: float) -> None:
        """Remember a value that could not be stored."""
        self._keep(key, _Pending(created, until, blob))

    def keep_invalidation(self, key: str) -> None:
        """Remember an invalidation that was not heard."""
        self._keep(key, _Pending(self._clock.wall()))

    def start(self, guard: Guard, budget: Budget) -> Flow[None]:
        """Replay what is kept, out of reach of this caller's cancellation."""
        self.draining = True
        yield from detach(self.drain(guard, budget), self._ended)

    def drain(self, guard: Guard, budget: Budget) -> Flow[None]:
        """Replay what is kept, as long as Redis answers and there is time; the rest is for another call."""
        try:
            for _ in range(MOST_AT_ONCE):
                with self._lock:
                    if not self._pending:
                        return
                    key, pending = next(iter(self._pending.items()))
                command = _command(key, pending, self._clock.wall())
                if command is not None:
                    yield from ask(guard, command, budget)
                self._forget(key, pending)
        except StoreError:  # counted by the breaker; the rest waits for the next time
            return

    def _ended(self) -> None:
        self.draining = False

    def after_fork(self) -> None:
        """Leave what is kept to the parent."""
        self._lock = threading.Lock()
        self._pending.clear()
        self._bytes = 0
        self.draining = False

    def _keep(self, key: str, pending: _Pending) -> None:
        with self._lock:
            held = self._pending.get(key)
            if held is not None:
                if held.at > pending.at:
                    return
                self._take(key)
            self._pending[key] = pending
            self._bytes += _size(key, pending)
            while len(self._pending) > MOST_ENTRIES or self._bytes > MOST_BYTES:
                self._drop()

    def _drop(self) -> None:
        """Give up the oldest value; where only invalidations are left, refuse all that is as old as one."""
        self.dropped += 1
        for key, pending in self._pending.items():
            if pending.until:
                self._take(key)
                return
        key, pending = next(iter(self._pending.items()))
        self._take(key)
        self.floor = max(self.floor, pending.at)

    def _forget(self, key: str, pending: _Pending) -> None:
        with self._lock:
            if self._pending.get(key) is pending:
                self._take(key)

    def _take(self, key: str) -> None:
        self._bytes -= _size(key, self._pending.pop(key))


def _size(key: str, pending: _Pending) -> int:
    return _OVERHEAD + len(key) + len(pending.blob)


def _command(key: str, pending: _Pending, now: float) -> Command[bool] | None:
    """Return what makes up for it; None where it is no longer of use."""
    at = round(pending.at * 1000)
    if not pending.until:
        return _SCRIPT.call([key], [at, CREATED_AT + 1, 0, b""], flag, Repeat.WRITE)
    ttl = round((pending.until - now) * 1000)
    if ttl <= 0:
        return None
    return _SCRIPT.call([key], [at, CREATED_AT + 1, ttl, pending.blob], flag, Repeat.WRITE)
