"""How the calls of one function are counted: the metric that it names, and what is derived from it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cachepolicy.errors import PolicyError, StoreError, Uncountable
from cachepolicy.flow import incidents
from cachepolicy.flow.cells import Kind, Outcome
from cachepolicy.flow.sketch import COUNT, MICROS, Scale
from cachepolicy.policy.units import LARGEST
from cachepolicy.runtime.meters import record
from cachepolicy.telemetry import faults

if TYPE_CHECKING:
    from cachepolicy.flow.buffer import Place
    from cachepolicy.flow.effects import Flow
    from cachepolicy.flow.stores import Site
    from cachepolicy.runtime.analytics import Analytics
    from cachepolicy.runtime.meters import Meter, Row
    from cachepolicy.runtime.metrics import Metrics

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
    """One series in one hour: from ``begin`` to before ``end``, in seconds since the epoch."""

    __slots__ = ("begin", "buckets", "count", "end", "labels", "row")

    def __init__(self, row: Row, labels: dict[str, str]) -> None:
        self.row = row
        self.labels = labels
        self.begin = row.begin
        self.end = row.end
        self.count = row.part(COUNT), 1
        self.buckets: dict[int | None, tuple[Place, int]] = {}

    def bucket(self, index: int | None, scale: Scale) -> tuple[Place, int]:
        """Return what a duration adds to its bucket."""
        added = self.buckets[index] = self.row.part(scale.part(index)), 1
        return added


class Tracker:
    """Counts the calls of one function under one policy. No error of a metric leaves it.

    Args:
        analytics: counts, in this process.
        metrics: of the policy.
        of: the function.

    Raises:
        UnknownNamespace, UnknownMetric: the policy does not have it.
        PolicyError: it is of a kind that calls cannot be counted by.
        Uncountable: it has no such labels.
    """

    def __init__(self, analytics: Analytics, metrics: Metrics, of: Tracked) -> None:
        terms = metrics.metric(of.namespace, of.metric, of.name).terms
        if terms.kind is Kind.MONEY:
            raise PolicyError(f"{of.name}: metric {of.metric!r} is money, which record_revenue counts")

        def meter(what: str, kind: Kind = Kind.COUNTER) -> Meter:
            return analytics.meter(of.namespace, f"{of.metric}{what}", of.name, kind)

        self._of = of
        self.value = meter("", terms.kind)
        self.now = self.value.now
        self.value.row(dict.fromkeys(of.labels, ""), self.now())  # can it have them?
        self._add_call = meter(".calls").counts.add
        self._add_other = {
            Outcome.ERROR: meter(".errors").counts.add,
            Outcome.CANCELLED: meter(".cancelled").counts.add,
        }
        timed = meter(".duration", Kind.HISTOGRAM)
        self._add_times = timed.counts.add_all if of.is_timed else None
        self._scale = Scale(timed.metric.terms.accuracy)
        self._tallies: dict[tuple[object, ...], Tally] = {}
        self._is_counter = terms.kind is Kind.COUNTER and not self.value.is_sync
        self.counters = Errors(faults.errors(of.namespace))
        self.said: set[tuple[str, str]] = set()

    @property
    def name(self) -> str:
        """The function's name."""
        return self._of.name

    @property
    def namespace(self) -> str:
        """The metric's namespace."""
        return self._of.namespace

    @property
    def site(self) -> Site:
        """Where its counts are."""
        return self.value.site

    def takes(self, constant: float) -> bool:
        """Tell whether the metric can count a value that is always the same."""
        kind = self.value.kind
        return kind is not Kind.UNIQUES and (kind is not Kind.COUNTER or _whole(constant) is not None)

    def known(self, labels: tuple[object, ...], when: float) -> Tally | None:
        """Return the cells of a series in the hour of a time, if they are known; by text only.

        Raises:
            TypeError: a label cannot be hashed.
        """
        tally = self._tallies.get(labels)
        return tally if tally is not None and tally.begin <= when < tally.end else None

    def tally(self, texts: tuple[str, ...], when: float) -> Tally:
        """Return the cells of a series, by its labels in the order of their names, in the hour of a time."""
        known = self.known(texts, when)
        if known is not None:
            return known
        labels = dict(zip(self._of.labels, texts, strict=True))
        tally = Tally(self.value.row(labels, when), labels)
        if all(len(text) <= self.value.max_label for text in texts):
            if len(self._tallies) >= _MOST_TALLIES:
                self._tallies.clear()
            self._tallies[texts] = tally
        return tally

    def track(
        self, tally: Tally, outcome: Outcome, value: object, seconds: float, when: float
    ) -> Flow[None] | None:
        """Count a call that has ended; return what is left to do, where that waits for Redis.

        Args:
            tally: of its series.
            outcome: how it ended.
            value: what it adds; None: nothing.
            seconds: that it took.
            when: it ended, in seconds since the epoch.
        """
        try:
            has_room = self._add_call(tally.row, 1)
            if outcome is not Outcome.SUCCESS:
                has_room &= self._add_other[outcome](tally.row, 1)
            if self._add_times is not None:
                index = self._scale.index(seconds)
                slot = tally.buckets.get(index) or tally.bucket(index, self._scale)
                has_room &= self._add_times(((tally.row, round(seconds * MICROS)), tally.count, slot))
            if value is not None:
                if not self._is_counter or type(value) is not int or not 0 <= value <= LARGEST:
                    return self._valued(tally, value, when)
                has_room &= self.value.counts.add(tally.row, value)
            if not has_room:
                self.value.refuse()
        except StoreError as fault:
            incidents.fault(self, fault, _GOES_ON)
        except Uncountable as error:
            self.strange("value", str(error))
        return None

    def strange(self, what: str, why: str) -> None:
        """Count what cannot be counted of a call: a ``label``, its ``value``; the ``store`` refuses it."""
        incidents.uncounted(self, self._of.metric, what, why)

    def bug(self, error: Exception) -> None:
        """Count an error that nobody foresaw."""
        incidents.bug(self, error)

    def _valued(self, tally: Tally, value: object, when: float) -> Flow[None] | None:
        labels, kind = tally.labels, self.value.kind
        if kind is Kind.COUNTER:
            whole = _whole(value)
            if whole is None:
                raise Uncountable(f"expected a whole number from 0 on, not {_said(value)}")
            return self._sent(lambda meter: meter.add(labels, whole, at=when))
        if kind is Kind.UNIQUES:
            if isinstance(value, bool) or not isinstance(value, str | int | bytes):
                raise Uncountable(f"expected text, bytes or a whole number, not {_said(value)}")
            return self._sent(lambda meter: meter.see(labels, value, at=when))
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise Uncountable(f"expected a number from 0 on, not {_said(value)}")
        if kind is Kind.GAUGE:
            return self._sent(lambda meter: meter.show(labels, value, at=when))
        return self._sent(lambda meter: meter.observe(labels, value, at=when))

    def _sent(self, tell: Callable[[Meter], None]) -> Flow[None] | None:
        flow = record(self.value, tell)
        return None if flow is None else self._spared(flow)

    def _spared(self, flow: Flow[None]) -> Flow[None]:
        """Return a flow that spares the call what happens to it."""
        try:
            yield from flow
        except StoreError as fault:
            incidents.fault(self, fault, _GOES_ON)
        except PolicyError as refused:  # a server that may evict, where the policy says required
            self.strange("store", str(refused))


def _whole(value: object) -> int | None:
    """Return a value as a whole number; None: it is none."""
    if type(value) is float and value.is_integer():
        return int(value)
    return value if type(value) is int else None


def _said(value: object) -> str:
    """Say what a value is, without what it says."""
    return f"{value!r}" if type(value) in {int, float, bool} else type(value).__name__
