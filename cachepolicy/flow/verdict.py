"""What became of a claim, and how it is told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from cachepolicy.errors import RateLimitExceeded
from cachepolicy.flow.decision import Decision, LimitState
from cachepolicy.flow.limiter import Claim, LimitFault
from cachepolicy.policy.units import format_duration
from cachepolicy.tiers.limits import Charged

_made: Final = tuple.__new__  # a named tuple's own way takes twice as long


class Verdict(NamedTuple):
    """What became of a claim.

    Attributes:
        claim: what was asked.
        charged: what Redis said, or this process in its stead.
        degraded: Redis was not asked, or did not answer.
    """

    claim: Claim
    charged: Charged
    degraded: bool = False

    @property
    def passes(self) -> bool:
        """Whether the call may go on, as far as this rule is concerned."""
        return self.charged.allowed or self.claim.limiter.shadow


def decision(verdict: Verdict, reservation: str = "") -> Decision:
    """Tell what became of a claim."""
    claim, charged, degraded = verdict
    states = tuple(
        [
            _made(
                LimitState,
                (
                    name,
                    unit,
                    amount or limit,
                    window,
                    remaining,
                    None if retry < 0 else retry / 1000,
                    reset / 1000,
                ),
            )
            for (name, unit, limit, window), (remaining, retry, reset, amount) in zip(
                claim.quota.stated, charged.rows, strict=False
            )
        ]
    )
    allowed, now, wait, _ = charged
    shadow = claim.limiter.shadow
    return _made(
        Decision,
        (
            allowed or shadow,
            claim.limiter.rule,
            states,
            _binding(states, allowed=allowed),
            now / 1000,
            wait / 1000,
            degraded,
            shadow and not allowed,
            reservation if allowed and not degraded else "",
        ),
    )


def _binding(states: Sequence[LimitState], *, allowed: bool) -> LimitState | None:
    """Return the limit that lets the call wait longest; where none does, the one nearest its end."""
    if len(states) < 2:
        return states[0] if states else None
    if allowed:
        return min(states, key=lambda state: state.remaining / state.limit)
    return max(states, key=lambda state: float("inf") if state.retry_after is None else state.retry_after)


def exceeded(verdict: Verdict) -> RateLimitExceeded:
    """Return what is raised for a denial."""
    told = decision(verdict)
    binding = told.binding
    if told.degraded and verdict.claim.limiter.on_fault is LimitFault.DENY:
        message = "Redis is out, and on_fault: deny refuses such calls"
    elif binding is None or binding.retry_after is None:
        message = "the call costs more than it may ever use at once"
    else:
        retry = binding.retry_after
        again = format_duration(retry if retry < 1 else math.ceil(retry))
        message = f"over its limit ({binding.name}); again in {again}"
    return refusal(told, message)


def refusal(told: Decision, message: str) -> RateLimitExceeded:
    """Return what is raised for a decision that denies a call."""
    return RateLimitExceeded(
        f"rule {told.rule!r}: {message}",
        rule=told.rule,
        limit=told.limit,
        remaining=told.remaining,
        retry_after=told.retry_after,
        reset_at=told.reset_at,
        degraded=told.degraded,
        decision=told,
    )
