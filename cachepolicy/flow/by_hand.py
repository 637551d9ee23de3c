"""Find and keep answers that the caller computes himself: no function is called here.

What was missed is remembered in the caller's context: an answer that is kept was begun then, so whatever
invalidates it in between wins, as it does over the load of a decorated function.
"""

from __future__ import annotations

import weakref
from contextvars import ContextVar
from typing import Final, NamedTuple

from cachepolicy.errors import StoreError, UnserializableValue
from cachepolicy.flow import accounting, incidents
from cachepolicy.flow.answer import MISS, Answer
from cachepolicy.flow.effects import Attempt, Flow
from cachepolicy.flow.held import from_l1
from cachepolicy.flow.keep import Result, dump, keep, refusal, times
from cachepolicy.flow.look import learn
from cachepolicy.flow.lookup import Lookup
from cachepolicy.flow.plan import Call, Plan
from cachepolicy.flow.read_through import peek
from cachepolicy.flow.resilience import Budget, ask
from cachepolicy.flow.respond import end, record, tell
from cachepolicy.telemetry.names import Outcome, Tier
from cachepolicy.telemetry.spans import NO_SPAN
from cachepolicy.tiers import commands

_MOST: Final = 64  # misses that one context remembers


class _Missed(NamedTuple):
    """When an answer began to be computed.

    Attributes:
        wall: on this process's clock.
        monotonic: the same, on the clock that is never set.
        server: on the server's.
        versions: of its tags then; None: they are not known.
        token: of the key in L1 then.
        plan: under which it was missed.
    """

    wall: float
    monotonic: float
    server: float
    versions: bytes | None
    token: int
    plan: weakref.ref[Plan]


_MISSED: ContextVar[dict[str, _Missed] | None] = ContextVar("cachepolicy_missed", default=None)


def find(plan: Plan, call: Call) -> Flow[object]:
    """Return what is cached for a call, or MISS; it is counted and told as any call."""
    control = call.control
    began = plan.clock.monotonic()
    answer = None if control.no_cache or control.refresh else from_l1(plan, call)
    if answer is None:
        span = plan.tracing.start(plan.namespace)
        try:
            missed = yield from _begin(plan, call)
            found = None if control.no_cache or control.refresh else (yield from peek(plan, call, span))
        except BaseException as error:
            end(span, plan, error)
            raise
        answer = Answer(Outcome.MISS, Tier.L2, MISS) if found is None else found
        if found is None:
            _remember(call.key, missed)
        tell(span, plan, call, answer)
        plan.counters.requests[answer.outcome, answer.tier] += 1
        plan.measures.answered(plan.clock.monotonic() - began, answer.outcome, answer.tier)
        accounting.count(plan, call, answer)
    record(plan, call.key, answer, began)
    return answer.take()


def put(plan: Plan, call: Call, value: object, given: object) -> Flow[bool]:
    """Keep an answer; tell whether it was kept: not where it is not admitted, or was overtaken.

    Args:
        plan: of the entry.
        call: whose answer it is.
        value: what is stored.
        given: what the caller has: admission and usage are its own.
    """
    missed = (_MISSED.get() or {}).get(call.key)
    _forget(call.key)
    if missed is None or missed.plan() is not plan:  # under an earlier policy: its Redis may be another
        missed = yield from _begin(plan, call)
    lookup = Lookup(plan, call, NO_SPAN, Budget(plan.clock, plan.patience.deadline))
    lookup.began, lookup.versions = missed.server, missed.versions
    lookup.fill_token = missed.token
    if refusal(lookup, None, Attempt(given)) is not None:
        return False
    attempt = Attempt(value)
    try:
        serialized = dump(plan, attempt)
    except UnserializableValue as unfit:
        incidents.unserializable(plan, unfit)
        return False
    took = max(0.0, plan.clock.monotonic() - missed.monotonic)
    usage = accounting.usage_of(plan, call, given)
    result = Result(attempt, serialized, times(lookup, attempt, missed.wall, took), usage)
    return (yield from keep(lookup, None, result))


def _begin(plan: Plan, call: Call) -> Flow[_Missed]:
    """Note that an answer begins to be computed now; the versions of its tags are those from before."""
    site = plan.site
    wall, monotonic = plan.clock.wall(), plan.clock.monotonic()
    token = 0 if plan.local is None else plan.local.token(call.key)
    versions = plan.versions.vector(call.tags, monotonic)
    lookup = Lookup(plan, call, NO_SPAN, Budget(plan.clock, plan.patience.deadline))
    try:
        if not site.time.is_known:  # invalidations are dated by it
            site.time.learn((yield from ask(site.guard, commands.time(call.key), lookup.budget)))
        server = site.time.now()
        if versions is None:
            versions = yield from learn(lookup, call.tags)
    except StoreError as fault:
        incidents.fault(plan, fault)
        server = site.time.now()
        versions = plan.versions.last(call.tags) if versions is None else versions
    return _Missed(wall, monotonic, server, versions, token, weakref.ref(plan))


def _remember(key: str, missed: _Missed) -> None:
    known = {**(_MISSED.get() or {}), key: missed}
    if len(known) > _MOST:
        del known[next(iter(known))]
    _MISSED.set(known)


def _forget(key: str) -> None:
    known = _MISSED.get()
    if known and key in known:
        _MISSED.set({name: missed for name, missed in known.items() if name != key})
