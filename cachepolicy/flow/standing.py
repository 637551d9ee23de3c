"""Callers that have asked before: their claims are made once, and what is known of them here is told at once.

Nothing is decided here that ``limiting.charge`` would not decide by the same permits and refusals.
"""

from __future__ import annotations

from cachepolicy.flow.decision import Decision
from cachepolicy.flow.limiter import Claim
from cachepolicy.flow.verdict import Verdict, decision
from cachepolicy.tiers.limits import Charged


class Standing:
    """One caller's claim of one call under one rule.

    Args:
        claim: what each of its calls asks.
    """

    __slots__ = ("_batched", "_costs", "_denials", "_known_as", "_permits", "_told", "claim")

    def __init__(self, claim: Claim) -> None:
        limiter = claim.limiter
        self.claim = claim
        self._known_as = claim.known_as
        self._costs = claim.costs
        self._permits = limiter.permits
        self._denials = limiter.denials
        self._batched = limiter.batch > 0
        self._told: tuple[Charged, Decision] | None = (
            None  # the last; one permit or refusal is told many times
        )

    def decide(self) -> Decision | None:
        """Decide a call without Redis; None: Redis must be asked."""
        charged = self._permits.spend(self._known_as, self._costs) if self._batched else None
        if charged is None and self._denials is not None:
            charged = self._denials.denied(self._known_as, self._costs)
        if charged is None:
            return None
        limiter = self.claim.limiter
        tally = limiter.tally
        if charged.allowed:
            tally.allowed += 1
        elif limiter.shadow:
            tally.shadow += 1
        else:
            tally.exceeded += 1
            tally.denied += 1
        told = self._told
        if told is None or told[0] is not charged:
            told = self._told = charged, decision(Verdict(self.claim, charged))
        return told[1]
