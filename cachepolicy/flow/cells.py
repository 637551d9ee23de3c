"""What is counted, and the batches in which it travels to Redis.

A cell is one number of one series in one hour; days and months are added up where it arrives.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""What tells a series from others of its metric: names and values, in the order of the names."""

OTHER: Final = "__other__"
"""What takes the place of a value that is counted together with others."""

HOUR: Final = 3600  # seconds


class Kind(StrEnum):
    """What the values of a metric mean; as the policy says it."""

    __hash__ = str.__hash__  # Enum's own is written in Python, and counting hashes

    COUNTER = "counter"
    GAUGE = "gauge"
    UNIQUES = "uniques"
    HISTOGRAM = "histogram"
    MONEY = "money"


class Outcome(StrEnum):
    """How a call that is counted ended."""

    SUCCESS = "success"
    ERROR = "error"
    CANCELLED = "cancelled"


class Cell(NamedTuple):
    """One number.

    Attributes:
        labels: of its series.
        hour: since the epoch; when it happened, not when it was flushed.
        part: which number of the series: empty for its sum; of money, its currency; of a histogram also
            ``count`` and its buckets, as ``flow.sketch`` spells them.
    """

    labels: Labels
    hour: int
    part: str = ""


class Last(NamedTuple):
    """What a gauge showed in an hour: the last value, when that was (s since the epoch), the extremes."""

    value: float
    at: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What is added to one metric in one step: all of it or nothing, and once however often it is sent.

    Attributes:
        metric: its name.
        counts: what is added to each cell; whole numbers, of money in millionths.
        uniques: what was seen, by series and hour.
        gauges: what was shown.
        id: what tells this batch from all others, for ever.
    """

    metric: str
    counts: Mapping[Cell, int] = field(default_factory=dict)
    uniques: Mapping[tuple[Labels, int], frozenset[bytes]] = field(default_factory=dict)
    gauges: Mapping[Cell, Last] = field(default_factory=dict)
    id: str = field(default_factory=lambda: secrets.token_hex(16))

    def __len__(self) -> int:
        return len(self.counts) + len(self.gauges) + sum(map(len, self.uniques.values()))
