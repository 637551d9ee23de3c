"""``prices:`` and ``currency:`` — what models cost, as their providers' price lists say."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator

from cachepolicy.policy import units
from cachepolicy.policy.rules.base import Frozen, Rule, Text

Amount: TypeAlias = Annotated[int, BeforeValidator(units.parse_price, json_schema_input_type=str | float)]
"""Millionths of the currency's unit, for a million tokens."""


def _currency(value: str) -> str:
    if len(value) != 3 or not (value.isascii() and value.isalpha() and value.isupper()):
        raise ValueError("expected three capital letters such as USD")
    return value


Currency: TypeAlias = Annotated[Text, AfterValidator(_currency)]


class PriceRule(Rule):
    """What a million tokens of a model cost."""

    input: Amount
    """Of the request."""
    output: Amount = 0
    """Of the answer; embeddings have none."""
    cached_input: Amount | None = None
    """Of the request, where the provider has them in its cache; without it, as ``input``."""
    cache_write: Amount | None = None
    """Of the request, where the provider writes them to its cache; without it, as ``input``."""


PriceList: TypeAlias = Frozen[Text, PriceRule]
