"""Questions about metrics answered from a plain table of cells, an hour at a time."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count, groupby
from typing import Any
from zoneinfo import ZoneInfo

from cachepolicy.flow.cells import Labels

Cells = Mapping[tuple[Labels, int], int]
Table = dict[tuple[str, ...], list[tuple[datetime, int]]]


def query(
    cells: Cells,
    span: tuple[int, int],
    step: str,
    where: Mapping[str, Sequence[str]],
    group_by: Sequence[str],
    tz: str,
) -> Table:
    """Return the points of each group; of one that has nothing in all of the time, none."""
    zone = ZoneInfo(tz)
    hours = range(*span)
    first = _local(span[0], zone).date()
    key = _key(step, first)
    steps = [list(run) for _, run in groupby(hours, lambda hour: key(_local(hour, zone), hour))]
    chosen = {
        (labels, hour): value
        for (labels, hour), value in cells.items()
        if hour in hours and all(dict(labels)[name] in values for name, values in where.items())
    }
    groups = {tuple(dict(labels)[name] for name in group_by) for labels, _ in chosen} or (
        set() if group_by else {()}
    )
    return {
        group: [
            (
                _local(run[0], zone),
                sum(
                    value
                    for (labels, hour), value in chosen.items()
                    if hour in run and tuple(dict(labels)[name] for name in group_by) == group
                ),
            )
            for run in steps
        ]
        for group in groups
    }


def _local(hour: int, zone: ZoneInfo) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=hour)).astimezone(zone)


def _key(step: str, first: Any) -> Callable[[datetime, int], Hashable]:
    """Return what tells an hour's step from all others."""
    if step[0].isdigit() and step.endswith("h") and step != "1h":
        many = int(step[:-1])
        return lambda local, _: (local.date(), local.hour // many)
    if step[0].isdigit() and step.endswith("d"):
        days = int(step[:-1])
        return lambda local, _: (local.date() - first).days // days
    return {
        "hour": lambda _, hour: hour,
        "1h": lambda _, hour: hour,
        "day": lambda local, _: local.date(),
        "week": lambda local, _: local.isocalendar()[:2],
        "month": lambda local, _: (local.year, local.month),
        "year": lambda local, _: local.year,
    }[step]


names = map("m{}".format, count())
"""Names of metrics, each a new one."""
