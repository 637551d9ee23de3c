"""What tokens cost, exactly: whole numbers all the way, and a decimal at the end."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

from cachepolicy.telemetry.usage import Usage

PER_UNIT: Final = 12
"""Decimal places: prices are millionths of the currency for a million tokens: 10**-12 units for a token."""

_MOST_KNOWN: Final = (
    1000  # models whose price was looked up; what a provider calls itself is not ours to bound
)


class Price(NamedTuple):
    """What a million tokens of a model cost, in millionths of the currency's unit."""

    input: int
    output: int
    cached_input: int
    cache_write: int

    def of(self, usage: Usage) -> int:
        """Return what tokens cost, in 10**-12 of the currency's unit."""
        plain = max(0, usage.input - usage.cached_input - usage.cache_write)
        return (
            plain * self.input
            + usage.cached_input * self.cached_input
            + usage.cache_write * self.cache_write
            + usage.output * self.output
        )


@dataclass(frozen=True, slots=True)
class Prices:
    """The price list of a policy.

    Args:
        currency: of all of them; empty where there are none.
        models: prices by model; ``*`` in a name stands for anything.
    """

    currency: str = ""
    models: Mapping[str, Price] = field(default_factory=dict)
    _known: dict[str, Price | None] = field(default_factory=dict, repr=False, compare=False)

    def of(self, model: str) -> Price | None:
        """Return a model's price: under its own name, else under the longest pattern; None: there is none."""
        if model in self._known:
            return self._known[model]
        found = self.models.get(model) or self._by_pattern(model)
        if len(self._known) < _MOST_KNOWN:
            self._known[model] = found
        return found

    def _by_pattern(self, model: str) -> Price | None:
        fits = [name for name in self.models if "*" in name and _matches(name, model)]
        return self.models[max(fits, key=lambda name: (len(name), name))] if fits else None


NO_PRICES: Final = Prices()


def _matches(pattern: str, model: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), model, re.DOTALL) is not None


def money(amount: int) -> Decimal:
    """Return 10**-12 of a unit as a decimal, without zeros at its end."""
    whole = Decimal(amount).scaleb(-PER_UNIT)
    return whole.quantize(Decimal(1)) if whole == whole.to_integral_value() else whole.normalize()
