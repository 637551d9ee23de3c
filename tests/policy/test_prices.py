"""``prices:`` and ``currency:``: read exactly, and refused with their place."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cachepolicy import policy
from cachepolicy.policy.units import parse_price
from cachepolicy.telemetry.prices import Price, Prices, money
from cachepolicy.telemetry.usage import Usage
from tests.policy.helpers import complaints, said, write


def _priced(**price: Any) -> dict[str, Any]:
    return {"version": 1, "currency": "USD", "prices": {"gpt-4o": price}}


@pytest.mark.parametrize(
    ("written", "micros"),
    [(2.5, 2_500_000), ("2.50", 2_500_000), (10, 10_000_000), (0, 0), (0.000001, 1), (0.1, 100_000)],
)
def test_prices_are_read_exactly(written: object, micros: int) -> None:
    """A price is millionths of the currency, whatever binary fractions make of it."""
    assert parse_price(written) == micros


@pytest.mark.parametrize("wrong", ["2.50 USD", "$2.50", "1e3", "2.5/M", "", True, None, [], float("inf")])
def test_what_is_no_price_is_refused(wrong: object) -> None:
    """Units, signs and words have no place in a price: they are told so, not guessed at."""
    with pytest.raises(ValueError, match="expected a price such as"):
        parse_price(wrong)


@pytest.mark.parametrize("wrong", [-1, -0.5, "-2"])
def test_a_negative_price_is_refused(wrong: object) -> None:
    """Nobody is paid for asking."""
    with pytest.raises(ValueError, match="at least 0"):
        parse_price(wrong)


def test_a_price_list_is_part_of_the_policy() -> None:
    """Models, patterns and names with dots are keys; what is not said has its default."""
    source = {**_priced(input=2.5, output="10", cached_input=1.25), "telemetry": {"tenants": True}}
    loaded = policy.load(source, variables={}).policy
    price = loaded.prices["gpt-4o"]
    assert (loaded.currency, price.input, price.output) == ("USD", 2_500_000, 10_000_000)
    assert (price.cached_input, price.cache_write) == (1_250_000, None)
    assert loaded.telemetry.tenants is True


def test_wrong_prices_are_told_with_their_place(tmp_path: Path) -> None:
    """A negative price, an unknown key and wrong units are told with file, line and path, all at once."""
    file = write(
        tmp_path,
        "version: 1\ncurrency: usd\nprices:\n  gpt-4.1:\n    input: -1\n    outputs: 10\n"
        "  gpt-4o*: {input: 2.50 USD}\n",
    )
    assert [line.partition(": ")[0] + ": " + line.partition(": ")[2][:40] for line in complaints(file)] == [
        "policies.yaml:2:11: currency: expected three capital letters",
        "policies.yaml:5:12: prices.gpt-4.1.input: expected a price s",
        "policies.yaml:6:5: prices.gpt-4.1.outputs: unknown key; did",
        "policies.yaml:7:20: prices.gpt-4o*.input: expected a price s",
    ]


def test_prices_need_a_currency() -> None:
    """A price of nobody knows what is none."""
    (line,) = said({"version": 1, "prices": {"gpt-4o": {"input": 1}}})
    assert "currency: USD" in line


def test_a_model_is_priced_by_its_name_then_by_the_longest_pattern() -> None:
    """The exact name comes first, then the longest pattern that fits; one that merely begins so has none."""
    exact, mini, dated, wide = (Price(number, 0, 0, 0) for number in range(4))
    prices = Prices(
        "USD", {"gpt-4o": exact, "gpt-4o-mini*": mini, "gpt-4o-2024-*": dated, "gpt-4*": wide, "o[1]*": wide}
    )
    assert prices.of("gpt-4o") is exact
    assert prices.of("gpt-4o-mini-2024-07-18") is mini
    assert prices.of("gpt-4o-2024-08-06") is dated
    assert prices.of("gpt-4.1") is wide
    assert prices.of("claude") is None
    assert prices.of("o1-mini") is None  # only * is special
    assert Prices("USD", {"gpt-4o": exact}).of("gpt-4o-2024-08-06") is None


def test_money_is_exact() -> None:
    """A cost is the exact sum of its parts: cached tokens at their price, written ones at theirs."""
    price = Price(2_500_000, 10_000_000, 1_250_000, 3_125_000)
    assert money(price.of(Usage("m", 100, 20, 60, 10))) == Decimal("0.00038125")
    assert str(money(10**13)) == "10"
    assert money(0) == 0
