"""Money in whole millionths: what is added up is exact, however often."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Final

from cachepolicy.errors import Uncountable

MICROS: Final = 1_000_000

_MOST_DIGITS: Final = 40
_CURRENCY: Final = re.compile("[A-Z]{3}")


def micros_of(amount: Decimal | str | int) -> int:
    """Return an amount in millionths, exactly.

    Raises:
        Uncountable: it is none, or has more than six decimals.
    """
    if isinstance(amount, float):
        raise Uncountable('expected money as Decimal("0.10"), "0.10" or a whole number: floats are not exact')
    if isinstance(amount, bool) or not isinstance(amount, Decimal | str | int):
        raise Uncountable("expected money as a Decimal, text or a whole number")
    if isinstance(amount, str) and len(amount) > _MOST_DIGITS:
        raise Uncountable(f"expected money in at most {_MOST_DIGITS} characters")
    try:
        exact = Decimal(amount)
    except InvalidOperation:
        raise Uncountable('expected money as a number such as "0.10"') from None
    if not exact.is_finite() or abs(exact.adjusted()) > _MOST_DIGITS:
        raise Uncountable("expected money as a finite number, and none so large or small")
    micros = Fraction(exact) * MICROS
    if micros.denominator != 1:
        raise Uncountable("expected money with at most six decimals: nothing is rounded here")
    return micros.numerator


def check_currency(currency: str) -> str:
    """Return a currency as it is.

    Raises:
        Uncountable: it is none.
    """
    if not _CURRENCY.fullmatch(currency):
        raise Uncountable("expected a currency in three capital letters such as USD")
    return currency
