"""Questions about metrics: over time, in total, the largest, percentiles, what was seen, what gauges show."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar

from cachepolicy.errors import StoreError, Uncountable
from cachepolicy.flow.cells import Kind
from cachepolicy.keys.periods import HOUR, Resolution, containing
from cachepolicy.managers import metric_times
from cachepolicy.managers.metric_answers import (
    by_label,
    gauges,
    over_time,
    totals,
    whole_days,
)
from cachepolicy.managers.metric_questions import CURRENCY, Names, Question, Where, question
from cachepolicy.managers.metric_results import GaugeReading, MetricPoint, MetricSeries, MetricTotal
from cachepolicy.managers.metric_times import When
from cachepolicy.runtime import current
from cachepolicy.runtime.manage import Work, verb
from cachepolicy.telemetry import faults

if TYPE_CHECKING:
    from decimal import Decimal

    from cachepolicy.flow.effects import Flow
    from cachepolicy.runtime.compose import Runtime

T = TypeVar("T")

Of: TypeAlias = Literal["sum", "count", "mean"]

_NOWHERE: Final[Where] = {}
_UTC: Final = "UTC"


class Queries:
    """Answers questions about the metrics of a namespace; each verb is awaited, or run by ``.sync``.

    Times are datetimes with a zone, dates, ISO text or seconds; dates and text are of ``tz``. A range begins
    in the hour of its start and ends before its end; it may end in the future. What Redis does not have yet,
    as it waits in a process to be flushed, is not in an answer.

    Every verb that asks raises:
        StoreError: Redis cannot be asked.
        UnknownNamespace, UnknownMetric: the policy does not declare it.
        PolicyError: the namespace, or the metric, is of another kind.
        Uncountable: a label is unknown, a time is none or is not kept any more, or there is too much to read.
    """

    def __init__(self, namespace: str = "analytics") -> None:
        self.namespace: Final = namespace

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.namespace!r})"

    @verb
    def get_metrics_range(
        self, name: str, start_hour: When, end_hour: When, labels: Where = _NOWHERE
    ) -> Work[tuple[MetricPoint, ...]]:
        """Return a metric by the hour, in order; 0 where nothing was counted.

        Args:
            name: of the metric.
            start_hour: a time in the first hour.
            end_hour: a time in the last hour.
            labels: of the series that are added up; without any, all.
        """
        runtime, asked = self._ask(name, "get_metrics_range", labels)
        zone = metric_times.zone_of(_UTC, asked.who)
        first, last = (metric_times.hour_of(when, zone, asked.who) for when in (start_hour, end_hour))
        if last < first:
            raise Uncountable(f"{asked.who}: expected an end that is not before the start")
        spans = [(hour, hour + 1) for hour in range(first, last + 1)]

        def flow() -> Flow[tuple[MetricPoint, ...]]:
            (series,) = yield from over_time(asked, spans, zone, "sum")
            return series.points

        return self._work(runtime, asked, flow())

    @verb
    def query(
        self,
        name: str,
        start: When,
        end: When,
        step: str = "hour",
        where: Where = _NOWHERE,
        group_by: Names = (),
        tz: str = _UTC,
        of: Of = "sum",
    ) -> Work[tuple[MetricSeries, ...]]:
        """Return a metric over time, a point for each step; one series for each group.

        Args:
            name: of the metric.
            start: of the range.
            end: of the range; the hour that it is in belongs to it, unless it just begins.
            step: ``hour``, ``day``, ``week``, ``month``, ``year``, or several: ``6h``, ``2d``. The first and
                the last may be cut short by the range.
            where: the values, one or several, that labels must have; ``currency`` is a label of money.
            group_by: labels whose values are told apart; others are added up.
            tz: by whose calendar days and longer steps begin.
            of: of a histogram: the ``sum`` of what was observed, its ``count``, or the ``mean``.
        """
        runtime, asked = self._ask(name, "query", where, group_by)
        zone = metric_times.zone_of(tz, asked.who)
        span = metric_times.span_of(start, end, zone, asked.who)
        spans = metric_times.steps_of(span, step, zone, asked.who)
        if of != "sum" and asked.metric.terms.kind is not Kind.HISTOGRAM:
            raise Uncountable(f"{asked.who}: of={of!r} is of histograms")
        return self._work(runtime, asked, over_time(asked, spans, zone, of))

    @verb
    def totals(
        self, name: str, start: When, end: When, where: Where = _NOWHERE, group_by: Names = (), tz: str = _UTC
    ) -> Work[tuple[MetricTotal, ...]]:
        """Return the sum of a metric, for each group; arguments are as of ``query``."""
        runtime, asked = self._ask(name, "totals", where, group_by)
        return self._work(runtime, asked, totals(asked, _span(asked, start, end, tz)))

    @verb
    def top(
        self, name: str, n: int, by: Names, start: When, end: When, where: Where = _NOWHERE, tz: str = _UTC
    ) -> Work[tuple[MetricTotal, ...]]:
        """Return the ``n`` groups with the largest sums, the largest first.

        Args:
            name: of the metric.
            n: how many.
            by: labels, by whose values it is summed up.
            start: as of ``query``; so are ``end``, ``where`` and ``tz``.
            end: see there.
            where: see there.
            tz: see there.
        """
        runtime, asked = self._ask(name, "top", where, by)
        if not asked.group_by or n < 1:
            raise Uncountable(f"{asked.who}: expected an n of at least 1, and by which labels")

        def flow() -> Flow[tuple[MetricTotal, ...]]:
            sums = yield from totals(asked, _span(asked, start, end, tz))
            return tuple(sorted(sums, key=lambda total: total.value, reverse=True)[:n])

        return self._work(runtime, asked, flow())

    @verb
    def uniques(self, name: str, start: When, end: When, where: Where = _NOWHERE) -> Work[int]:
        """Return how many different things were seen on the days of a range (UTC), to within about 1%.

        Arguments are as of ``query``; each day that the range touches belongs to it.
        """
        runtime, asked = self._ask(name, "uniques", where, kind=Kind.UNIQUES)
        spans = whole_days([_span(asked, start, end, _UTC)], asked.who)

        def flow() -> Flow[int]:
            (row,) = yield from asked.distinct(spans)
            return row.get((), 0)

        return self._work(runtime, asked, flow())

    @verb
    def percentiles(
        self,
        name: str,
        qs: Sequence[float],
        start: When,
        end: When,
        where: Where = _NOWHERE,
        tz: str = _UTC,
    ) -> Work[dict[float, float | None]]:
        """Return percentiles of what a histogram observed, each to within its ``accuracy``; None: of nothing.

        Args:
            name: of the metric.
            qs: which, from 0 to 1: 0.5 is the median.
            start: as of ``query``; so are ``end``, ``where`` and ``tz``.
            end: see there.
            where: see there.
            tz: see there.
        """
        runtime, asked = self._ask(name, "percentiles", where, kind=Kind.HISTOGRAM)
        if not all(0 <= q <= 1 for q in qs):
            raise Uncountable(f"{asked.who}: expected qs from 0 to 1: 0.99 for the 99th percentile")

        def flow() -> Flow[dict[float, float | None]]:
            (row,) = yield from asked.percentiles([_span(asked, start, end, tz)], qs)
            return dict(zip(qs, row.get((), [None] * len(qs)), strict=True))

        return self._work(runtime, asked, flow())

    @verb
    def gauges(
        self, name: str, where: Where = _NOWHERE, start: When | None = None, end: When | None = None
    ) -> Work[tuple[GaugeReading, ...]]:
        """Return what each gauge of a metric showed last, and the extremes.

        Args:
            name: of the metric.
            where: as of ``query``.
            start: of the range; None: this month of UTC and the one before.
            end: of the range; None: now.
        """
        runtime, asked = self._ask(name, "gauges", where, kind=Kind.GAUGE)
        now = asked.metric.site.clock.wall()
        if start is None:
            this = containing(Resolution.MONTH, int(now // HOUR))
            start = containing(Resolution.MONTH, this.begin - 1).begin * HOUR
        span = _span(asked, start, now + 1 if end is None else end, _UTC)
        return self._work(runtime, asked, gauges(asked, span))

    @verb
    def revenue(
        self, day: date | str, where: Where = _NOWHERE, *, name: str = "revenue", tz: str = _UTC
    ) -> Work[dict[str, Decimal]]:
        """Return the money of one day by currency, exactly.

        Args:
            day: a date.
            where: as of ``query``.
            name: of the metric.
            tz: by whose calendar.
        """
        runtime, asked = self._ask(name, "revenue", where, CURRENCY, kind=Kind.MONEY)
        return self._work(runtime, asked, by_label(asked, _day(asked, day, tz)))

    @verb
    def model_usage(
        self, day: date | str, where: Where = _NOWHERE, *, name: str = "model_usage", tz: str = _UTC
    ) -> Work[dict[str, int]]:
        """Return what was counted on one day by model; arguments are as of ``revenue``."""
        runtime, asked = self._ask(name, "model_usage", where, "model")
        return self._work(runtime, asked, by_label(asked, _day(asked, day, tz)))

    @verb
    def tokens(
        self,
        start: When,
        end: When,
        by: str = "model",
        where: Where = _NOWHERE,
        *,
        name: str = "tokens",
        tz: str = _UTC,
    ) -> Work[dict[str, int]]:
        """Return how many tokens were counted, by model, by user or by another label.

        Args:
            start: as of ``query``; so are ``end``, ``where`` and ``tz``.
            end: see there.
            by: the label.
            where: see there.
            name: of the metric.
            tz: see there.
        """
        runtime, asked = self._ask(name, "tokens", where, by)
        return self._work(runtime, asked, by_label(asked, _span(asked, start, end, tz)))

    def _ask(
        self,
        name: str,
        verb: str,
        where: Where = _NOWHERE,
        group_by: Names = (),
        kind: Kind | None = None,
    ) -> tuple[Runtime, Question]:
        runtime, who = current.current(), f"{self!r}.{verb}"
        metric = runtime.metrics.metric(self.namespace, name, who, kind)
        return runtime, question(metric, who, where, group_by)

    def _work(self, runtime: Runtime, asked: Question, flow: Flow[T]) -> Work[T]:
        watched = _counted(self.namespace, flow)
        return Work(runtime, asked.metric.site, runtime.guarantees.over(self.namespace, watched))


def _span(asked: Question, start: When, end: When, tz: str) -> tuple[int, int]:
    return metric_times.span_of(start, end, metric_times.zone_of(tz, asked.who), asked.who)


def _day(asked: Question, day: date | str, tz: str) -> tuple[int, int]:
    return metric_times.day_of(day, metric_times.zone_of(tz, asked.who), asked.who)


def _counted(namespace: str, flow: Flow[T]) -> Flow[T]:
    """Count the faults of Redis that end a flow."""
    try:
        return (yield from flow)
    except StoreError as fault:
        faults.errors(namespace)[str(fault.fault)] += 1
        raise
