"""``AnalyticsCache``: counters over time, counted in the process and kept in Redis."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from cachepolicy.errors import Uncountable
from cachepolicy.flow.cells import Kind
from cachepolicy.flow.money import check_currency, micros_of
from cachepolicy.managers.analytics_queries import Queries
from cachepolicy.managers.incrementing import NO_LABELS, Labels, Moment, increments
from cachepolicy.runtime import current, exiting
from cachepolicy.runtime.manage import Known, Work, verb

if TYPE_CHECKING:
    from cachepolicy.runtime.compose import Runtime
    from cachepolicy.runtime.meters import Meter

_DONE: Final[Known[None]] = Known(None)


class AnalyticsCache(Queries):
    """Counts what happens, by metric, labels and hour, and answers questions about it.

    Each verb is awaited, or run in this thread by ``.sync``. What is counted waits in this process for a
    moment, as ``flush`` of the policy says, and goes to Redis behind everybody's back; where the policy says
    ``mode: sync``, and with money, it has gone there when the verb returns.

    Every verb that counts raises:
        UnknownNamespace, UnknownMetric: the policy does not declare it.
        PolicyError: the namespace, or the metric, is of another kind.
        Uncountable: the value, or a label, is none that the metric can have.
        StoreError: ``on_fault: raise``, and Redis did not take it, or no more can be held.
    """

    def __init__(self, namespace: str = "analytics") -> None:
        super().__init__(namespace)
        exiting.arm()  # here it may be the main thread, and later only others

    @increments
    def increment_metric(
        self, name: str, value: int, labels: Labels | None, *, at: Moment | None
    ) -> Work[None] | Known[None]:
        """Add to a counter.

        Args:
            name: of the metric.
            value: a whole number, at least 0.
            labels: which of its series.
            at: when it happened; None: now.
        """
        runtime = current.current()
        meter = runtime.analytics.meter(self.namespace, name, self)
        when = _moment(at)
        self.increment_metric.open(runtime, runtime.analytics.desk(self.namespace, self).rows)
        return _told(runtime, meter, lambda meter: meter.add(labels or NO_LABELS, value, at=when))

    @verb
    def observe_value(
        self, name: str, value: float, labels: Labels | None = None, *, at: Moment | None = None
    ) -> Work[None] | Known[None]:
        """Count a value in a histogram: a duration, a size, a score; at least 0.

        Arguments are as of ``increment_metric``.
        """
        when, (runtime, meter) = _moment(at), self._meter(name, Kind.HISTOGRAM)
        return _told(runtime, meter, lambda meter: meter.observe(labels or NO_LABELS, value, when))

    @verb
    def set_gauge(
        self, name: str, value: float, labels: Labels | None = None, *, at: Moment | None = None
    ) -> Work[None] | Known[None]:
        """Note what a gauge shows; of an hour the last value is kept, and the extremes.

        Arguments are as of ``increment_metric``.
        """
        when, (runtime, meter) = _moment(at), self._meter(name, Kind.GAUGE)
        return _told(runtime, meter, lambda meter: meter.show(labels or NO_LABELS, value, when))

    @verb
    def add_unique(
        self, name: str, item: str | int | bytes, labels: Labels | None = None, *, at: Moment | None = None
    ) -> Work[None] | Known[None]:
        """Note that something was seen: a user, an address. It is counted once a day, however often it comes.

        Only a hash of the item leaves the process. Other arguments are as of ``increment_metric``.
        """
        when, (runtime, meter) = _moment(at), self._meter(name, Kind.UNIQUES)
        return _told(runtime, meter, lambda meter: meter.see(labels or NO_LABELS, item, when))

    @verb
    def record_revenue(
        self,
        amount: Decimal | str | int,
        currency: str,
        labels: Labels | None = None,
        *,
        name: str = "revenue",
        at: Moment | None = None,
    ) -> Work[None] | Known[None]:
        """Add money, exactly: it is held in whole millionths of the currency's unit.

        Args:
            amount: below zero for what is given back.
            currency: three capital letters, such as ``USD``.
            labels: which series of the metric.
            name: of the metric.
            at: when it happened; None: now.
        """
        when, (runtime, meter) = _moment(at), self._meter(name, Kind.MONEY)
        micros, part = micros_of(amount), check_currency(currency)
        return _told(runtime, meter, lambda meter: meter.add(labels or NO_LABELS, micros, part, when))

    @verb
    def flush(self) -> Work[None]:
        """Bring to Redis what this process has counted before.

        Raises:
            StoreError: Redis did not take it; it is held, and sent again.
        """
        runtime = current.current()
        desk = runtime.analytics.desk(self.namespace, self)
        return Work(runtime, desk.site, desk.flush())

    def _meter(self, name: str, kind: Kind) -> tuple[Runtime, Meter]:
        runtime = current.current()
        return runtime, runtime.analytics.meter(self.namespace, name, self, kind)


def _told(runtime: Runtime, meter: Meter, tell: Callable[[Meter], None]) -> Work[None] | Known[None]:
    from cachepolicy.runtime.meters import record  # loaded with the first policy

    flow = record(meter, tell)
    return _DONE if flow is None else Work(runtime, meter.site, flow)


def _moment(at: Moment | None) -> float | None:
    """Return a time in seconds since the epoch. Raises Uncountable: it is none."""
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise Uncountable("at=: expected a time that knows its zone, such as datetime.now(UTC)")
        return at.timestamp()
    if at is not None and (isinstance(at, bool) or not isinstance(at, int | float)):
        raise Uncountable("at=: expected seconds since the epoch, or a datetime that knows its zone")
    return at
