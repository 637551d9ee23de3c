"""How well keys without a TTL are swept: how late, how many there are, and how many went."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from cachepolicy.telemetry.instruments import Instrument, Kind, Point, by_namespace
from cachepolicy.telemetry.names import (
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


def _all() -> Iterator[tuple[str, Sweeper]]:
    for namespace, source in list(_SOURCES.items()):
        sweeper = source()
        if sweeper is not None:
            yield namespace, sweeper


def _of(value: Callable[[Sweeper], float | None]) -> Iterable[Point]:
    told = ((namespace, value(sweeper)) for namespace, sweeper in _all())
    return by_namespace((namespace, number) for namespace, number in told if number is not None)


INSTRUMENTS: Final = (
    Instrument(
        METRIC_SWEEP_LAG,
        Kind.GAUGE,
        "s",
        "How long the oldest key of a protected namespace was over when it went",
        lambda: _of(lambda sweeper: None if sweeper.last is None else sweeper.last.late),
    ),
    Instrument(
        METRIC_SWEEP_DEADLINES,
        Kind.GAUGE,
        "{key}",
        "Keys of a protected namespace that are to end",
        lambda: _of(lambda sweeper: None if sweeper.last is None else sweeper.last.left),
    ),
    Instrument(
        METRIC_SWEEP_REMOVED,
        Kind.COUNTER,
        "{key}",
        "Keys of protected namespaces that this process removed",
        lambda: _of(lambda sweeper: sweeper.removed),
    ),
)
