"""A call that left the fast path, from its start to what is told about it."""

from __future__ import annotations

from collections.abc import Callable

from cachepolicy.errors import NotCached
from cachepolicy.flow import accounting, disclosure
from cachepolicy.flow.answer import MISS, Answer
from cachepolicy.flow.control import NO_CONTROL, Control
from cachepolicy.flow.effects import CallOrigin, Flow
from cachepolicy.flow.held import from_l1
from cachepolicy.flow.plan import Call, Plan
from cachepolicy.flow.read_through import peek, read_through
from cachepolicy.flow.refresh import compute_without, refresh
from cachepolicy.flow.spanned import spanned_origin
from cachepolicy.flow.tee import LIVE
from cachepolicy.telemetry.names import (
    ANSWERED_WITHOUT_ORIGIN,
    ATTRIBUTE_AGE,
    ATTRIBUTE_BYPASS_REASON,
    ATTRIBUTE_ERROR,
    ATTRIBUTE_FUNCTION,
    ATTRIBUTE_HIT,
    ATTRIBUTE_KEY_HASH,
    ATTRIBUTE_NAMESPACE,
    ATTRIBUTE_OUTCOME,
    ATTRIBUTE_SIZE,
    ATTRIBUTE_TIER,
    SPAN_ORIGIN,
    Outcome,
    Reason,
    Tier,
)
from cachepolicy.telemetry.observe import Observation, collectors
from cachepolicy.telemetry.spans import Attribute, LookupSpan

Work = Callable[[Plan, Call, LookupSpan], Flow[Answer]]


def respond(plan: Plan, call: Call) -> Flow[Answer]:
    """Answer a call from L1, Redis or the origin."""
    if call.control is not NO_CONTROL:
        work = wished(call.control)
        if work is not None:
            return (yield from _told(plan, call, work))
    began = plan.clock.monotonic()
    answer = from_l1(plan, call)
    if answer is None:
        span = plan.tracing.start(plan.namespace)
        try:
            answer = yield from read_through(plan, call, span)
        except BaseException as error:
            end(span, plan, error)
            raise
        if span.is_recording:
            tell(span, plan, call, answer)
        plan.counters.requests[answer.outcome, answer.tier] += 1
        plan.measures.answered(plan.clock.monotonic() - began, answer.outcome, answer.tier)
        accounting.count(plan, call, answer)
    elif plan.spans_for_all:
        tell(plan.tracing.start(plan.namespace), plan, call, answer)
    record(plan, call.key, answer, began)
    return answer


def wished(control: Control) -> Work | None:
    """Return what answers a call whose caller wants it otherwise than from L1, Redis or the origin."""
    if control.only_if_cached:
        return _only_if_cached
    if control.no_store and (control.no_cache or control.refresh):
        return _straight(Reason.ASKED)
    if control.refresh:
        return refresh
    return compute_without if control.no_cache else None


def renew(plan: Plan, call: Call) -> Flow[Answer]:
    """Answer a call from the origin and replace what is cached."""
    return _told(plan, call, refresh)


def _told(plan: Plan, call: Call, work: Work) -> Flow[Answer]:
    """Do what answers a call, and tell of it."""
    began = plan.clock.monotonic()
    answer = yield from _traced(plan, call, work)
    if answer.tier is not Tier.L1:  # whose entries count their own hits
        plan.counters.requests[answer.outcome, answer.tier] += 1
        plan.measures.answered(plan.clock.monotonic() - began, answer.outcome, answer.tier)
        accounting.count(plan, call, answer)
    record(plan, call.key, answer, began)
    return answer


def _only_if_cached(plan: Plan, call: Call, span: LookupSpan) -> Flow[Answer]:
    control = call.control
    answer = None
    if not (control.no_cache or control.refresh):
        answer = from_l1(plan, call) or (yield from peek(plan, call, span))
    if answer is not None:
        return answer
    missing = NotCached(f"{plan.name}: nothing is cached for this call, and only that was wanted")
    return Answer(Outcome.MISS, Tier.L2, error=missing)


def go_past(plan: Plan, call: Call, reason: Reason) -> Flow[Answer]:
    """Answer a call from the origin, reading and storing nothing."""
    return _told(plan, call, _straight(reason))


def _straight(reason: Reason) -> Work:
    """Return what asks the origin and nobody else."""

    def work(plan: Plan, call: Call, span: LookupSpan) -> Flow[Answer]:
        began = plan.clock.monotonic()
        function = plan.function if plan.streaming is None else plan.streaming.straight
        told = {ATTRIBUTE_NAMESPACE: plan.namespace}
        origin = CallOrigin(function, call.args, call.kwargs)
        attempt = yield from spanned_origin(span.child(SPAN_ORIGIN), told, origin)
        yield from accounting.after_origin(plan, call, attempt, plan.clock.monotonic() - began)
        error = attempt.error
        traceback = None if error is None else error.__traceback__
        return Answer(Outcome.BYPASS, Tier.ORIGIN, attempt.value, error, traceback, reason=reason)

    return work


def look(plan: Plan, call: Call) -> Flow[object]:
    """Return what is cached for a call, or MISS."""
    answer = from_l1(plan, call, counted=False)
    if answer is not None:
        return answer.take()
    span = plan.tracing.start(plan.namespace)
    try:
        answer = yield from peek(plan, call, span)
    finally:
        span.end({ATTRIBUTE_NAMESPACE: plan.namespace, ATTRIBUTE_HIT: answer is not None}, None)
    return MISS if answer is None else answer.take()


def nothing() -> Flow[object]:
    """Return MISS: what is cached for a call that no entry belongs to."""
    yield from ()
    return MISS


def _traced(plan: Plan, call: Call, work: Work) -> Flow[Answer]:
    span = plan.tracing.start(plan.namespace)
    try:
        answer = yield from work(plan, call, span)
    except BaseException as error:
        end(span, plan, error)
        raise
    tell(span, plan, call, answer)
    return answer


def end(span: LookupSpan, plan: Plan, error: BaseException) -> None:
    """Close the span of a lookup that was given up."""
    span.end({ATTRIBUTE_NAMESPACE: plan.namespace, ATTRIBUTE_HIT: False}, type(error).__name__)


def tell(span: LookupSpan, plan: Plan, call: Call, answer: Answer) -> None:
    """Say on the span of a lookup what became of it, and close it."""
    if not span.is_recording:
        return
    attributes: dict[str, Attribute] = {
        ATTRIBUTE_NAMESPACE: plan.namespace,
        ATTRIBUTE_FUNCTION: plan.name,
        ATTRIBUTE_HIT: answer.outcome in ANSWERED_WITHOUT_ORIGIN,
        ATTRIBUTE_OUTCOME: answer.outcome._value_,  # the SDK is slower at members of enumerations
        ATTRIBUTE_TIER: answer.tier._value_,
    }
    if answer.age is not None:
        attributes[ATTRIBUTE_AGE] = answer.age
    if answer.reason is not None:
        attributes[ATTRIBUTE_BYPASS_REASON] = answer.reason
    if answer.serialized is not None and answer.serialized.form != LIVE:
        attributes[ATTRIBUTE_SIZE] = len(answer.serialized.payload)
    if answer.fault is not None:
        attributes[ATTRIBUTE_ERROR] = answer.fault
    if answer.outcome in ANSWERED_WITHOUT_ORIGIN:
        accounting.tell(attributes, plan, answer)
    telling = plan.tracing.telling
    if telling.key_hash:
        attributes[ATTRIBUTE_KEY_HASH] = disclosure.key_hash(call.key)
    if telling.content:
        attributes |= disclosure.of_call(plan, call, answer)
    span.end(attributes, None if answer.error is None else type(answer.error).__name__)


def record(plan: Plan, key: str, answer: Answer, began: float) -> None:
    """Tell observers how a call was answered."""
    observers = collectors()
    if not observers:
        return
    observation = Observation(
        namespace=plan.namespace,
        function=plan.name,
        outcome=answer.outcome,
        tier=answer.tier,
        age=answer.age,
        key=key,
        duration=plan.clock.monotonic() - began,
        reason=answer.reason,
        error=None if answer.error is None else type(answer.error).__name__,
        fault=answer.fault,
    )
    for observer in observers:
        observer.append(observation)
