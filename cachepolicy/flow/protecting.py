"""A namespace whose keys have no TTL in Redis: each command is done without, and what is over is swept away.

One process sweeps at a time, a few keys in each step, from a thread: a busy loop does not hold it up. Should
it die, another goes on when its lease ends, with all deadlines as they stand.
"""

from __future__ import annotations

import secrets
from collections import Counter
from typing import Final, TypeVar

from cachepolicy.clock import SYSTEM
from cachepolicy.errors import StoreError
from cachepolicy.flow.drive import run
from cachepolicy.flow.resilience import Budget, ask
from cachepolicy.flow.stores import Site
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.protected import Swept, protected, sweep

T = TypeVar("T")

EVERY: Final = 1.0
"""Seconds between two sweeps: for about as long a key may stay after its end."""

_LEASE: Final = 5.0  # seconds after which another process goes on
_MOST: Final = 200  # keys that go in one step: less than a millisecond
_AT_ONCE: Final = 0.01  # seconds until the next step, where there is more


class Protection:
    """That of one namespace.

    Args:
        namespace: its name.
        keys: where its deadlines stand, and who sweeps.
        site: where it is.
        deadline: the most that a sweep may wait for Redis, in seconds.
        errors: where it is counted that one failed.

    Attributes:
        last: what the last sweep has done; None where this process has swept nothing.
        removed: how many keys this process has removed.
    """

    def __init__(
        self, namespace: str, keys: tuple[str, str], site: Site, deadline: float, errors: Counter[str]
    ) -> None:
        self.namespace = namespace
        self.last: Swept | None = None
        self.removed = 0
        self._deadlines, self._sweeper = keys
        self._site = site
        self._deadline = deadline
        self._errors = errors
        self._who = secrets.token_hex(8)
        self._is_awake = False

    def over(self, command: Command[T]) -> Command[T]:
        """Return a command that does the same without TTLs; from the first one on this process sweeps."""
        if not self._is_awake:
            self._is_awake = True
            self._later(EVERY)
        return protected(command, self._deadlines)

    def close(self) -> None:
        """Sweep no more, until something is done again."""
        self._is_awake = False
        self._site.background.cancel(self._sweep)

    def after_fork(self) -> None:
        """Begin anew, as another process."""
        self._who = secrets.token_hex(8)
        self._is_awake = False
        self.last = None

    def _later(self, seconds: float) -> None:
        self._site.background.at(SYSTEM.monotonic() + seconds, self._sweep)

    def _sweep(self) -> None:
        if not self._is_awake:
            return
        rest = EVERY
        command = sweep(self._deadlines, self._sweeper, self._who, _LEASE, _MOST)
        try:
            flow = ask(self._site.guard, command, Budget(self._site.clock, self._deadline))
            swept = run(flow, self._site.sync_io())
        except StoreError as fault:  # nothing is lost: deadlines stand where they are
            self._errors[str(fault.fault)] += 1
        else:
            self.last = None if swept.gone is None else swept
            self.removed += swept.gone or 0
            rest = _LEASE if swept.gone is None else _AT_ONCE if swept.gone == _MOST else EVERY
        finally:  # also after a bug, which its thread tells of
            if self._is_awake:
                self._later(rest)
