"""Which series a metric has, as they were read: again only when there are others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cachepolicy.flow.cells import OTHER, Labels
from cachepolicy.keys.series import read
from cachepolicy.tiers.analytics import Census

REFUSED = 0
"""The number of what is counted together, as there are too many series."""


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """The series of a metric.

    Attributes:
        epoch: of their numbers; empty: there are none.
        count: how many there are.
        series: the labels of each, by number; what is counted together has ``OTHER`` in each of its labels.
    """

    epoch: str
    count: int
    series: Mapping[int, Labels]

    def is_of(self, census: Census) -> bool:
        """Tell whether there are no others by now."""
        return (self.epoch, self.count) == (census.epoch, census.number)


def listing_of(kept: Mapping[bytes, bytes], names: tuple[str, ...] | None) -> Listing:
    """Return the listing that a metric's series are kept as.

    Args:
        kept: spellings and numbers, and what else stands there.
        names: of the labels, where they are declared.
    """
    epoch, count = kept.get(b"e", b"").decode(), int(kept.get(b"n", 0))
    series = {}
    for spelling, number in kept.items():
        labels = read(spelling)
        if labels is not None:
            series[int(number)] = labels
    if names is None:
        names = tuple(sorted({name for labels in series.values() for name, _ in labels}))
    series[REFUSED] = tuple((name, OTHER) for name in sorted(names))
    return Listing(epoch, count, series)
