"""What questions about metrics are answered with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

Amount: TypeAlias = int | float | Decimal
"""A whole number; of money a Decimal, exact to the millionth; of a histogram a float."""


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """What a metric was in one step of time.

    Attributes:
        start: when the step begins.
        value: what it was; 0 where nothing was counted, None where there is nothing to tell: a gauge that
            showed nothing, the mean of nothing.
    """

    start: datetime
    value: Amount | None


@dataclass(frozen=True, slots=True)
class MetricSeries:
    """A metric over time.

    Attributes:
        labels: of the series that were added up.
        points: one for each step, in order.
    """

    labels: Mapping[str, str]
    points: tuple[MetricPoint, ...]


@dataclass(frozen=True, slots=True)
class MetricTotal:
    """A metric over all the time that was asked for.

    Attributes:
        labels: of the series that were added up.
        value: their sum.
    """

    labels: Mapping[str, str]
    value: Amount


@dataclass(frozen=True, slots=True)
class GaugeReading:
    """What a gauge showed.

    Attributes:
        labels: of its series.
        value: the last value.
        at: when that was.
        low: the lowest.
        high: the highest.
    """

    labels: Mapping[str, str]
    value: float
    at: datetime
    low: float
    high: float
