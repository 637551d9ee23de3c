"""All metrics in one table, over plain integers: nothing is added to a metric while calls run."""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from cachepolicy.telemetry import (
    analytics,
    coherence,
    config,
    faults,
    health,
    limits,
    measures,
    saved,
    servers,
    sessions,
    sweeps,
)
from cachepolicy.telemetry.counters import Counters
from cachepolicy.telemetry.histograms import Distribution, Histogram
from cachepolicy.telemetry.instruments import Instrument, Kind, Point, by_namespace
from cachepolicy.telemetry.names import (
    ATTRIBUTE_ERROR,
    ATTRIBUTE_NAMESPACE,
    ATTRIBUTE_OUTCOME,
    ATTRIBUTE_TIER,
    METRIC_ENTRIES,
    METRIC_ERRORS,
    METRIC_MEMORY,
    METRIC_REQUESTS,
    SCOPE,
    Outcome,
    Tier,
)
from cachepolicy.telemetry.saved import NO_TERMS, Series, Terms
from cachepolicy.telemetry.savings import Accounts, Ledger


class Table(Protocol):
    """A function's part of L1, as far as it is counted."""

    def hits(self) -> int:
        """Return how often it answered."""
        ...

    def bytes(self) -> int:
        """Return how much it holds."""
        ...

    def add_savings(self, ledger: Ledger) -> None:
        """Add what its answers spared."""
        ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One decorated function's counts; ``owner`` tells whether they can still grow."""

    namespace: str
    counters: Counters
    table: Table
    owner: weakref.ref[object]
    terms: Terms = NO_TERMS
    accounts: Accounts | None = None

    def ledger(self) -> Ledger:
        """Return what its answers spared."""
        ledger = Ledger(self.accounts)
        ledger.merge(self.counters.saved)
        self.table.add_savings(ledger)
        return ledger


_LOCK = threading.RLock()  # a signal's handler may read what its own thread reads
_SOURCES: Final[list[Source]] = []
_RETIRED_REQUESTS: Final[Counter[tuple[str, Outcome, Tier]]] = Counter()
_RETIRED_ERRORS: Final[Counter[tuple[str, str]]] = Counter()
_RETIRED_SAVED: Final[Counter[Series]] = Counter()
_REGISTERED: Final[list[metrics.Meter]] = []
_USED: Final[list[bool]] = []
_LISTENERS: Final[list[Callable[[], None]]] = []


def export(
    namespace: str,
    counters: Counters,
    table: Table,
    owner: object,
    terms: Terms = NO_TERMS,
    accounts: Accounts | None = None,
) -> None:
    """Have a function's counts read at every collection from now on; the sums keep them when it is gone."""
    with _LOCK:
        _SOURCES.append(Source(namespace, counters, table, weakref.ref(owner), terms, accounts))
    export_all()


def export_all() -> None:
    """Have what is counted for the whole process read from now on: it begins to be used."""
    register_all()
    if not _USED:
        _USED.append(True)
        for hear in _LISTENERS:
            hear()


def on_use(hear: Callable[[], None]) -> None:
    """Have this called when anything begins to be counted; at once, where that was before."""
    _LISTENERS.append(hear)
    if _USED:
        hear()


def register_all() -> None:
    """Have all metrics read at every collection from now on."""
    with _LOCK:
        if not _REGISTERED:
            _REGISTERED.append(_register())


def after_fork() -> None:
    """Forget locks that another thread held when this process was forked."""
    global _LOCK  # noqa: PLW0603 - a lock cannot be released for a thread that does not exist here
    _LOCK = threading.RLock()
    coherence.after_fork()
    servers.after_fork()


class _Counted(NamedTuple):
    """What has been counted, at one moment."""

    live: list[Source]
    requests: Counter[tuple[str, Outcome, Tier]]
    errors: Counter[tuple[str, str]]
    saved: Counter[Series]


def _counted() -> _Counted:
    """Return the sources that can still grow, and the sums of the others, into which these are folded.

    Both in one step: what another collector folds meanwhile would be counted twice.
    """
    with _LOCK:
        for source in [source for source in _SOURCES if source.owner() is None]:
            _SOURCES.remove(source)
            _RETIRED_REQUESTS.update(dict(_requests_of(source)))
            _RETIRED_ERRORS.update(
                {(source.namespace, name): n for name, n in source.counters.errors.items()}
            )
            _add(_RETIRED_SAVED, source)
        return _Counted(
            list(_SOURCES), Counter(_RETIRED_REQUESTS), Counter(_RETIRED_ERRORS), Counter(_RETIRED_SAVED)
        )


def _requests_of(source: Source) -> Iterator[tuple[tuple[str, Outcome, Tier], int]]:
    yield (source.namespace, Outcome.HIT, Tier.L1), source.table.hits()
    for (outcome, tier), count in list(source.counters.requests.items()):
        yield (source.namespace, outcome, tier), count


def requests() -> Counter[tuple[str, Outcome, Tier]]:
    """Return how calls were answered in this process, by namespace, outcome and tier."""
    counted = _counted()
    for source in counted.live:
        counted.requests.update(dict(_requests_of(source)))
    return counted.requests


def errors() -> Counter[tuple[str, str]]:
    """Return the faults that calls in this process survived, by namespace and name."""
    counted = _counted()
    for source in counted.live:
        counted.errors.update(
            {(source.namespace, name): n for name, n in list(source.counters.errors.items())}
        )
    counted.errors.update(dict(faults.all_errors()))
    return counted.errors


def spared() -> Counter[Series]:
    """Return what answers spared in this process; money in 10**-12 of a unit, time in seconds."""
    counted = _counted()
    for source in counted.live:
        _add(counted.saved, source)
    return counted.saved


def _add(totals: Counter[Series], source: Source) -> None:
    for series, value in saved.series(source):
        totals[series] += value  # type: ignore[assignment] # seconds are no whole numbers


def _requests() -> Iterator[Point]:
    for (namespace, outcome, tier), count in requests().items():
        yield Point(count, {ATTRIBUTE_NAMESPACE: namespace, ATTRIBUTE_OUTCOME: outcome, ATTRIBUTE_TIER: tier})


def _errors() -> Iterator[Point]:
    for (namespace, name), count in errors().items():
        yield Point(count, {ATTRIBUTE_NAMESPACE: namespace, ATTRIBUTE_ERROR: name})


def _held(size: Callable[[Table], int]) -> Callable[[], list[Point]]:
    def read() -> list[Point]:
        totals: Counter[str] = Counter()
        for source in _counted().live:
            totals[source.namespace] += size(source.table)
        return by_namespace(totals.items())

    return read


INSTRUMENTS: Final = (
    Instrument(
        METRIC_REQUESTS, Kind.COUNTER, "{request}", "Decorated calls by how they were answered", _requests
    ),
    Instrument(METRIC_ERRORS, Kind.COUNTER, "{error}", "Faults that a call survived, by class", _errors),
    Instrument(METRIC_ENTRIES, Kind.UP_DOWN, "{entry}", "Entries in L1", _held(len)),
    Instrument(
        METRIC_MEMORY,
        Kind.UP_DOWN,
        "By",
        "Bytes in L1, as its budget counts them",
        _held(lambda table: table.bytes()),
    ),
)

ALL: Final[tuple[Instrument, ...]] = (
    *INSTRUMENTS,
    *measures.INSTRUMENTS,
    *saved.instruments(spared),
    *limits.INSTRUMENTS,
    *sessions.INSTRUMENTS,
    *sweeps.INSTRUMENTS,
    *analytics.INSTRUMENTS,
    *coherence.INSTRUMENTS,
    *servers.INSTRUMENTS,
    *config.INSTRUMENTS,
    *health.INSTRUMENTS,
)
"""Every metric that is read at collection: one table for every reader."""

HISTOGRAMS: Final = (*measures.HISTOGRAMS, sessions.DURATION)
"""All others: they are recorded, and read in buckets."""


def read() -> Iterator[tuple[Instrument, list[Point]]]:
    """Return all metrics with their series, read now; none where no policy has telemetry."""
    if _REGISTERED:
        for instrument in ALL:
            yield instrument, list(instrument.read())


def distributions() -> Iterator[tuple[Histogram, list[Distribution]]]:
    """Return all histograms with their series, read now; none where no policy has telemetry."""
    if _REGISTERED:
        for histogram in HISTOGRAMS:
            yield histogram, list(histogram.read())


def _register() -> metrics.Meter:
    meter = metrics.get_meter(SCOPE)
    create = {
        Kind.COUNTER: meter.create_observable_counter,
        Kind.UP_DOWN: meter.create_observable_up_down_counter,
        Kind.GAUGE: meter.create_observable_gauge,
    }
    for each in ALL:
        create[each.kind](each.name, [_callback(each)], each.unit, each.description)
    for histogram in HISTOGRAMS:
        histogram.register(meter)
    return meter


def _callback(instrument: Instrument) -> Callable[[CallbackOptions], Iterator[Observation]]:
    def observe(_: CallbackOptions) -> Iterator[Observation]:
        for value, attributes in instrument.read():
            yield Observation(value, attributes)

    return observe
