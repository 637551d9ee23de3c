"""Whether L1 hears of changes: what its ear counts anyway, read at collection."""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from cachepolicy.telemetry.instruments import Instrument, Kind, Point, by_namespace
from cachepolicy.telemetry.names import (
    METRIC_COHERENCE_GAPS,
    METRIC_COHERENCE_LAG,
    METRIC_COHERENCE_LIVE,
    METRIC_COHERENCE_LOSSES,
)


class Ear(Protocol):
    """What listens for changes, as far as it is counted.

    Attributes:
        losses: connections that were lost after they had been sound.
        gaps: messages that were missed while one was.
        lag: seconds that the last canary took; None before the first.
    """

    losses: int
    gaps: int
    lag: float | None

    @property
    def live(self) -> bool:
        """Whether changes are heard."""
        ...


class _Source:
    """A namespace's ear under one policy, and what it had counted when it was last looked at."""

    def __init__(self, ear: Ear) -> None:
        self._ear = weakref.ref(ear)
        self.losses = self.gaps = 0

    def look(self) -> Ear | None:
        """Return the ear, if it is still there."""
        ear = self._ear()
        if ear is not None:
            self.losses, self.gaps = ear.losses, ear.gaps
        return ear


_LOCK = threading.Lock()
_SOURCES: Final[dict[str, _Source]] = {}
_RETIRED_LOSSES: Final[Counter[str]] = Counter()
_RETIRED_GAPS: Final[Counter[str]] = Counter()


def export(namespace: str, ear: Ear) -> None:
    """Have a namespace's ear read at every collection from now on; sums keep what earlier ones counted."""
    with _LOCK:
        before = _SOURCES.get(namespace)
        if before is not None:
            before.look()
            _RETIRED_LOSSES[namespace] += before.losses
            _RETIRED_GAPS[namespace] += before.gaps
        _SOURCES[namespace] = _Source(ear)


def after_fork() -> None:
    """Forget a lock that another thread held when this process was forked."""
    global _LOCK  # noqa: PLW0603 - a lock cannot be released for a thread that does not exist here
    _LOCK = threading.Lock()


def _ears() -> dict[str, Ear]:
    with _LOCK:
        heard = {namespace: source.look() for namespace, source in _SOURCES.items()}
    return {namespace: ear for namespace, ear in heard.items() if ear is not None}


def _live() -> list[Point]:
    return by_namespace((namespace, int(ear.live)) for namespace, ear in _ears().items())


def _lag() -> list[Point]:
    return by_namespace((namespace, ear.lag) for namespace, ear in _ears().items() if ear.lag is not None)


def _losses() -> list[Point]:
    return _sums(_RETIRED_LOSSES, lambda source: source.losses)


def _gaps() -> list[Point]:
    return _sums(_RETIRED_GAPS, lambda source: source.gaps)


def _sums(retired: Counter[str], count: Callable[[_Source], int]) -> list[Point]:
    _ears()
    with _LOCK:
        return by_namespace(
            (namespace, retired[namespace] + count(source)) for namespace, source in _SOURCES.items()
        )


INSTRUMENTS: Final = (
    Instrument(
        METRIC_COHERENCE_LIVE,
        Kind.GAUGE,
        "1",
        "1 where L1 hears of changes by other processes, else 0",
        _live,
    ),
    Instrument(
        METRIC_COHERENCE_LOSSES,
        Kind.COUNTER,
        "{loss}",
        "Connections lost over which changes were heard",
        _losses,
    ),
    Instrument(
        METRIC_COHERENCE_GAPS, Kind.COUNTER, "{message}", "Messages about changes that went unheard", _gaps
    ),
    Instrument(METRIC_COHERENCE_LAG, Kind.GAUGE, "s", "How long Redis took to tell of the last canary", _lag),
)
