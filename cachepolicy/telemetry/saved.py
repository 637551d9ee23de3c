"""What was spared, by model: worked out when metrics are collected, not while calls run.

No attribute is one by which a tracing backend knows a model call: what was spared must not be billed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple, Protocol

from cachepolicy.telemetry.instruments import Instrument, Kind, Point
from cachepolicy.telemetry.names import (
    ATTRIBUTE_CURRENCY,
    ATTRIBUTE_MODEL,
    ATTRIBUTE_NAMESPACE,
    ATTRIBUTE_TENANT,
    ATTRIBUTE_TOKEN_TYPE,
    METRIC_SAVED_COST,
    METRIC_SAVED_TIME,
    METRIC_SAVED_TOKENS,
)
from cachepolicy.telemetry.prices import NO_PRICES, Prices, money
from cachepolicy.telemetry.savings import Ledger

Attributes = tuple[tuple[str, str], ...]
Series = tuple[str, Attributes]
"""A metric's name, and the attributes of one of its sums."""


class Terms(NamedTuple):
    """How what was spared is told: at these prices, and whether tenants are named."""

    prices: Prices = NO_PRICES
    tenants: bool = False


NO_TERMS: Final = Terms()


class Source(Protocol):
    """One decorated function, as far as it is told what it was spared."""

    @property
    def namespace(self) -> str:
        """The policy's namespace."""
        ...

    @property
    def terms(self) -> Terms:
        """How it is told."""
        ...

    def ledger(self) -> Ledger:
        """Return its sums."""
        ...


def series(source: Source) -> Iterator[tuple[Series, float]]:
    """Return what a function was spared; money as whole numbers of 10**-12 units, so that sums are exact."""
    prices, tenants = source.terms
    for account, sums in source.ledger():
        labels: Attributes = ((ATTRIBUTE_NAMESPACE, source.namespace),)
        if account.model:
            labels += ((ATTRIBUTE_MODEL, account.model),)
        if tenants and account.tenant is not None:
            labels += ((ATTRIBUTE_TENANT, account.tenant),)
        yield (METRIC_SAVED_TIME, labels), sums.seconds
        usage = sums.usage(account.model)
        if usage.input or usage.output:
            for kind, count in (("input", usage.input), ("output", usage.output)):
                yield (METRIC_SAVED_TOKENS, (*labels, (ATTRIBUTE_TOKEN_TYPE, kind))), count
            price = prices.of(account.model)
            if price is not None:
                yield (METRIC_SAVED_COST, (*labels, (ATTRIBUTE_CURRENCY, prices.currency))), price.of(usage)


def instruments(sums: Callable[[], Mapping[Series, float]]) -> tuple[Instrument, ...]:
    """Return the metrics that tell sums of series."""

    def told(name: str) -> Callable[[], list[Point]]:
        return lambda: [
            Point(float(money(int(value))) if name == METRIC_SAVED_COST else value, dict(labels))
            for (metric, labels), value in sums().items()
            if metric == name
        ]

    return tuple(
        Instrument(name, Kind.COUNTER, unit, description, told(name))
        for name, unit, description in (
            (METRIC_SAVED_TOKENS, "{token}", "Tokens that no model was asked for again"),
            (METRIC_SAVED_COST, "1", "What these cost by the policy's prices"),
            (METRIC_SAVED_TIME, "s", "What the functions would have taken again"),
        )
    )
