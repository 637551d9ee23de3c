"""Whose turn it is to compute an entry, among all processes: wait for another's value, or lead."""

from __future__ import annotations

from typing import Final

from cachepolicy.errors import StoreError
from cachepolicy.flow.answer import Answer
from cachepolicy.flow.effects import Flow, join
from cachepolicy.flow.hearing import Expected
from cachepolicy.flow.lease import ask_for
from cachepolicy.flow.look import look, refuse
from cachepolicy.flow.lookup import Lookup
from cachepolicy.flow.waiting import overdue
from cachepolicy.flow.weigh import Worth, serve, spare, stand_in
from cachepolicy.telemetry.names import ATTRIBUTE_NAMESPACE, ATTRIBUTE_WAITED, SPAN_WAIT, Reason
from cachepolicy.telemetry.spans import Attribute, LookupSpan
from cachepolicy.tiers.entries import FAILED, Asked, Verdict

_FIRST_POLL: Final = 0.05  # seconds, while pushes are not heard; about twice as long each time
_LONGEST_POLL: Final = 1.0
_SPREAD: Final = 0.05  # seconds, at random: waiters do not all ask in one moment
_MOST_TURNS: Final = 100  # an entry that changes more often while it is looked at is not worth waiting for


def take_turn(lookup: Lookup, *, over: str = "") -> Flow[Answer | None]:
    """Return another process's answer; None where this caller is to ask the origin itself.

    Args:
        lookup: whose.
        over: the token of a lease whose holder is known to be gone.

    Raises:
        StoreError: Redis failed, and the policy says to tell.
        CallDenied: Redis failed, and the policy says to refuse.
    """
    clock = lookup.plan.clock
    began = clock.monotonic()
    waiting: list[LookupSpan] = []
    failure: str | None = None
    try:
        return (yield from _take_turn(lookup, over, waiting))
    except BaseException as error:
        failure = type(error).__name__
        raise
    finally:
        if lookup.stood_by:
            lookup.plan.measures.waited(clock.monotonic() - began)
        for span in waiting:
            told: dict[str, Attribute] = {
                ATTRIBUTE_NAMESPACE: lookup.plan.namespace,
                ATTRIBUTE_WAITED: lookup.waited,
            }
            span.end(told, failure)


def _take_turn(lookup: Lookup, over: str, waiting: list[LookupSpan]) -> Flow[Answer | None]:
    """Do as ``take_turn``; ``waiting`` is given the span of the wait, if there is one."""
    plan, hearing = lookup.plan, lookup.plan.site.hearing
    began = plan.clock.monotonic()
    poll = _FIRST_POLL
    for _ in range(_MOST_TURNS):
        expected = hearing.expect(lookup.call.key)
        try:
            asked = yield from ask_for(lookup, over=over)
        except StoreError as fault:
            refuse(lookup, fault)
            return None
        lookup.waited = plan.clock.monotonic() - began
        if asked.verdict is Verdict.GRANTED:
            return None
        if asked.verdict is Verdict.COOLING:
            answer = stand_in(lookup, lookup.fallback, Reason.ORIGIN_ERROR)
            if answer is not None:
                return answer
            over = FAILED
            continue
        if asked.verdict is Verdict.HELD:
            left = _end(lookup) - lookup.waited
            if left <= 0:
                return _too_long(lookup)
            most = left if plan.hears else min(left, poll * (0.5 + plan.random()))
            poll = min(2 * poll, _LONGEST_POLL)
            if not (yield from _wait(lookup, expected, asked, most, waiting)):
                continue
        answer = yield from _look(lookup)
        if answer is not None:
            return answer
    return None


def _look(lookup: Lookup) -> Flow[Answer | None]:
    """Answer by what another process stored, if it is of use."""
    found = yield from look(lookup)
    if found is None:
        return None
    if found.worth is Worth.FRESH:
        return serve(lookup, found)
    if found.worth is Worth.STALE:
        return serve(lookup, found, Reason.REVALIDATING)
    lookup.fallback = spare(lookup, found)
    return None


def _wait(
    lookup: Lookup, expected: Expected, asked: Asked, most: float, waiting: list[LookupSpan]
) -> Flow[bool]:
    """Wait until something is heard of the key, or its lease must have run out; tell whether it was heard.

    Each renewal that is heard gives the holder the time of another lease, without a command of ours.
    """
    lookup.stood_by = True
    plan = lookup.plan
    if not waiting:
        waiting.append(lookup.span.child(SPAN_WAIT))
    now = plan.clock.monotonic
    end = now() + most
    expected.renewed = now()
    runs = asked.left
    while True:
        alive_until = expected.renewed + runs + _SPREAD * plan.random()
        left = min(alive_until, end) - now()
        if left <= 0:
            return False
        before = expected.renewed
        if (yield from join(expected, left)):
            return expected.heard
        if expected.renewed == before:
            return False
        runs = plan.patience.lease


def _end(lookup: Lookup) -> float:
    """Return how long this caller waits for another process, in seconds."""
    patience = lookup.plan.patience
    ends = [patience.wait]
    if patience.soft and lookup.fallback is not None:
        ends.append(patience.soft)
    if patience.hard:
        ends.append(patience.hard)
    return min(ends)


def _too_long(lookup: Lookup) -> Answer | None:
    """Say what answers a caller who waited as long as the policy lets."""
    patience = lookup.plan.patience
    answer = stand_in(lookup, lookup.fallback, Reason.ORIGIN_TIMEOUT)
    if answer is None and patience.hard and patience.hard <= patience.wait:
        return overdue(lookup)
    return answer
