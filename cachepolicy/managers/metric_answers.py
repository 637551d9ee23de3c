"""What a question about a metric is answered with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from cachepolicy.errors import Uncountable
from cachepolicy.flow import querying, sketch
from cachepolicy.flow.cells import Kind
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.querying import Span
from cachepolicy.keys.periods import DAY
from cachepolicy.managers.metric_questions import Group, Question
from cachepolicy.managers.metric_results import (
    Amount,
    GaugeReading,
    MetricPoint,
    MetricSeries,
    MetricTotal,
)
from cachepolicy.managers.metric_times import shown as shown_at


def over_time(
    asked: Question, spans: Sequence[Span], zone: ZoneInfo, of: str = "sum"
) -> Flow[tuple[MetricSeries, ...]]:
    """Answer with a point for each span; without groups there is one series. Raises as ``Question.sums``."""
    nothing, rows = yield from _rows(asked, spans, of)
    starts = [shown_at(begin, zone) for begin, _ in spans]
    return tuple(
        MetricSeries(
            dict(group),
            tuple([MetricPoint(at, row.get(group, nothing)) for at, row in zip(starts, rows, strict=True)]),
        )
        for group in _groups(asked, rows)
    )


def _rows(
    asked: Question, spans: Sequence[Span], of: str
) -> Flow[tuple[Amount | None, Sequence[Mapping[Group, Amount]]]]:
    """Return what there is to tell of each span, by group, and what of a group that is not there."""
    kind = asked.metric.terms.kind
    if kind is Kind.GAUGE:
        shown = yield from asked.shown(spans)
        return None, [{group: last.value for group, last in row.items()} for row in shown]
    if kind is Kind.UNIQUES:
        return 0, (yield from asked.distinct(whole_days(spans, asked.who)))
    if of == "mean":
        return None, (yield from asked.means(spans))
    part = sketch.COUNT if of == "count" else sketch.SUM
    sums = yield from asked.sums(spans, part)
    if kind is Kind.COUNTER:
        return 0, sums
    amount = asked.amount
    told = [{group: amount(number, part) for group, number in row.items()} for row in sums]
    return amount(0, part), told


def totals(asked: Question, span: Span) -> Flow[tuple[MetricTotal, ...]]:
    """Answer with sums; without groups there is one. Raises as ``Question.sums``."""
    if asked.metric.terms.kind in {Kind.GAUGE, Kind.UNIQUES}:
        raise Uncountable(
            f"{asked.who}: metric {asked.metric.name!r} has no sums: it is {asked.metric.terms.kind}"
        )
    (row,) = yield from asked.sums([span])
    return tuple(MetricTotal(dict(group), asked.amount(row.get(group, 0))) for group in _groups(asked, [row]))


def by_label(asked: Question, span: Span) -> Flow[dict[str, Any]]:
    """Answer with sums by the value of one label."""
    told = yield from totals(asked, span)
    return {value: total.value for total in told for value in total.labels.values()}


def gauges(asked: Question, span: Span) -> Flow[tuple[GaugeReading, ...]]:
    """Answer with what each gauge showed. Raises as ``Question.sums``."""
    (row,) = yield from querying.shown(asked.metric, [span], asked.where)
    return tuple(
        GaugeReading(dict(labels), last.value, datetime.fromtimestamp(last.at, UTC), last.low, last.high)
        for labels, last in sorted(row.items())
    )


def whole_days(spans: Sequence[Span], who: str) -> list[Span]:
    """Return spans as days of UTC, the first and the last of which are taken whole.

    Raises:
        Uncountable: a day lies in two of them.
    """
    cuts = [begin for begin, _ in spans[1:]]
    if any(cut % DAY for cut in cuts):
        raise Uncountable(f"{who}: what was seen is kept by the day of UTC: ask for steps of such days")
    begin, end = spans[0][0], spans[-1][1]
    return list(pairwise([begin - begin % DAY, *cuts, end + -end % DAY]))


def _groups(asked: Question, rows: Iterable[Mapping[Group, Any]]) -> list[Group]:
    return sorted({group for row in rows for group in row}) or ([] if asked.group_by else [()])
