"""Ask the origin and keep its result in both tiers."""

from __future__ import annotations

from cachepolicy.codec.codec import Times
from cachepolicy.codec.envelope import TAIL
from cachepolicy.codec.serialize import Serialized
from cachepolicy.errors import StoreError, UnserializableValue
from cachepolicy.flow import incidents, lease
from cachepolicy.flow.answer import Answer
from cachepolicy.flow.effects import Attempt, Flow, call_origin
from cachepolicy.flow.look import learn
from cachepolicy.flow.lookup import Kept, Lookup, failed, fill
from cachepolicy.flow.resilience import ask
from cachepolicy.flow.single_flight import Flight, aboard, ashore
from cachepolicy.telemetry.names import Outcome, Reason, Tier
from cachepolicy.tiers import entries
from cachepolicy.tiers.entries import Made


def originate(lookup: Lookup, flight: Flight | None) -> Flow[Answer]:
    """Call the origin, keep its result, land the flight. Every error of the function becomes an answer."""
    plan, call = lookup.plan, lookup.call
    began, created = plan.clock.monotonic(), plan.clock.wall()
    lookup.began = lookup.began or plan.site.time.now()
    lookup.begin()  # before versions are taken: a tag that changes from here on keeps the value out of L1
    lookup.versions = yield from _versions(lookup)
    attempt = yield from _attempt(lookup, flight)
    cost = plan.clock.monotonic() - began
    answer = yield from _conclude(lookup, flight, attempt, created, cost)
    if flight is not None:
        plan.flights.land(call.key, flight, answer)
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


def _attempt(lookup: Lookup, flight: Flight | None) -> Flow[Attempt]:
    """Call the origin under the lease; whatever ends it, the lease is not left behind."""
    plan, call = lookup.plan, lookup.call
    renewal = lease.Renewal(lookup)
    lookup.span.enter()
    if flight is not None:
        aboard(flight)
        flight.token = lookup.token
    try:
        return (yield from call_origin(plan.function, call.args, call.kwargs))
    except GeneratorExit:  # its loop is gone, so nothing can be asked of Redis here
        renewal.abandon()
        raise
    except BaseException:
        renewal.end()
        yield from lease.give_back(lookup, cooling=False)
        raise
    finally:
        renewal.end()
        lookup.span.leave()
        if flight is not None:
            ashore(flight)


def _conclude(
    lookup: Lookup, flight: Flight | None, attempt: Attempt, created: float, cost: float
) -> Flow[Answer]:
    """Make an answer of what the origin did, and keep what is to be kept."""
    plan, error = lookup.plan, attempt.error
    outcome = Outcome.MISS if lookup.fault is None else Outcome.FAULT
    if error is None:
        answer = Answer(outcome, Tier.ORIGIN, attempt.value, age=0.0, fault=lookup.fault, span=lookup.span)
        ttl = _ttl(lookup)
        refusal = _refusal(lookup, attempt.value)
    else:
        answer = failed(outcome, Tier.ORIGIN, error, lookup)
        kept_for = None if attempt.of_many else plan.admission.errors.ttl(error)
        if kept_for is None:
            return (yield from _stand_in(lookup, answer, error))
        ttl = kept_for
        refusal = Reason.NOT_ADMITTED if lookup.call.control.no_store else None
    try:
        serialized = _dump(lookup, attempt)
    except UnserializableValue as refused:
        incidents.unserializable(plan, refused)
        yield from lease.give_back(lookup, cooling=False)
        return answer._replace(outcome=Outcome.BYPASS, reason=Reason.UNSERIALIZABLE, age=None, span=None)
    if refusal is not None:
        yield from lease.give_back(lookup, cooling=False)
        return answer._replace(outcome=Outcome.BYPASS, reason=refusal, serialized=serialized, age=None)
    times = _times(lookup, created, cost, ttl)
    try:
        yield from _keep(lookup, flight, attempt, serialized, times)
    except Exception as bug:  # noqa: BLE001 - counted; the caller gets the function's answer all the same
        lookup.note(incidents.bug(plan, bug))
    return answer._replace(serialized=serialized, fault=lookup.fault)


def _dump(lookup: Lookup, attempt: Attempt) -> Serialized:
    error = attempt.error
    if isinstance(error, Exception):
        return lookup.plan.admission.errors.dump(error)
    return lookup.plan.codec.dump(attempt.value)


def _refusal(lookup: Lookup, value: object) -> Reason | None:
    """Say why a value is not to be kept; None where it is."""
    admission = lookup.plan.admission
    if lookup.call.control.no_store or (value is None and not admission.none):
        return Reason.NOT_ADMITTED
    if admission.if_ is None:
        return None
    try:
        return None if admission.if_(value) else Reason.NOT_ADMITTED
    except Exception as bug:  # noqa: BLE001 - counted; the caller gets the function's answer all the same
        lookup.note(incidents.bug(lookup.plan, bug))
        return Reason.NOT_ADMITTED


def _stand_in(lookup: Lookup, answer: Answer, error: BaseException) -> Flow[Answer]:
    """Answer by what is out of date where the origin failed and the policy lets it."""
    stands_in = lookup.fallback is not None and isinstance(error, Exception)
    yield from lease.give_back(lookup, cooling=stands_in)
    if lookup.fallback is None or not stands_in:
        return answer
    lookup.plan.counters.errors[f"origin.{type(error).__name__}"] += 1
    return lookup.fallback._replace(reason=Reason.ORIGIN_ERROR)


def _keep(
    lookup: Lookup, flight: Flight | None, attempt: Attempt, serialized: Serialized, times: Times
) -> Flow[None]:
    """Store a value in Redis, then in L1; neither where its load was overtaken meanwhile."""
    plan, call = lookup.plan, lookup.call
    versions = lookup.versions
    if flight is not None and flight.fenced:  # Redis may not have heard of it yet
        yield from lease.give_back(lookup, cooling=False)
        return
    lookup.trust = plan.trust_value()
    lookup.echo = plan.site.hearing.storing(call.key)
    tail = b""
    if versions is not None:
        blob = plan.codec.seal(serialized, call.key, times, versions)
        if not (yield from _store(lookup, blob, times)):
            return
        tail = blob[-TAIL:]
    if flight is None or not flight.fenced:
        fresh_for = times.fresh_until - plan.clock.wall()
        value = attempt.value if attempt.error is None else attempt.error
        fill(
            lookup,
            Kept(value, serialized, times.created, fresh_for, times.cost, versions or b"", tail, own=True),
        )


def _store(lookup: Lookup, blob: bytes, times: Times) -> Flow[bool]:
    """Store bytes under the key, now or when Redis is back; False where the load was overtaken."""
    plan, key = lookup.plan, lookup.call.key
    hearing = plan.site.hearing
    ttl = times.stale_until - plan.clock.wall()
    made = Made(key, lookup.token, lookup.seen, times.created, lookup.began, ttl, blob)
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
    hearing.wake(key)
    if not stored:
        plan.counters.errors["overtaken"] += 1
    return stored


def _ttl(lookup: Lookup) -> float:
    """Return how long a result is fresh: as the call asks, within what the policy lets."""
    life, asked = lookup.plan.life, lookup.call.control.ttl
    if asked is None:
        return life.ttl
    ttl = min(max(asked, life.shortest), life.longest)
    if ttl != asked:
        incidents.clamped(lookup.plan)
    return ttl


def _times(lookup: Lookup, created: float, cost: float, ttl: float) -> Times:
    """Stamp a value with the moment its load began: an invalidation during the load is newer than it."""
    plan = lookup.plan
    fresh_until = plan.clock.wall() + ttl * (1 - plan.life.jitter * plan.random())
    return Times(created, fresh_until, fresh_until + plan.life.stale, cost)
