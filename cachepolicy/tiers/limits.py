"""Limits as Redis counts them: a hash for each subject, and one script that decides and charges.

All that a subject has used lies under one key, so that any number of its limits are looked at and charged in
one step and one slot. Numbers are whole: requests, tokens, millionths of money; times are milliseconds of the
server's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Algorithm(StrEnum):
    """How use is counted over time."""

    GCRA = "gcra"  # it drains steadily; a burst at once
    WINDOW = "window"  # never above the limit in any window
    CALENDAR = "calendar"  # by UTC hour, day or month


class Unit(StrEnum):
    """What is counted."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"
    MONEY = "money"  # in millionths


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of a subject.

    Attributes:
        unit: what it counts; for money, ``currency`` says of which.
        algorithm: how.
        amount: how much in a period.
        period: its length in ms; of a calendar's, the longest that it can be.
        burst: how much at once, for ``gcra``.
        buckets: into how many parts a window is cut, for ``window``.
        calendar: ``hour``, ``day`` or ``month``, for ``calendar``.
        currency: of money.
    """

    unit: Unit
    algorithm: Algorithm
    amount: int
    period: int
    burst: int = 0
    buckets: int = 0
    calendar: str = ""
    currency: str = ""


class Row(NamedTuple):
    """What became of one limit.

    Attributes:
        remaining: how much is left at once, after this.
        retry: ms until as much could be charged; 0: now; -1: never, it is more than may be used at once.
        reset: ms until nothing is used any more.
    """

    remaining: int
    retry: int
    reset: int


class Charged(NamedTuple):
    """What became of one call.

    Attributes:
        allowed: whether it was charged to every limit; else it was to none.
        now: the server's time, ms since the epoch.
        wait: ms until its turn, where it was booked ahead; else 0.
        rows: one for each limit, in their order.
    """

    allowed: bool
    now: int
    wait: int
    rows: tuple[Row, ...]
