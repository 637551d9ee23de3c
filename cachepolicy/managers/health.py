"""``HealthMonitor``: how the servers are, when asked, and behind the application's back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Self

from cachepolicy.runtime import current
from cachepolicy.runtime.manage import Known, Work, verb

if TYPE_CHECKING:
    from cachepolicy.flow.effects import Flow
    from cachepolicy.flow.health_report import HealthReport, ServerHealth
    from cachepolicy.managers.health_watch import HealthWatch

OnChange = Callable[["HealthReport | None", "HealthReport"], object]
"""Is called with what was seen before, None at first, and what is seen now."""

OnMemory = Callable[["ServerHealth"], object]
"""Is called with a server whose memory is above the threshold."""


class HealthMonitor:
    """How every Redis of the policy is, and what this process knows of it.

    ``health_check`` and ``readiness`` are awaited, or run in this thread by ``.sync``. Neither raises a
    fault, nor takes longer than ``health.timeout`` of the policy. ``start`` has a thread look each
    ``health.interval``, until ``stop``; ``with`` does both.

    >>> with HealthMonitor(on_change=lambda old, new: print(new.status)):
    ...     serve()

    Args:
        on_change: is called from that thread when the status of all, or of a server, changes, and at first.
        on_memory_alert: is called from there each time that a server's memory rises above
            ``health.memory_threshold``, unless the policy says ``memory_alert: false``.
    """

    def __init__(self, *, on_change: OnChange | None = None, on_memory_alert: OnMemory | None = None) -> None:
        self._on_change: Final = on_change
        self._on_memory: Final = on_memory_alert
        self._watch: HealthWatch | None = None

    def __repr__(self) -> str:
        return "HealthMonitor()"

    @verb
    def health_check(self) -> Work[HealthReport] | Known[HealthReport]:
        """Look at every server, unless that was done within the last second; returns what was found."""
        runtime = current.current()
        sites = runtime.health.sites()
        if not sites:
            return Known(runtime.health.nowhere())
        return Work(runtime, sites[0], runtime.health.report())

    @verb
    def readiness(self) -> Work[bool] | Known[bool]:
        """Tell whether every server answers and takes what is written, as ``health_check`` finds it."""
        runtime = current.current()
        sites = runtime.health.sites()

        def flow() -> Flow[bool]:
            return (yield from runtime.health.report()).ready

        return Work(runtime, sites[0], flow()) if sites else Known(runtime.health.nowhere().ready)

    def liveness(self) -> bool:
        """Tell that this process runs. Redis is not asked: to restart a process mends no Redis."""
        return True

    @property
    def last(self) -> HealthReport | None:
        """What the thread saw last; None before its first look."""
        return None if self._watch is None else self._watch.last

    @property
    def running(self) -> bool:
        """Whether the thread looks."""
        return self._watch is not None and self._watch.running

    def start(self) -> Self:
        """Look now, and each ``health.interval`` from now on, in a thread; a second start does nothing.

        In a forked child it goes on by itself.
        """
        from cachepolicy.managers.health_watch import HealthWatch

        if self._watch is None:
            self._watch = HealthWatch(self.health_check.sync, self._on_change, self._on_memory)
        self._watch.start()
        return self

    def stop(self) -> None:
        """Look no more, and wait for a look that is under way."""
        if self._watch is not None:
            self._watch.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()
