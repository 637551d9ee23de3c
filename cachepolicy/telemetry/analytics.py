"""What became of what was counted: plain integers, read at collection."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
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
    meter.create_observable_counter(
        METRIC_ANALYTICS_FLUSHED, [_flushed], "{cell}", "Counts that went to Redis"
    )
    meter.create_observable_counter(
        METRIC_ANALYTICS_DROPPED, [_dropped], "{event}", "Events that were not counted: no more could be held"
    )
    meter.create_observable_gauge(
        METRIC_ANALYTICS_PENDING, [_pending], "{cell}", "Counts that wait for Redis"
    )


def _flushed(_: CallbackOptions) -> Iterable[Observation]:
    for namespace, counted in list(_FLUSHES.items()):
        yield Observation(counted.flushed, {ATTRIBUTE_NAMESPACE: namespace})


def _dropped(_: CallbackOptions) -> Iterable[Observation]:
    for namespace, counted in list(_FLUSHES.items()):
        yield Observation(counted.dropped, {ATTRIBUTE_NAMESPACE: namespace})


def _pending(_: CallbackOptions) -> Iterable[Observation]:
    for namespace, counted in list(_FLUSHES.items()):
        yield Observation(counted.pending(), {ATTRIBUTE_NAMESPACE: namespace})
