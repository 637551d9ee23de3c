"""Whether a call keeps to its limits: charged to all of them in one round trip, or to none (Q1).

::

    denied here a moment ago ──▶ no
    Redis ──▶ charged: yes, at once or in its turn
          ──▶ over a limit: no, and this process remembers for how long
          ──▶ out: as ``on_fault`` says
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cachepolicy.errors import StoreError
from cachepolicy.flow import incidents
from cachepolicy.flow.batching import draw_block
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.limiter import Claim, Limiter, LimitFault, known_as
from cachepolicy.flow.verdict import Verdict
from cachepolicy.telemetry.names import (
    ATTRIBUTE_ERROR,
    ATTRIBUTE_NAMESPACE,
    ATTRIBUTE_OUTCOME,
    ATTRIBUTE_RULE,
)
from cachepolicy.telemetry.spans import Attribute, LookupSpan
from cachepolicy.tiers import limits
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.limits import Charged, Row

_ON_FAULT: Final = {
    LimitFault.ALLOW: "calls pass uncounted",
    LimitFault.DENY: "calls are refused",
    LimitFault.LOCAL: "this process counts for itself",
}


def charge(claim: Claim, most_wait: int = 0, reservation: str = "") -> Flow[Verdict]:
    """Charge a call to one subject.

    Args:
        claim: what is asked.
        most_wait: ms that the caller would wait for its turn.
        reservation: what the charge is remembered by; empty: it is not.
    """
    limiter, quota, _, _ = claim
    if not quota.limits:
        return _counted(Verdict(claim, Charged(allowed=True, now=_now(limiter), wait=0, rows=())))
    batched = limiter.batch > 0 and not most_wait and not reservation
    known = _known(claim, most_wait, batched=batched)
    if known is not None:
        return _counted(Verdict(claim, known))
    asked = limiter.clock.monotonic()
    span = limiter.tracing.start(limiter.namespace)
    try:
        if batched:
            charged = yield from draw_block(claim, span)
        else:
            command = _command((claim,), most_wait, reservation)
            charged = yield from limiter.ask(command, span)
        verdict = Verdict(claim, charged)
        if not charged.allowed and not batched:
            _learn(verdict, asked)
    except StoreError as error:
        fault = incidents.fault(limiter, error, _ON_FAULT[limiter.on_fault])
        (verdict,) = _without_redis([claim], most_wait)
        span.end(_attributes([verdict], fault), None)
    except BaseException as error:
        span.end(_attributes([], "", limiter), type(error).__name__)
        raise
    else:
        if span.is_recording:
            span.end(_attributes([verdict]), None)
        if charged.allowed:  # as nearly always
            limiter.tally.allowed += 1
            return verdict
    return _counted(verdict)


def _known(claim: Claim, most_wait: int, *, batched: bool) -> Charged | None:
    """Return what this process knows of a call: a permit that was drawn, a refusal of a moment ago."""
    limiter, quota, key, costs = claim
    name = known_as(key, quota.plan)
    known = limiter.permits.spend(name, costs) if batched else None
    if known is None and limiter.denials is not None:
        known = limiter.denials.denied(name, costs, most_wait)
    return known


def charge_all(claims: Sequence[Claim], most_wait: int = 0, reservation: str = "") -> Flow[list[Verdict]]:
    """Charge a call to several subjects of one namespace: to all of them, or to none; arguments as above.

    Rules in shadow decide for nobody, so they are charged by themselves, once the others let the call pass.
    """
    if len(claims) == 1:
        return [(yield from charge(claims[0], most_wait, reservation))]
    strict = [claim for claim in claims if not claim.limiter.shadow]
    verdicts = {}
    for verdict in (yield from _together(strict, most_wait, reservation)) if strict else ():
        verdicts[verdict.claim] = verdict
    if all(verdict.charged.allowed for verdict in verdicts.values()):
        for claim in claims:
            if claim.limiter.shadow:
                verdicts[claim] = yield from charge(claim, most_wait, reservation)
    return [verdicts[claim] for claim in claims if claim in verdicts]


def _together(claims: list[Claim], most_wait: int, reservation: str) -> Flow[list[Verdict]]:
    if len(claims) == 1:
        return [(yield from charge(claims[0], most_wait, reservation))]
    limiter = claims[0].limiter
    for claim in claims:
        denials = claim.limiter.denials
        known = None if denials is None else denials.denied(claim.known_as, claim.costs, most_wait)
        if known is not None:
            return [_counted(Verdict(claim, known))]
    asked = limiter.clock.monotonic()
    span = limiter.tracing.start(limiter.namespace)
    charge_them = _apart if limiter.site.guard.routed else _at_once
    try:
        verdicts = yield from charge_them(claims, most_wait, reservation, span)
    except StoreError as error:
        fault = incidents.fault(limiter, error, _ON_FAULT[limiter.on_fault])
        verdicts = _without_redis(claims, most_wait)
        span.end(_attributes(verdicts, fault), None)
    except BaseException as error:
        span.end(_attributes([], "", limiter), type(error).__name__)
        raise
    else:
        span.end(_attributes(verdicts), None)
    for verdict in verdicts:
        if not verdict.charged.allowed and not verdict.degraded:
            _learn(verdict, asked)
    return [_counted(verdict) for verdict in verdicts]


def _command(claims: Sequence[Claim], most_wait: int, reservation: str) -> Command[Charged]:
    if len(claims) == 1 and not most_wait and not reservation:
        limiter, quota, key, costs = claims[0]
        if costs is quota.one and not limiter.overridden:
            return quota.charge_one(key)
    parts = [claim.part for claim in claims]
    if not reservation:
        return limits.charge(parts, most_wait=most_wait)
    held = max(claim.limiter.held for claim in claims)
    return limits.charge(parts, most_wait=most_wait, reservation=reservation, held=held)


def _at_once(claims: list[Claim], most_wait: int, reservation: str, span: LookupSpan) -> Flow[list[Verdict]]:
    """Charge all in one script: they are on one server."""
    limiter = claims[0].limiter
    command = _command(claims, most_wait, reservation)
    charged = yield from limiter.ask(command, span)
    return _split(claims, charged, most_wait)


def _split(claims: list[Claim], charged: Charged, most_wait: int) -> list[Verdict]:
    """Tell each claim what became of it, of what became of all together."""
    verdicts, at = [], 0
    for claim in claims:
        rows = charged.rows[at : at + len(claim.costs)]
        at += len(claim.costs)
        allowed = charged.allowed or all(0 <= row.retry <= most_wait for row in rows)
        verdicts.append(Verdict(claim, charged._replace(allowed=allowed, rows=rows)))
    return verdicts


def _apart(claims: list[Claim], most_wait: int, reservation: str, span: LookupSpan) -> Flow[list[Verdict]]:
    """Charge each in its own slot; where one denies, the others get theirs back, exactly.

    For one round trip the others are charged for a call that will not be made.
    """
    limiter = claims[0].limiter
    commands = [_command((claim,), most_wait, reservation) for claim in claims]
    results = yield from limiter.ask_all(commands, span)
    verdicts: list[Verdict] = []
    for claim, result in zip(claims, results, strict=True):
        if isinstance(result, StoreError):
            incidents.fault(claim.limiter, result, _ON_FAULT[claim.limiter.on_fault])
            verdicts += _without_redis([claim], most_wait)
        else:
            verdicts.append(Verdict(claim, result))
    if not all(verdict.charged.allowed for verdict in verdicts):
        yield from give_back([verdict for verdict in verdicts if verdict.charged.allowed], reservation)
    return verdicts


def give_back(verdicts: Sequence[Verdict], reservation: str = "") -> Flow[None]:
    """Undo charges, exactly: the call is not made after all. What was reserved is undone once at most."""
    taken = [verdict for verdict in verdicts if verdict.charged.allowed and not verdict.degraded]
    commands = [
        limits.refund(verdict.claim.key, verdict.claim.quota.limits, reservation)
        if reservation
        else limits.give_back(
            verdict.claim.key,
            verdict.claim.quota.limits,
            verdict.claim.costs,
            made=verdict.charged.now,
        )
        for verdict in taken
        if verdict.claim.quota.limits
    ]
    if not commands:
        return
    limiter = taken[0].claim.limiter
    results = yield from limiter.ask_all(commands)
    for verdict, result in zip(taken, results, strict=False):
        if isinstance(result, StoreError):  # what is not given back drains by itself
            incidents.fault(verdict.claim.limiter, result, "what was charged drains by itself")


def _without_redis(claims: list[Claim], most_wait: int) -> list[Verdict]:
    """Decide as each rule's ``on_fault`` says; where one refuses, nothing is counted here either."""
    passed = {claim: Charged(allowed=True, now=_now(claim.limiter), wait=0, rows=()) for claim in claims}
    refusing = [claim for claim in claims if claim.limiter.on_fault is LimitFault.DENY]
    counting = [claim for claim in claims if claim.limiter.on_fault is LimitFault.LOCAL]
    for claim in refusing:
        pause = claim.limiter.pause
        rows = tuple(Row(0, pause, pause) for _ in claim.costs)
        passed[claim] = passed[claim]._replace(allowed=False, rows=rows)
    if counting and not refusing:
        charged = counting[0].limiter.local.charge([claim.part for claim in counting], most_wait)
        passed |= {verdict.claim: verdict.charged for verdict in _split(counting, charged, most_wait)}
    return [Verdict(claim, charged, degraded=True) for claim, charged in passed.items()]


def _learn(verdict: Verdict, asked: float) -> None:
    """Remember a denial; ``asked``: when Redis was asked, by the process's clock."""
    claim, limiter = verdict.claim, verdict.claim.limiter
    if limiter.denials is not None:
        exact = not limiter.overridden
        limiter.denials.learn(
            claim.known_as, claim.quota.limits, claim.costs, verdict.charged, asked=asked, exact=exact
        )


def _counted(verdict: Verdict) -> Verdict:
    limiter, tally = verdict.claim.limiter, verdict.claim.limiter.tally
    allowed = verdict.charged.allowed
    if not allowed and not limiter.shadow:
        tally.exceeded += 1
    if verdict.degraded:
        tally.degraded += 1
    elif allowed:
        tally.allowed += 1
    elif limiter.shadow:
        tally.shadow += 1
    else:
        tally.denied += 1
    return verdict


def _now(limiter: Limiter) -> int:
    return int(limiter.clock.wall() * 1000)


def _attributes(
    verdicts: Sequence[Verdict], fault: str = "", limiter: Limiter | None = None
) -> dict[str, Attribute]:
    """Return what a span tells: which rules, and what became of the call; never who was counted."""
    limiters = [verdict.claim.limiter for verdict in verdicts] or ([] if limiter is None else [limiter])
    told: dict[str, Attribute] = {
        ATTRIBUTE_NAMESPACE: limiters[0].namespace,
        ATTRIBUTE_RULE: ",".join(each.rule for each in limiters),
    }
    if verdicts:
        told[ATTRIBUTE_OUTCOME] = "allowed" if all(verdict.passes for verdict in verdicts) else "denied"
    if fault:
        told[ATTRIBUTE_ERROR] = fault
    return told
