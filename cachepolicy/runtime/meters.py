"""What counts the events of one metric, in this process."""

from __future__ import annotations

import hashlib
import math
import operator
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final, SupportsFloat, SupportsIndex, TypeVar

from cachepolicy.errors import Uncountable
from cachepolicy.flow.buffer import Buffer, Counts, Place
from cachepolicy.flow.cells import HOUR, OTHER, Batch, Cell, Kind, Labels
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.series import Metric
from cachepolicy.flow.sketch import observed
from cachepolicy.flow.stores import Site
from cachepolicy.keys.periods import LAST
from cachepolicy.policy.units import LARGEST
from cachepolicy.policy.words import unknown

K = TypeVar("K")
Key = tuple[tuple[str, object], ...]

_MOST_ROWS: Final = 4096  # series that are remembered; how many there may be is for Redis to say
_MOST_LABELS: Final = 16


class Row(Place):
    """A series in one hour: from ``begin`` to before ``end``, in seconds since the epoch."""

    __slots__ = ("_parts", "begin", "counts", "end", "now")

    def __init__(self, labels: Labels, hour: int, counts: Counts, now: Callable[[], float]) -> None:
        super().__init__(Cell(labels, hour))
        self.counts = counts
        self.now = now
        self.begin = hour * HOUR
        self.end = self.begin + HOUR
        self._parts: dict[str, Place] = {}

    def part(self, part: str) -> Place:
        """Return where a part of the series is added up."""
        place = self._parts.get(part)
        if place is None:
            place = self._parts.setdefault(part, Place(self.cell._replace(part=part)))
        return place


@dataclass(frozen=True, slots=True, eq=False)
class Meter:
    """One metric of a namespace, as long as its policy is in use.

    Each event is counted in the hour in which it happened: ``at``, in seconds since the epoch, or now.

    Attributes:
        metric: as Redis has it.
        values: that labels may take; others are counted together.
        max_label: the longest value, in characters; longer ones are counted together.
        is_sync: events go to Redis at once, by ``record``.
        counts: where events are counted.
        now: the wall clock.
        refuse: called with an event's number for which there is no room.
        post: sends what does not wait.
        shared: where its series stand beside those of other counters, by the metric's name and the labels.
        least: of its values.
    """

    metric: Metric
    values: Mapping[str, frozenset[str]]
    max_label: int
    is_sync: bool
    counts: Counts
    now: Callable[[], float]
    refuse: Callable[[], None]
    post: Callable[[Metric, Batch], Flow[None]]
    shared: dict[tuple[object, ...], Row] | None = None
    least: int = 0
    _rows: dict[Key, Row] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """What its values mean."""
        return self.metric.terms.kind

    @property
    def site(self) -> Site:
        """Where its counts are."""
        return self.metric.site

    def add(self, labels: Mapping[str, str], value: int = 1, part: str = "", at: float | None = None) -> None:
        """Count an event.

        Args:
            labels: of the series.
            value: a whole number; of money, millionths, which may be below zero.
            part: which number of the series: its sum, or of money the currency.
            at: when it happened.

        Raises:
            Uncountable: the value or a label is none that the metric can have.
            StoreUnavailable: no more can be held, and ``on_fault: raise`` says so.
        """
        row = self.row(labels, self.now() if at is None else at)
        if type(value) is not int or not self.least <= value <= LARGEST:
            value = self._whole(value)
        if not self.counts.add(row.part(part) if part else row, value):
            self.refuse()

    def observe(self, labels: Mapping[str, str], value: float, at: float | None = None) -> None:
        """Count a value in its bucket. Raises as ``add`` does."""
        row = self.row(labels, self.now() if at is None else at)
        added = [
            self.counts.add(row.part(part), amount)
            for part, amount in observed(_finite(value, self), self.metric.terms.accuracy)
        ]
        if not all(added):
            self.refuse()

    def show(self, labels: Mapping[str, str], value: float, at: float | None = None) -> None:
        """Note what a gauge shows. Raises as ``add`` does."""
        when = self.now() if at is None else at
        if not self.counts.show(self.row(labels, when).cell, _finite(value, self), when):
            self.refuse()

    def see(self, labels: Mapping[str, str], item: str | int | bytes, at: float | None = None) -> None:
        """Note that something was seen; what it is does not leave the process. Raises as ``add`` does."""
        row = self.row(labels, self.now() if at is None else at)
        if not self.counts.see(row.cell.labels, row.cell.hour, _digest(item, self)):
            self.refuse()

    def row(self, labels: Mapping[str, str], at: float) -> Row:
        """Return the series of labels in the hour of a time.

        Raises:
            Uncountable: a label is none of the metric's, or the time is none.
        """
        try:
            row = self._rows[tuple(labels.items())]
            if row.begin <= at < row.end:
                return row
        except (KeyError, TypeError):  # the first of its series, or a value that has no hash: it is told of
            pass
        if not 0 <= at < LAST * HOUR:
            raise Uncountable(f"{self}: at= is a time, in seconds since the epoch")
        row = Row(tuple(sorted(self._spelled(labels).items())), int(at // HOUR), self.counts, self.now)
        if all(type(value) is str and len(value) <= self.max_label for value in labels.values()):
            _remember(self._rows, tuple(labels.items()), row)
            if self.shared is not None:
                _remember(self.shared, (self.metric.name, *labels.items()), row)
        return row

    def _spelled(self, labels: Mapping[str, object]) -> dict[str, str]:
        known = self.metric.terms.labels
        if known is None and len(labels) > _MOST_LABELS:
            raise Uncountable(f"{self}: expected at most {_MOST_LABELS} labels")
        spelled: dict[str, str] = {}
        for name, value in labels.items():
            if not name:
                raise Uncountable(f"{self}: expected labels that have names")
            if known is not None and name not in known:
                named, may = unknown("label", name, known), ", ".join(known) or "none"
                raise Uncountable(f"{self}: it has no {named}; it may have: {may}")
            spelled[name] = self._value(name, value)
        return spelled

    def _value(self, name: str, value: object) -> str:
        if isinstance(value, str):
            text = str(value)
        elif isinstance(value, int):
            text = str(value).lower() if isinstance(value, bool) else str(value)
        else:
            named = "a label" if self.metric.terms.labels is None else f"label {name!r}"
            raise Uncountable(
                f"{self}: {named} is {type(value).__name__}; expected text, a whole number, True or False"
            )
        allowed = self.values.get(name)
        is_one = len(text) <= self.max_label and (allowed is None or text in allowed)
        return text if is_one else OTHER

    def _whole(self, value: SupportsIndex) -> int:
        try:
            number = -1 if isinstance(value, bool) else operator.index(value)
        except TypeError:
            number = -1
            if isinstance(value, float):
                raise Uncountable(
                    f"{self}: expected a whole number; what is measured is for observe_value, "
                    "and money for record_revenue"
                ) from None
        if not self.least <= number <= LARGEST:
            raise Uncountable(f"{self}: expected a whole number from {self.least} to {LARGEST}")
        return number

    def __str__(self) -> str:
        return f"metric {self.metric.name!r}"


def record(meter: Meter, tell: Callable[[Meter], None]) -> Flow[None] | None:
    """Count events.

    Args:
        meter: of the metric.
        tell: adds, observes, shows or sees.

    Returns:
        None, where they wait in this process; otherwise the flow that brings them to Redis, all or none.
    """
    if not meter.is_sync:
        tell(meter)
        return None
    alone = Buffer(LARGEST)
    tell(replace(meter, counts=alone.of(meter.metric)))
    return _sent(meter, alone)


def _sent(meter: Meter, alone: Buffer) -> Flow[None]:
    for metric, batch in alone.take():
        yield from meter.post(metric, batch)


def _remember(rows: dict[K, Row], key: K, row: Row) -> None:
    if len(rows) >= _MOST_ROWS:
        rows.clear()
    rows[key] = row


def _finite(value: object, meter: Meter) -> float:
    if isinstance(value, SupportsFloat) and not isinstance(value, bool):
        with suppress(OverflowError):
            number = float(value)
            if math.isfinite(number):
                return number
    raise Uncountable(f"{meter}: expected a number that is finite")


def _digest(item: object, meter: Meter) -> bytes:
    if isinstance(item, bool) or not isinstance(item, str | int | bytes):
        raise Uncountable(f"{meter}: expected text, bytes or a whole number")
    content = item if isinstance(item, bytes) else str(item).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=16).digest()
