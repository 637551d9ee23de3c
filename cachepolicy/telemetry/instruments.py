"""What a metric is, whoever reads it: OpenTelemetry, Prometheus.

Each file of this room that counts something has a table ``INSTRUMENTS``; ``metrics`` joins them, has
OpenTelemetry read them at every collection, and other readers may walk the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from cachepolicy.telemetry.names import ATTRIBUTE_NAMESPACE

Attributes = Mapping[str, str]


class Kind(StrEnum):
    """How values of a metric relate to each other."""

    COUNTER = "counter"  # it only grows
    UP_DOWN = "up_down"  # it adds up over processes
    GAUGE = "gauge"  # it does not


class Point(NamedTuple):
    """One series of a metric, at one moment."""

    value: float
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Instrument:
    """One metric that is read when somebody collects.

    Attributes:
        name: as the table of names has it.
        kind: how its values relate.
        unit: in UCUM, or ``{thing}``.
        description: for people.
        read: returns all its series; it waits for nothing, and asks nobody.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    read: Callable[[], Iterable[Point]]


def by_namespace(values: Iterable[tuple[str, float]]) -> list[Point]:
    """Return one point for each namespace and its value."""
    return [Point(value, {ATTRIBUTE_NAMESPACE: namespace}) for namespace, value in values]
