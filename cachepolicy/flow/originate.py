"""Ask the origin, keep its result, and tell all who wait for it."""

from __future__ import annotations

from cachepolicy.errors import StoreError, UnserializableValue
from cachepolicy.flow import accounting, incidents, lease
from cachepolicy.flow.answer import Answer
from cachepolicy.flow.effects import Attempt, CallOrigin, Flow
from cachepolicy.flow.failure import FailureKind
from cachepolicy.flow.keep import Result, dump, keep, refusal, times
from cachepolicy.flow.look import learn
from cachepolicy.flow.lookup import Lookup, failed
from cachepolicy.flow.single_flight import Flight, aboard, ashore
from cachepolicy.flow.spanned import spanned_origin
from cachepolicy.flow.stream import stream
from cachepolicy.flow.streaming import Opening
from cachepolicy.flow.weigh import stand_in
from cachepolicy.telemetry.names import (
    ATTRIBUTE_NAMESPACE,
    SPAN_ORIGIN,
    Outcome,
    Reason,
    Tier,
)
from cachepolicy.telemetry.spans import NO_SPAN, LookupSpan


def originate(lookup: Lookup, flight: Flight | None) -> Flow[Answer]:
    """Call the origin, keep its result, land the flight. Every error of the function becomes an answer.

    A function that answers in parts is called for a flight only: ``waiting.alone`` makes one.
    """
    plan, call = lookup.plan, lookup.call
    began, created = plan.clock.monotonic(), plan.clock.wall()
    lookup.began = lookup.began or plan.site.time.now()
    lookup.begin()  # before versions are taken: a tag that changes from here on keeps the value out of L1
    lookup.versions = yield from _versions(lookup)
    renewal = lease.Renewal(lookup)
    attempt = yield from _attempt(lookup, flight, renewal)
    cost = plan.clock.monotonic() - began
    if type(attempt.value) is Opening and flight is not None:
        return (yield from stream(lookup, flight, attempt.value._replace(took=cost), created, renewal))
    answer = yield from _conclude(lookup, flight, attempt, created, cost)
    # Where nothing was stored the lease is still there. Nobody tries again for a while where something older
    # answers: a refresh that failed, or that gave nothing to keep, is not asked for by every caller.
    yield from lease.give_back(lookup, cooling=_pause(lookup, answer, attempt.error))
    if flight is not None:
        plan.flights.land(call.key, flight, answer)
    yield from accounting.after_origin(plan, call, attempt, cost)
    return answer


def _versions(lookup: Lookup) -> Flow[bytes | None]:
    """Return the versions that the value will carry: those from before its load. None: they cannot be had."""
    plan, tags = lookup.plan, lookup.call.tags
    vector = plan.versions.vector(tags, plan.clock.monotonic()) or lookup.versions
    if vector is not None or lookup.fault is not None:
        return vector or plan.versions.last(tags)
    try:
        return (yield from learn(lookup, tags))
    except StoreError as fault:
        lookup.note(incidents.fault(plan, fault))
        return plan.versions.last(tags)


def _attempt(lookup: Lookup, flight: Flight | None, renewal: lease.Renewal) -> Flow[Attempt]:
    """Call the origin under the lease; where this task is cancelled, the lease is not left behind.

    It is renewed until the origin has answered; by a stream that has begun, for longer.
    """
    plan, call = lookup.plan, lookup.call
    function = plan.function if plan.streaming is None else plan.streaming.open
    goes_on = False
    told = {ATTRIBUTE_NAMESPACE: plan.namespace}
    origin = CallOrigin(function, call.args, call.kwargs, lookup.behind)
    if flight is not None:
        aboard(flight)
        flight.token = lookup.token
    try:
        attempt = yield from spanned_origin(_span(lookup), told, origin)
        goes_on = type(attempt.value) is Opening
        return attempt  # noqa: TRY300 - what is not returned did not end well
    except GeneratorExit:  # its loop is gone, so nothing can be asked of Redis here
        renewal.abandon()
        raise
    except BaseException:
        renewal.end()
        yield from lease.give_back(lookup, cooling=0.0)
        raise
    finally:
        if not goes_on:
            renewal.end()
        if flight is not None and not (goes_on and plan.is_async):  # its task pulls the rest of a stream too
            ashore(flight)


def _span(lookup: Lookup) -> LookupSpan:
    """Begin the span of the call of the function; a stream's ends with its first chunk."""
    plan, span = lookup.plan, lookup.span
    is_refresh = lookup.behind and span is NO_SPAN
    return plan.tracing.part(SPAN_ORIGIN, plan.namespace) if is_refresh else span.child(SPAN_ORIGIN)


def _conclude(
    lookup: Lookup, flight: Flight | None, attempt: Attempt, created: float, cost: float
) -> Flow[Answer]:
    """Make an answer of what the origin did, and keep what is to be kept."""
    plan, error = lookup.plan, attempt.error
    outcome = Outcome.MISS if lookup.fault is None else Outcome.FAULT
    if error is None:
        answer = Answer(
            outcome,
            Tier.ORIGIN,
            attempt.value,
            age=0.0,
            fault=lookup.fault,
            span=lookup.span,
            cost=cost,
            usage=accounting.usage_of(plan, lookup.call, attempt.value),
        )
    else:
        answer = failed(outcome, Tier.ORIGIN, error, lookup)
        if attempt.of_many or plan.admission.errors.ttl(error) is None:
            return _failed(lookup, answer, error)
    if plan.streaming is not None and error is None:  # it returned something else than its kind of stream
        incidents.unserializable(plan, UnserializableValue("it is no such stream as its annotation says"))
        return answer._replace(outcome=Outcome.BYPASS, reason=Reason.UNSERIALIZABLE, age=None, span=None)
    refused = refusal(lookup, flight, attempt)
    try:
        serialized = dump(plan, attempt)
    except UnserializableValue as unfit:
        incidents.unserializable(plan, unfit)
        return answer._replace(outcome=Outcome.BYPASS, reason=Reason.UNSERIALIZABLE, age=None, span=None)
    if refused is not None:
        return answer._replace(outcome=Outcome.BYPASS, reason=refused, serialized=serialized, age=None)
    try:
        result = Result(attempt, serialized, times(lookup, attempt, created, cost), answer.usage)
        yield from keep(lookup, flight, result)
    except Exception as bug:  # noqa: BLE001 - counted; the caller gets the function's answer all the same
        lookup.note(incidents.bug(plan, bug))
    return answer._replace(serialized=serialized, fault=lookup.fault)


def _failed(lookup: Lookup, answer: Answer, error: BaseException) -> Answer:
    """Answer by what is out of date where the origin failed and the policy lets it, else by the error."""
    stale = None
    if lookup.plan.failures(error).kind is FailureKind.TRANSIENT:
        stale = stand_in(lookup, lookup.fallback, Reason.ORIGIN_ERROR)
    if stale is not None or lookup.behind:
        incidents.stood_in(lookup.plan, error)
    return stale or answer


def _pause(lookup: Lookup, answer: Answer, error: BaseException | None) -> float:
    """Return for how long nobody is to try again, in seconds, since something older answers meanwhile."""
    plan = lookup.plan
    if not lookup.behind and answer.outcome is not Outcome.STALE:
        return 0.0
    if error is None:
        return plan.life.throttle
    failure = plan.failures(error)
    if failure.kind is FailureKind.TRANSIENT:
        return max(plan.life.throttle, failure.retry_after)
    # Past this moment those who are told that it cools would be given what must not stand in for this error.
    return max(0.0, min(plan.life.throttle, lookup.serves_until - plan.clock.wall()))
