"""How counts are read: which hashes they stand in is computed from the times, all are asked for at once.

Each time is read as coarsely as it can be: whole months of a range from months, whole days from days. In the
same round trip it is seen whether there are other series than this process knows of.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, TypeAlias, TypeVar

from cachepolicy.errors import Uncountable
from cachepolicy.flow.cells import Kind, Labels, Last
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.listing import Listing, listing_of
from cachepolicy.flow.series import NOT_KEPT, Metric
from cachepolicy.keys.periods import Period, Resolution, containing, covering, moment
from cachepolicy.tiers import analytics as steps
from cachepolicy.tiers.commands import Command

K = TypeVar("K", bound=Hashable)

Span: TypeAlias = tuple[int, int]
"""The hours from one to before another."""

Where: TypeAlias = Mapping[str, Collection[str]]
"""The values that labels may have; of those that are not named, any."""

MOST: Final = 50_000
"""So many hashes are read for one question."""

_FEW: Final = 8  # series of a hash, up to which only these are asked for
_IN_ONE: Final = 250  # hashes are read by one script, so that it holds up others for half a millisecond
_ONE_NUMBER: Final = frozenset({Kind.COUNTER, Kind.GAUGE})
_ATTEMPTS: Final = 4  # in which there are other series each time


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """What stands in the hashes: for each the index of its span, and the values by field.

    ``chosen`` are the series that were asked for, by number.
    """

    chosen: Mapping[int, Labels]
    found: Sequence[tuple[int, dict[bytes, bytes]]]


def sums(
    metric: Metric, spans: Sequence[Span], where: Where, key: Callable[[Labels, str], K | None]
) -> Flow[list[dict[K, int]]]:
    """Add up what was counted.

    Args:
        metric: of it.
        spans: of time, each added up by itself.
        where: which series.
        key: of the sum that a part of a series belongs to; None: of none.

    Raises:
        StoreError: Redis cannot be asked.
        Uncountable: a time is not kept any more, or there is too much to read.
    """
    read = yield from _read(metric, spans, where)
    added: list[dict[K, int]] = [defaultdict(int) for _ in spans]
    keys: dict[bytes, K | None] = {}
    for index, values in read.found:
        row = added[index]
        for name, value in values.items():
            try:
                at = keys[name]
            except KeyError:
                labels, part = _series(read, name)
                at = keys[name] = None if labels is None else key(labels, part)
            if at is not None:
                row[at] += int(value)
    return added


def shown(metric: Metric, spans: Sequence[Span], where: Where) -> Flow[list[dict[Labels, Last]]]:
    """Return what gauges showed last in each span, and the extremes; arguments and errors as of ``sums``."""
    read = yield from _read(metric, spans, where)
    rows: list[dict[Labels, Last]] = [{} for _ in spans]
    for index, values in read.found:
        for name, value in values.items():
            labels, _ = _series(read, name)
            if labels is not None:
                at, last, low, high = map(float, value.split(b":"))
                before = rows[index].get(labels)
                if before is not None:
                    at, last = max((at, last), (before.at, before.value))
                    low, high = min(low, before.low), max(high, before.high)
                rows[index][labels] = Last(last, at, low, high)
    return rows


def distinct(
    metric: Metric, spans: Sequence[Span], where: Where, key: Callable[[Labels], K]
) -> Flow[list[dict[K, int]]]:
    """Count what was seen, each once; spans are of whole days. Arguments and errors are as of ``sums``."""
    days = [list(_days(span)) for span in spans]
    _check_kept(metric, chain.from_iterable(days))
    asked: list[tuple[int, K]] = []

    def commands(listing: Listing) -> list[Command[Any]]:
        groups: dict[K, list[int]] = {}
        for number, labels in _chosen(listing, where).items():
            groups.setdefault(key(labels), []).append(number)
        asked[:] = [(index, at) for index in range(len(spans)) for at in groups]
        _limit(sum(map(len, days)) * sum(map(len, groups.values())))
        return [
            steps.distinct(
                [metric.keys.uniques(listing.epoch, day.id, one) for day in some for one in numbers]
            )
            for some in days
            for numbers in groups.values()
        ]

    _, counts = yield from _settled(metric, commands)
    rows: list[dict[K, int]] = [{} for _ in spans]
    for (index, at), count in zip(asked, counts, strict=False):
        if count:
            rows[index][at] = count
    return rows


def _read(metric: Metric, spans: Sequence[Span], where: Where) -> Flow[_Read]:
    covered = [covering(*span) for span in spans]
    _check_kept(metric, chain.from_iterable(covered))
    periods = [(index, period) for index, some in enumerate(covered) for period in some]
    indices: list[Sequence[int]] = []

    def commands(listing: Listing) -> list[Command[Any]]:
        indices.clear()
        asked: list[Command[Any]] = []
        shards = _shards(metric, _chosen(listing, where))
        _limit(len(periods) * len(shards))
        bucket, epoch = metric.keys.bucket, listing.epoch
        for shard, numbers in shards:
            keys = [bucket(epoch, period.resolution, period.id, shard) for _, period in periods]
            if _are_few(metric, numbers):
                for at in range(0, len(keys), _IN_ONE):
                    asked.append(steps.some(keys[at : at + _IN_ONE], numbers))
                    indices.append([index for index, _ in periods[at : at + _IN_ONE]])
            else:
                asked += map(steps.everything, keys)
                indices.extend([index] for index, _ in periods)
        return asked

    listing, found = yield from _settled(metric, commands)
    hashes = [
        (index, values)
        for some, result in zip(indices, found, strict=False)
        for index, values in zip(some, [result] if isinstance(result, dict) else result, strict=True)
    ]
    return _Read(_chosen(listing, where), hashes)


def _settled(
    metric: Metric, commands: Callable[[Listing], list[Command[Any]]]
) -> Flow[tuple[Listing, list[Any]]]:
    """Ask what there is to ask of the series that there are; see in the same trip that there are no others.

    Raises:
        StoreError: Redis cannot be asked.
        Uncountable: there are others each time.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        listing = metric.listing
        if listing is None:
            kept = yield from metric.ask(steps.everything(metric.keys.series))
            listing = metric.listing = listing_of(kept, metric.terms.labels)
        asked = commands(listing) if listing.epoch else []
        census, *answers = yield from metric.ask_all([steps.census(metric.keys.series), *asked])
        if listing.is_of(census) or (attempt == _ATTEMPTS and census.epoch == listing.epoch):
            return listing, answers
        metric.listing = None
    raise Uncountable(f"metric {metric.name!r}: its series change faster than they can be read")


def _shards(metric: Metric, chosen: Iterable[int]) -> list[tuple[int, list[int]]]:
    """Return which hashes of each period are read, and for which series."""
    numbers: dict[int, list[int]] = {}
    for number in chosen:
        numbers.setdefault(metric.shard(number), []).append(number)
    return sorted(numbers.items())


def _are_few(metric: Metric, numbers: Sequence[int]) -> bool:
    """Tell whether it is less to ask for these series alone: each has one number, whose field is known."""
    return metric.terms.kind in _ONE_NUMBER and len(numbers) <= _FEW


def _chosen(listing: Listing, where: Where) -> Mapping[int, Labels]:
    if not where:
        return listing.series
    return {number: labels for number, labels in listing.series.items() if _matches(dict(labels), where)}


def _matches(labels: Mapping[str, str], where: Where) -> bool:
    return all(labels.get(name) in values for name, values in where.items())


def _series(read: _Read, name: bytes) -> tuple[Labels | None, str]:
    number, _, part = name.decode().partition(":")
    return read.chosen.get(int(number)), part


def _days(span: Span) -> Iterator[Period]:
    begin, end = span
    while begin < end:
        day = containing(Resolution.DAY, begin)
        yield day
        begin = day.end


def _check_kept(metric: Metric, periods: Iterable[Period]) -> None:
    """See that periods, which are in order, are kept.

    Raises:
        Uncountable: one is not any more.
    """
    first: dict[Resolution, Period] = {}
    for period in periods:
        if period.resolution not in first:
            first[period.resolution] = period
    now = metric.site.clock.wall()
    for period in first.values():
        if metric.life(period, now) == NOT_KEPT:
            raise Uncountable(
                f"metric {metric.name!r}: the {period.resolution} of {moment(period.begin):%Y-%m-%d %H:00} "
                f"UTC is not kept any more (retention: {{{period.resolution}: …}}); ask for later times, "
                "or for whole days or months of UTC"
            )


def _limit(count: int) -> None:
    if count > MOST:
        raise Uncountable(
            f"that takes more than {MOST} reads: ask for longer steps, fewer series or less time"
        )
