"""``kind: analytics`` — counters over time."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from cachepolicy.policy.rules.base import (
    Duration,
    Elsewhere,
    Frozen,
    Kept,
    Named,
    Percentage,
    Positive,
    Rule,
    Text,
    Ttl,
    TtlRange,
    Whole,
    one_or_more,
)
from cachepolicy.policy.rules.eviction import PlainEviction
from cachepolicy.policy.rules.frozen import FrozenMap

RESERVED: Final = "cachepolicy"
"""What names of the library's own metrics begin with, before the first dot."""

Mode: TypeAlias = Literal["buffered", "sync"]


def _distinct(labels: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(labels)) != len(labels):
        raise ValueError("expected each label once")
    return labels


Texts: TypeAlias = Annotated[tuple[Text, ...], BeforeValidator(one_or_more)]
Labels: TypeAlias = Annotated[tuple[Text, ...], BeforeValidator(one_or_more), AfterValidator(_distinct)]


class Retention(Rule):
    """How long each resolution is kept."""

    hour: Duration | None = None
    """By the hour; without it, as long as ``ttl`` says (seconds)."""
    day: Duration | None = 400.0 * 86_400
    """By the day (seconds)."""
    month: Duration | None = None
    """By the month; without it, for ever (seconds)."""


class Flush(Rule):
    """When what the process has counted goes to Redis; what ``kill -9`` can lose at most."""

    interval: Duration = 1.0
    """After so long (seconds)..."""
    max_cells: Positive = 1000
    """...or so many different counters..."""
    max_pending: Positive = 100_000
    """...and when Redis is out, so many are held back before more are dropped, and counted as dropped."""


class Metric(Rule):
    """One metric, declared."""

    kind: Literal["counter", "gauge", "uniques", "histogram", "money"] = "counter"
    """What its values mean."""
    labels: Labels = ()
    """The labels it may carry."""
    values: Frozen[Text, Texts] = Field(default_factory=FrozenMap)
    """The values a label may take; others are counted together."""
    retention: Retention | None = None
    """How long each resolution is kept; without it, as the namespace says."""
    max_series: Positive | None = None
    """The most combinations of labels; without it, as the namespace says."""
    mode: Mode | None = None
    """``sync``: each value goes to Redis at once; without it, as the namespace says, and money always so."""
    accuracy: Percentage = 0.02
    """The relative error of percentiles (histogram)."""

    @model_validator(mode="after")
    def _values_are_of_labels(self) -> Metric:
        if not set(self.values) <= set(self.labels):
            raise ValueError("expected values only for the metric's own labels")
        return self


class AnalyticsRule(Kept):
    """A namespace of metrics."""

    kind: Literal["analytics"]
    """analytics"""
    ttl: Ttl = TtlRange(default=30.0 * 86_400)
    """How long counts by the hour are kept."""
    retention: Retention = Retention()
    """How long each resolution is kept."""
    metrics: Named[Metric] = Field(default_factory=FrozenMap)
    """Metrics, by name."""
    undeclared: Literal["allow", "refuse"] = "allow"
    """Whether code may count what is not declared here."""
    max_series: Positive = 1000
    """The most combinations of labels of one metric, over all processes; more are counted together."""
    max_label: Annotated[Whole, Field(ge=1, le=4096)] = 128
    """The longest value of a label (characters)."""
    mode: Mode = "buffered"
    """``buffered``: counted in the process and flushed; ``sync``: each value goes to Redis at once."""
    flush: Flush = Flush()
    """When what the process has counted goes to Redis."""
    eviction: PlainEviction = PlainEviction()
    """What goes when there is no room in Redis."""
    on_fault: Literal["drop", "raise"] = "drop"
    """When Redis is out and no more can be held back."""

    @model_validator(mode="after")
    def _no_metric_is_ours(self) -> AnalyticsRule:
        if RESERVED in self.metrics:
            raise Elsewhere(("metrics", RESERVED), f"{RESERVED} is the library's own: expected another name")
        return self
