"""A question about one metric, and what is read for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeAlias

from cachepolicy.errors import Uncountable
from cachepolicy.flow import querying, sketch
from cachepolicy.flow.cells import Kind, Labels, Last
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.querying import Span
from cachepolicy.flow.series import Metric
from cachepolicy.managers.metric_results import Amount

CURRENCY: Final = "currency"
"""What the currency of money is called among its labels."""

Names: TypeAlias = str | Iterable[str]
Group: TypeAlias = tuple[tuple[str, str], ...]
Where: TypeAlias = Mapping[str, str | Iterable[str]]

_MICROS: Final = Decimal(1_000_000)


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What is asked of one metric.

    Attributes:
        metric: the metric.
        who: asks, for messages.
        where: the values that labels may have.
        group_by: the labels that are told apart; others are added up.
    """

    metric: Metric
    who: str
    where: Mapping[str, frozenset[str]]
    group_by: tuple[str, ...] = ()

    def sums(self, spans: Sequence[Span], part: str = sketch.SUM) -> Flow[list[dict[Group, int]]]:
        """Add up each span, by group.

        Raises:
            StoreError: Redis cannot be asked.
            Uncountable: money of several currencies would be added up, or what is asked for cannot be read.
        """
        where = {name: values for name, values in self.where.items() if not self._is_currency(name)}
        rows = yield from querying.sums(
            self.metric, spans, where, lambda labels, its: self._key(labels, its, part)
        )
        return self._one_currency(rows) if self._is_money and CURRENCY not in self.group_by else rows

    def distinct(self, spans: Sequence[Span]) -> Flow[list[dict[Group, int]]]:
        """Count each thing once in each span, by group; raises as ``sums`` does."""
        return querying.distinct(self.metric, spans, self.where, self._group)

    def means(self, spans: Sequence[Span]) -> Flow[list[dict[Group, float]]]:
        """Return the mean of what was observed in each span, by group; raises as ``sums`` does."""
        rows = yield from self._by_part(spans)
        return [
            {group: parts[sketch.SUM] / sketch.MICROS / parts[sketch.COUNT] for group, parts in row.items()}
            for row in rows
        ]

    def shown(self, spans: Sequence[Span]) -> Flow[list[dict[Group, Last]]]:
        """Return what each gauge showed, by group.

        Raises:
            StoreError: Redis cannot be asked.
            Uncountable: a group has several gauges, or what is asked for cannot be read.
        """
        rows = yield from querying.shown(self.metric, spans, self.where)
        gauges = {labels for row in rows for labels in row}
        if len(gauges) > len(set(map(self._group, gauges))):
            raise Uncountable(
                f"{self.who}: gauges are not added up; tell all of them apart with group_by, "
                "or name one with where"
            )
        return [{self._group(labels): last for labels, last in row.items()} for row in rows]

    def percentiles(
        self, spans: Sequence[Span], shares: Sequence[float]
    ) -> Flow[list[dict[Group, list[float | None]]]]:
        """Return percentiles of each span, by group; raises as ``sums`` does."""
        rows = yield from self._by_part(spans)
        return [{group: sketch.quantiles(parts, shares) for group, parts in row.items()} for row in rows]

    def amount(self, number: int, part: str = sketch.SUM) -> Amount:
        """Return a sum as it is told."""
        if self._is_money:
            return Decimal(number) / _MICROS
        if self.metric.terms.kind is Kind.HISTOGRAM and part == sketch.SUM:
            return number / sketch.MICROS
        return number

    @property
    def _is_money(self) -> bool:
        return self.metric.terms.kind is Kind.MONEY

    def _is_currency(self, name: str) -> bool:
        return self._is_money and name == CURRENCY

    def _by_part(self, spans: Sequence[Span]) -> Flow[list[dict[Group, dict[str, int]]]]:
        """Add up each part of a histogram by itself."""

        def key(labels: Labels, part: str) -> tuple[Group, str]:
            return self._group(labels), part

        told = []
        for row in (yield from querying.sums(self.metric, spans, self.where, key)):
            groups: dict[Group, dict[str, int]] = {}
            for (group, part), count in row.items():
                groups.setdefault(group, {})[part] = count
            told.append(groups)
        return told

    def _key(self, labels: Labels, its: str, part: str) -> Group | None:
        if not self._is_money:
            return self._group(labels) if its == part else None
        wanted = self.where.get(CURRENCY)
        return self._group((*labels, (CURRENCY, its))) if wanted is None or its in wanted else None

    def _group(self, labels: Iterable[tuple[str, str]]) -> Group:
        known = dict(labels)
        named = (
            self.group_by if not self._is_money or CURRENCY in self.group_by else (*self.group_by, CURRENCY)
        )
        return tuple([(name, known[name]) for name in named if name in known])

    def _one_currency(self, rows: list[dict[Group, int]]) -> list[dict[Group, int]]:
        """Leave out the currency where there is one."""
        currencies = {group[-1][1] for row in rows for group in row}
        if len(currencies) > 1:
            raise Uncountable(
                f"{self.who}: {' and '.join(sorted(currencies))} are not added up; "
                f"tell them apart with group_by=[{CURRENCY!r}], or name one with where"
            )
        return [{group[:-1]: number for group, number in row.items()} for row in rows]


def question(metric: Metric, who: str, where: Where, group_by: Names) -> Question:
    """Make a question; arguments are as of ``Question``.

    Raises:
        Uncountable: the metric is declared, and has no such label.
    """
    grouped = (group_by,) if isinstance(group_by, str) else tuple(group_by)
    wanted = {
        label: frozenset((values,) if isinstance(values, str) else values) for label, values in where.items()
    }
    known = metric.terms.labels
    if known is not None:
        if metric.terms.kind is Kind.MONEY:
            known = (*known, CURRENCY)
        for label in (*wanted, *grouped):
            if label not in known:
                raise Uncountable(
                    f"{who}: metric {metric.name!r} has no label {label!r}; "
                    f"there are: {', '.join(known) or 'none'}"
                )
    return Question(metric, who, wanted, grouped)
