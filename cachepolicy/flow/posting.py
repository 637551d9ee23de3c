"""How a batch goes to Redis: its series get their numbers, then it is counted, once however often it is sent.

::

    numbers known? ── no ──▶ intern ──▶ count ──▶ done, or done before
          └── yes ───────────────────────▲ └── other numbers now ──▶ intern anew, count again

At most a thousand cells go in one step; each step of a batch has a name of its own, so a batch that failed
half-way is sent again as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Final, TypeVar

from cachepolicy.errors import Uncountable
from cachepolicy.flow.cells import Batch, Cell, Labels, Last
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.listing import REFUSED
from cachepolicy.flow.series import ATTEMPTS, NOT_KEPT, Metric, Named, in_parts, lost
from cachepolicy.keys.periods import FIRST, LAST, Period, Resolution, containing
from cachepolicy.tiers import analytics as steps
from cachepolicy.tiers.analytics import Bucket, Group, Known
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.resp import Word

T = TypeVar("T")

MOST: Final = 2**63 - 1
"""The largest number that Redis adds up."""

CELLS: Final = 1000
"""How many go in one step."""

_COARSEST_FIRST: Final = Resolution.MONTH, Resolution.DAY, Resolution.HOUR


def post(metric: Metric, batch: Batch) -> Flow[None]:
    """Count a batch. What failed may be sent again: the same batch, for ``REMEMBERED`` seconds.

    After that it would be counted a second time if Redis had counted it, and only its reply was lost.

    Args:
        metric: that it is of.
        batch: what happened.

    Raises:
        StoreError: Redis cannot be told, or did not say that it was: send it again.
        Uncountable: sums of some cells would be above ``MOST``, or gauges are no numbers; those were left
            out, all others were counted. It is no use to send it again.
    """
    left_out = 0
    for number, counts in enumerate(in_parts(list(batch.counts.items()), CELLS)):
        sound = [
            (cell, amount)
            for cell, amount in counts
            if -MOST <= amount <= MOST and FIRST <= cell.hour <= LAST
        ]
        left_out += len(counts) - len(sound)
        guard = metric.keys.batch(batch.id, number)
        left_out += yield from _step(
            metric, [cell.labels for cell, _ in sound], _counting(metric, guard, sound)
        )
    timely = {where: items for where, items in batch.uniques.items() if FIRST <= where[1] <= LAST}
    left_out += len(batch.uniques) - len(timely)
    for some in _in_steps(timely):
        yield from _step(metric, [labels for (labels, _), _ in some], _seeing(metric, some))
    for shown in in_parts(list(batch.gauges.items()), CELLS):
        numeric = [
            (cell, last)
            for cell, last in shown
            if all(map(math.isfinite, last)) and FIRST <= cell.hour <= LAST
        ]
        left_out += len(shown) - len(numeric)
        yield from _step(metric, [cell.labels for cell, _ in numeric], _showing(metric, numeric))
    if left_out:
        raise Uncountable(
            f"metric {metric.name!r}: {left_out} numbers were left out: each, and each sum of an hour, "
            "a day and a month, must be finite and at most 2^63 - 1, and of a time that can be"
        )


def _step(
    metric: Metric, series: Iterable[Labels], command: Callable[[Named], Command[int | None]]
) -> Flow[int]:
    """Do one step; again where the numbers of the series are others by now."""
    distinct = list(dict.fromkeys(series))
    if not distinct:
        return 0
    for _ in range(ATTEMPTS):
        outcome = yield from metric.ask(command((yield from metric.intern(distinct))))
        if outcome is not None:
            return outcome
        metric.forget()
    raise lost()


def _counting(
    metric: Metric, guard: str, counts: Sequence[tuple[Cell, int]]
) -> Callable[[Named], Command[int | None]]:
    def command(named: Named) -> Command[int | None]:
        groups: dict[tuple[int, int], list[Word]] = {}
        for (labels, hour, part), amount in counts:
            number = named.series[labels][1]
            words = groups.setdefault((hour, metric.shard(number)), [])
            words.append(f"{number}:{part}" if part else number)
            words.append(amount)
        now = metric.site.clock.wall()
        laid_out = []
        for (hour, shard), words in groups.items():
            month, day, one = _buckets(metric, named.epoch, hour, shard, now)
            laid_out.append(Group((month, day, one), words))
        return steps.count(_known(metric, named), guard, laid_out)

    return command


def _seeing(
    metric: Metric, seen: Sequence[tuple[tuple[Labels, int], Sequence[bytes]]]
) -> Callable[[Named], Command[int | None]]:
    def command(named: Named) -> Command[int | None]:
        sets: dict[tuple[Period, int], set[bytes]] = {}
        for (labels, hour), items in seen:
            day = containing(Resolution.DAY, hour)
            sets.setdefault((day, named.series[labels][1]), set()).update(items)
        now = metric.site.clock.wall()
        kept = []
        for (day, number), distinct in sets.items():
            life = metric.life(day, now)
            if life != NOT_KEPT:
                key = metric.keys.uniques(named.epoch, day.id, number)
                kept.append((Bucket(key, life), list(distinct)))
        return steps.see(_known(metric, named), kept)

    return command


def _showing(metric: Metric, shown: Sequence[tuple[Cell, Last]]) -> Callable[[Named], Command[int | None]]:
    def command(named: Named) -> Command[int | None]:
        now = metric.site.clock.wall()
        hashes: dict[Bucket, list[Word]] = {}
        for (labels, hour, part), last in shown:
            number = named.series[labels][1]
            field = f"{number}:{part}" if part else str(number)
            told = (field, repr(last.at), repr(last.value), repr(last.low), repr(last.high))
            for bucket in _buckets(metric, named.epoch, hour, metric.shard(number), now):
                if bucket.life != NOT_KEPT:
                    hashes.setdefault(bucket, []).extend(told)
        return steps.show(_known(metric, named), list(hashes.items()))

    return command


def _buckets(metric: Metric, epoch: str, hour: int, shard: int, now: float) -> list[Bucket]:
    return [metric.bucket(epoch, containing(each, hour), shard, now) for each in _COARSEST_FIRST]


def _known(metric: Metric, named: Named) -> Known:
    """Return by which numbers the series are known; those that have none need not be seen to."""
    known = [one for one in named.series.values() if one[1] != REFUSED]
    return Known(metric.keys.series, named.epoch, metric.series_life, known)


def _in_steps(
    uniques: Mapping[tuple[Labels, int], Iterable[bytes]],
) -> Iterable[list[tuple[tuple[Labels, int], Sequence[bytes]]]]:
    """Cut what was seen into steps of so many items at most."""
    each = ((where, item) for where, items in uniques.items() for item in items)
    while some := list(islice(each, CELLS)):
        step: dict[tuple[Labels, int], list[bytes]] = {}
        for where, item in some:
            step.setdefault(where, []).append(item)
        yield list(step.items())
