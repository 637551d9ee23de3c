"""Ask the origin and keep its result in both tiers."""

from __future__ import annotations

from cachepolicy.codec.codec import Times
from cachepolicy.errors import StoreError, UnserializableValue
from cachepolicy.flow import incidents
from cachepolicy.flow.answer import Answer
from cachepolicy.flow.effects import Flow, call_origin
from cachepolicy.flow.lookup import Lookup, failed, fill
from cachepolicy.flow.plan import Plan
from cachepolicy.flow.resilience import ask
from cachepolicy.flow.single_flight import Flight, aboard, ashore
from cachepolicy.telemetry.names import Outcome, Reason, Tier
from cachepolicy.tiers import commands


def originate(lookup: Lookup, flight: Flight | None) -> Flow[Answer]:
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
        answer = failed(outcome, Tier.ORIGIN, attempt.error, lookup)
    else:
        times = _times(plan, created, plan.clock.monotonic() - began)
        answer = yield from _keep(lookup, flight, attempt.value, times, outcome)
    if flight is not None:
        plan.flights.land(call.key, flight, answer)
    return answer


def _keep(
    lookup: Lookup, flight: Flight | None, value: object, times: Times, outcome: Outcome
) -> Flow[Answer]:
    plan, call = lookup.plan, lookup.call
    try:
        serialized = plan.codec.dump(value)
    except UnserializableValue as refused:
        incidents.unserializable(plan, refused)
        return Answer(Outcome.BYPASS, Tier.ORIGIN, value, reason=Reason.UNSERIALIZABLE, fault=lookup.fault)
    try:
        blob = plan.codec.seal(serialized, call.key, times)
        if flight is None or not flight.fenced:
            fill(plan, call, value, serialized, times.created, times.fresh_until - plan.clock.wall())
    except Exception as bug:  # noqa: BLE001 - counted; the caller gets the function's answer all the same
        lookup.note(incidents.bug(plan, bug))
        blob = None
    if blob is not None and (flight is None or not flight.fenced):
        yield from _write(lookup, blob, times)
    return Answer(
        outcome, Tier.ORIGIN, value, serialized=serialized, age=0.0, fault=lookup.fault, span=lookup.span
    )


def _write(lookup: Lookup, blob: bytes, times: Times) -> Flow[None]:
    """Store bytes under the key, now or when Redis is back."""
    plan, key = lookup.plan, lookup.call.key
    put = commands.put(key, blob, times.stale_until - plan.clock.wall())
    try:
        yield from ask(plan.site.guard, put, lookup.budget)
    except StoreError as fault:
        plan.site.replay.keep_write(key, blob, times.created, times.stale_until)
        lookup.note(incidents.fault(plan, fault))


def _times(plan: Plan, created: float, cost: float) -> Times:
    """Stamp a value with the moment its load began: an invalidation during the load is newer than it."""
    fresh_until = plan.clock.wall() + plan.ttl * (1 - plan.jitter * plan.random())
    return Times(created, fresh_until, fresh_until + plan.stale, cost)
