"""What L1 holds of a call's answer."""

from __future__ import annotations

from typing import Final

from cachepolicy.codec.serialize import Form, Serialized
from cachepolicy.errors import CorruptValue
from cachepolicy.flow import incidents
from cachepolicy.flow.answer import Answer
from cachepolicy.flow.control import NO_CONTROL
from cachepolicy.flow.plan import Call, Plan
from cachepolicy.telemetry.names import Outcome, Reason, Tier
from cachepolicy.tiers.local import Entry

_UNSAID: Final = 0  # a form: L1 keeps what loads a payload, not how it is written


def from_l1(plan: Plan, call: Call, *, counted: bool = True) -> Answer | None:
    """Answer from L1, where an entry is there and as young as the caller wants it."""
    entry = None if plan.local is None else plan.table.get(call.local_key)
    if entry is None or entry.until <= plan.clock.monotonic():
        return None
    now = plan.clock.wall()
    if call.control is not NO_CONTROL and not _is_as_wanted(entry, now, call):
        return None
    answer = taken(plan, entry, now)
    if answer is not None:
        entry.hits += counted
    return answer


def taken(plan: Plan, entry: Entry, now: float) -> Answer | None:
    """Make an answer of an entry; None where none can be made of it any more.

    Args:
        plan: of the function.
        entry: that L1 holds.
        now: wall clock.
    """
    created, load, held = entry.created, entry.load, entry.value
    age = now - created if now > created else 0.0
    outcome, reason = (Outcome.STALE, Reason.REVALIDATING) if entry.stale else (Outcome.HIT, None)
    if load is None:
        return Answer(outcome, Tier.L1, held, None, None, None, age, reason)
    errors = plan.admission.errors
    try:
        if load == errors.lift:
            kept = Serialized(Form.ERROR, held, errors.load)
            return Answer(outcome, Tier.L1, None, errors.load(held).error, None, kept, age, reason)
        value = load(held)
    except CorruptValue as refused:  # a validator that changed its mind
        incidents.corruption(plan, refused.reason)
        if plan.local is not None:
            plan.local.discard(plan.table, entry.key)
        return None
    return Answer(outcome, Tier.L1, value, None, None, Serialized(_UNSAID, held, load), age, reason)


def _is_as_wanted(entry: Entry, now: float, call: Call) -> bool:
    """Tell whether an entry is as young as its caller wants it, and has the tags that he gives it."""
    control = call.control
    if control.max_age is not None and (entry.stale or now - entry.created > control.max_age):
        return False
    return not control.tags or set(call.tags) <= set(entry.tags)
