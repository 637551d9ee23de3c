"""The times of a question about metrics: from when to when, in which steps, by whose calendar."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cachepolicy.errors import Uncountable
from cachepolicy.keys.periods import FIRST, HOUR, LAST, moment

When: TypeAlias = datetime | date | str | float
"""A time: with its zone; ISO text or a date, which are of the question's zone; seconds since the epoch."""

Span: TypeAlias = tuple[int, int]

MOST_STEPS: Final = 50_000

_STEP: Final = re.compile(r"(\d{0,4})\s*(h|hour|d|day|w|week|mo|month|y|year)s?")
_DAYS: Final = {"d": 1, "w": 7}
_MONTHS: Final = {"m": 1, "y": 12}
_A_DAY: Final = 24


def zone_of(tz: str, who: str) -> ZoneInfo:
    """Return a time zone. Raises Uncountable: there is none of that name."""
    try:
        return ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Uncountable(f"{who}: expected a time zone such as 'Europe/Berlin'; got {tz!r}") from None


def span_of(start: When, end: When, zone: ZoneInfo, who: str) -> Span:
    """Return the hours that the time from ``start`` to before ``end`` is in.

    Raises:
        Uncountable: one is no time, or the end is not after the start.
    """
    begin, over = _seconds(start, zone, who), _seconds(end, zone, who)
    if not begin < over:
        raise Uncountable(f"{who}: expected an end that is after the start")
    return _checked(int(begin // HOUR), who), _checked(-int(-over // HOUR), who)


def hour_of(when: When, zone: ZoneInfo, who: str) -> int:
    """Return the hour that a time is in. Raises Uncountable: it is none."""
    return _checked(int(_seconds(when, zone, who) // HOUR), who)


def day_of(day: date | str, zone: ZoneInfo, who: str) -> Span:
    """Return the hours of one day. Raises Uncountable: it is none, or begins between two hours."""
    local = _local(day, zone, who).date()
    return _hour(local, 0, zone, who), _hour(local + timedelta(days=1), 0, zone, who)


def steps_of(span: Span, step: str, zone: ZoneInfo, who: str) -> list[Span]:
    """Cut hours into steps; the first and the last may be shorter, as the range begins and ends within them.

    Args:
        span: the hours.
        step: ``hour``, ``day``, ``week``, ``month``, ``year``, or several: ``6h``, ``2d``.
        zone: by whose calendar.
        who: asks, for the message.

    Raises:
        Uncountable: it is no step, or one begins between two hours of UTC.
    """
    begin, end = span
    cuts = [begin]
    for cut in _cuts(begin, *_parsed(step, who), zone, who):
        if cut >= end:
            break
        if cut > cuts[-1]:
            cuts.append(cut)
        if len(cuts) > MOST_STEPS:
            raise Uncountable(f"{who}: that is more than {MOST_STEPS} steps: ask for longer ones")
    return list(pairwise([*cuts, end]))


def _parsed(step: str, who: str) -> tuple[int, str]:
    found = _STEP.fullmatch(step)
    many = int(found[1] or 1) if found else 0
    if found is None or not many or (found[2][0] == "h" and many > 1 and (_A_DAY % many or many == _A_DAY)):
        raise Uncountable(
            f"{who}: expected a step of hour, day, week, month or year, or several such as '6h' (hours that "
            f"divide a day) and '2d'; got {step!r}"
        )
    return many, found[2][0]


def _cuts(begin: int, many: int, unit: str, zone: ZoneInfo, who: str) -> Iterator[int]:
    """Return where steps begin, from about ``begin`` on, without end."""
    local = moment(begin).astimezone(zone)
    if unit == "h" and many == 1:
        while True:
            yield begin
            begin += 1
    if unit == "h":
        yield from _each(lambda at: local.date() + timedelta(days=at), range(0, _A_DAY, many), zone, who)
    elif unit in _DAYS:
        days = many * _DAYS[unit]
        first = local.date() - timedelta(days=local.weekday() if unit == "w" else 0)
        yield from _each(lambda at: first + timedelta(days=at * days), range(1), zone, who)
    else:
        months, before = many * _MONTHS[unit], local.year * 12 + local.month - 1
        before -= before % 12 if unit == "y" else 0
        yield from _each(lambda at: _month(before + at * months), range(1), zone, who)


def _each(day: Callable[[int], date], hours: range, zone: ZoneInfo, who: str) -> Iterator[int]:
    at = 0
    while True:
        for hour in hours:
            yield _hour(day(at), hour, zone, who)
        at += 1


def _month(number: int) -> date:
    return date(number // 12, number % 12 + 1, 1)


def _hour(day: date, hour: int, zone: ZoneInfo, who: str) -> int:
    """Return when an hour of a local day begins; one that clocks leave out, when they do."""
    seconds = round(datetime.combine(day, time(hour), zone).timestamp())
    if seconds % HOUR:
        raise Uncountable(
            f"{who}: counts are kept by the hour of UTC, and days of {zone.key} begin between two of these; "
            "ask for steps of an hour, or in a time zone whose clocks show the minutes of UTC"
        )
    return _checked(seconds // HOUR, who)


def _seconds(when: When, zone: ZoneInfo, who: str) -> float:
    if isinstance(when, int | float) and not isinstance(when, bool):
        if when != when or abs(when) > LAST * HOUR:  # noqa: PLR0124 - not a number
            raise Uncountable(f"{who}: expected seconds since the epoch; got {when!r}")
        return when
    if isinstance(when, datetime) and when.tzinfo is None:
        raise Uncountable(f"{who}: expected a datetime that says its time zone: datetime.now(UTC)")
    if isinstance(when, datetime | date | str):
        return _local(when, zone, who).timestamp()
    raise Uncountable(f"{who}: expected a datetime, a date, ISO text or seconds; got {type(when).__name__}")


def _local(when: datetime | date | str, zone: ZoneInfo, who: str) -> datetime:
    if isinstance(when, str):
        try:
            when = datetime.fromisoformat(when)
        except ValueError:
            raise Uncountable(f"{who}: expected a time as in ISO 8601, such as 2026-11-26T13") from None
    if not isinstance(when, datetime):
        return datetime.combine(when, time(), zone)
    return when.replace(tzinfo=zone) if when.tzinfo is None else when


def _checked(hour: int, who: str) -> int:
    if not FIRST <= hour <= LAST:
        raise Uncountable(f"{who}: expected times between {moment(FIRST).year} and {moment(LAST).year}")
    return hour


def shown(hour: int, zone: ZoneInfo) -> datetime:
    """Return when an hour begins, as the clocks of a zone show it."""
    when = moment(hour)
    return when if zone.key == "UTC" else when.astimezone(zone)
