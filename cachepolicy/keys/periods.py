"""Hours, days and months of UTC: what each is called in a key, when it begins, which ones a range covers.

Times are hours since the epoch. What lies between two times is computed, so nothing is ever searched for.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

HOUR: Final = 3600  # seconds
DAY: Final = 24  # hours

FIRST: Final = -(10**6)  # hours; 1855
LAST: Final = 10**7  # hours; 3110
"""The times that can be counted at lie between these: what is outside is a mistake of units."""


class Resolution(StrEnum):
    """How finely counts are kept."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


class Period(NamedTuple):
    """One hour, day or month.

    Attributes:
        resolution: which of them.
        id: what it is called: ``2026112613``, ``20261126``, ``202611``.
        begin: its first hour.
        end: the first hour after it.
    """

    resolution: Resolution
    id: str
    begin: int
    end: int


@functools.lru_cache(8192)
def containing(resolution: Resolution, hour: int) -> Period:
    """Return the period that an hour, which is between FIRST and LAST, lies in."""
    when = moment(hour)
    if resolution is Resolution.HOUR:
        return Period(resolution, f"{when:%Y%m%d%H}", hour, hour + 1)
    if resolution is Resolution.DAY:
        begin = hour - when.hour
        return Period(resolution, f"{when:%Y%m%d}", begin, begin + DAY)
    first = when.replace(day=1, hour=0)
    after = (first + timedelta(days=31)).replace(day=1)
    return Period(resolution, f"{when:%Y%m}", _hour(first), _hour(after))


def covering(begin: int, end: int) -> list[Period]:
    """Return the fewest periods that are exactly the hours from ``begin`` to before ``end``, in order."""
    if end - begin == 1:  # as nearly always
        return [containing(Resolution.HOUR, begin)]
    periods = []
    while begin < end:
        period = containing(Resolution.MONTH, begin)
        if period.begin != begin or period.end > end:
            period = containing(Resolution.DAY, begin)
            if period.begin != begin or period.end > end:
                period = containing(Resolution.HOUR, begin)
        periods.append(period)
        begin = period.end
    return periods


@functools.lru_cache(8192)
def moment(hour: int) -> datetime:
    """Return when an hour begins."""
    return datetime.fromtimestamp(0, UTC) + timedelta(hours=hour)


def _hour(when: datetime) -> int:
    return round(when.timestamp()) // HOUR
