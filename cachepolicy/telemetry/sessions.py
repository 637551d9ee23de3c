"""How many sessions live, and how long they lived: under the names that dashboards know."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Final, Protocol

from cachepolicy.telemetry.histograms import Histogram
from cachepolicy.telemetry.instruments import Instrument, Kind, by_namespace
from cachepolicy.telemetry.names import (
    ATTRIBUTE_NAMESPACE,
    ATTRIBUTE_OUTCOME,
    METRIC_ACTIVE_SESSIONS,
    METRIC_SESSION_DURATION,
)

_BOUNDS: Final = (60, 300, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400, 259_200, 604_800, 2_592_000)


class Census(Protocol):
    """What counts the sessions of a namespace."""

    def living(self) -> int | None:
        """Return how many live, as it was known last; None: it is not known. It waits for nothing."""
        ...


_SOURCES: Final[dict[str, weakref.ref[Census]]] = {}
_ENDED: Final[Counter[tuple[str, str]]] = Counter()  # for the process; a lost update is accepted

DURATION: Final = Histogram(
    METRIC_SESSION_DURATION, "s", "How long sessions lived, from login to their end", _BOUNDS
)


def export(namespace: str, census: Census) -> None:
    """Have the sessions of a namespace counted at every collection from now on; the last census counts."""
    _SOURCES[namespace] = weakref.ref(census)


def living() -> Iterator[tuple[str, int]]:
    """Return how many sessions live, of all processes together, by namespace, as far as it is known."""
    for namespace, source in list(_SOURCES.items()):
        census = source()
        count = None if census is None else census.living()
        if count is not None:
            yield namespace, count


def endings() -> Iterator[tuple[tuple[str, str], int]]:
    """Return how many sessions this process has seen end, by namespace and outcome."""
    yield from list(_ENDED.items())


def ended(namespace: str, seconds: float, outcome: str) -> None:
    """Tell how long a session lived; ``outcome``: ``ended`` by somebody, or ``expired``."""
    _ENDED[namespace, outcome] += 1
    DURATION.record(seconds, ((ATTRIBUTE_NAMESPACE, namespace), (ATTRIBUTE_OUTCOME, outcome)))


INSTRUMENTS: Final = (
    Instrument(
        METRIC_ACTIVE_SESSIONS,
        Kind.GAUGE,
        "{session}",
        "Sessions that live, of all processes together",
        lambda: by_namespace(living()),
    ),
)
