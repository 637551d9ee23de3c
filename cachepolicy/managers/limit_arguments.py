"""What the verbs of a limiter take, and what ``check_rate_limit`` says."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from cachepolicy.errors import PolicyError, UnkeyableArgument
from cachepolicy.telemetry.usage import Usage

if TYPE_CHECKING:
    from cachepolicy.flow.limiter import Limiter, Use

Tokens = int | Usage
"""How many tokens a call takes: of all kinds together, or told apart."""

Span = str | float | timedelta
"""A duration: such as ``"30s"``, or seconds."""


class RateLimitResult(NamedTuple):
    """What came of ``check_rate_limit``.

    Attributes:
        allowed: whether the call may go on; it was counted then, and only then.
        current_count: how many calls are counted.
        limit: how many may be.
        remaining: how many are left.
        reset_at: when none is counted any more, seconds since the epoch.
    """

    allowed: bool
    current_count: int
    limit: int
    remaining: int
    reset_at: float


def use_of(limiter: Limiter, cost: int, tokens: Tokens, who: object) -> Use:
    """Return what a call uses; errors name ``who`` asks.

    Raises:
        UnkeyableArgument: it is no number from 0 on.
    """
    if type(cost) is not int or cost < 0:
        raise UnkeyableArgument(f"{who}: cost: expected a whole number from 0 on")
    if isinstance(tokens, Usage):
        return limiter.use(cost, tokens)
    if type(tokens) is not int or tokens < 0:
        raise UnkeyableArgument(f"{who}: tokens: expected a whole number from 0 on, or a Usage")
    return limiter.use(cost, Usage("", 0, tokens), tokens)


def seconds_of(duration: Span, who: str, *, zero: bool = False) -> float:
    """Return a duration in seconds; errors name ``who`` asks.

    Raises:
        PolicyError: it cannot be read.
    """
    from cachepolicy.policy.units import parse_duration  # loaded with the first policy

    try:
        plain = duration.total_seconds() if isinstance(duration, timedelta) else duration
        return parse_duration(plain, zero=zero)
    except ValueError as error:
        raise PolicyError(f"{who}: {duration!r}: {error}") from None


def ms_of(duration: Span, who: str) -> int:
    """Return a duration in ms."""
    return round(seconds_of(duration, who, zero=True) * 1000)
