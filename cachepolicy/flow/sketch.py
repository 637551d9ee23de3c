"""Percentiles from counts alone: values are counted in buckets that grow by a constant factor.

Any two histograms are added by adding their counts, over hours, series and processes; each value is known to
within the accuracy, whatever its size. How wide its buckets are stands in a bucket's name, so that another
accuracy begins new ones and old ones are still read right.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from cachepolicy.errors import Uncountable

SUM: Final = ""
COUNT: Final = "count"
MICROS: Final = 1_000_000
"""A histogram's sum is kept in millionths."""

_PRECISION: Final = 10_000  # an accuracy is known to a hundredth of a percent
_LOWEST: Final = 1e-9  # what is smaller is counted as zero


def check_accuracy(accuracy: float) -> int:
    """Return an accuracy as buckets' names hold it.

    Raises:
        Uncountable: no buckets have it.
    """
    known = round(accuracy * _PRECISION)
    if not 0 < known < _PRECISION:
        raise Uncountable("expected an accuracy from 0.01% to below 100%")
    return known


class Scale:
    """Which bucket a value is in, for who asks often.

    Args:
        accuracy: as of ``bucket``.
    """

    __slots__ = ("_known", "_log_gamma")

    def __init__(self, accuracy: float) -> None:
        self._known: Final = check_accuracy(accuracy)
        self._log_gamma: Final = _log_gamma(self._known)

    def index(self, value: float) -> int | None:
        """Return the number of a bucket; None: that of what is too small to tell from 0."""
        return None if value < _LOWEST else math.ceil(math.log(value) / self._log_gamma)

    def part(self, index: int | None) -> str:
        """Return the part of a series that counts the values of a bucket."""
        return f"b{self._known}.{'z' if index is None else index}"


def bucket(value: float, accuracy: float) -> str:
    """Return the part of a series that counts such values.

    Args:
        value: at least 0, and finite.
        accuracy: the most that a percentile may be wrong, relative to it.

    Raises:
        Uncountable: the value or the accuracy is none.
    """
    if not 0 <= value < math.inf:
        raise Uncountable("expected values of at least 0: a histogram counts no others")
    scale = Scale(accuracy)
    return scale.part(scale.index(value))


def observed(value: float, accuracy: float) -> tuple[tuple[str, int], ...]:
    """Return what a value adds to the parts of its series; arguments and errors are as of ``bucket``."""
    return (SUM, round(value * MICROS)), (COUNT, 1), (bucket(value, accuracy), 1)


def representative(part: str) -> float | None:
    """Return the value that stands for all that a part counts; None where it is no bucket."""
    if not part.startswith("b"):
        return None
    known, _, index = part[1:].partition(".")
    if index == "z":
        return 0.0
    log_gamma = _log_gamma(int(known))
    gamma = math.exp(log_gamma)
    return 2 * math.exp(int(index) * log_gamma) / (gamma + 1)


def quantiles(counts: Mapping[str, int], wanted: Sequence[float]) -> list[float | None]:
    """Return the values below which these shares of all values lie; None where there are no values.

    Args:
        counts: by part; what is no bucket is left out.
        wanted: from 0 to 1.
    """
    values = sorted(_values(counts.items()))
    total = sum(count for _, count in values)
    return [_at(values, share * (total - 1)) if total else None for share in wanted]


def _values(counts: Iterable[tuple[str, int]]) -> Iterable[tuple[float, int]]:
    for part, count in counts:
        value = representative(part)
        if value is not None and count > 0:
            yield value, count


def _at(values: Sequence[tuple[float, int]], rank: float) -> float:
    passed = 0
    for value, count in values:
        passed += count
        if passed > rank:
            return value
    return values[-1][0]


@functools.lru_cache(64)
def _log_gamma(known: int) -> float:
    accuracy = known / _PRECISION
    return math.log1p(accuracy) - math.log1p(-accuracy)
