"""Which policy is in use, and how often another was to take its place: read at collection."""

from __future__ import annotations

from collections import Counter
from typing import Final, Literal

from cachepolicy.telemetry.instruments import Instrument, Kind, Point
from cachepolicy.telemetry.names import (
    ATTRIBUTE_ENVIRONMENT,
    ATTRIBUTE_OUTCOME,
    ATTRIBUTE_POLICY,
    METRIC_CONFIG_INFO,
    METRIC_CONFIG_RELOADS,
)

Outcome = Literal["ok", "rejected"]

_RELOADS: Final[Counter[Outcome]] = Counter()
_IN_USE: Final[list[tuple[str, str]]] = []


def use(policy: str, environment: str) -> None:
    """Say which policy is in use from now on.

    Args:
        policy: a hash of it.
        environment: that it applies to; empty: none is named.
    """
    _IN_USE[:] = [(policy, environment)]


def reloaded(outcome: Outcome) -> None:
    """Count a policy that took another's place, or was wrong: then the other stays."""
    _RELOADS[outcome] += 1


def _info() -> list[Point]:
    return [
        Point(1, {ATTRIBUTE_POLICY: policy, ATTRIBUTE_ENVIRONMENT: environment})
        for policy, environment in _IN_USE
    ]


def _reloads() -> list[Point]:
    outcomes: tuple[Outcome, ...] = ("ok", "rejected")
    return [Point(_RELOADS[outcome], {ATTRIBUTE_OUTCOME: outcome}) for outcome in outcomes]


INSTRUMENTS: Final = (
    Instrument(METRIC_CONFIG_INFO, Kind.GAUGE, "{policy}", "The policy in use, by its hash", _info),
    Instrument(
        METRIC_CONFIG_RELOADS, Kind.COUNTER, "{reload}", "Policies that were to replace one", _reloads
    ),
)
