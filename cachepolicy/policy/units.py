"""The words of a policy's numbers: durations, sizes, percentages, rates.

Each ``parse_*`` takes a scalar as YAML gives it (text, or a bare number) and returns a plain number.
A :class:`ValueError` says what was expected, with an example, and never repeats what was given:
it may be a secret that was put in the wrong place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Final

_SECONDS: Final = {
    "w": Fraction(604_800),
    "d": Fraction(86_400),
    "h": Fraction(3_600),
    "m": Fraction(60),
    "s": Fraction(1),
    "ms": Fraction(1, 1_000),
}
_BYTES: Final = {
    "B": 1,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}
_PERIODS: Final = {  # a month only measures a calendar; its length here orders it among the others
    "second": 1.0,
    "minute": 60.0,
    "hour": 3_600.0,
    "day": 86_400.0,
    "week": 604_800.0,
    "month": 2_592_000.0,
}

SHORTEST: Final = Fraction(1, 1_000)  # Redis expires by the millisecond; a shorter TTL would delete at once
LONGEST: Final = Fraction(100 * 365 * 86_400)
LARGEST: Final = 2**53 - 1  # beyond it Lua, JSON and floats lose whole numbers

_NUMBER: Final = r"[0-9]+(?:\.[0-9]+)?"
_DURATION: Final = re.compile(rf"({_NUMBER})(ms|[wdhms])")
_SIZE: Final = re.compile(rf"({_NUMBER})({'|'.join(_BYTES)})?")
_PERCENTAGE: Final = re.compile(rf"({_NUMBER})%")
_BARE: Final = re.compile(_NUMBER)
_WHOLE: Final = re.compile(r"[0-9]+")
_PRICE: Final = re.compile(r"[0-9]+(?:\.[0-9]{1,6})?")
_MONEY: Final = re.compile(r"([0-9]+(?:\.[0-9]{1,6})?) ([A-Z]{3})")
_MOST_CHARACTERS: Final = 64  # no honest number is longer, and arithmetic on endless digits is slow

_A_DURATION: Final = "expected a duration such as 30m, 7d, 100ms or 1h30m (a bare number is seconds)"
_A_SIZE: Final = "expected a size such as 1KiB, 64MiB or 10MB (a bare number is bytes)"
_A_PERCENTAGE: Final = "expected a percentage such as 10%"
_A_RATE: Final = "expected a rate such as 100/hour, 60/minute or 5/10s"
_A_PRICE: Final = "expected a price such as 2.50, for a million tokens and in the policy's currency"
_A_MONEY_RATE: Final = "expected money over time such as 5.00 USD/day"


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in so long: ``100/hour`` is ``Rate(limit=100, window=3600.0)``.

    ``window`` is in seconds. ``period`` is the word that was written (``hour``), or ``""`` when a duration
    was: calendar quotas follow the word, everything else the seconds.
    """

    limit: int
    window: float
    period: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class MoneyRate:
    """Money over time, exact: ``5.00 USD/day`` is ``MoneyRate(5_000_000, "USD", 86400.0)``.

    ``limit`` is in millionths of the currency's unit, ``window`` in seconds, ``period`` as in :class:`Rate`.
    """

    limit: int
    currency: str
    window: float
    period: str = field(default="", compare=False)


def parse_duration(value: object, *, zero: bool = False) -> float:
    """Read a duration as seconds: ``"1h30m"`` is 5400.0; a bare number is seconds already.

    Args:
        value: text, an int or a float.
        zero: whether ``0`` is allowed, where it means "off".

    Raises:
        ValueError: not a duration, zero or negative, under a millisecond, or over a hundred years.
    """
    seconds = _duration(value)
    if seconds == 0 and zero:
        return 0.0
    if seconds < SHORTEST:
        raise ValueError(f"{_A_DURATION}, of at least 1ms" + (", or 0s for off" if zero else ""))
    if seconds > LONGEST:
        raise ValueError(f"{_A_DURATION}, of at most 100 years (36500d)")
    return float(seconds)


def parse_size(value: object, *, zero: bool = False) -> int:
    """Read a size as bytes: ``"1KiB"`` is 1024, ``"1KB"`` 1000; a bare number is bytes already.

    Args:
        value: text or an int.
        zero: whether ``0`` is allowed, where it means "off".

    Raises:
        ValueError: not a size, zero or negative, no whole number of bytes, or over 2**53 - 1.
    """
    if type(value) is int:
        amount = Fraction(value)
    else:
        found = _SIZE.fullmatch(_text(value, _A_SIZE))
        if found is None:
            raise ValueError(_A_SIZE)
        amount = Fraction(found[1]) * _BYTES[found[2] or "B"]
    if amount.denominator != 1:
        raise ValueError(f"{_A_SIZE}, a whole number of bytes")
    if amount < (0 if zero else 1):
        raise ValueError(f"{_A_SIZE}, of at least 1 byte" + (", or 0 for off" if zero else ""))
    if amount > LARGEST:
        raise ValueError(f"{_A_SIZE}, below 8192TiB")
    return int(amount)


def parse_percentage(value: object, *, zero: bool = False) -> float:
    """Read a percentage as a fraction: ``"80%"`` is 0.8.

    A bare number is refused: nobody can tell whether ``0.8`` or ``80`` was meant.

    Args:
        value: text that ends in ``%``.
        zero: whether ``0%`` is allowed, where it means "off".

    Raises:
        ValueError: not a percentage, zero, or over 100%.
    """
    found = _PERCENTAGE.fullmatch(_text(value, _A_PERCENTAGE))
    if found is None:
        raise ValueError(_A_PERCENTAGE)
    share = Fraction(found[1]) / 100
    if share > 1 or (share == 0 and not zero):
        raise ValueError(f"{_A_PERCENTAGE}, {'from' if zero else 'above'} 0% to 100%")
    return float(share)


def parse_rate(value: object) -> Rate:
    """Read a rate: ``"100/hour"``, ``"60/minute"``, ``"5/10s"``.

    Raises:
        ValueError: not a rate, or its count is zero or over 2**53 - 1.
    """
    count, _, period = _text(value, _A_RATE).partition("/")
    if not _WHOLE.fullmatch(count):
        raise ValueError(_A_RATE)
    window, word = _period(period, _A_RATE)
    limit = int(count)
    if not 1 <= limit <= LARGEST:
        raise ValueError(f"{_A_RATE}, with a count from 1 to 2^53 - 1")
    return Rate(limit, window, word)


def parse_money_rate(value: object) -> MoneyRate:
    """Read money over time: ``"5.00 USD/day"``, to the millionth.

    Raises:
        ValueError: not money over time, zero, or more than 2**53 - 1 millionths.
    """
    money, _, period = _text(value, _A_MONEY_RATE).partition("/")
    found = _MONEY.fullmatch(money)
    if found is None:
        raise ValueError(_A_MONEY_RATE)
    window, word = _period(period, _A_MONEY_RATE)
    micros = int(Fraction(found[1]) * 1_000_000)
    if not 1 <= micros <= LARGEST:
        raise ValueError(f"{_A_MONEY_RATE}, above zero and below nine thousand million")
    return MoneyRate(micros, found[2], window, word)


def parse_price(value: object) -> int:
    """Read a price as millionths of a currency: ``2.50`` is 2500000. A price of nothing is one.

    Raises:
        ValueError: not a price, negative, finer than a millionth, or more than 2**53 - 1 of them.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    text = f"{Decimal(repr(value)):f}" if is_number else _text(value, _A_PRICE)
    if text.startswith("-"):
        raise ValueError(f"{_A_PRICE}, of at least 0")
    if _PRICE.fullmatch(text) is None:
        raise ValueError(f"{_A_PRICE}, to the millionth")
    micros = int(Fraction(text) * 1_000_000)
    if micros > LARGEST:
        raise ValueError(f"{_A_PRICE}, below nine thousand million")
    return micros


def format_duration(seconds: float) -> str:
    """Write seconds the way a policy would: ``5400.0`` is ``"1h30m"``; exact to the millisecond."""
    left, words = round(seconds * 1_000), ""
    for unit, size in _SECONDS.items():
        count, left = divmod(left, int(size * 1_000))
        words += f"{count}{unit}" if count else ""
    return words or "0s"


def format_size(size: int) -> str:
    """Write bytes the way a policy would: ``65536`` is ``"64KiB"``; always exact."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"


def format_percentage(fraction: float) -> str:
    """Write a fraction the way a policy would: ``0.8`` is ``"80%"``."""
    return f"{fraction * 100:.12g}%"


def format_rate(rate: Rate) -> str:
    """Write a rate the way a policy would: ``Rate(100, 3600.0)`` is ``"100/1h"``."""
    return f"{rate.limit}/{rate.period or format_duration(rate.window)}"


def _text(value: object, expected: str) -> str:
    if not isinstance(value, str) or len(value) > _MOST_CHARACTERS:
        raise ValueError(expected)
    return value


def _duration(value: object) -> Fraction:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return Fraction(value)
        except (OverflowError, ValueError):  # .inf, .nan
            raise ValueError(_A_DURATION) from None
    text = _text(value, _A_DURATION)
    if _BARE.fullmatch(text):
        return Fraction(text)
    return _sum_of_parts(text)


def _sum_of_parts(text: str) -> Fraction:
    total, position, previous = Fraction(0), 0, LONGEST
    while (part := _DURATION.match(text, position)) is not None:
        unit = _SECONDS[part[2]]
        if unit >= previous:  # 30m1h and 1h1h are slips of the pen
            raise ValueError(f"{_A_DURATION}, larger units first")
        total += Fraction(part[1]) * unit
        position, previous = part.end(), unit
    if position == 0 or position != len(text):
        raise ValueError(_A_DURATION)
    return total


def _period(text: str, expected: str) -> tuple[float, str]:
    if text in _PERIODS:
        return _PERIODS[text], text
    if not text or text[0] not in "0123456789":
        text = f"1{text}"  # 100/h reads as 100/1h
    if _BARE.fullmatch(text):
        raise ValueError(expected)
    try:
        return parse_duration(text), ""
    except ValueError:
        raise ValueError(expected) from None
