"""What Redis did not hear of while it was out: kept in bounds, made up for when it is back.

An invalidation that failed must not leave old data alive: until Redis has heard of it, what was made before
it is not served here, and when it is replayed, only what is older than it goes. Of an entry, the last word
counts.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from cachepolicy.clock import Clock
from cachepolicy.errors import StoreError
from cachepolicy.flow.detaching import detach
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.resilience import Budget, Guard, ask
from cachepolicy.flow.server_time import ServerTime
from cachepolicy.flow.versions import ids_of
from cachepolicy.keys.layout import version_key
from cachepolicy.tiers import entries, tags
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.entries import Made
from cachepolicy.tiers.notices import Names

MOST_ENTRIES: Final = 10_000
MOST_BYTES: Final = 16 * 2**20
MOST_AT_ONCE: Final = 100
_OVERHEAD: Final = 200  # bytes that an entry takes besides its key and value


class _Write(NamedTuple):
    """A value that could not be stored."""

    made: Made
    until: float  # when it is of no more use, wall clock

    @property
    def at(self) -> float:
        return self.made.created


class _Invalidation(NamedTuple):
    """An entry that was put out of date."""

    at: float  # wall clock


class _Version(NamedTuple):
    """A tag that was to have a new version."""

    at: float
    prefix: str
    tag: bytes
    life: float
    purge: bool


_Pending = _Write | _Invalidation | _Version


class Replay:
    """The last words that Redis did not hear, by key."""

    def __init__(
        self,
        clock: Clock,
        time: ServerTime,
        names: Names,
        notice: Callable[[str], bytes],
        purged: Callable[[str, Sequence[bytes]], None],
    ) -> None:
        self._time = time
        self._names = names
        self._notice = notice
        self._purged = purged
        self._tags: set[bytes] = set()
        self.draining = False
        self.dropped = 0
        self.floor = 0.0
        self._clock = clock
        self._lock = threading.Lock()
        self._pending: OrderedDict[str, _Pending] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._pending)

    def forbids(self, key: str, created: float, versions: bytes) -> bool:
        """Tell whether a stored value is older than an invalidation that Redis may not have heard of.

        Args:
            key: of the entry.
            created: when the value's load began.
            versions: of the tags that it carries.
        """
        if created <= self.floor:
            return True
        if not self._pending:
            return False
        if self._tags and not self._tags.isdisjoint(ids_of(versions)):
            return True
        pending = self._pending.get(key)
        if pending is None:
            return False
        return created < pending.at or (created == pending.at and isinstance(pending, _Invalidation))

    def keep_write(self, made: Made, until: float) -> None:
        """Remember a value that could not be stored; ``until``: when it is of no more use."""
        self._keep(made.key, _Write(made, until))

    def keep_invalidation(self, key: str) -> None:
        """Remember an invalidation that was not heard."""
        self._keep(key, _Invalidation(self._clock.wall()))

    def keep_version(self, prefix: str, tag: bytes, life: float, *, purge: bool) -> None:
        """Remember that a tag is to have a new version; until it has, nothing that carries it is served."""
        self._keep(version_key(prefix, tag), _Version(self._clock.wall(), prefix, tag, life, purge))

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
                command = self._command(key, pending)
                if command is not None:
                    yield from ask(guard, command, budget)
                self._forget(key, pending)
        except StoreError:  # counted by the breaker; the rest waits for the next time
            return

    def settle(self, guard: Guard, budget: Budget, key: str, prefix: str, ids: Sequence[bytes]) -> Flow[None]:
        """Replay what concerns one entry, itself and the tags that it would carry, before it is looked at.

        Raises:
            StoreError: Redis is out again.
        """
        for name in (key, *(version_key(prefix, tag) for tag in ids)):
            pending = self._pending.get(name)
            command = None if pending is None else self._command(name, pending)
            if pending is not None and command is not None:
                yield from ask(guard, command, budget)
                self._forget(name, pending)

    def _ended(self) -> None:
        self.draining = False

    def after_fork(self) -> None:
        """Leave what is kept to the parent."""
        self._lock = threading.Lock()
        self._pending.clear()
        self._tags.clear()
        self._bytes = 0
        self.draining = False

    def _keep(self, key: str, pending: _Pending) -> None:
        with self._lock:
            held = self._pending.get(key)
            if held is not None:
                if held.at > pending.at:
                    return
                if isinstance(held, _Version) and isinstance(pending, _Version):
                    pending = pending._replace(purge=held.purge or pending.purge)
                self._take(key)
            self._pending[key] = pending
            if isinstance(pending, _Version):
                self._tags.add(pending.tag)
            self._bytes += _size(key, pending)
            while len(self._pending) > MOST_ENTRIES or self._bytes > MOST_BYTES:
                self._drop()

    def _drop(self) -> None:
        """Give up the oldest value; where only invalidations are left, refuse all that is as old as one."""
        self.dropped += 1
        for key, pending in self._pending.items():
            if isinstance(pending, _Write):
                self._take(key)
                return
        key, pending = next(iter(self._pending.items()))
        self._take(key)
        self.floor = max(self.floor, pending.at)

    def _forget(self, key: str, pending: _Pending) -> None:
        if isinstance(pending, _Version):  # somebody may have read the old one meanwhile
            self._purged(pending.prefix, [pending.tag])
        with self._lock:
            if self._pending.get(key) is pending:
                self._take(key)

    def _take(self, key: str) -> None:
        pending = self._pending.pop(key)
        self._bytes -= _size(key, pending)
        if isinstance(pending, _Version):
            self._tags.discard(pending.tag)

    def _command(self, key: str, pending: _Pending) -> Command[bool] | None:
        """Return what makes up for it; None where it is no longer of use."""
        if isinstance(pending, _Version):
            notices = [self._notice(key)]
            return tags.bump(
                pending.prefix, [pending.tag], pending.life, self._names, notices, purge=pending.purge
            )
        if isinstance(pending, _Invalidation):
            return entries.invalidate(key, self._names, self._notice(key), until=pending.at)
        ttl = pending.until - self._clock.wall()
        if ttl <= 0 or self._time.now() - pending.made.began > entries.REMEMBERED:
            return None
        return entries.store(replace(pending.made, ttl=ttl), self._names, self._notice(key))


def _size(key: str, pending: _Pending) -> int:
    return _OVERHEAD + len(key) + (len(pending.made.blob) if isinstance(pending, _Write) else 0)
