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

from dataclasses import dataclass

from cachepolicy.codec import serialize
from cachepolicy.codec.codec import Times
from cachepolicy.codec.equality import is_immutable
from cachepolicy.codec.serialize import Serialized
from cachepolicy.errors import CallDenied, CorruptValue, StoreError, UnserializableValue
from cachepolicy.flow import incidents
from cachepolicy.flow.answer import MISS, Answer
from cachepolicy.flow.effects import Flow, call_origin, detach, join
from cachepolicy.flow.plan import Call, OnFault, Plan
from cachepolicy.flow.resilience import Budget, ask
from cachepolicy.flow.single_flight import Flight, Role, aboard, ashore
from cachepolicy.keys.layout import fingerprint
from cachepolicy.telemetry.names import Outcome, Reason, Tier
from cachepolicy.telemetry.spans import LookupSpan
from cachepolicy.tiers import commands
from cachepolicy.tiers.local import Entry


@dataclass(slots=True, eq=False)
class _Lookup:
    """What one caller's lookup carries along."""

    plan: Plan
    call: Call
    span: LookupSpan
    budget: Budget
    fault: str | None = None  # the class of the first fault of the store

    def note(self, fault: str) -> None:
        """Keep the first fault: what the answer will tell."""
        self.fault = self.fault or fault


def read_through(plan: Plan, call: Call, span: LookupSpan) -> Flow[Answer]:
    """Answer a call that L1 did not."""
    lookup = _Lookup(plan, call, span, Budget(plan.clock, plan.deadline))
    while True:
        role, flight = plan.flights.board(call.key, plan.codec.serializer.schema, is_async=plan.is_async)
        if role is Role.LEAD:
            return (yield from _lead(lookup, flight))
        if role is Role.ALONE:
            return (yield from originate(lookup, None))
        landing = yield from join(flight, plan.wait)
        if landing is None:  # waited as long as the policy says
            return (yield from originate(lookup, None))
        if landing.answer is None:  # its leader is gone
            continue
        answer = _for_follower(plan, landing.answer)
        if answer is None:
            return (yield from originate(lookup, None))
        if landing.answer.span is not None:
            span.link(landing.answer.span)
        return answer


def peek(plan: Plan, call: Call, span: LookupSpan) -> Flow[object]:
    """Return what Redis holds and L1 does not, or MISS; the origin is not asked."""
    lookup = _Lookup(plan, call, span, Budget(plan.clock, plan.deadline))
    answer = yield from _from_l2(lookup)
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
    lookup = _Lookup(plan, call, span, Budget(plan.clock, plan.deadline))
    return (yield from _detached(lookup, flight))


def _lead(lookup: _Lookup, flight: Flight) -> Flow[Answer]:
    plan, call = lookup.plan, lookup.call
    handed_over = False
    try:
        try:
            answer = yield from _from_l2(lookup, flight)
        except (StoreError, CallDenied) as refusal:  # as on_fault says; those who wait are told the same
            answer = _failed(Outcome.FAULT, Tier.L2, refusal, lookup)
        if answer is None:
            handed_over = True
            return (yield from _detached(lookup, flight))
        plan.flights.land(call.key, flight, answer)
        return answer
    finally:
        if (
            not handed_over
        ):  # cancelled or interrupted while it read: one of the waiters leads the next flight
            plan.flights.land(call.key, flight, None)


def _detached(lookup: _Lookup, flight: Flight) -> Flow[Answer]:
    """Run the origin out of reach of this caller's cancellation and wait for it like everybody else."""
    plan, call = lookup.plan, lookup.call
    yield from detach(originate(lookup, flight), lambda: plan.flights.land(call.key, flight, None))
    landing = yield from join(flight, None)
    if landing is not None and landing.answer is not None:
        return landing.answer
    return (yield from originate(lookup, None))  # its task was cancelled with its loop's others


def _from_l2(lookup: _Lookup, flight: Flight | None = None) -> Flow[Answer | None]:
    plan, call = lookup.plan, lookup.call
    guard, replay = plan.site.guard, plan.site.replay
    try:
        blob = yield from ask(guard, commands.head(call.key), lookup.budget)
        if blob is not None and len(blob) >= commands.HEAD:
            blob = yield from ask(guard, commands.get(call.key), lookup.budget)
        if replay and not replay.draining:  # Redis is back
            yield from replay.start(guard, plan.deadline)
        return None if blob is None else _opened(lookup, blob, flight)
    except StoreError as fault:
        lookup.note(incidents.fault(plan, fault))
        if plan.on_fault is OnFault.RAISE:
            raise
        if plan.on_fault is OnFault.DENY:
            raise CallDenied(f"{plan.name}: refused, as on_fault: deny says, while Redis is out") from fault
    except CorruptValue as refused:
        incidents.corruption(plan, refused.reason)
    except Exception as bug:  # noqa: BLE001 - counted; whatever it is, the caller gets the function's answer
        lookup.note(incidents.bug(plan, bug))
    return None


def _opened(lookup: _Lookup, blob: bytes, flight: Flight | None) -> Answer | None:
    """Make an answer of stored bytes, and keep it in L1; None where it is no longer good."""
    plan, call = lookup.plan, lookup.call
    header, serialized = plan.codec.unseal(blob, fingerprint(call.key))
    created, now = header.created, plan.clock.wall()
    if header.fresh_until <= now or plan.site.replay.forbids(call.key, created):
        return None
    value = serialize.read(serialized)
    if plan.local is not None and (flight is None or not flight.fenced):
        _fill(plan, call, value, serialized, created, header.fresh_until - now)
    age = now - created if now > created else 0.0
    return Answer(Outcome.HIT, Tier.L2, value, None, None, serialized, age, None, None, lookup.span)


def originate(lookup: _Lookup, flight: Flight | None) -> Flow[Answer]:
    """Call the origin, keep its result, land the flight. Every error of the function becomes an answer."""
    plan, call = lookup.plan, lookup.call
    began, created = plan.clock.monotonic(), plan.clock.wall()
    lookup.span.enter()
    if flight is not None:
        aboard(flight)
    try:
        attempt = yield from call_origin(plan.function, call.args, call.kwargs)
    finally:
        lookup.span.leave()
        if flight is not None:
            ashore(flight)
    outcome = Outcome.MISS if lookup.fault is None else Outcome.FAULT
    if attempt.error is not None:
        answer = _failed(outcome, Tier.ORIGIN, attempt.error, lookup)
    else:
        times = _times(plan, created, plan.clock.monotonic() - began)
        answer = yield from _keep(lookup, flight, attempt.value, times, outcome)
    if flight is not None:
        plan.flights.land(call.key, flight, answer)
    return answer


def _failed(outcome: Outcome, tier: Tier, error: BaseException, lookup: _Lookup) -> Answer:
    return Answer(
        outcome, tier, error=error, traceback=error.__traceback__, fault=lookup.fault, span=lookup.span
    )


def _keep(
    lookup: _Lookup, flight: Flight | None, value: object, times: Times, outcome: Outcome
) -> Flow[Answer]:
    plan, call = lookup.plan, lookup.call
    try:
        serialized = plan.codec.dump(value)
    except UnserializableValue as refused:
        incidents.unserializable(plan, refused)
        return Answer(Outcome.BYPASS, Tier.ORIGIN, value, reason=Reason.UNSERIALIZABLE, fault=lookup.fault)
    try:
        if flight is None or not flight.fenced:
            _fill(plan, call, value, serialized, times.created, times.fresh_until - plan.clock.wall())
            blob = plan.codec.seal(serialized, fingerprint(call.key), times)
            yield from _write(lookup, blob, times)
    except StoreError as fault:
        lookup.note(incidents.fault(plan, fault))
    except Exception as bug:  # noqa: BLE001 - counted; the caller gets the function's answer all the same
        lookup.note(incidents.bug(plan, bug))
    return Answer(
        outcome, Tier.ORIGIN, value, serialized=serialized, age=0.0, fault=lookup.fault, span=lookup.span
    )


def _write(lookup: _Lookup, blob: bytes, times: Times) -> Flow[None]:
    """Store bytes under the key, now or when Redis is back."""
    plan, key = lookup.plan, lookup.call.key
    put = commands.put(key, blob, times.stale_until - plan.clock.wall())
    try:
        yield from ask(plan.site.guard, put, lookup.budget)
    except StoreError:
        plan.site.replay.keep_write(key, blob, times.created, times.stale_until)
        raise


def _times(plan: Plan, created: float, cost: float) -> Times:
    """Stamp a value with the moment its load began: an invalidation during the load is newer than it."""
    fresh_until = plan.clock.wall() + plan.ttl * (1 - plan.jitter * plan.random())
    return Times(created, fresh_until, fresh_until + plan.stale, cost)


def _fill(
    plan: Plan, call: Call, value: object, serialized: Serialized, created: float, fresh_for: float
) -> None:
    """Keep a value in L1: itself where it cannot be changed, else the bytes to make a fresh one of."""
    if plan.local is None or fresh_for <= 0:
        return
    until = plan.clock.monotonic() + min(plan.local_ttl, fresh_for)
    kept, load = (value, None) if plan.share or is_immutable(value) else (serialized.payload, serialized.load)
    weight = len(serialized.payload)
    entry = Entry(plan.table, call.local_key, kept, load, until, created, weight)
    plan.local.put(entry)


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
