"""What one caller's lookup carries along, and what it leaves in L1."""

from __future__ import annotations

from dataclasses import dataclass

from cachepolicy.codec.equality import is_immutable
from cachepolicy.codec.serialize import Serialized
from cachepolicy.flow.answer import Answer
from cachepolicy.flow.plan import Call, Plan
from cachepolicy.flow.resilience import Budget
from cachepolicy.telemetry.names import Outcome, Tier
from cachepolicy.telemetry.spans import LookupSpan
from cachepolicy.tiers.local import Entry


@dataclass(slots=True, eq=False)
class Lookup:
    """What one caller's lookup carries along."""

    plan: Plan
    call: Call
    span: LookupSpan
    budget: Budget
    fault: str | None = None  # the class of the first fault of the store

    def note(self, fault: str) -> None:
        """Keep the first fault: what the answer will tell."""
        self.fault = self.fault or fault


def failed(outcome: Outcome, tier: Tier, error: BaseException, lookup: Lookup) -> Answer:
    """Make an answer of an error: what is raised to the caller."""
    return Answer(
        outcome, tier, error=error, traceback=error.__traceback__, fault=lookup.fault, span=lookup.span
    )


def fill(
    plan: Plan, call: Call, value: object, serialized: Serialized, created: float, fresh_for: float
) -> None:
    """Keep a value in L1: itself where it cannot be changed, else the bytes to make a fresh one of.

    A large value is left to L2: one would cost L1 many others. What it replaces goes all the same.
    """
    if plan.local is None or fresh_for <= 0:
        return
    weight = len(serialized.payload)
    if weight > plan.local_max_value:
        plan.local.discard(plan.table, call.local_key)
        return
    until = plan.clock.monotonic() + min(plan.local_ttl, fresh_for)
    kept, load = (value, None) if plan.share or is_immutable(value) else (serialized.payload, serialized.load)
    entry = Entry(plan.table, call.local_key, kept, load, until, created, weight)
    plan.local.put(entry)
