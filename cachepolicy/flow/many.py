"""One call for many items: what is cached is read at once, what is missing computed in one call.

::

    L1, item by item ──▶ Redis, one round trip ──▶ fresh: done
                                    │ the others, in unison
                                    ▼
              each as a call of its own: flight, lease, origin, Redis, L1
                   but Redis is asked for all in one round trip, the function in one call
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from cachepolicy.codec import serialize
from cachepolicy.codec.equality import is_immutable
from cachepolicy.codec.serialize import Form
from cachepolicy.errors import CorruptValue, ResultsMismatch
from cachepolicy.flow import accounting, disclosure
from cachepolicy.flow.answer import MISS, Answer
from cachepolicy.flow.batch import Batch, Origin
from cachepolicy.flow.control import NO_CONTROL
from cachepolicy.flow.effects import Attempt, CallOrigin, Flow
from cachepolicy.flow.held import from_l1, taken
from cachepolicy.flow.invalidate import invalidate
from cachepolicy.flow.look_many import Looked, look_for_all
from cachepolicy.flow.lookup import made_anew
from cachepolicy.flow.plan import Call, Plan
from cachepolicy.flow.read_through import at_once, peek, read_on, read_through
from cachepolicy.flow.refresh import refresh
from cachepolicy.flow.respond import Work, end, record, wished
from cachepolicy.flow.single_flight import new_number
from cachepolicy.flow.unison import together
from cachepolicy.flow.weigh import Worth, serve
from cachepolicy.telemetry.names import (
    ANSWERED_WITHOUT_ORIGIN,
    ATTRIBUTE_BATCH_HITS,
    ATTRIBUTE_BATCH_SIZE,
    ATTRIBUTE_ERROR,
    ATTRIBUTE_FUNCTION,
    ATTRIBUTE_HIT,
    ATTRIBUTE_NAMESPACE,
    SPAN_L2,
    Outcome,
    Tier,
)
from cachepolicy.telemetry.observe import collectors
from cachepolicy.telemetry.spans import NO_SPAN, Attribute, LookupSpan, Together

_HIT: Final = Outcome.HIT  # as in ``read_through``
_L2: Final = Tier.L2


def respond_many(plan: Plan, batch: Batch) -> Flow[object]:
    """Answer a call for many items: a result for each, in their order, put together as the function's are.

    Raises:
        Exception: what the function raised.
    """
    control = batch.control
    return (yield from _result(plan, batch, None if control is NO_CONTROL else wished(control)))


def renew_many(plan: Plan, batch: Batch) -> Flow[object]:
    """Call the function for all items, and replace what is cached."""
    return (yield from _result(plan, batch, refresh))


def _result(plan: Plan, batch: Batch, work: Work | None) -> Flow[object]:
    firsts, places = batch.places()
    collation, origin = plan.collation, Origin(plan, batch)
    if not places:
        return [] if collation is None else collation.collate((), ())
    answers = yield from _answer(plan, batch, firsts, work, origin)
    values = _in_order(plan, answers, places)
    if collation is None:
        return values
    if not collation.agree(values):
        if work is not None:
            raise ResultsMismatch(f"{plan.name}: what is cached of its results cannot stand in one")
        plan.counters.errors["disagreed"] += 1
        return (yield from renew_many(plan, batch))
    return collation.collate(values, origin.results)


def invalidate_many(plan: Plan, batch: Batch, *, purge: bool = True) -> Flow[int]:
    """Put the entries of all items out of date; tell how many there were.

    Raises:
        StoreError: Redis could not be told of some.
    """
    firsts, _ = batch.places()
    flows = [invalidate(plan, batch.call(first), purge=purge) for first in firsts]
    return sum((yield from together(flows, _no_origin, plan.clock)))


def invalidate_all(plan: Plan, calls: Sequence[Call], *, purge: bool = True) -> Flow[bool]:
    """Put the entries of some calls out of date; tell whether there was one.

    Raises:
        StoreError: Redis could not be told of some.
    """
    if len(calls) == 1:
        return (yield from invalidate(plan, calls[0], purge=purge))
    flows = [invalidate(plan, call, purge=purge) for call in calls]
    return any((yield from together(flows, _no_origin, plan.clock)))


def look_many(plan: Plan, batch: Batch, *, errors: bool = True) -> Flow[list[object]]:
    """Return what is cached for each item, or MISS; the function is not called.

    Args:
        plan: of the function.
        batch: the items.
        errors: whether exceptions that are kept stand in their places; else MISS does.
    """
    firsts, places = batch.places()
    calls = [batch.call(first) for first in firsts]
    answers = [from_l1(plan, call, counted=False) for call in calls]
    missing = [at for at, answer in enumerate(answers) if answer is None]
    if missing:
        asked = [calls[at] for at in missing]
        if _is_uncertain(plan):
            flows = [peek(plan, call, NO_SPAN) for call in asked]
        else:
            flows = [_peek(looked) for looked in (yield from look_for_all(plan, asked, NO_SPAN))]
        for at, answer in zip(missing, (yield from together(flows, _no_origin, plan.clock)), strict=True):
            answers[at] = answer
    nothing = Answer(Outcome.MISS, Tier.L2, MISS)
    known = [nothing if one is None or (one.error and not errors) else one for one in answers]
    values, collation = _in_order(plan, known, places), plan.collation
    return values if collation is None else [one if one is MISS else collation.show(one) for one in values]


def _answer(
    plan: Plan, batch: Batch, firsts: Sequence[int], work: Work | None, origin: Origin
) -> Flow[list[Answer]]:
    """Answer for each different item, and tell of it."""
    began = plan.clock.monotonic()
    held = [None] * len(firsts) if work is not None else _from_l1(plan, batch, firsts)
    missing = [at for at, answer in enumerate(held) if answer is None]
    answers: list[Any] = held
    if missing:
        calls = [batch.call(firsts[at]) for at in missing]
        origin.span = plan.tracing.start(plan.namespace)
        try:
            found = yield from _beyond_l1(plan, calls, work, origin)
        except BaseException as error:
            end(origin.span, plan, error)
            raise
        if origin.span.is_recording:
            _tell(origin.span, plan, found, len(firsts), calls)
        for at, answer in zip(missing, found, strict=True):
            answers[at] = answer
        _count(plan, found, plan.clock.monotonic() - began)
        accounting.count_all(plan, calls[0], found)
    elif plan.spans_for_all:
        _tell(plan.tracing.start(plan.namespace), plan, (), len(firsts), ())
    if collectors():
        for first, answer in zip(firsts, answers, strict=True):
            record(plan, batch.call(first).key, answer, began)
    return answers


def _count(plan: Plan, found: Sequence[Answer], took: float) -> None:
    """Count how items were answered: most by hits in Redis, and members of enumerations are slow to hash.

    Each way in which any was answered took as long as the batch.
    """
    others = [answer for answer in found if answer.outcome is not _HIT or answer.tier is not _L2]
    requests = plan.counters.requests
    if len(others) < len(found):
        requests[_HIT, _L2] += len(found) - len(others)
        plan.measures.answered(took, _HIT, _L2)
    ways = Counter((answer.outcome, answer.tier) for answer in others)
    requests.update(ways)
    for way in ways:
        plan.measures.answered(took, *way)


def _from_l1(plan: Plan, batch: Batch, firsts: Sequence[int]) -> list[Answer | None]:
    """Answer from L1, item by item."""
    if plan.local is None:
        return [None] * len(firsts)
    if batch.control is not NO_CONTROL:
        return [from_l1(plan, batch.call(first)) for first in firsts]
    find, keys = plan.table.get, batch.local_keys
    now, wall = plan.clock.monotonic(), plan.clock.wall()
    answers: list[Answer | None] = []
    for first in firsts:
        entry = find(keys[first])
        if entry is None or entry.until <= now:
            answers.append(None)
        else:
            entry.hits += 1
            answers.append(taken(plan, entry, wall))
    return answers


def _beyond_l1(plan: Plan, calls: Sequence[Call], work: Work | None, origin: Origin) -> Flow[list[Answer]]:
    """Answer from Redis or the origin."""
    share = Together(origin.span)
    if work is not None or _is_uncertain(plan):
        flows = [(work or read_through)(plan, call, share) for call in calls]
        return (yield from together(flows, origin, plan.clock))
    looked = yield from look_for_all(plan, calls, share)
    served: list[Answer | None] = []
    rest: list[Looked] = []
    looked.reverse()
    while looked:  # what has answered is let go: no batch is held twice, once as bytes
        each = looked.pop()
        answer = None if each.blob is None else at_once(each.lookup, each.blob, each.vector)
        served.append(answer)
        if answer is None:
            rest.append(each)
    if rest and origin.span.is_recording:
        told: dict[str, Attribute] = {
            ATTRIBUTE_NAMESPACE: plan.namespace,
            ATTRIBUTE_HIT: False,
            ATTRIBUTE_BATCH_SIZE: len(served),
            ATTRIBUTE_BATCH_HITS: len(served) - len(rest),
        }
        origin.span.told(SPAN_L2, told)
    number = new_number()
    flows = [read_on(each.lookup, each.weigh(), number) for each in rest]
    others = iter((yield from together(flows, origin, plan.clock)) if flows else ())
    return [next(others) if answer is None else answer for answer in served]


def _peek(looked: Looked) -> Flow[Answer | None]:
    found = yield from looked.weigh()
    return serve(looked.lookup, found) if found is not None and found.worth is Worth.FRESH else None


def _is_uncertain(plan: Plan) -> bool:
    """Tell whether Redis is out, or has yet to hear something: each call minds that by itself."""
    site = plan.site
    return bool(site.replay) or (not site.guard.routed and site.guard.sole.is_open)


def _in_order(plan: Plan, answers: Sequence[Answer], places: Sequence[int]) -> list[object]:
    """Return the value for each place: one of its own, where it can be changed."""
    values = [_value(answer) for answer in answers]
    if len(places) == len(answers):
        return values
    given: set[int] = set()
    results = []
    for at in places:
        results.append(_again(plan, answers[at], values[at]) if at in given else values[at])
        given.add(at)
    return results


def _value(answer: Answer) -> object:
    """Return a value, or the exception that was kept in its place."""
    if answer.error is None:
        return answer.value
    if answer.serialized is not None and answer.serialized.form == Form.ERROR:
        return answer.error
    return answer.take()


def _again(plan: Plan, answer: Answer, value: object) -> object:
    """Return a value once more; what has no byte form cannot be copied."""
    if answer.serialized is None or (answer.error is None and (plan.share or is_immutable(value))):
        return value
    try:
        again = serialize.read(answer.serialized)
    except CorruptValue:  # a validator that changed its mind
        return value
    return _value(made_anew(again, answer))


def _tell(span: LookupSpan, plan: Plan, found: Sequence[Answer], size: int, calls: Sequence[Call]) -> None:
    """End the span of a call: how many items it was for, and how many the function was spared."""
    missed = sum(answer.outcome not in ANSWERED_WITHOUT_ORIGIN for answer in found)
    errors = [answer.error for answer in found if answer.error is not None]
    attributes: dict[str, Attribute] = {
        ATTRIBUTE_NAMESPACE: plan.namespace,
        ATTRIBUTE_FUNCTION: plan.name,
        ATTRIBUTE_HIT: not missed,
        ATTRIBUTE_BATCH_SIZE: size,
        ATTRIBUTE_BATCH_HITS: size - missed,
    }
    faults = [answer.fault for answer in found if answer.fault is not None]
    if faults:
        attributes[ATTRIBUTE_ERROR] = faults[0]
    if plan.tracing.telling.content:
        attributes |= disclosure.of_batch(plan, calls, found)
    span.end(attributes, type(errors[0]).__name__ if errors else None)


def _no_origin(calls: Sequence[CallOrigin]) -> Flow[list[Attempt]]:
    """Stand in where no flow calls the function."""
    yield from ()
    raise NotImplementedError(len(calls))
