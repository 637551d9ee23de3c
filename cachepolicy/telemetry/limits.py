"""How often each rule of limits let a call pass, and refused one: plain integers, read at collection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation

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


def register(meter: Meter) -> None:
    """Have the counts read at every collection."""
    meter.create_observable_counter(
        METRIC_LIMIT_DECISIONS, [_decisions], "{decision}", "Decisions about calls under limits"
    )
    meter.create_observable_counter(
        METRIC_LIMIT_EXCEEDED, [_exceeded], "{call}", "Calls that were refused for a limit"
    )


def _decisions(_: CallbackOptions) -> Iterable[Observation]:
    for (namespace, rule), counted in tallies():
        for outcome in DECISIONS:
            attributes = {ATTRIBUTE_NAMESPACE: namespace, ATTRIBUTE_RULE: rule, ATTRIBUTE_OUTCOME: outcome}
            yield Observation(getattr(counted, outcome), attributes)


def _exceeded(_: CallbackOptions) -> Iterable[Observation]:
    for (namespace, rule), counted in tallies():
        yield Observation(counted.exceeded, {ATTRIBUTE_NAMESPACE: namespace, ATTRIBUTE_RULE: rule})
