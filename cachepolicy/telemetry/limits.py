"""How often each rule of limits let a call pass, and refused one: plain integers, read at collection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cachepolicy.telemetry.instruments import Instrument, Kind, Point
from cachepolicy.telemetry.names import (
    ATTRIBUTE_NAMESPACE,
    ATTRIBUTE_OUTCOME,
    ATTRIBUTE_RULE,
    METRIC_LIMIT_DECISIONS,
    METRIC_LIMIT_EXCEEDED,
)

DECISIONS: Final = ("allowed", "denied", "shadow", "degraded")
"""The outcomes that are told; each is a count of its own."""

_TALLIES: Final[dict[tuple[str, str], Tally]] = {}  # for the process: metrics outlive a policy


@dataclass(slots=True)
class Tally:
    """The decisions of one rule. A lost update under threads is accepted.

    Attributes:
        allowed: calls that might go on.
        denied: calls that might not.
        shadow: calls that went on because the rule is in shadow.
        degraded: calls that were decided without Redis, either way.
        exceeded: calls that were refused, whoever decided.
    """

    allowed: int = 0
    denied: int = 0
    shadow: int = 0
    degraded: int = 0
    exceeded: int = 0


def tally(namespace: str, rule: str) -> Tally:
    """Return the counts of a rule in this process."""
    return _TALLIES.setdefault((namespace, rule), Tally())


def tallies() -> Iterator[tuple[tuple[str, str], Tally]]:
    """Return the counts of this process, by namespace and rule."""
    yield from list(_TALLIES.items())


def _decisions() -> Iterator[Point]:
    for (namespace, rule), counted in tallies():
        for outcome in DECISIONS:
            attributes = {ATTRIBUTE_NAMESPACE: namespace, ATTRIBUTE_RULE: rule, ATTRIBUTE_OUTCOME: outcome}
            yield Point(getattr(counted, outcome), attributes)


def _exceeded() -> Iterator[Point]:
    for (namespace, rule), counted in tallies():
        yield Point(counted.exceeded, {ATTRIBUTE_NAMESPACE: namespace, ATTRIBUTE_RULE: rule})


INSTRUMENTS: Final = (
    Instrument(
        METRIC_LIMIT_DECISIONS, Kind.COUNTER, "{decision}", "Decisions about calls under limits", _decisions
    ),
    Instrument(
        METRIC_LIMIT_EXCEEDED, Kind.COUNTER, "{call}", "Calls that were refused for a limit", _exceeded
    ),
)
