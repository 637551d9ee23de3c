"""Counts as plain integers, read when somebody asks.

Adding to an OpenTelemetry counter costs thirty L1 hits; adding to an integer costs a tenth of one.
L1 hits are not even counted here: each entry counts its own, and its table adds them up.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from cachepolicy.telemetry.names import Outcome, Tier
from cachepolicy.telemetry.savings import NOTHING, Ledger, Savings


@dataclass(frozen=True, slots=True)
class Stats:
    """A decorated function's counts since it was first called."""

    calls: int
    l1_hits: int
    l2_hits: int
    misses: int
    coalesced: int
    stale: int
    bypasses: int
    faults: int
    entries: int
    saved: Savings

    @property
    def hit_rate(self) -> float:
        """The share of calls that were answered without an origin call, 0 to 1."""
        return (self.l1_hits + self.l2_hits + self.coalesced + self.stale) / self.calls if self.calls else 0.0


@dataclass(slots=True)
class Counters:
    """What one decorated function counts off the hit path. A lost update under threads is accepted."""

    requests: Counter[tuple[Outcome, Tier]] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    saved: Ledger = field(default_factory=Ledger)  # by answers that L1 did not give

    def stats(self, l1_hits: int, entries: int, saved: Savings = NOTHING) -> Stats:
        """Sum up, together with what the L1 table counted."""
        by_outcome: Counter[Outcome] = Counter()
        for (outcome, _), count in list(self.requests.items()):
            by_outcome[outcome] += count
        return Stats(
            calls=by_outcome.total() + l1_hits,
            l1_hits=l1_hits,
            l2_hits=by_outcome[Outcome.HIT],
            misses=by_outcome[Outcome.MISS],
            coalesced=by_outcome[Outcome.COALESCED],
            stale=by_outcome[Outcome.STALE],
            bypasses=by_outcome[Outcome.BYPASS],
            faults=by_outcome[Outcome.FAULT],
            entries=entries,
            saved=saved,
        )
