"""Compute an entry anew: because somebody says so, or while an older answer serves."""

from __future__ import annotations

from cachepolicy.errors import StoreError
from cachepolicy.flow import incidents, lease
from cachepolicy.flow.answer import Answer
from cachepolicy.flow.effects import Flow, detach, join
from cachepolicy.flow.lookup import Lookup
from cachepolicy.flow.originate import originate
from cachepolicy.flow.plan import Call, Plan
from cachepolicy.flow.resilience import Budget
from cachepolicy.flow.single_flight import Flight
from cachepolicy.telemetry.spans import NO_SPAN, LookupSpan
from cachepolicy.tiers.entries import ANYBODY, Verdict


def refresh(plan: Plan, call: Call, span: LookupSpan) -> Flow[Answer]:
    """Ask the origin now, whatever is cached, and keep its answer; loads under way store nothing."""
    schema = plan.codec.serializer.schema
    flight = plan.flights.lead(call.key, schema, is_async=plan.is_async, tags=call.tags)
    lookup = Lookup(plan, call, span, Budget(plan.clock, plan.patience.deadline))
    handed_over = False
    try:
        try:
            yield from lease.ask_for(lookup, over=ANYBODY)
        except StoreError as fault:
            lookup.note(incidents.fault(plan, fault))
        handed_over = True
        yield from detach(originate(lookup, flight), lambda: plan.flights.land(call.key, flight, None))
    finally:
        if not handed_over:
            plan.flights.land(call.key, flight, None)
    yield from join(flight, None)
    if flight.landing is not None and flight.landing.answer is not None:
        return flight.landing.answer
    return (yield from originate(lookup, None))  # its task was cancelled with its loop's others


def compute_without(plan: Plan, call: Call, span: LookupSpan) -> Flow[Answer]:
    """Ask the origin whatever is cached, and keep its answer; loads under way keep theirs until then."""
    lookup = Lookup(plan, call, span, Budget(plan.clock, plan.patience.deadline))
    return (yield from originate(lookup, None))


def refresh_behind(lookup: Lookup) -> Flow[None]:
    """Have an entry computed anew, once, while an older answer serves."""
    plan, call = lookup.plan, lookup.call
    if call.key in plan.refreshing:
        return
    plan.refreshing.add(call.key)
    again = Lookup(plan, call, NO_SPAN, Budget(plan.clock, plan.patience.deadline))
    again.seen, again.versions = lookup.seen, lookup.versions
    again.fallback = lookup.fallback
    yield from detach(_refresh(again), lambda: plan.refreshing.discard(call.key), behind=True)


def _refresh(lookup: Lookup) -> Flow[None]:
    plan = lookup.plan
    try:
        asked = yield from lease.ask_for(lookup)
    except StoreError as fault:  # without a lease every process would ask the origin
        lookup.note(incidents.fault(plan, fault))
        return
    if asked.verdict is not Verdict.GRANTED:  # somebody is at it, has done it, or has just failed
        return
    flight = Flight(None, plan.codec.serializer.schema, plan.flights.lock)
    yield from originate(lookup, flight)
