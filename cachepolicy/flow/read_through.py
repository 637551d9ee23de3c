"""L1 missed: ask Redis, else the origin, once for all who wait; keep the result in both tiers.

::

    board the flight of this key ── follow ──▶ wait for its landing
            │ lead
            ▼
    Redis: fresh? ──▶ L1, land          out of date? ──▶ land, and compute anew behind the callers' backs
            │ no
            ▼
    the lease: another process computes? ──▶ wait for its value
            │ no
            ▼
    origin, detached ──▶ Redis, L1, land
"""

from __future__ import annotations

from typing import Final

from cachepolicy.codec import serialize
from cachepolicy.codec.envelope import TAIL
from cachepolicy.codec.equality import is_immutable
from cachepolicy.codec.serialize import Form
from cachepolicy.errors import CallDenied, CorruptValue, StoreError
from cachepolicy.flow.answer import Answer
from cachepolicy.flow.control import NO_CONTROL
from cachepolicy.flow.effects import Ask, Flow
from cachepolicy.flow.held import from_l1
from cachepolicy.flow.look import look, look_closer, refuse
from cachepolicy.flow.lookup import Kept, Lookup, failed, fill, made_anew, volunteers
from cachepolicy.flow.plan import Call, Plan
from cachepolicy.flow.refresh import refresh_behind
from cachepolicy.flow.resilience import Budget, recover
from cachepolicy.flow.single_flight import Flight, Role
from cachepolicy.flow.turn import take_turn
from cachepolicy.flow.waiting import alone, detached, wait
from cachepolicy.flow.weigh import Found, Worth, serve, spare
from cachepolicy.telemetry.names import (
    ATTRIBUTE_ERROR,
    ATTRIBUTE_HIT,
    ATTRIBUTE_NAMESPACE,
    SPAN_L2,
    Outcome,
    Reason,
    Tier,
)
from cachepolicy.telemetry.spans import Attribute, LookupSpan
from cachepolicy.telemetry.usage import usage_in
from cachepolicy.tiers import commands

_LEAD: Final = Role.LEAD  # looking an enumeration's member up costs a tenth of a microsecond, each time
_HIT: Final = Outcome.HIT
_L2: Final = Tier.L2


def read_through(plan: Plan, call: Call, span: LookupSpan) -> Flow[Answer]:
    """Answer a call that L1 did not: a hit in Redis here, in as few steps as there can be; all else below."""
    site, clock = plan.site, plan.clock
    guard = site.guard
    lookup = Lookup(plan, call, span, Budget(clock, plan.patience.deadline, span))
    schema = plan.codec.serializer.schema
    role, flight = plan.flights.board(call.key, schema, is_async=plan.is_async, tags=call.tags)
    began = clock.monotonic()
    lookup.begin()  # before versions are trusted: a tag that changes from here on keeps the value out of L1
    vector = plan.versions.vector(call.tags, began)
    if role is not _LEAD or vector is None or guard.routed or guard.sole.is_open or site.replay:
        return (yield from _board(lookup, role, flight))
    answer: Answer | None = None
    handed_over = False
    head = commands.head(call.key)
    guard.sole.calls += 1
    try:
        try:
            blob = yield Ask(head, plan.patience.deadline * guard.first_share)
        except StoreError as fault:
            lookup.budget.left -= clock.monotonic() - began
            reading = recover(guard, guard.sole, head, lookup.budget, fault)
            finding = _look_again(lookup, reading, vector)
        else:
            lookup.budget.left -= clock.monotonic() - began
            if blob is not None and len(blob) < commands.HEAD:
                answer = at_once(lookup, blob, vector)
                if answer is not None:
                    return answer
            finding = look_closer(lookup, blob, vector)
        handed_over = True
        return (yield from _lead(lookup, flight, finding))
    finally:
        if not handed_over:  # cancelled or interrupted while it read: a waiter leads the next flight
            plan.flights.land(call.key, flight, answer)


def at_once(lookup: Lookup, blob: bytes, vector: bytes) -> Answer | None:
    """Do what ``weigh`` and ``serve`` do with a plain fresh value; None: leave it to them."""
    plan, call = lookup.plan, lookup.call
    try:
        header, serialized = plan.codec.unseal(blob, call.key)
        now = plan.clock.wall()
        if header.versions != vector or header.fresh_until <= now or header.expired:
            return None
        if call.control is not NO_CONTROL or plan.life.early or serialized.form == Form.ERROR:
            return None
        value = serialize.read(serialized)
    except CorruptValue:
        return None
    created, usage = header.created, usage_in(header.metadata) if header.metadata else None
    if plan.local is not None:
        kept = Kept(
            value,
            serialized,
            created,
            header.fresh_until - now,
            header.cost,
            vector,
            blob[-TAIL:],
            usage=usage,
        )
        fill(lookup, kept)
    age = now - created if now > created else 0.0
    return Answer(_HIT, _L2, value, None, None, serialized, age, None, None, lookup.span, header.cost, usage)


def read_on(lookup: Lookup, finding: Flow[Found | None], number: int) -> Flow[Answer]:
    """Answer a call for which Redis was looked at already, together with others.

    Args:
        lookup: whose.
        finding: tells what was found.
        number: of the flights of all of them.
    """
    plan, call = lookup.plan, lookup.call
    role, flight = plan.flights.board(
        call.key, plan.codec.serializer.schema, is_async=plan.is_async, tags=call.tags
    )
    if role is not _LEAD:
        return (yield from _board(lookup, role, flight))
    flight.number = number
    held = from_l1(plan, call)  # another flight may have landed since Redis was looked at
    if held is not None:
        plan.flights.land(call.key, flight, None)
        return held
    return (yield from _lead(lookup, flight, finding))


def _look_again(lookup: Lookup, reading: Flow[bytes | None], vector: bytes) -> Flow[Found | None]:
    try:
        blob = yield from reading
    except StoreError as fault:
        refuse(lookup, fault)
        return None
    return (yield from look_closer(lookup, blob, vector))


def _board(lookup: Lookup, role: Role, flight: Flight) -> Flow[Answer]:
    """Do as the others do who ask for the same, or as the breaker lets."""
    plan, call = lookup.plan, lookup.call
    while True:
        if role is Role.LEAD:
            return (yield from _lead(lookup, flight, look(lookup)))
        if role is Role.ALONE:
            return (yield from alone(lookup))
        if plan.streaming is None:
            answer = yield from _follow(lookup, flight)
        else:
            flight.enter(lookup)
            try:
                answer = yield from _follow(lookup, flight)
            finally:
                flight.leave(lookup)
        if answer is not None:
            return answer
        # its leader is gone, or was content with less
        schema = plan.codec.serializer.schema
        role, flight = plan.flights.board(call.key, schema, is_async=plan.is_async, tags=call.tags)


def _follow(lookup: Lookup, flight: Flight) -> Flow[Answer | None]:
    """Wait for a leader's answer; None where it is none for this caller."""
    plan, call = lookup.plan, lookup.call
    flight.wanted = flight.wanted or not call.control.no_store
    landed = yield from wait(lookup, flight, plan.patience.wait)
    if isinstance(landed, Answer):
        return landed
    if not landed:  # waited as long as the policy says
        return (yield from alone(lookup))
    led = None if flight.landing is None else flight.landing.answer
    if led is None or not _will_do(call, led):
        return None
    answer = _for_follower(plan, led)
    if answer is None:
        return (yield from alone(lookup))
    if led.span is not None:
        lookup.span.link(led.span)
    return answer


def peek(plan: Plan, call: Call, span: LookupSpan) -> Flow[Answer | None]:
    """Return what Redis holds and L1 does not, if a call may be answered by it; the origin is not asked."""
    lookup = Lookup(plan, call, span, Budget(plan.clock, plan.patience.deadline, span))
    found = yield from look(lookup)
    if found is None or found.worth is Worth.FALLBACK:
        return None
    if found.worth is Worth.FRESH:
        return serve(lookup, found)
    return serve(lookup, found, Reason.REVALIDATING, keep=False)  # in L1 it would hide that it is out of date


def _lead(lookup: Lookup, flight: Flight, finding: Flow[Found | None]) -> Flow[Answer]:
    """Answer for all who wait for this flight."""
    plan, call, span = lookup.plan, lookup.call, lookup.span
    answer: Answer | None = None
    handed_over = False
    try:
        try:
            found = yield from finding
            answer = None if found is None else (yield from _answer_by(lookup, found))
            if answer is None:
                if span.is_recording:
                    span.told(SPAN_L2, _looked(lookup))
                flight.fallback = lookup.fallback
                answer = None if lookup.fault else (yield from take_turn(lookup, over=flight.over))
        except (StoreError, CallDenied) as refusal:  # as on_fault says; those who wait are told the same
            answer = failed(Outcome.FAULT, Tier.L2, refusal, lookup)
        if answer is None:
            handed_over = True
            return (yield from detached(lookup, flight))
        return answer
    finally:
        if not handed_over:  # as in ``read_through``
            plan.flights.land(call.key, flight, answer)


def _looked(lookup: Lookup) -> dict[str, Attribute]:
    told: dict[str, Attribute] = {ATTRIBUTE_NAMESPACE: lookup.plan.namespace, ATTRIBUTE_HIT: False}
    return told if lookup.fault is None else {**told, ATTRIBUTE_ERROR: lookup.fault}


def _answer_by(lookup: Lookup, found: Found) -> Flow[Answer | None]:
    """Answer by what is stored, where it may; else keep it in mind, in case there is nothing better."""
    plan, header = lookup.plan, found.header
    if found.worth is Worth.FRESH:
        answer = serve(lookup, found)
        if answer is not None and volunteers(plan, header):
            yield from refresh_behind(lookup, header)
        return answer
    if found.worth is Worth.STALE:
        answer = serve(lookup, found, Reason.REVALIDATING)
        if answer is not None:
            yield from refresh_behind(lookup, header)
        return answer
    lookup.fallback = spare(lookup, found)
    return None


def _will_do(call: Call, answer: Answer) -> bool:
    """Tell whether a leader's answer is one for a caller who follows."""
    if answer.error is not None and not isinstance(answer.error, Exception):
        return False  # it was interrupted: that is nobody else's
    oldest = call.control.max_age
    is_all_there_is = answer.reason in (Reason.ORIGIN_ERROR, Reason.ORIGIN_TIMEOUT)
    return oldest is None or is_all_there_is or answer.age is None or answer.age <= oldest


def _for_follower(plan: Plan, answer: Answer) -> Answer | None:
    """Return the leader's answer for one more caller, or None where it cannot be shared."""
    outcome = Outcome.STALE if answer.outcome is Outcome.STALE else Outcome.COALESCED
    serialized, error = answer.serialized, answer.error
    if error is not None and (serialized is None or serialized.form != Form.ERROR):
        return Answer(outcome, answer.tier, error=error, traceback=answer.traceback)
    if serialized is None:  # it has no byte form, so no copy of it can be made
        return None
    value = answer.value
    if plan.streaming is not None or error is not None or not (plan.share or is_immutable(value)):
        try:
            value = serialize.read(serialized)
        except CorruptValue:  # a validator that changed its mind
            return None
    shared = Answer(
        outcome,
        answer.tier,
        serialized=serialized,
        age=answer.age,
        reason=answer.reason,
        fault=answer.fault,
        cost=answer.cost,
        usage=answer.usage,
    )
    return made_anew(value, shared)
