"""All that this process has counted, as whole numbers: what is added up over processes.

A sum only ever grows here, so the difference of two readings is what happened in between.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

from cachepolicy.telemetry import limits, metrics, sessions
from cachepolicy.telemetry.names import (
    ATTRIBUTE_CURRENCY,
    ATTRIBUTE_MODEL,
    ATTRIBUTE_NAMESPACE,
    ATTRIBUTE_TENANT,
    ATTRIBUTE_TOKEN_TYPE,
    METRIC_ERRORS,
    METRIC_LIMIT_DECISIONS,
    METRIC_REQUESTS,
    METRIC_SAVED_COST,
    METRIC_SAVED_TIME,
    METRIC_SAVED_TOKENS,
)

FLEET_REQUESTS: Final = METRIC_REQUESTS
FLEET_ERRORS: Final = METRIC_ERRORS
FLEET_TOKENS: Final = METRIC_SAVED_TOKENS
FLEET_COST: Final = METRIC_SAVED_COST
FLEET_TIME: Final = METRIC_SAVED_TIME
FLEET_DECISIONS: Final = METRIC_LIMIT_DECISIONS
FLEET_EXCEEDED: Final = "cachepolicy.limits.exceeded"
FLEET_SESSIONS: Final = "cachepolicy.sessions.active"
FLEET_ENDED: Final = "cachepolicy.sessions.ended"

_MILLION: Final = 1_000_000

Kind: TypeAlias = Literal["counter", "gauge", "money"]
Labels: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Declared:
    """One metric of the library's own.

    Attributes:
        kind: what its values mean.
        labels: what tells its series apart.
    """

    kind: Kind
    labels: tuple[str, ...]


OWN: Final[Mapping[str, Declared]] = MappingProxyType(
    {
        FLEET_REQUESTS: Declared("counter", ("namespace", "outcome", "tier")),
        FLEET_ERRORS: Declared("counter", ("namespace", "error")),
        FLEET_TOKENS: Declared("counter", ("namespace", "model", "tenant", "type")),
        FLEET_COST: Declared("money", ("namespace", "model", "tenant")),
        FLEET_TIME: Declared("counter", ("namespace", "model", "tenant")),
        FLEET_DECISIONS: Declared("counter", ("namespace", "rule", "outcome")),
        FLEET_EXCEEDED: Declared("counter", ("namespace", "rule")),
        FLEET_SESSIONS: Declared("gauge", ("namespace",)),
        FLEET_ENDED: Declared("counter", ("namespace", "outcome")),
    }
)
"""The metrics of the fleet, by name. Time is in microseconds, money in millionths of its unit."""

_LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        ATTRIBUTE_NAMESPACE: "namespace",
        ATTRIBUTE_MODEL: "model",
        ATTRIBUTE_TENANT: "tenant",
        ATTRIBUTE_TOKEN_TYPE: "type",
    }
)


class Sum(NamedTuple):
    """What one sum is of.

    Attributes:
        metric: of the fleet.
        labels: those that are known, in its order.
        part: of money, the currency.
    """

    metric: str
    labels: Labels
    part: str = ""


def sums() -> dict[Sum, int]:
    """Return all sums of this process: they stand still only where nothing happens."""
    found: dict[Sum, int] = {}
    for (namespace, outcome, tier), count in metrics.requests().items():
        labels = (("namespace", namespace), ("outcome", outcome.value), ("tier", tier.value))
        found[Sum(FLEET_REQUESTS, labels)] = count
    for (namespace, name), count in metrics.errors().items():
        found[Sum(FLEET_ERRORS, (("namespace", namespace), ("error", name)))] = count
    found.update(_spared())
    found.update(_limited())
    for (namespace, ending), count in sessions.endings():
        found[Sum(FLEET_ENDED, (("namespace", namespace), ("outcome", ending)))] = count
    return found


def _spared() -> Iterator[tuple[Sum, int]]:
    """Return what was spared; fractions of the smallest unit wait until they make a whole one."""
    for (metric, attributes), value in metrics.spared().items():
        labels = tuple((_LABELS[name], text) for name, text in attributes if name in _LABELS)
        if metric == FLEET_COST:
            yield (
                Sum(metric, labels, dict(attributes)[ATTRIBUTE_CURRENCY]),
                int(value) // _MILLION,
            )  # of 10**-12
        elif metric == FLEET_TIME:
            yield Sum(metric, labels), math.floor(value * _MILLION)
        else:
            yield Sum(metric, labels), value


def _limited() -> Iterator[tuple[Sum, int]]:
    for (namespace, rule), tally in limits.tallies():
        labels = (("namespace", namespace), ("rule", rule))
        yield Sum(FLEET_EXCEEDED, labels), tally.exceeded
        for outcome in limits.DECISIONS:
            yield Sum(FLEET_DECISIONS, (*labels, ("outcome", outcome))), getattr(tally, outcome)
