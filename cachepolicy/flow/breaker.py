"""The circuit breaker: when Redis is left alone, and who may see whether it is back.

closed ── failures within the window, and half of the calls among them ──▶ open
open ── after ``open_for``, a little later by chance ──▶ one probe: closed, or open again
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cachepolicy.clock import Clock
from cachepolicy.errors import Fault

COUNTED: Final = frozenset(
    {
        Fault.REFUSED,
        Fault.TIMEOUT,
        Fault.LOST,
        Fault.PROTOCOL,
        Fault.LOADING,
        Fault.MASTERDOWN,
        Fault.CLUSTERDOWN,
        Fault.CLIENTS,
        Fault.BUSY,
    }
)
"""Faults of a server that cannot serve; what it refuses for a reason says nothing about the next command."""

HOPELESS: Final = frozenset({Fault.AUTH, Fault.DATABASE, Fault.TLS})
"""Faults of every connection, until an operator mends them: asking again would only fill logs."""

_MENDING: Final = 30.0  # seconds until it is tried whether they were mended
_SPREAD: Final = 0.2  # of ``open_for``, at random: processes do not all probe in one moment


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """When to open, and for how long; times in seconds."""

    failures: int = 5
    window: float = 1.0
    open_for: float = 1.0


class Breaker:
    """The breaker of one server. ``calls`` counts all that were let through."""

    def __init__(self, rule: BreakerRule, clock: Clock, random: Callable[[], float]) -> None:
        self.is_open = False
        self.calls = 0
        self.transitions = 0
        self._rule = rule
        self._clock = clock
        self._random = random
        self._lock = threading.Lock()
        self._failures: deque[tuple[float, int]] = deque(maxlen=rule.failures)
        self._until = 0.0
        self._probing = False

    @property
    def state(self) -> int:
        """0 closed, 1 while a probe is under way, 2 open."""
        if not self.is_open:
            return 0
        return 1 if self._probing else 2

    def admits(self) -> bool:
        """Tell whether a call may go, while the breaker is open: one may, once its time has come."""
        with self._lock:
            if not self.is_open:
                return True
            if self._probing or self._clock.monotonic() < self._until:
                return False
            self._probing = True
            return True

    def succeeded(self) -> None:
        """Close: the probe was answered."""
        with self._lock:
            if self.is_open:
                self.transitions += 1
            self.is_open = self._probing = False
            self._failures.clear()

    def failed(self, fault: Fault) -> None:
        """Take a failure into account."""
        with self._lock:
            now = self._clock.monotonic()
            if fault in HOPELESS:
                self._open(now, max(_MENDING, self._rule.open_for))
            elif fault not in COUNTED:
                if self._probing:  # it answered: it is there
                    self.is_open = self._probing = False
            elif self._probing:
                self._open(now, self._rule.open_for)
            elif not self.is_open:
                self._failures.append((now, self.calls))
                if self._is_too_much(now):
                    self._open(now, self._rule.open_for)

    def abandoned(self) -> None:
        """Let another probe: the last was cancelled before it knew."""
        with self._lock:
            self._probing = False

    def renew(self, rule: BreakerRule) -> None:
        """Go by another rule from now on; what has failed counts on."""
        with self._lock:
            self._rule = rule
            self._failures = deque(self._failures, maxlen=rule.failures)

    def after_fork(self) -> None:
        """Forget a lock that another thread held when this process was forked."""
        self._lock = threading.Lock()
        self._probing = False

    def _is_too_much(self, now: float) -> bool:
        if len(self._failures) < self._rule.failures:
            return False
        first, calls_then = self._failures[0]
        return now - first <= self._rule.window and 2 * len(self._failures) >= self.calls - calls_then

    def _open(self, now: float, seconds: float) -> None:
        if not self.is_open:
            self.transitions += 1
        self.is_open, self._probing = True, False
        self._until = now + seconds * (1 + _SPREAD * self._random())
        self._failures.clear()
