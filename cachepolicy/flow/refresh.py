"""Compute an entry anew: because somebody says so, or while an older answer serves.

::

    an older answer serves ──▶ key in plan.refreshing: this process is at it
                           ──▶ the lease: held, changed: another process is at it, or has done it
                                          cooling: it failed a moment ago
                                          granted ──▶ origin ──▶ store, or cool for stale.throttle
"""

from __future__ import annotations

from functools import partial

from cachepolicy.codec.envelope import Header
from cachepolicy.errors import StoreError
from cachepolicy.flow import incidents, lease
from cachepolicy.flow.answer import Answer
from cachepolicy.flow.detaching import volunteer
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.lookup import Lookup
from cachepolicy.flow.originate import originate
from cachepolicy.flow.plan import Call, Plan
from cachepolicy.flow.resilience import Budget
from cachepolicy.flow.single_flight import Flight
from cachepolicy.flow.spanned import spanned
from cachepolicy.flow.waiting import detached, unboarded
from cachepolicy.telemetry.names import ATTRIBUTE_NAMESPACE, SPAN_REFRESH, Outcome
from cachepolicy.telemetry.spans import NO_SPAN, LookupSpan, Together
from cachepolicy.tiers.entries import ANYBODY, Verdict


def refresh(plan: Plan, call: Call, span: LookupSpan) -> Flow[Answer]:
    """Ask the origin now, whatever is cached, and keep its answer; loads under way store nothing."""
    schema = plan.codec.serializer.schema
    flight = plan.flights.lead(call.key, schema, is_async=plan.is_async, tags=call.tags)
    lookup = Lookup(plan, call, span, Budget(plan.clock, plan.patience.deadline, span))
    handed_over = False
    try:
        try:
            yield from lease.ask_for(lookup, over=ANYBODY)
        except StoreError as fault:
            lookup.note(incidents.fault(plan, fault))
        handed_over = True
        return (yield from detached(lookup, flight))
    finally:
        if not handed_over:
            plan.flights.land(call.key, flight, None)


def compute_without(plan: Plan, call: Call, span: LookupSpan) -> Flow[Answer]:
    """Ask the origin whatever is cached, and keep its answer; loads under way keep theirs until then."""
    lookup = Lookup(plan, call, span, Budget(plan.clock, plan.patience.deadline, span))
    return (yield from detached(lookup, unboarded(plan)))


def refresh_behind(lookup: Lookup, header: Header) -> Flow[None]:
    """Have an entry computed anew, once, while an older answer serves.

    Not for a caller who wants nothing kept: another one will have it done.

    Args:
        lookup: of a caller whom the older answer serves.
        header: of that answer.
    """
    plan, key = lookup.plan, lookup.call.key
    if lookup.call.control.no_store or key in plan.refreshing:
        return
    cause = lookup.span
    again = Lookup(
        plan,
        lookup.call,
        cause if type(cause) is Together else NO_SPAN,  # the batch has one span, around all of them
        Budget(plan.clock, plan.patience.deadline, plan.tracing.here),
        seen=lookup.seen,
        versions=lookup.versions,
        behind=True,
        serves_until=min(header.fresh_until, header.expired or header.fresh_until)
        + plan.life.while_revalidate,
    )
    flight = unboarded(plan)
    plan.refreshing[key] = flight
    yield from volunteer(_refresh(again, flight), lambda: _refreshed(plan, key), partial(_apart, plan, cause))


def _refreshed(plan: Plan, key: str) -> None:
    plan.refreshing.pop(key, None)


def _apart(plan: Plan, cause: LookupSpan, work: Flow[object]) -> Flow[None]:
    """Do something in a trace of its own: the call that asked for it will have ended."""
    span = plan.tracing.apart(SPAN_REFRESH, plan.namespace, cause)
    yield from spanned(span, {ATTRIBUTE_NAMESPACE: plan.namespace}, work)


def _refresh(lookup: Lookup, flight: Flight) -> Flow[None]:
    plan = lookup.plan
    try:
        asked = yield from lease.ask_for(lookup)
    except StoreError as fault:  # without a lease every process would ask the origin
        lookup.note(incidents.fault(plan, fault))
        return
    if asked.verdict is not Verdict.GRANTED:  # somebody is at it, has done it, or has just failed
        return
    answer = yield from originate(lookup, flight)
    plan.measures.refreshed(ok=answer.error is None and answer.outcome is not Outcome.STALE)
    if answer.error is not None and not isinstance(answer.error, Exception):
        raise answer.error  # the function wants the interpreter to end, and nobody else would be told
