"""``telemetry: {fleet_stats: true}``: what processes count of themselves is added up for the fleet.

Nothing is added to a call: the sums that metrics are made of are read now and then, and what they have
grown by is counted in the namespace of ``kind: analytics``.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Final

from cachepolicy.clock import SYSTEM, Clock
from cachepolicy.flow.cells import Kind
from cachepolicy.policy import Policy
from cachepolicy.policy.rules import AnalyticsRule
from cachepolicy.runtime import exiting
from cachepolicy.runtime.analytics import Analytics, Meter
from cachepolicy.runtime.desk import Desk
from cachepolicy.telemetry import fleet, sessions
from cachepolicy.telemetry.fleet import Sum

_WHO: Final = "telemetry.fleet_stats"
_LEAST_REST: Final = (
    50.0  # times what a reading took: L1 may hold a hundred thousand entries, each with its count
)
_SESSIONS_EVERY: Final = 60.0  # seconds: counting sessions asks Redis


class _Full(Exception):
    """No more can be held of what Redis is to be told."""


def _refuse() -> None:
    raise _Full


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
    """What the process tells of itself under one policy.

    Args:
        policy: the policy.
        analytics: where it is counted.
        clock: the source of time.

    Raises:
        PolicyError: where it is to be counted cannot be used.
    """

    def __init__(self, policy: Policy, analytics: Analytics, clock: Clock) -> None:
        self.is_on: Final = policy.telemetry.enabled and policy.telemetry.fleet_stats
        self._told = _TOLD
        self._clock = clock
        self._rest_until = 0.0
        self._sessions_at = clock.monotonic()
        self._desk: Desk | None = None
        self._meters: dict[str, Meter] = {}
        if self.is_on:
            (namespace,) = namespaces_of(policy)
            self._meters = {
                name: analytics.new_meter(namespace, name, _WHO, Kind(own.kind), _refuse)
                for name, own in fleet.OWN.items()
            }
            exiting.arm()  # a policy is loaded by the main thread, most often
            self._desk = analytics.desk(namespace, _WHO)
            self._desk.listen(self.tell)
        self._told.begin(is_on=self.is_on)

    @property
    def is_awake(self) -> bool:
        """Tell whether it tells now and then."""
        return self._desk is not None and self._desk.is_awake

    def wake(self) -> None:
        """Tell from now on, now and then: something happens in this process."""
        if self._desk is not None:
            self._desk.wake()

    def tell(self, *, is_last: bool = False) -> None:
        """Count what the sums have grown by since this was last done.

        Args:
            is_last: though the last reading was not long ago.
        """
        if not is_last and SYSTEM.monotonic() < self._rest_until:
            return
        began = SYSTEM.monotonic()
        told = self._told
        with told.lock:
            for each, value in fleet.sums().items():
                before = told.sums.get(each, 0)
                if value > before:  # else it was read while it moved from one place to another
                    told.sums[each] = value
                    try:
                        self._meters[each.metric].add(_labels(each), value - before, each.part)
                    except _Full:
                        told.sums[each] = before  # it is told when there is room
        self._rest_until = SYSTEM.monotonic() + _LEAST_REST * (SYSTEM.monotonic() - began)
        self._tell_sessions()

    def after_fork(self) -> None:
        """Leave to the parent what it has counted."""
        self._told.after_fork()

    def _tell_sessions(self) -> None:
        now = self._clock.monotonic()
        if now >= self._sessions_at:
            self._sessions_at = now + _SESSIONS_EVERY
            for namespace, count in sessions.living():
                with suppress(_Full):
                    self._meters[fleet.FLEET_SESSIONS].show({"namespace": namespace}, count)


def namespaces_of(policy: Policy) -> list[str]:
    """Return the namespaces that the fleet's counts may be kept in: exactly one, where any are kept."""
    return [name for name, rule in policy.namespaces.items() if isinstance(rule, AnalyticsRule)]


def _labels(each: Sum) -> dict[str, str]:
    """Return the labels of a sum, all that its metric has: what is not known is empty."""
    return dict.fromkeys(fleet.OWN[each.metric].labels, "") | dict(each.labels)
