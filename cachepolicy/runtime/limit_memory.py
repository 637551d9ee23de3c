"""What a process knows of the subjects of a namespace of limits."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from cachepolicy.clock import Clock
from cachepolicy.flow.denials import Denials
from cachepolicy.flow.local_limits import LocalLimits
from cachepolicy.flow.local_places import LocalPlaces
from cachepolicy.flow.permits import Permits
from cachepolicy.policy.rules.limits import RateLimitRule


class Memory:
    """What a process knows of the subjects of a namespace.

    Args:
        clock: the source of time.
        rule: of the namespace.
        before: what was known under another rule: what was counted here, and who is inside, stays true; that
            somebody is refused, or has a permit, may not be.
    """

    def __init__(self, clock: Clock, rule: RateLimitRule, before: Memory | None = None) -> None:
        self.share: Final = Fraction(1, rule.replicas)
        self.denials: Final = Denials(clock, rule.denied) if rule.denied else None
        self.permits: Final = Permits(clock)
        if before is not None and before.share == self.share:
            self.local: LocalLimits = before.local
            self.places: LocalPlaces = before.places
        else:
            self.local = LocalLimits(clock, self.share)
            self.places = LocalPlaces()

    def after_fork(self) -> None:
        """Leave behind what is the parent's: its permits, places and locks."""
        self.local.after_fork()
        self.places.after_fork()
        self.permits.after_fork()
        if self.denials is not None:
            self.denials.after_fork()
