"""What became of what was counted: plain integers, read at collection."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from cachepolicy.telemetry.names import (
    ATTRIBUTE_NAMESPACE,
    METRIC_ANALYTICS_DROPPED,
    METRIC_ANALYTICS_FLUSHED,
    METRIC_ANALYTICS_PENDING,
)

_FLUSHES: Final[dict[str, Flushes]] = {}  # for the process: metrics outlive a policy


@dataclass(slots=True)
class Flushes:
    """What became of the counts of one namespace in this process.

    Attributes:
        flushed: cells that Redis has taken.
        dropped: events that no more could be held of, and cells that Redis would not take.
        pending: returns how many cells wait.
    """

    flushed: int = 0
    dropped: int = 0
    pending: Callable[[], int] = int


def flushes(namespace: str) -> Flushes:
    """Return the counts of a namespace in this process."""
    return _FLUSHES.setdefault(namespace, Flushes())


def register(meter: Meter) -> None:
    """Have the counts read at every collection."""
    for name, read, unit, what in (
        (METRIC_ANALYTICS_FLUSHED, attrgetter("flushed"), "{cell}", "Counts that went to Redis"),
        (METRIC_ANALYTICS_DROPPED, attrgetter("dropped"), "{event}", "Events that could not be counted"),
    ):
        meter.create_observable_counter(name, [_observed(read)], unit, what)
    pending = _observed(lambda counted: counted.pending())
    meter.create_observable_gauge(METRIC_ANALYTICS_PENDING, [pending], "{cell}", "Counts that wait for Redis")


def _observed(read: Callable[[Flushes], int]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _: [
        Observation(read(counted), {ATTRIBUTE_NAMESPACE: namespace})
        for namespace, counted in list(_FLUSHES.items())
    ]
