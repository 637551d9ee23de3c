"""How the calls of one function are counted: the metric that it names, and what is derived from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cachepolicy.errors import PolicyError, StoreError, Uncountable
from cachepolicy.flow import incidents
from cachepolicy.flow.cells import Cell, Kind, Outcome
from cachepolicy.flow.sketch import COUNT, MICROS, bucket
from cachepolicy.policy.units import LARGEST
from cachepolicy.runtime.meters import record
from cachepolicy.telemetry import faults

if TYPE_CHECKING:
    from cachepolicy.flow.effects import Flow
    from cachepolicy.flow.stores import Site
    from cachepolicy.runtime.analytics import Analytics
    from cachepolicy.runtime.meters import Meter, Row

_MOST_TALLIES: Final = 4096  # series that are remembered; how many there may be is for Redis to say
_GOES_ON: Final = "the call goes on"


@dataclass(frozen=True, slots=True)
class Tracked:
    """What a decorator says of a function.

    Attributes:
        name: of the function.
        namespace: of the metric.
        metric: its name.
        labels: the names that its calls give.
        is_timed: whether durations are kept.
    """

    name: str
    namespace: str
    metric: str
    labels: Sequence[str]
    is_timed: bool


@dataclass(frozen=True, slots=True)
class Errors:
    """What went wrong, by name."""

    errors: Counter[str]


class Tally:
    """The cells of one series in one hour: from ``begin`` to before ``end``, in seconds since the epoch."""

    __slots__ = ("_buckets", "begin", "count", "end", "labels", "row", "sum")

    def __init__(self, row: Row, labels: dict[str, str]) -> None:
        self.row = row
        self.labels = labels
        self.begin = row.begin
        self.end = row.end
        self.sum = row.cell
        self.count = Cell(row.labels, row.hour, COUNT)
        self._buckets: dict[str, Cell] = {}

    def bucket(self, part: str) -> Cell:
        """Return the cell of a histogram's bucket."""
        cell = self._buckets.get(part)
        if cell is None:
            cell = self._buckets[part] = Cell(self.row.labels, self.row.hour, part)
        return cell


@dataclass(slots=True, eq=False)
class Tracker:
    """Counts the calls of one function under one policy. No error of a metric leaves it.

    Raises:
        UnknownNamespace, UnknownMetric: the policy does not have it.
        PolicyError: it is of a kind that calls cannot be counted by, or has other labels.
    """

    analytics: Analytics
    of: Tracked
    value: Meter = field(init=False)
    counters: Errors = field(init=False)
    said: set[tuple[str, str]] = field(default_factory=set)
    _calls: Meter = field(init=False)
    _others: dict[Outcome, Meter] = field(init=False)
    _duration: Meter | None = field(init=False)
    _tallies: dict[tuple[str, ...], Tally] = field(default_factory=dict)

    def __post_init__(self) -> None:
        of = self.of
        self.value = self._meter(of.metric)
        if self.value.kind is Kind.MONEY:
            raise PolicyError(f"{of.name}: metric {of.metric!r} is money, which record_revenue counts")
        has = self.value.metric.terms.labels
        strange = [] if has is None else [label for label in of.labels if label not in has]
        if strange:
            raise PolicyError(
                f"{of.name}: metric {of.metric!r} has no label {strange[0]!r}; it has: {', '.join(has or ())}"
            )
        self._calls = self._meter(f"{of.metric}.calls")
        self._others = {
            Outcome.ERROR: self._meter(f"{of.metric}.errors"),
            Outcome.CANCELLED: self._meter(f"{of.metric}.cancelled"),
        }
        self._duration = self._meter(f"{of.metric}.duration") if of.is_timed else None
        self.counters = Errors(faults.errors(of.namespace))

    @property
    def name(self) -> str:
        """The function's name."""
        return self.of.name

    @property
    def namespace(self) -> str:
        """The metric's namespace."""
        return self.of.namespace

    @property
    def site(self) -> Site:
        """Where its counts are."""
        return self.value.site

    def takes(self, constant: float) -> bool:
        """Tell whether the metric can count a value that is always the same."""
        kind = self.value.kind
        if kind is Kind.COUNTER:
            return _whole(constant) is not None
        return kind is not Kind.UNIQUES

    def track(
        self, texts: tuple[str, ...], outcome: Outcome, value: object, seconds: float
    ) -> Flow[None] | None:
        """Count a call that has ended; return what is left to do, where that waits for Redis.

        Args:
            texts: of its labels, in the order of their names.
            outcome: how it ended.
            value: what it adds; None: nothing.
            seconds: that it took.
        """
        when = self.value.now()
        tally = self._tallies.get(texts)
        if tally is None or not tally.begin <= when < tally.end:
            tally = self._tally(texts, when)
        try:
            has_room = self._calls.counts.add(tally.sum, 1)
            if outcome is not Outcome.SUCCESS:
                has_room &= self._others[outcome].counts.add(tally.sum, 1)
            timed = self._duration
            if timed is not None:
                counts = timed.counts
                has_room &= counts.add(tally.sum, round(seconds * MICROS))
                has_room &= counts.add(tally.count, 1)
                has_room &= counts.add(tally.bucket(bucket(seconds, timed.metric.terms.accuracy)), 1)
            if not has_room:
                self._calls.refuse()
            return None if value is None else self._valued(tally, value, when)
        except StoreError as fault:
            incidents.fault(self, fault, _GOES_ON)
        except Uncountable as error:
            self.strange("value", str(error))
        return None

    def strange(self, what: str, why: str) -> None:
        """Count what cannot be counted of a call: a ``label``, or its ``value``."""
        incidents.uncounted(self, self.of.metric, what, why)

    def bug(self, error: Exception) -> None:
        """Count an error that nobody foresaw."""
        incidents.bug(self, error)

    def _valued(self, tally: Tally, value: object, when: float) -> Flow[None] | None:
        meter, labels, kind = self.value, tally.labels, self.value.kind
        if kind is Kind.COUNTER:
            whole = _whole(value)
            if whole is None:
                raise Uncountable(f"expected a whole number from 0 on, not {_said(value)}")
            if not meter.is_sync:
                if not meter.counts.add(tally.sum, whole):
                    meter.refuse()
                return None
            return self._sent(lambda alone: alone.add(labels, whole, at=when))
        if kind is Kind.UNIQUES:
            if not isinstance(value, str | int | bytes):
                raise Uncountable(f"expected text, bytes or a whole number, not {_said(value)}")
            return self._sent(lambda alone: alone.see(value, labels, at=when))
        if not isinstance(value, int | float) or isinstance(value, bool) or not value >= 0:
            raise Uncountable(f"expected a number from 0 on, not {_said(value)}")
        if kind is Kind.GAUGE:
            return self._sent(lambda alone: alone.show(value, labels, at=when))
        return self._sent(lambda alone: alone.observe(value, labels, at=when))

    def _sent(self, tell: Callable[[Meter], None]) -> Flow[None] | None:
        flow = record(self.value, tell)
        return None if flow is None else self._spared(flow)

    def _spared(self, flow: Flow[None]) -> Flow[None]:
        """Return a flow that spares the call what happens to it."""
        try:
            yield from flow
        except StoreError as fault:
            incidents.fault(self, fault, _GOES_ON)
        except Exception as bug:  # noqa: BLE001 - whatever it is: the call has ended, and has its result
            incidents.bug(self, bug)

    def _tally(self, texts: tuple[str, ...], when: float) -> Tally:
        labels = dict(zip(self.of.labels, texts, strict=True))
        tally = Tally(self.value.row(labels, when), labels)
        if all(len(text) <= self.value.max_label for text in texts):
            if len(self._tallies) >= _MOST_TALLIES:
                self._tallies.clear()
            self._tallies[texts] = tally
        return tally

    def _meter(self, name: str) -> Meter:
        return self.analytics.meter(self.of.namespace, name, self.of.name)


def _whole(value: object) -> int | None:
    """Return a value as a whole number from 0 on; None: it is none."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= LARGEST else None


def _said(value: object) -> str:
    """Say what a value is, without what it says."""
    return f"{value!r}" if type(value) in {int, float, bool} else type(value).__name__
