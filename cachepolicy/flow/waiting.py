"""Wait for a load as long as the policy lets, and say what answers where it takes longer.

::

    the load begins ──▶ timeouts.soft: what is out of date answers, where there is some
                   ──▶ timeouts.hard: OriginTimeout
                   ──▶ it ends: its result is kept, whoever is still there
"""

from __future__ import annotations

from cachepolicy.errors import OriginTimeout
from cachepolicy.flow import incidents
from cachepolicy.flow.answer import Answer
from cachepolicy.flow.detaching import detach
from cachepolicy.flow.effects import Flow, join
from cachepolicy.flow.lookup import Lookup, failed
from cachepolicy.flow.originate import originate
from cachepolicy.flow.plan import Plan
from cachepolicy.flow.single_flight import Flight
from cachepolicy.flow.stream import seated
from cachepolicy.flow.weigh import stand_in
from cachepolicy.telemetry.names import Outcome, Reason, Tier


def detached(lookup: Lookup, flight: Flight) -> Flow[Answer]:
    """Run the origin out of reach of this caller's cancellation and wait for it like everybody else."""
    if lookup.plan.streaming is None:
        return (yield from _detached(lookup, flight))
    flight.enter(lookup)
    try:
        answer = yield from _detached(lookup, flight)
        return answer if answer.error is not None else seated(answer) or (yield from alone(lookup))
    finally:
        flight.leave(lookup)


def alone(lookup: Lookup) -> Flow[Answer]:
    """Ask the origin for one caller; what it gives is kept all the same."""
    plan = lookup.plan
    if plan.streaming is None:
        return (yield from originate(lookup, None))
    return (yield from detached(lookup, unboarded(plan)))


def unboarded(plan: Plan) -> Flight:
    """Return a flight that nobody can join."""
    return Flight(None, plan.codec.serializer.schema, plan.flights.lock)


def _detached(lookup: Lookup, flight: Flight) -> Flow[Answer]:
    plan, call, patience = lookup.plan, lookup.call, lookup.plan.patience
    is_bounded = bool(patience.hard or (patience.soft and lookup.fallback is not None))
    yield from detach(
        originate(lookup, flight),
        lambda: None if flight.landing is not None else plan.flights.land(call.key, flight, None),
        behind=plan.is_async or is_bounded,
    )
    landed = yield from wait(lookup, flight, None)
    if isinstance(landed, Answer):
        return landed
    if flight.landing is not None and flight.landing.answer is not None:
        return flight.landing.answer
    return (yield from alone(lookup))  # its task was cancelled with its loop's others


def wait(lookup: Lookup, flight: Flight, most: float | None) -> Flow[Answer | bool]:
    """Wait for a flight to land as long as the policy lets; tell whether it did, or what answers instead.

    Args:
        lookup: who waits.
        flight: for what.
        most: seconds; None: for as long as it takes.
    """
    patience, waited = lookup.plan.patience, lookup.waited
    if patience.soft and (most is None or patience.soft < most):
        if (yield from join(flight, max(0.0, patience.soft - waited))):
            return True
        answer = stand_in(lookup, flight.fallback, Reason.ORIGIN_TIMEOUT)
        if answer is not None:
            return answer
        waited = max(waited, patience.soft)
    if patience.hard and (most is None or patience.hard <= most):
        if (yield from join(flight, max(0.0, patience.hard - waited))):
            return True
        return overdue(lookup)
    return (yield from join(flight, None if most is None else max(0.0, most - waited)))


def overdue(lookup: Lookup) -> Answer:
    """Answer a caller whom the policy does not let wait any longer."""
    plan = lookup.plan
    incidents.overdue(plan)
    error = OriginTimeout(f"{plan.name} has not answered within timeouts.hard ({plan.patience.hard:g} s)")
    outcome = Outcome.MISS if lookup.fault is None else Outcome.FAULT
    return failed(outcome, Tier.ORIGIN, error, lookup)._replace(reason=Reason.ORIGIN_TIMEOUT)
