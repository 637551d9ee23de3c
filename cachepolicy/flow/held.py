"""What L1 holds of a call's answer."""

from __future__ import annotations

from typing import Final

from cachepolicy.codec.serialize import Form, Serialized
from cachepolicy.flow.answer import Answer
from cachepolicy.flow.plan import Call, Plan
from cachepolicy.telemetry.names import Outcome, Reason, Tier
from cachepolicy.tiers.local import Entry

_UNSAID: Final = 0  # a form: L1 keeps what loads a payload, not how it is written


def from_l1(plan: Plan, call: Call, *, counted: bool = True) -> Answer | None:
    """Answer from L1, where an entry is there and as young as the caller wants it."""
    entry = None if plan.local is None else plan.table.get(call.local_key)
    if entry is None or entry.until <= plan.clock.monotonic():
        return None
    now, oldest = plan.clock.wall(), call.control.max_age
    if oldest is not None and (entry.stale or now - entry.created > oldest):
        return None
    entry.hits += counted
    return taken(plan, entry, now)


def taken(plan: Plan, entry: Entry, now: float) -> Answer:
    """Make an answer of an entry; ``now``: wall clock."""
    created, load = entry.created, entry.load
    age = now - created if now > created else 0.0
    outcome, reason = (Outcome.STALE, Reason.REVALIDATING) if entry.stale else (Outcome.HIT, None)
    if load is None:
        return Answer(outcome, Tier.L1, entry.value, None, None, None, age, reason)
    try:
        value = load(entry.value)
    except Exception as error:
        errors = plan.admission.errors
        if load == errors.lift:
            kept = Serialized(Form.ERROR, entry.value, errors.load)
            return Answer(outcome, Tier.L1, None, error, error.__traceback__, kept, age, reason)
        raise
    return Answer(outcome, Tier.L1, value, None, None, Serialized(_UNSAID, entry.value, load), age, reason)
