"""Whether L1 hears of changes, as observable instruments over what its ear counts anyway."""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from cachepolicy.telemetry.names import (
    ATTRIBUTE_NAMESPACE,
    METRIC_COHERENCE_GAPS,
    METRIC_COHERENCE_LAG,
    METRIC_COHERENCE_LIVE,
    METRIC_COHERENCE_LOSSES,
    SCOPE,
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
_REGISTERED: Final[list[metrics.Meter]] = []


def export(namespace: str, ear: Ear) -> None:
    """Have a namespace's ear read at every collection from now on; sums keep what earlier ones counted."""
    with _LOCK:
        before = _SOURCES.get(namespace)
        if before is not None:
            before.look()
            _RETIRED_LOSSES[namespace] += before.losses
            _RETIRED_GAPS[namespace] += before.gaps
        _SOURCES[namespace] = _Source(ear)
        if not _REGISTERED:
            _REGISTERED.append(_register())


def after_fork() -> None:
    """Forget a lock that another thread held when this process was forked."""
    global _LOCK  # noqa: PLW0603 - a lock cannot be released for a thread that does not exist here
    _LOCK = threading.Lock()


def _register() -> metrics.Meter:
    meter = metrics.get_meter(SCOPE)
    meter.create_observable_gauge(
        METRIC_COHERENCE_LIVE, [_live], "1", "1 where L1 hears of changes by other processes, else 0"
    )
    meter.create_observable_counter(
        METRIC_COHERENCE_LOSSES, [_losses], "{loss}", "Connections lost over which changes were heard"
    )
    meter.create_observable_counter(
        METRIC_COHERENCE_GAPS, [_gaps], "{message}", "Messages about changes that went unheard"
    )
    meter.create_observable_gauge(
        METRIC_COHERENCE_LAG, [_lag], "s", "How long Redis took to tell of the last canary"
    )
    return meter


def _ears() -> dict[str, Ear]:
    with _LOCK:
        heard = {namespace: source.look() for namespace, source in _SOURCES.items()}
    return {namespace: ear for namespace, ear in heard.items() if ear is not None}


def _live(_: CallbackOptions) -> Iterable[Observation]:
    return [_of(namespace, int(ear.live)) for namespace, ear in _ears().items()]


def _lag(_: CallbackOptions) -> Iterable[Observation]:
    return [_of(namespace, ear.lag) for namespace, ear in _ears().items() if ear.lag is not None]


def _losses(_: CallbackOptions) -> Iterable[Observation]:
    return _sums(_RETIRED_LOSSES, lambda source: source.losses)


def _gaps(_: CallbackOptions) -> Iterable[Observation]:
    return _sums(_RETIRED_GAPS, lambda source: source.gaps)


def _sums(retired: Counter[str], count: Callable[[_Source], int]) -> list[Observation]:
    _ears()
    with _LOCK:
        return [_of(namespace, retired[namespace] + count(source)) for namespace, source in _SOURCES.items()]


def _of(namespace: str, value: float) -> Observation:
    return Observation(value, {ATTRIBUTE_NAMESPACE: namespace})
