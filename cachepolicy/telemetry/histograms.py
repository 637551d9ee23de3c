"""Distributions, counted in buckets of our own: to add to one costs less than a microsecond.

Prometheus reads the buckets. OpenTelemetry has no histogram that is read at collection, so each value is
recorded in its own where the application has a meter provider; there it finds its exemplars itself.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from opentelemetry import metrics, trace

from cachepolicy.clock import SYSTEM
from cachepolicy.telemetry.instruments import Attributes

Labels = tuple[tuple[str, str], ...]


class Exemplar(NamedTuple):
    """One value, and the span that it was seen in.

    Attributes:
        value: that was recorded.
        trace_id: of the span, in hexadecimal.
        span_id: of the span, in hexadecimal.
        at: when, wall clock.
    """

    value: float
    trace_id: str
    span_id: str
    at: float


class Distribution(NamedTuple):
    """One series of a histogram, at one moment.

    Attributes:
        attributes: of the series.
        counts: of values in each bucket, the last one without a bound; each value is in one.
        total: of all values.
        exemplars: the last one of each bucket, where any was seen in a sampled span.
    """

    attributes: Attributes
    counts: tuple[int, ...]
    total: float
    exemplars: tuple[Exemplar | None, ...]


@dataclass(slots=True)
class _Wishes:
    """What readers want.

    Attributes:
        exemplars: of Prometheus; OpenTelemetry keeps its own.
        failures: of the application's meter provider, which failed no call.
    """

    exemplars: bool = False
    failures: int = 0


WISHES: Final = _Wishes()


class Series:
    """One series. A lost update under threads is accepted."""

    __slots__ = ("_histogram", "attributes", "counts", "exemplars", "total")

    def __init__(self, histogram: Histogram, labels: Labels) -> None:
        self._histogram = histogram
        self.attributes: Final[dict[str, str]] = dict(labels)
        self.counts = [0] * (len(histogram.bounds) + 1)
        self.total = 0.0
        self.exemplars: dict[int, Exemplar] = {}

    def record(self, value: float) -> None:
        """Count a value; raises nothing."""
        histogram = self._histogram
        bucket = bisect_left(histogram.bounds, value)
        self.counts[bucket] += 1
        self.total += value
        if WISHES.exemplars:
            self._exemplify(bucket, value)
        if histogram.told is not None:
            try:
                histogram.told.record(value, self.attributes)
            except Exception:  # noqa: BLE001 - the provider is the application's: counted, and no call fails for it
                WISHES.failures += 1

    def read(self) -> Distribution:
        """Return what has been counted."""
        exemplars = tuple(self.exemplars.get(bucket) for bucket in range(len(self.counts)))
        return Distribution(self.attributes, tuple(self.counts), self.total, exemplars)

    def _exemplify(self, bucket: int, value: float) -> None:
        span = trace.get_current_span().get_span_context()
        if span.is_valid and span.trace_flags.sampled:
            self.exemplars[bucket] = Exemplar(
                value, trace.format_trace_id(span.trace_id), trace.format_span_id(span.span_id), SYSTEM.wall()
            )


class Histogram:
    """One histogram.

    Args:
        name: as the table of names has it.
        unit: in UCUM.
        description: for people.
        bounds: the largest values of all buckets but the last, rising.
    """

    def __init__(self, name: str, unit: str, description: str, bounds: Sequence[float]) -> None:
        self.name: Final = name
        self.unit: Final = unit
        self.description: Final = description
        self.bounds: Final = tuple(bounds)
        self.told: metrics.Histogram | None = None  # OpenTelemetry's, from when it is registered
        self._series: dict[Labels, Series] = {}

    def series(self, labels: Labels) -> Series:
        """Return the series of these labels; whoever records often keeps it."""
        found = self._series.get(labels)
        return self._series.setdefault(labels, Series(self, labels)) if found is None else found

    def record(self, value: float, labels: Labels) -> None:
        """Count a value; raises nothing."""
        self.series(labels).record(value)

    def read(self) -> Iterator[Distribution]:
        """Return all series, as they are now."""
        for series in list(self._series.values()):
            yield series.read()

    def register(self, meter: metrics.Meter) -> None:
        """Tell OpenTelemetry of each value from now on."""
        self.told = meter.create_histogram(
            self.name, self.unit, self.description, explicit_bucket_boundaries_advisory=self.bounds
        )
