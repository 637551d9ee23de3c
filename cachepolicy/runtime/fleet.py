"""``telemetry: {fleet_stats: true}``: what processes count of themselves is added up for the fleet.

Nothing is added to a call: the sums that metrics are made of are read now and then, and what they have
grown by is counted in the namespace of ``kind: analytics``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from cachepolicy.clock import SYSTEM, Clock
from cachepolicy.policy import Policy
from cachepolicy.policy.rules import AnalyticsRule
from cachepolicy.telemetry import fleet, sessions
from cachepolicy.telemetry.fleet import Sum

_LEAST_REST: Final = (
    50.0  # times what a reading took: L1 may hold a hundred thousand entries, each with its count
)
_SESSIONS_EVERY: Final = 60.0  # seconds: counting sessions asks Redis


class Meter(Protocol):
    """What counts one metric."""

    def add(self, labels: Mapping[str, str], value: int = 1, part: str = "") -> None:
        """Add to a series, or to a part of it."""
        ...

    def show(self, value: float, labels: Mapping[str, str]) -> None:
        """Say what a gauge shows."""
        ...


class _Told:
    """What the process has told of its sums; they outlive a policy, and so does this."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # a signal's handler may tell while its own thread does
        self.sums: dict[Sum, int] = {}
        self.is_on = False  # whether the last policy told of them

    def begin(self, *, is_on: bool) -> None:
        """Hear of a new policy. What was counted under one that told nothing stays untold."""
        if is_on and not self.is_on:
            with self.lock:
                self.sums = fleet.sums()
        self.is_on = is_on

    def after_fork(self) -> None:
        """Leave to the parent what it has counted."""
        self.lock = threading.RLock()
        self.sums = fleet.sums() if self.is_on else {}


_TOLD: Final = _Told()


class Fleet:
    """What one policy's process tells of itself.

    Args:
        policy: the policy.
        meter: returns what counts a metric of the library's own.
        clock: the source of time.
    """

    def __init__(self, policy: Policy, meter: Callable[[str], Meter], clock: Clock) -> None:
        self.is_on: Final = policy.telemetry.enabled and policy.telemetry.fleet_stats
        self._meter = meter
        self._clock = clock
        self._rest_until = 0.0
        self._sessions_at = clock.monotonic()
        _TOLD.begin(is_on=self.is_on)

    def tell(self, *, now: bool = False) -> None:
        """Count what the sums have grown by since this was last done.

        Args:
            now: though the last reading was not long ago.
        """
        if not self.is_on or (not now and SYSTEM.monotonic() < self._rest_until):
            return
        began = SYSTEM.monotonic()
        with _TOLD.lock:
            for each, value in fleet.sums().items():
                grown = value - _TOLD.sums.get(each, 0)
                if grown > 0:  # else a sum was read while it moved from one place to another
                    _TOLD.sums[each] = value
                    self._meter(each.metric).add(_labels(each), grown, each.part)
        self._rest_until = SYSTEM.monotonic() + _LEAST_REST * (SYSTEM.monotonic() - began)
        self._tell_sessions()

    def after_fork(self) -> None:
        """Leave to the parent what it has counted."""
        _TOLD.after_fork()

    def _tell_sessions(self) -> None:
        now = self._clock.monotonic()
        if now >= self._sessions_at:
            self._sessions_at = now + _SESSIONS_EVERY
            for namespace, count in sessions.living():
                self._meter(fleet.FLEET_SESSIONS).show(count, {"namespace": namespace})


def namespaces_of(policy: Policy) -> list[str]:
    """Return the namespaces that the fleet's counts may be kept in: exactly one, where any are kept."""
    return [name for name, rule in policy.namespaces.items() if isinstance(rule, AnalyticsRule)]


def _labels(each: Sum) -> dict[str, str]:
    """Return the labels of a sum, all that its metric has: what is not known is empty."""
    return dict.fromkeys(fleet.OWN[each.metric].labels, "") | dict(each.labels)
