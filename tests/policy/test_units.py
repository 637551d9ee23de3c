"""Durations, sizes, percentages and rates."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepolicy.policy import units
from cachepolicy.policy.units import MoneyRate, Rate

ANYTHING = st.one_of(
    st.text(),
    st.text(alphabet="0123456789.%/smhdwKMiB -_e", max_size=12),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.lists(st.integers(), max_size=2),
)
PARSERS = (
    units.parse_duration,
    units.parse_size,
    units.parse_percentage,
    units.parse_rate,
    units.parse_money_rate,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30m", 1800.0),
        ("7d", 604_800.0),
        ("100ms", 0.1),
        ("1h30m", 5400.0),
        ("1w2d3h4m5s6ms", 788_645.006),
        ("1.5h", 5400.0),
        ("0.5s", 0.5),
        ("86400", 86_400.0),
        ("0.25", 0.25),
        (60, 60.0),
        (0.25, 0.25),
        ("36500d", 3_153_600_000.0),
        ("1ms", 0.001),
    ],
    ids=repr,
)
def test_durations_are_seconds(text: object, seconds: float) -> None:
    """A duration carries its units, and a bare number is seconds."""
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1KiB", 1024),
        ("64MiB", 67_108_864),
        ("10MB", 10_000_000),
        ("1kB", 1000),
        ("1.5KiB", 1536),
        ("2GiB", 2**31),
        ("1TiB", 2**40),
        ("17B", 17),
        ("1024", 1024),
        (1024, 1024),
    ],
    ids=repr,
)
def test_sizes_are_bytes(text: object, size: int) -> None:
    """A size carries its unit, KiB is 1024 and KB 1000, and a bare number is bytes."""
    assert units.parse_size(text) == size


@pytest.mark.parametrize(("text", "fraction"), [("80%", 0.8), ("10%", 0.1), ("0.5%", 0.005), ("100%", 1.0)])
def test_percentages_are_fractions(text: str, fraction: float) -> None:
    """A percentage is a fraction of one."""
    assert units.parse_percentage(text) == fraction


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/hour", Rate(100, 3600.0)),
        ("60/minute", Rate(60, 60.0)),
        ("5/10s", Rate(5, 10.0)),
        ("1/second", Rate(1, 1.0)),
        ("100/h", Rate(100, 3600.0)),
        ("3/1h30m", Rate(3, 5400.0)),
        ("2000000/day", Rate(2_000_000, 86_400.0)),
        ("7/week", Rate(7, 604_800.0)),
    ],
)
def test_rates_are_a_limit_in_a_window(text: str, rate: Rate) -> None:
    """A rate is a whole number within a window of seconds."""
    assert units.parse_rate(text) == rate


def test_a_rate_remembers_the_word_of_its_period() -> None:
    """A calendar can tell an hour that was written from one that was measured."""
    assert units.parse_rate("1/hour").period == "hour"
    assert units.parse_rate("1/60m").period == ""


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("5.00 USD/day", MoneyRate(5_000_000, "USD", 86_400.0)),
        ("0.000001 EUR/hour", MoneyRate(1, "EUR", 3600.0)),
        ("12 CHF/30m", MoneyRate(12_000_000, "CHF", 1800.0)),
    ],
)
def test_money_is_exact(text: str, rate: MoneyRate) -> None:
    """Money over time is whole millionths of its currency."""
    assert units.parse_money_rate(text) == rate


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "0",
        "0s",
        0,
        0.0,
        -1,
        "-1s",
        -0.5,
        "+1s",
        "0.0001s",
        "0.9ms",
        "36500d1s",
        10**12,
        10**400,
        "1e3",
        "1_000s",
        " 1s",
        "1s ",
        "1 s",
        "1S",
        "s",
        "1x",
        "1us",
        "30m1h",
        "1h1h",
        "1s\n",
        "\u0661s",
        "1..5s",
        ".5s",
        True,
        False,
        math.nan,
        math.inf,
        -math.inf,
        None,
        [],
        (),
        {},
        b"1s",
        "9" * 65 + "s",
    ],
    ids=repr,
)
def test_what_is_no_duration_is_refused(wrong: object) -> None:
    """Zero, negative, overflowing, boolean, NaN and misspelt durations are told what was expected."""
    with pytest.raises(ValueError, match="expected a duration such as 30m, 7d, 100ms or 1h30m"):
        units.parse_duration(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "0",
        0,
        "0KiB",
        -1,
        "-1KiB",
        "1.5B",
        "0.1KiB",
        1.5,
        1024.0,
        "8192TiB",
        2**53,
        "1kib",
        "1K",
        "1Kb",
        "1 KiB",
        "1e3",
        True,
        None,
        math.nan,
        [],
        "9" * 65,
    ],
    ids=repr,
)
def test_what_is_no_size_is_refused(wrong: object) -> None:
    """Zero, negative, fractional, overflowing and misspelt sizes say what was expected, with an example."""
    with pytest.raises(ValueError, match="expected a size such as 1KiB, 64MiB or 10MB"):
        units.parse_size(wrong)


@pytest.mark.parametrize(
    "wrong", ["", "0%", "-1%", "100.1%", "1e1%", "10", 10, 0.1, "%", "10 %", True, None, math.nan], ids=repr
)
def test_what_is_no_percentage_is_refused(wrong: object) -> None:
    """A bare number is no percentage: nobody can tell 0.8 from 80."""
    with pytest.raises(ValueError, match="expected a percentage such as 10%"):
        units.parse_percentage(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "100",
        100,
        "0/hour",
        "-1/hour",
        "1.5/hour",
        "100/",
        "/hour",
        "100/10",
        "100/0s",
        "100/fortnight",
        "100/hour/day",
        "9007199254740992/hour",
        "100 / hour",
        True,
        None,
        "100/-3s",
        "1/100y",
    ],
    ids=repr,
)
def test_what_is_no_rate_is_refused(wrong: object) -> None:
    """Impossible and misspelt rates say what was expected, with an example."""
    with pytest.raises(ValueError, match=r"expected a rate such as 100/hour, 60/minute or 5/10s"):
        units.parse_rate(wrong)


@pytest.mark.parametrize(
    "wrong", ["", "5/day", "5 usd/day", "5.0000001 USD/day", "0 USD/day", "$5/day", 5, True, None], ids=repr
)
def test_what_is_no_money_rate_is_refused(wrong: object) -> None:
    """Money has a currency and at most six decimals."""
    with pytest.raises(ValueError, match=r"expected money over time such as 5\.00 USD/day"):
        units.parse_money_rate(wrong)


@pytest.mark.parametrize(
    ("parse", "zeros"),
    [
        (lambda text: units.parse_duration(text, zero=True), ["0", "0s", 0, "0ms", 0.0]),
        (lambda text: units.parse_size(text, zero=True), ["0", 0, "0KiB"]),
        (lambda text: units.parse_percentage(text, zero=True), ["0%", "0.0%"]),
    ],
    ids=["duration", "size", "percentage"],
)
def test_zero_is_allowed_where_it_means_off(parse: Callable[[object], float], zeros: list[object]) -> None:
    """A field that can be turned off takes zero, and still nothing below it."""
    assert [parse(zero) for zero in zeros] == [0] * len(zeros)
    with pytest.raises(ValueError, match="expected"):
        parse(-1)


@pytest.mark.parametrize("parse", PARSERS)
@given(anything=ANYTHING)
def test_a_parser_raises_nothing_but_value_error(parse: Callable[[object], object], anything: object) -> None:
    """Whatever stands in a policy, a unit is read or refused with a sentence that does not repeat it."""
    try:
        parse(anything)
    except ValueError as error:
        message = str(error)
    else:
        return
    assert message.startswith("expected ")
    assert not (isinstance(anything, str) and len(anything) > 12 and anything in message)


@given(milliseconds=st.integers(1, 100 * 365 * 86_400 * 1000))
def test_a_duration_written_is_the_duration_read(milliseconds: int) -> None:
    """Formatting and parsing a duration are inverse, to the millisecond."""
    seconds = milliseconds / 1000
    assert units.parse_duration(units.format_duration(seconds)) == seconds


@given(size=st.integers(1, 2**53 - 1))
def test_a_size_written_is_the_size_read(size: int) -> None:
    """Formatting and parsing a size are inverse."""
    assert units.parse_size(units.format_size(size)) == size


@given(tenths=st.integers(1, 1000))
def test_a_percentage_written_is_the_percentage_read(tenths: int) -> None:
    """Formatting and parsing a percentage are inverse, to a tenth of a percent."""
    fraction = units.parse_percentage(f"{tenths / 10}%")
    assert units.parse_percentage(units.format_percentage(fraction)) == fraction


@given(
    limit=st.integers(1, 10**9),
    window=st.sampled_from(["second", "minute", "hour", "day", "week", "10s", "1h30m"]),
)
def test_a_rate_written_is_the_rate_read(limit: int, window: str) -> None:
    """Formatting and parsing a rate are inverse, and the word of its period survives."""
    rate = units.parse_rate(f"{limit}/{window}")
    again = units.parse_rate(units.format_rate(rate))
    assert (again, again.period) == (rate, rate.period)
