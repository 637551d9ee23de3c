"""Where the events of one namespace are counted in this process, and the way of the counts to Redis."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field
from typing import Final

from cachepolicy.clock import SYSTEM
from cachepolicy.errors import Fault, PolicyError, StoreError, StoreUnavailable
from cachepolicy.flow import incidents
from cachepolicy.flow.buffer import Buffer
from cachepolicy.flow.cells import Batch
from cachepolicy.flow.drive import run
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.flushing import Flusher, Tell
from cachepolicy.flow.guarantee import Guarantee
from cachepolicy.flow.incidents import Faults
from cachepolicy.flow.posting import post
from cachepolicy.flow.series import Metric
from cachepolicy.policy.rules import AnalyticsRule
from cachepolicy.runtime import exiting
from cachepolicy.runtime.meters import Row
from cachepolicy.telemetry import analytics as told
from cachepolicy.telemetry import faults
from cachepolicy.telemetry.spans import Tracing
from cachepolicy.tiers.analytics import REMEMBERED

_MARGIN: Final = 60.0  # seconds before Redis forgets a batch, from which on it is not sent again


@dataclass(frozen=True, slots=True, eq=False)
class _Watched:
    namespace: str
    counters: Faults
    said: set[tuple[str, str]] = field(default_factory=set)

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self.namespace


class Desk:
    """Where the events of one namespace are counted, and from where they go to Redis.

    Args:
        namespace: its name.
        rule: what the policy says of it.
        guarantee: that what is counted stays there.
        tracing: where spans come from.
    """

    def __init__(self, namespace: str, rule: AnalyticsRule, guarantee: Guarantee, tracing: Tracing) -> None:
        self.rule: Final = rule
        self.site: Final = guarantee.site
        self.rows: Final[dict[tuple[object, ...], Row]] = {}
        self.buffer: Final = Buffer(rule.flush.max_pending, self._fill)
        self._watched = _Watched(namespace, Faults(faults.errors(namespace)))
        self._guarantee = guarantee
        self._flushes = told.flushes(namespace)
        self._flushes.pending = lambda: self.pending
        self._flusher = Flusher(
            self._watched,
            self.buffer,
            lambda metric, batch: guarantee.over(post(metric, batch)),
            self.site.clock.monotonic,
            REMEMBERED - _MARGIN,
            self._flushes,
            tracing,
        )
        self._flushing = threading.Lock()
        self._is_timed = False
        self._retired: Callable[[], None] | None = None
        self._tell: Tell | None = None
        self._is_awake = False
        exiting.add(self)
        exiting.heed(self)

    def listen(self, tell: Tell) -> None:
        """Have somebody count what he knows before each flush."""
        self._tell = tell

    def wake(self) -> None:
        """Flush now and then from now on, for there may be something to tell."""
        self._is_awake = self._tell is not None
        self.go_on()

    @property
    def is_awake(self) -> bool:
        """Tell whether it flushes now and then though nothing waits."""
        return self._is_awake

    @property
    def pending(self) -> int:
        """How many cells wait."""
        return self._flusher.pending

    def flush(self) -> Flow[None]:
        """Send what was counted before. Raises StoreError or PolicyError: it waits on."""
        self._hear(is_last=True)
        return self._flusher.flush()

    def post(self, metric: Metric, batch: Batch) -> Flow[None]:
        """Send what is not to wait. Raises as ``on_fault`` says."""
        try:
            yield from self._flusher.post(metric, batch, hold=self.rule.on_fault == "drop")
        finally:
            self.go_on()

    def refuse(self) -> None:
        """Count an event that there is no room for. Raises StoreUnavailable where the policy says so."""
        with self.buffer.lock:
            self._flushes.dropped += 1
        incidents.dropped(self._watched)
        if self.rule.on_fault == "raise":
            raise StoreUnavailable(
                f"namespace {self._watched.namespace}: max_pending counts wait for Redis, and no more can",
                Fault.BACKPRESSURE,
                sent=False,
            )

    def go_on(self) -> None:
        """Have what waits sent after a while."""
        with self.buffer.lock:
            if (self.pending or self._is_awake) and not self._is_timed:
                exiting.arm()
                self._is_timed = True
                self.site.background.at(SYSTEM.monotonic() + self.rule.flush.interval, self._tick)

    def close(self, retired: Callable[[], None] | None) -> None:
        """Send what was counted, in this thread.

        Args:
            retired: called when all has been sent that could not be, or came late; None: it stays in use.
        """
        self._retired = retired
        self.flush_at_once()
        if retired is not None:
            self._tell = None  # what is counted from now on, another tells of
        with self.buffer.lock:
            self._is_awake = False
            self._is_timed = False
            self.site.background.cancel(self._tick)
            self.go_on()

    def flush_at_once(self) -> None:
        """Send what waits, in this thread; what Redis does not take waits on."""
        self._hear(is_last=True)
        self._send()

    def is_amid(self) -> bool:
        """Tell whether this thread is in the middle of counting."""
        return self.buffer.is_locked_here()

    def after_fork(self) -> None:
        """Leave to the parent what it has counted."""
        self._flushing = threading.Lock()
        self._is_timed = self._is_awake = False
        self._flusher.after_fork()

    def _hear(self, *, is_last: bool) -> None:
        if self._tell is not None:
            self._tell(is_last=is_last)

    def _send(self) -> None:
        if self.pending:
            with suppress(StoreError, PolicyError):  # counted, and told of, where it was met
                run(self._flusher.flush(), self.site.sync_io())

    def _fill(self, cells: int) -> None:
        self.go_on()
        if cells == self.rule.flush.max_cells:
            Context().run(self.site.background.submit, self._flush_behind)  # not of the call that filled it

    def _tick(self) -> None:
        self._is_timed = False
        self.go_on()
        if self.pending or self._is_awake:
            self.site.background.submit(self._flush_behind)

    def _flush_behind(self) -> None:
        """Send what waits behind everybody's back; one at a time is enough."""
        if self._flushing.acquire(blocking=False):
            try:
                self._hear(is_last=False)
                self._send()
            finally:
                self._flushing.release()
            if self._retired is not None and not self.pending:
                self._retired()
