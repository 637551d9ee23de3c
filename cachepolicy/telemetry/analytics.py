"""What became of what was counted: plain integers, read at collection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from cachepolicy.telemetry.instruments import Instrument, Kind, Point, by_namespace
from cachepolicy.telemetry.names import (
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


def _read(count: Callable[[Flushes], int]) -> Callable[[], list[Point]]:
    return lambda: by_namespace((namespace, count(counted)) for namespace, counted in list(_FLUSHES.items()))


INSTRUMENTS: Final = (
    Instrument(
        METRIC_ANALYTICS_FLUSHED,
        Kind.COUNTER,
        "{cell}",
        "Counts that went to Redis",
        _read(attrgetter("flushed")),
    ),
    Instrument(
        METRIC_ANALYTICS_DROPPED,
        Kind.COUNTER,
        "{event}",
        "Events that could not be counted",
        _read(attrgetter("dropped")),
    ),
    Instrument(
        METRIC_ANALYTICS_PENDING,
        Kind.GAUGE,
        "{cell}",
        "Counts that wait for Redis",
        _read(lambda counted: counted.pending()),
    ),
)
