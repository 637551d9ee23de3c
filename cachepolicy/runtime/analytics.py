"""The metrics of one loaded policy, as this process counts them, and the way of their counts to Redis."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field
from typing import Final

from cachepolicy.clock import SYSTEM
from cachepolicy.errors import Fault, PolicyError, StoreError, StoreUnavailable, Uncountable, UnknownMetric
from cachepolicy.flow import incidents
from cachepolicy.flow.buffer import Buffer
from cachepolicy.flow.cells import Batch, Kind
from cachepolicy.flow.drive import run
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.flushing import Flusher, Tell
from cachepolicy.flow.guarantee import Guarantee
from cachepolicy.flow.incidents import Faults
from cachepolicy.flow.posting import post
from cachepolicy.flow.series import Metric
from cachepolicy.policy import LoadedPolicy
from cachepolicy.policy.rules import AnalyticsRule
from cachepolicy.policy.rules.analytics import RESERVED
from cachepolicy.policy.units import LARGEST
from cachepolicy.runtime import exiting
from cachepolicy.runtime.guarantees import Guarantees
from cachepolicy.runtime.meters import Meter, Row, record
from cachepolicy.runtime.metrics import Metrics, declared
from cachepolicy.runtime.tracing import tracing
from cachepolicy.telemetry import analytics as told
from cachepolicy.telemetry import faults, metrics
from cachepolicy.telemetry.names import SPAN_FLUSH
from cachepolicy.telemetry.spans import Tracing
from cachepolicy.tiers.analytics import REMEMBERED

__all__ = ["Analytics", "Meter", "record"]

_MARGIN: Final = 60.0  # seconds before Redis forgets a batch, from which on it is not sent again
_MOST_METERS: Final = 10_000
"""Names of metrics come from code; so many come from data that somebody else makes up."""


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

    def listen(self, tell: Tell) -> None:
        """Have somebody count what he knows before each flush."""
        self._tell = tell

    def wake(self) -> None:
        """Flush now and then from now on, for there may be something to tell."""
        self._is_awake = self._tell is not None
        self.go_on()

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


class Analytics:
    """Those of one policy; each namespace and each metric is made ready when it is first counted.

    Args:
        loaded: the policy.
        metrics: as Redis has them.
        guarantees: of the policy.
    """

    def __init__(self, loaded: LoadedPolicy, metrics: Metrics, guarantees: Guarantees) -> None:
        self._telemetry = loaded.policy.telemetry
        self._metrics = metrics
        self._guarantees = guarantees
        self._lock = threading.RLock()
        self._desks: dict[str, Desk] = {}
        self._meters: dict[tuple[str, str, Kind], Meter] = {}

    def meter(self, namespace: str, name: str, who: object, kind: Kind = Kind.COUNTER) -> Meter:
        """Return what counts a metric.

        Args:
            namespace: its namespace.
            name: its name.
            who: needs it, for the message.
            kind: what its values are.

        Raises:
            UnknownNamespace, UnknownMetric: the policy does not declare it.
            PolicyError: the namespace, or the metric, is of another kind.
            Uncountable: it can be no name, or there are too many metrics.
        """
        meter = self._meters.get((namespace, name, kind))
        return self._open_meter(namespace, name, who, kind) if meter is None else meter

    def desk(self, namespace: str, who: object) -> Desk:
        """Return where a namespace is counted; arguments and errors are as of ``meter``."""
        desk = self._desks.get(namespace)
        return self._open_desk(namespace, who) if desk is None else desk

    def close(self, retired: Callable[[], None] | None = None) -> None:
        """Send what was counted; ``retired`` is as of ``Desk.close``."""
        for desk in list(self._desks.values()):
            desk.close(retired)

    def after_fork(self) -> None:
        """Leave to the parent what it has counted."""
        self._lock = threading.RLock()
        for desk in self._desks.values():
            desk.after_fork()

    def _open_desk(self, namespace: str, who: object) -> Desk:
        rule = self._metrics.rule(namespace, who)
        with self._lock:
            desk = self._desks.get(namespace)
            if desk is None:
                guarantee = self._guarantees.of(namespace, rule)
                spans = tracing(self._telemetry, SPAN_FLUSH)
                desk = self._desks[namespace] = Desk(namespace, rule, guarantee, spans)
                if self._telemetry.enabled:
                    metrics.export_all()
        return desk

    def _open_meter(self, namespace: str, name: str, who: object, kind: Kind) -> Meter:
        if type(name) is not str or not name or len(self._meters) >= _MOST_METERS:
            raise Uncountable(f"{who}: expected the name of a metric, as text, and at most {_MOST_METERS}")
        if name.startswith(f"{RESERVED}."):
            raise UnknownMetric(f"{who}: metric {name[:64]!r} is the library's own: it can be read only")
        meter = self.new_meter(namespace, name, who, kind)
        with self._lock:
            return self._meters.setdefault((namespace, name, kind), meter)

    def new_meter(
        self,
        namespace: str,
        name: str,
        who: object,
        kind: Kind,
        refuse: Callable[[], None] | None = None,
    ) -> Meter:
        """Return what counts a metric, the library's own too.

        Arguments and errors are as of ``meter``; ``refuse`` is called where no more can be held, instead of
        counting it as dropped.
        """
        metric, desk = self._metrics.metric(namespace, name, who, kind), self.desk(namespace, who)
        rule = declared(desk.rule, name)
        mode = None if rule is None else rule[0].mode
        usual = "sync" if kind is Kind.MONEY else desk.rule.mode
        values = {} if rule is None else {label: frozenset(some) for label, some in rule[0].values.items()}
        is_sync = (mode or usual) == "sync"
        return Meter(
            metric=metric,
            values=values,
            max_label=desk.rule.max_label,
            is_sync=is_sync,
            counts=desk.buffer.of(metric),
            now=metric.site.clock.wall,
            refuse=refuse or desk.refuse,
            post=desk.post,
            shared=desk.rows if kind is Kind.COUNTER and not is_sync and refuse is None else None,
            least=-LARGEST if kind is Kind.MONEY else 0,
        )
