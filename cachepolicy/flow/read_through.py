"""L1 missed: ask Redis, else the origin, once for all who wait; keep the result in both tiers.

board the flight of this key ── follow ──▶ wait for its landing
        │ lead
        ▼
    L2 fresh? ──▶ L1, land
        │ no
        ▼
    origin, detached ──▶ L1, L2, land
"""

from __future__ import annotations

from typing import Final

from cachepolicy.codec import serialize
from cachepolicy.codec.equality import is_immutable
from cachepolicy.errors import CallDenied, CorruptValue, StoreError
from cachepolicy.flow import incidents
from cachepolicy.flow.answer import MISS, Answer
from cachepolicy.flow.effects import Ask, Flow, detach, join
from cachepolicy.flow.lookup import Lookup, failed, fill
from cachepolicy.flow.originate import originate
from cachepolicy.flow.plan import Call, OnFault, Plan
from cachepolicy.flow.resilience import Budget, ask, recover
from cachepolicy.flow.single_flight import Flight, Role
from cachepolicy.telemetry.names import Outcome, Tier
from cachepolicy.telemetry.spans import LookupSpan
from cachepolicy.tiers import commands

_LEAD: Final = Role.LEAD  # looking an enumeration's member up costs a tenth of a microsecond, each time
_HIT: Final = Outcome.HIT
_L2: Final = Tier.L2


def read_through(plan: Plan, call: Call, span: LookupSpan) -> Flow[Answer]:
    """Answer a call that L1 did not: a hit in Redis here, in as few steps as there can be; all else below."""
    site, clock = plan.site, plan.clock
    guard = site.guard
    lookup = Lookup(plan, call, span, Budget(clock, plan.deadline))
    role, flight = plan.flights.board(call.key, plan.codec.serializer.schema, is_async=plan.is_async)
    if role is not _LEAD or guard.routed or guard.sole.is_open:
        return (yield from _board(lookup, role, flight))
    answer: Answer | None = None
    handed_over = False
    head = commands.head(call.key)
    guard.sole.calls += 1
    began = clock.monotonic()
    try:
        try:
            blob = yield Ask(head, plan.deadline * guard.first_share)
        except StoreError as fault:
            lookup.budget.left -= clock.monotonic() - began
            reading = recover(guard, guard.sole, head, lookup.budget, fault)
        else:
            if blob is not None and len(blob) < commands.HEAD and not site.replay:
                answer = _made(lookup, blob, flight)
                if answer is not None:
                    return answer
                blob = None
            lookup.budget.left -= clock.monotonic() - began
            reading = _known(blob)
        handed_over = True
        return (yield from _lead(lookup, flight, reading))
    finally:
        if not handed_over:  # cancelled or interrupted while it read: a waiter leads the next flight
            plan.flights.land(call.key, flight, answer)


def _known(blob: bytes | None) -> Flow[bytes | None]:
    """Bring bytes that were read already."""
    yield from ()
    return blob


def _board(lookup: Lookup, role: Role, flight: Flight) -> Flow[Answer]:
    """Do as the others do who ask for the same, or as the breaker lets."""
    plan, call = lookup.plan, lookup.call
    while True:
        if role is Role.LEAD:
            return (yield from _lead(lookup, flight, _first_bytes(lookup)))
        if role is Role.ALONE:
            return (yield from originate(lookup, None))
        landing = yield from join(flight, plan.wait)
        if landing is None:  # waited as long as the policy says
            return (yield from originate(lookup, None))
        if landing.answer is not None:
            answer = _for_follower(plan, landing.answer)
            if answer is None:
                return (yield from originate(lookup, None))
            if landing.answer.span is not None:
                lookup.span.link(landing.answer.span)
            return answer
        # its leader is gone
        role, flight = plan.flights.board(call.key, plan.codec.serializer.schema, is_async=plan.is_async)


def peek(plan: Plan, call: Call, span: LookupSpan) -> Flow[object]:
    """Return what Redis holds and L1 does not, or MISS; the origin is not asked."""
    lookup = Lookup(plan, call, span, Budget(plan.clock, plan.deadline))
    answer = yield from _from_l2(lookup, None, _first_bytes(lookup))
    return MISS if answer is None else answer.take()


def invalidate(plan: Plan, call: Call) -> Flow[bool]:
    """Remove a call's entry from both tiers; a load that is under way will not bring it back.

    Raises:
        StoreError: Redis could not be told; L1 is cleared all the same.
    """
    plan.flights.fence(call.key)
    held = plan.local is not None and plan.local.discard(plan.table, call.local_key)
    try:
        stored = yield from ask(plan.site.guard, commands.unlink(call.key), Budget(plan.clock, plan.deadline))
    except StoreError:
        plan.site.replay.keep_invalidation(call.key)
        raise
    if plan.local is not None:  # a lookup may have read Redis before the deletion and filled L1 since
        plan.local.discard(plan.table, call.local_key)
    return held or stored


def refresh(plan: Plan, call: Call, span: LookupSpan) -> Flow[Answer]:
    """Ask the origin now, whatever is cached, and keep its answer; loads under way store nothing."""
    flight = plan.flights.lead(call.key, plan.codec.serializer.schema, is_async=plan.is_async)
    lookup = Lookup(plan, call, span, Budget(plan.clock, plan.deadline))
    return (yield from _detached(lookup, flight))


def _lead(lookup: Lookup, flight: Flight, reading: Flow[bytes | None]) -> Flow[Answer]:
    plan, call = lookup.plan, lookup.call
    answer: Answer | None = None
    handed_over = False
    try:
        try:
            answer = yield from _from_l2(lookup, flight, reading)
        except (StoreError, CallDenied) as refusal:  # as on_fault says; those who wait are told the same
            answer = failed(Outcome.FAULT, Tier.L2, refusal, lookup)
        if answer is None:
            handed_over = True
            return (yield from _detached(lookup, flight))
        return answer
    finally:
        if not handed_over:  # as in ``read_through``
            plan.flights.land(call.key, flight, answer)


def _detached(lookup: Lookup, flight: Flight) -> Flow[Answer]:
    """Run the origin out of reach of this caller's cancellation and wait for it like everybody else."""
    plan, call = lookup.plan, lookup.call
    yield from detach(originate(lookup, flight), lambda: plan.flights.land(call.key, flight, None))
    landing = yield from join(flight, None)
    if landing is not None and landing.answer is not None:
        return landing.answer
    return (yield from originate(lookup, None))  # its task was cancelled with its loop's others


def _first_bytes(lookup: Lookup) -> Flow[bytes | None]:
    return ask(lookup.plan.site.guard, commands.head(lookup.call.key), lookup.budget)


def _from_l2(lookup: Lookup, flight: Flight | None, reading: Flow[bytes | None]) -> Flow[Answer | None]:
    """Make an answer of what is stored; None where the origin is to be asked.

    Args:
        lookup: whose.
        flight: that it leads, if any.
        reading: brings the first bytes.

    Raises:
        StoreError: Redis failed, and the policy says to tell.
        CallDenied: Redis failed, and the policy says to refuse.
    """
    plan, call = lookup.plan, lookup.call
    guard, replay = plan.site.guard, plan.site.replay
    try:
        blob = yield from reading
        if blob is not None and len(blob) >= commands.HEAD:
            blob = yield from ask(guard, commands.get(call.key), lookup.budget)
        if replay and not replay.draining:  # Redis is back
            half = lookup.budget.left / 2  # sync code replays here: this call is to have time for itself too
            share = Budget(plan.clock, half)
            yield from replay.start(guard, share)
            lookup.budget.left -= half - share.left
    except StoreError as fault:
        lookup.note(incidents.fault(plan, fault))
        if plan.on_fault is OnFault.RAISE:
            raise
        if plan.on_fault is OnFault.DENY:
            raise CallDenied(f"{plan.name}: refused, as on_fault: deny says, while Redis is out") from fault
        return None
    return None if blob is None else _made(lookup, blob, flight)


def _made(lookup: Lookup, blob: bytes, flight: Flight | None) -> Answer | None:
    """Make an answer of stored bytes, and keep it in L1; None where they are no longer, or not, good."""
    plan, call = lookup.plan, lookup.call
    try:
        header, serialized = plan.codec.unseal(blob, call.key)
        created, now = header.created, plan.clock.wall()
        if header.fresh_until <= now or plan.site.replay.forbids(call.key, created):
            return None
        value = serialize.read(serialized)
    except CorruptValue as refused:
        incidents.corruption(plan, refused.reason)
        return None
    except Exception as bug:  # noqa: BLE001 - counted; whatever it is, the caller gets the function's answer
        lookup.note(incidents.bug(plan, bug))
        return None
    if plan.local is not None and (flight is None or not flight.fenced):
        fill(plan, call, value, serialized, created, header.fresh_until - now)
    age = now - created if now > created else 0.0
    return Answer(_HIT, _L2, value, None, None, serialized, age, None, lookup.fault, lookup.span)


def _for_follower(plan: Plan, answer: Answer) -> Answer | None:
    """Return the leader's answer for one more caller, or None where it cannot be shared."""
    error = answer.error
    if error is not None:
        shareable = isinstance(error, Exception)  # not the CancelledError that a function raised for itself
        return (
            Answer(Outcome.COALESCED, answer.tier, error=error, traceback=answer.traceback)
            if shareable
            else None
        )
    if answer.serialized is None:  # it has no byte form, so no copy of it can be made
        return None
    value = answer.value
    if not (plan.share or is_immutable(value)):
        try:
            value = serialize.read(answer.serialized)
        except CorruptValue:  # a validator that changed its mind
            return None
    return Answer(Outcome.COALESCED, answer.tier, value, age=answer.age, fault=answer.fault)
