"""What is measured of calls that leave L1, namespace by namespace: how long they took, what they stored.

They are of the process: what was measured outlives a policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cachepolicy.telemetry.histograms import Histogram, Series
from cachepolicy.telemetry.instruments import Instrument, Kind, Point
from cachepolicy.telemetry.names import (
    ATTRIBUTE_NAMESPACE,
    ATTRIBUTE_OUTCOME,
    ATTRIBUTE_REASON,
    ATTRIBUTE_TIER,
    METRIC_COMPRESSION_RATIO,
    METRIC_EVICTIONS,
    METRIC_ITEM_SIZE,
    METRIC_LEASE_WAIT,
    METRIC_OPERATION_DURATION,
    METRIC_ORIGIN_DURATION,
    METRIC_REFRESHES,
    Outcome,
    Tier,
)

TIMES: Final = (
    *(50e-6, 100e-6, 250e-6, 500e-6),
    *(1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3),
    *(1.0, 2.5, 5.0, 10.0),
)
"""Seconds: a hit in Redis takes some hundred microseconds, a model some seconds."""

_LONG_TIMES: Final = (*TIMES, 25.0, 50.0, 100.0, 250.0)
_SIZES: Final = tuple(float(4**power) for power in range(3, 14))  # 64 B to 64 MiB
_RATIOS: Final = (1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 32.0)

OPERATION: Final = Histogram(
    METRIC_OPERATION_DURATION, "s", "How long calls took that L1 did not answer", TIMES
)
ORIGIN: Final = Histogram(METRIC_ORIGIN_DURATION, "s", "How long the functions took", _LONG_TIMES)
WAIT: Final = Histogram(METRIC_LEASE_WAIT, "s", "How long calls waited for another process", _LONG_TIMES)
SIZE: Final = Histogram(METRIC_ITEM_SIZE, "By", "Bytes of a value as it is stored", _SIZES)
RATIO: Final = Histogram(
    METRIC_COMPRESSION_RATIO, "1", "Bytes of a value before compression, by those after", _RATIOS
)

_MEASURES: Final[dict[str, Measures]] = {}


@dataclass(slots=True)
class Evictions:
    """Why entries left L1. A lost update under threads is accepted.

    Attributes:
        size: there was no room for them.
        ttl: their time was over.
        invalidated: they were out of date.
    """

    size: int = 0
    ttl: int = 0
    invalidated: int = 0


class Measures:
    """What is measured of one namespace."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self.evictions: Final = Evictions()
        self.refreshes: Final = {"ok": 0, "error": 0}
        self._answered: dict[tuple[Outcome, Tier], Series] = {}

    def answered(self, seconds: float, outcome: Outcome, tier: Tier) -> None:
        """Tell how long a call took that left L1; of a stream, until it began."""
        series = self._answered.get((outcome, tier))
        if series is None:
            labels = (
                (ATTRIBUTE_NAMESPACE, self._namespace),
                (ATTRIBUTE_OUTCOME, outcome.value),
                (ATTRIBUTE_TIER, tier.value),
            )
            series = self._answered[outcome, tier] = OPERATION.series(labels)
        series.record(seconds)

    def originated(self, seconds: float, *, ok: bool) -> None:
        """Tell how long the function took; of a stream, until it ended."""
        outcome = "ok" if ok else "error"
        ORIGIN.record(seconds, ((ATTRIBUTE_NAMESPACE, self._namespace), (ATTRIBUTE_OUTCOME, outcome)))

    def waited(self, seconds: float) -> None:
        """Tell how long a call waited for another process."""
        WAIT.record(seconds, ((ATTRIBUTE_NAMESPACE, self._namespace),))

    def stored(self, size: int, ratio: float | None) -> None:
        """Tell how many bytes were stored, and how many times as many there were before compression."""
        SIZE.record(size, ((ATTRIBUTE_NAMESPACE, self._namespace),))
        if ratio is not None:
            RATIO.record(ratio, ((ATTRIBUTE_NAMESPACE, self._namespace),))

    def refreshed(self, *, ok: bool) -> None:
        """Tell that an entry was computed anew behind its callers, or could not be."""
        self.refreshes["ok" if ok else "error"] += 1


class _Unmeasured(Measures):
    """``telemetry: {enabled: false}``."""

    def answered(self, seconds: float, outcome: Outcome, tier: Tier) -> None: ...
    def originated(self, seconds: float, *, ok: bool) -> None: ...
    def waited(self, seconds: float) -> None: ...
    def stored(self, size: int, ratio: float | None) -> None: ...
    def refreshed(self, *, ok: bool) -> None: ...


UNMEASURED: Final[Measures] = _Unmeasured("")


def of(namespace: str, *, enabled: bool = True) -> Measures:
    """Return what is measured of a namespace in this process."""
    if not enabled:
        return UNMEASURED
    found = _MEASURES.get(namespace)
    return _MEASURES.setdefault(namespace, Measures(namespace)) if found is None else found


def _evictions() -> list[Point]:
    return [
        Point(count, {ATTRIBUTE_NAMESPACE: namespace, ATTRIBUTE_REASON: reason})
        for namespace, measured in list(_MEASURES.items())
        for reason, count in (
            ("size", measured.evictions.size),
            ("ttl", measured.evictions.ttl),
            ("invalidated", measured.evictions.invalidated),
        )
    ]


def _refreshes() -> list[Point]:
    return [
        Point(count, {ATTRIBUTE_NAMESPACE: namespace, ATTRIBUTE_OUTCOME: outcome})
        for namespace, measured in list(_MEASURES.items())
        for outcome, count in measured.refreshes.items()
    ]


INSTRUMENTS: Final = (
    Instrument(METRIC_EVICTIONS, Kind.COUNTER, "{eviction}", "Entries that left L1, by why", _evictions),
    Instrument(
        METRIC_REFRESHES, Kind.COUNTER, "{refresh}", "Entries computed anew behind callers", _refreshes
    ),
)
HISTOGRAMS: Final = (OPERATION, ORIGIN, WAIT, SIZE, RATIO)
