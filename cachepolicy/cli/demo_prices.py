"""What a model's answer costs, at list price."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

# US dollars per million tokens (input, output): OpenAI's list prices, standard processing, November 2026.
# A model that is not listed has no price here, and the demo then speaks of tokens only.
LIST_PRICES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "gpt-4.1": (2.00, 8.00),
        "gpt-4.1-mini": (0.40, 1.60),
        "gpt-4.1-nano": (0.10, 0.40),
        "gpt-4o": (2.50, 10.00),
        "gpt-4o-mini": (0.15, 0.60),
        "gpt-5.4-mini": (0.75, 4.50),
        "gpt-5.4-nano": (0.20, 1.25),
    }
)
_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")


def list_price(model: str, prompt_tokens: int, completion_tokens: int) -> float | None:
    """Price one answer in US dollars; None for a model without a known price.

    >>> list_price("gpt-4.1-mini-2025-04-14", 1_000_000, 0)
    0.4
    """
    prices = LIST_PRICES.get(_SNAPSHOT.sub("", model))
    if prices is None:
        return None
    return (prompt_tokens * prices[0] + completion_tokens * prices[1]) / 1_000_000
