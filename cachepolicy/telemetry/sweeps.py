"""How well keys without a TTL are swept: how late, how many there are, and how many went."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from cachepolicy.telemetry.names import (
    ATTRIBUTE_NAMESPACE,
    METRIC_SWEEP_DEADLINES,
    METRIC_SWEEP_LAG,
    METRIC_SWEEP_REMOVED,
)


class _Swept(Protocol):
    @property
    def late(self) -> float: ...
    @property
    def left(self) -> int: ...


class Sweeper(Protocol):
    """What sweeps a namespace."""

    removed: int

    @property
    def last(self) -> _Swept | None:
        """What the last sweep did; None where another process sweeps."""
        ...


_SOURCES: Final[dict[str, weakref.ref[Sweeper]]] = {}


def export(namespace: str, sweeper: Sweeper) -> None:
    """Have the sweeps of a namespace told at every collection from now on; the last sweeper counts."""
    _SOURCES[namespace] = weakref.ref(sweeper)


def register(meter: Meter) -> None:
    """Have sweeps told at every collection."""
    meter.create_observable_gauge(
        METRIC_SWEEP_LAG,
        [_lag],
        "s",
        "How long the oldest key of a protected namespace was over when it went",
    )
    meter.create_observable_gauge(
        METRIC_SWEEP_DEADLINES, [_deadlines], "{key}", "Keys of a protected namespace that are to end"
    )
    meter.create_observable_counter(
        METRIC_SWEEP_REMOVED, [_removed], "{key}", "Keys of protected namespaces that this process removed"
    )


def _lag(_: CallbackOptions) -> Iterable[Observation]:
    for namespace, sweeper in _all():
        if sweeper.last is not None:
            yield Observation(sweeper.last.late, {ATTRIBUTE_NAMESPACE: namespace})


def _deadlines(_: CallbackOptions) -> Iterable[Observation]:
    for namespace, sweeper in _all():
        if sweeper.last is not None:
            yield Observation(sweeper.last.left, {ATTRIBUTE_NAMESPACE: namespace})


def _removed(_: CallbackOptions) -> Iterable[Observation]:
    for namespace, sweeper in _all():
        yield Observation(sweeper.removed, {ATTRIBUTE_NAMESPACE: namespace})


def _all() -> Iterator[tuple[str, Sweeper]]:
    for namespace, source in list(_SOURCES.items()):
        sweeper = source()
        if sweeper is not None:
            yield namespace, sweeper
