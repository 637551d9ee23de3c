"""What is kept of an origin call, for how long, and how it comes into both tiers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cachepolicy.codec.codec import Times
from cachepolicy.codec.envelope import TAIL, compression_of
from cachepolicy.codec.serialize import Serialized
from cachepolicy.errors import StoreError
from cachepolicy.flow import incidents, lease
from cachepolicy.flow.effects import Attempt, Flow
from cachepolicy.flow.lookup import Kept, Lookup, fill
from cachepolicy.flow.plan import Plan
from cachepolicy.flow.resilience import ask
from cachepolicy.flow.single_flight import Flight
from cachepolicy.flow.within import count_rest
from cachepolicy.telemetry.names import Reason
from cachepolicy.telemetry.usage import Usage, facts
from cachepolicy.tiers import entries
from cachepolicy.tiers.entries import Made


class Result(NamedTuple):
    """What an origin call gave: a value or an error that is an answer, its bytes, its times, its usage."""

    attempt: Attempt
    serialized: Serialized
    times: Times
    usage: Usage | None = None


def refusal(lookup: Lookup, flight: Flight | None, attempt: Attempt) -> Reason | None:
    """Say why a result is not to be kept; None where it is."""
    admission, value = lookup.plan.admission, attempt.value
    if lookup.call.control.no_store and not (flight is not None and flight.wanted):
        return Reason.ASKED
    if attempt.error is not None:  # the policy lists it
        return None
    if value is None and not admission.none:
        return Reason.NOT_ADMITTED
    found = None if admission.judge is None else _judged(lookup.plan, admission.judge, value)
    if found is not None or admission.if_ is None:
        return found
    try:
        return None if admission.if_(value) else Reason.NOT_ADMITTED
    except Exception as error:  # noqa: BLE001 - cache_if is user code: counted, told, and nothing is kept
        incidents.undecided(lookup.plan, error)
        return Reason.NOT_ADMITTED


def _judged(plan: Plan, judge: Callable[[object], Reason | None], value: object) -> Reason | None:
    try:
        return judge(value)
    except Exception as bug:  # noqa: BLE001 - it reads what a result says of itself: counted, told, nothing kept
        incidents.bug(plan, bug)
        return Reason.NOT_ADMITTED


def dump(plan: Plan, attempt: Attempt) -> Serialized:
    """Serialize a result.

    Raises:
        UnserializableValue: it would not come back as it was, or is longer than the policy admits.
    """
    error = attempt.error
    if isinstance(error, Exception):
        return plan.codec.admitted(plan.admission.errors.dump(error))
    return plan.codec.dump(attempt.value)


def times(lookup: Lookup, attempt: Attempt, created: float, cost: float) -> Times:
    """Say how long a result may serve. An error never does past its TTL.

    Args:
        lookup: whose.
        attempt: the result.
        created: when its load began, wall clock: an invalidation during the load is newer than it.
        cost: how long the origin took, in seconds.
    """
    plan, error = lookup.plan, attempt.error
    ttl = None if error is None else plan.admission.errors.ttl(error)
    stale = plan.life.stale if ttl is None else 0.0
    if ttl is None:
        ttl = _ttl(lookup)
    fresh_until = plan.clock.wall() + ttl * (1 - plan.life.jitter * plan.random())
    return Times(created, fresh_until, fresh_until + stale, cost)


def _ttl(lookup: Lookup) -> float:
    """Return how long a value is fresh: as the call asks, within what the policy lets."""
    life, asked = lookup.plan.life, lookup.call.control.ttl
    if asked is None:
        return life.ttl
    ttl = min(max(asked, life.shortest), life.longest)
    if ttl != asked:
        incidents.clamped(lookup.plan)
    return ttl


def keep(lookup: Lookup, flight: Flight | None, result: Result) -> Flow[bool]:
    """Store a result in Redis, then in L1; neither, and False, where its load was overtaken meanwhile."""
    plan, call = lookup.plan, lookup.call
    attempt, serialized, times, usage = result
    versions = lookup.versions
    if flight is not None and flight.fenced:  # Redis may not have heard of it yet
        return False
    lookup.trust = plan.trust_value()
    lookup.echo = plan.site.hearing.storing(call.key)
    tail = b""
    if versions is not None:
        blob = plan.codec.seal(serialized, call.key, times, versions, facts(usage))
        plan.measures.stored(len(blob), compression_of(blob, len(serialized.payload)))
        if not (yield from _store(lookup, blob, times)):
            return False
        tail = blob[-TAIL:]
    if flight is None or not flight.fenced:
        fresh_for = times.fresh_until - plan.clock.wall()
        value = attempt.value if attempt.error is None else attempt.error
        kept = Kept(
            value,
            serialized,
            times.created,
            fresh_for,
            times.cost,
            versions or b"",
            tail,
            own=True,
            usage=usage,
        )
        fill(lookup, kept)
    return True


def _store(lookup: Lookup, blob: bytes, times: Times) -> Flow[bool]:
    """Store bytes under the key, now or when Redis is back; False where the load was overtaken."""
    plan, key = lookup.plan, lookup.call.key
    hearing = plan.site.hearing
    ttl = times.stale_until - plan.clock.wall()
    quota = plan.quota
    made = Made(key, lookup.token, lookup.seen, times.created, lookup.began, ttl, blob, quota)
    refused = 0 if quota is None else quota.refused
    notice = hearing.watch.notice(key, blob[-TAIL:])
    try:
        stored = yield from ask(plan.site.guard, entries.store(made, hearing.names, notice), lookup.budget)
    except StoreError as fault:
        hearing.unsaid([notice], fault)
        lease.let_go(lookup, fault)
        plan.site.replay.keep_write(made, times.stale_until)
        lookup.note(incidents.fault(plan, fault))
        return True
    lookup.token = ""
    hearing.wake(key)  # of this process's own doings nobody else tells it in memory
    if quota is not None:
        yield from count_rest(plan.site, plan.prefix, quota, plan.counters.errors)
    if not stored:
        has_room = quota is None or quota.refused == refused
        plan.counters.errors["overtaken" if has_room else "no_room"] += 1
    return stored
