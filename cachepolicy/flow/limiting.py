"""Whether a call keeps to its limits: charged to all of them in one round trip, or to none (Q1).

::

    denied here a moment ago ──▶ no
    Redis ──▶ charged: yes, at once or in its turn
          ──▶ over a limit: no, and this process remembers for how long
          ──▶ out: as ``on_fault`` says
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from cachepolicy.errors import RateLimitExceeded, StoreError
from cachepolicy.flow import incidents
from cachepolicy.flow.decision import Decision, LimitState
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.limiter import Claim, LimitFault, Limiter
from cachepolicy.flow.resilience import Budget, ask, ask_all
from cachepolicy.telemetry.names import ATTRIBUTE_ERROR, ATTRIBUTE_NAMESPACE, ATTRIBUTE_OUTCOME, ATTRIBUTE_RULE
from cachepolicy.tiers import limits
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.limits import Charged, Row

_ON_FAULT: Final = {
    LimitFault.ALLOW: "calls pass uncounted",
    LimitFault.DENY: "calls are refused",
    LimitFault.LOCAL: "this process counts for itself",
}


class Verdict(NamedTuple):
    """What became of a claim.

    Attributes:
        claim: what was asked.
        charged: what Redis said, or this process in its stead.
        degraded: Redis was not asked, or did not answer.
    """

    claim: Claim
    charged: Charged
    degraded: bool = False

    @property
    def passes(self) -> bool:
        """Whether the call may go on, as far as this rule is concerned."""
        return self.charged.allowed or self.claim.limiter.shadow


def charge(claim: Claim, most_wait: int = 0, reservation: str = "") -> Flow[Verdict]:
    """Charge a call to one subject.

    Args:
        claim: what is asked.
        most_wait: ms that the caller would wait for its turn.
        reservation: what the charge is remembered by; empty: it is not.
    """
    limiter, quota, key, costs = claim
    if not quota.limits:
        return _counted(Verdict(claim, Charged(allowed=True, now=_now(limiter), wait=0, rows=())))
    denials = limiter.denials
    if denials is not None and not most_wait:
        known = denials.denied(key, costs)
        if known is not None:
            return _counted(Verdict(claim, known))
    span = limiter.tracing.start(limiter.namespace)
    command = _command((claim,), most_wait, reservation)
    fault = ""
    try:
        charged = yield from ask(limiter.site.guard, command, Budget(limiter.clock, limiter.deadline))
        verdict = Verdict(claim, charged)
    except StoreError as error:
        fault = incidents.fault(limiter, error, _ON_FAULT[limiter.on_fault])
        verdict = _without_redis([claim], most_wait)[0]
    except BaseException as error:
        span.end(_attributes(limiter, ""), type(error).__name__)
        raise
    if span.is_recording:
        span.end(_attributes(limiter, fault, verdict), None)
    return _counted(_learned(verdict) if not fault else verdict)


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
    for claim in claims if not most_wait else ():
        denials = claim.limiter.denials
        known = None if denials is None else denials.denied(claim.key, claim.costs)
        if known is not None:
            return [_counted(Verdict(claim, known))]
    span = limiter.tracing.start(limiter.namespace)
    fault = ""
    try:
        if limiter.site.guard.routed:
            verdicts = yield from _apart(claims, most_wait, reservation)
        else:
            verdicts = yield from _at_once(claims, most_wait, reservation)
    except StoreError as error:
        fault = incidents.fault(limiter, error, _ON_FAULT[limiter.on_fault])
        verdicts = _without_redis(claims, most_wait)
    except BaseException as error:
        span.end(_attributes(limiter, ""), type(error).__name__)
        raise
    if span.is_recording:
        span.end(_attributes(limiter, fault, *verdicts), None)
    if not fault:
        verdicts = [_learned(verdict) for verdict in verdicts]
    return [_counted(verdict) for verdict in verdicts]


def _command(claims: Sequence[Claim], most_wait: int, reservation: str) -> Command[Charged]:
    parts = [claim.part for claim in claims]
    if not reservation:
        return limits.charge(parts, most_wait=most_wait)
    held = max(claim.limiter.held for claim in claims)
    return limits.charge(parts, most_wait=most_wait, reservation=reservation, held=held)


def _at_once(claims: list[Claim], most_wait: int, reservation: str) -> Flow[list[Verdict]]:
    """Charge all in one script: they are on one server."""
    limiter = claims[0].limiter
    command = _command(claims, most_wait, reservation)
    charged = yield from ask(limiter.site.guard, command, Budget(limiter.clock, limiter.deadline))
    return _split(claims, charged)


def _split(claims: list[Claim], charged: Charged) -> list[Verdict]:
    """Tell each claim what became of it, of what became of all together."""
    verdicts, at = [], 0
    for claim in claims:
        rows = charged.rows[at : at + len(claim.costs)]
        at += len(claim.costs)
        allowed = charged.allowed or all(row.retry == 0 for row in rows)
        verdicts.append(Verdict(claim, charged._replace(allowed=allowed, rows=rows)))
    return verdicts


def _apart(claims: list[Claim], most_wait: int, reservation: str) -> Flow[list[Verdict]]:
    """Charge each in its own slot; where one denies, the others get theirs back, exactly.

    For one round trip the others are charged for a call that will not be made.
    """
    limiter = claims[0].limiter
    guard, budget = limiter.site.guard, Budget(limiter.clock, limiter.deadline)
    commands = [_command((claim,), most_wait, reservation) for claim in claims]
    results = yield from ask_all(guard, commands, budget)
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
        else limits.give_back(verdict.claim.key, verdict.claim.quota.limits, verdict.claim.costs)
        for verdict in taken
        if verdict.claim.quota.limits
    ]
    if not commands:
        return
    limiter = taken[0].claim.limiter
    results = yield from ask_all(limiter.site.guard, commands, Budget(limiter.clock, limiter.deadline))
    for verdict, result in zip(taken, results, strict=False):
        if isinstance(result, StoreError):  # what is not given back drains by itself
            incidents.fault(verdict.claim.limiter, result, "what was charged drains by itself")


def look(claim: Claim) -> Flow[Verdict]:
    """Say what would become of a call; nothing is charged, and nothing counted.

    Raises:
        StoreError: Redis cannot be asked.
    """
    limiter = claim.limiter
    if not claim.quota.limits:
        return Verdict(claim, Charged(allowed=True, now=_now(limiter), wait=0, rows=()))
    command = limits.peek((claim.part,))
    charged = yield from ask(limiter.site.guard, command, Budget(limiter.clock, limiter.deadline))
    return Verdict(claim, charged)


def forget(limiter: Limiter, key: str) -> Flow[bool]:
    """Forget what a subject has used, here too; tell whether Redis knew of anything.

    Raises:
        StoreError: Redis could not be told.
    """
    command = limits.reset(key)
    try:
        return (yield from ask(limiter.site.guard, command, Budget(limiter.clock, limiter.deadline)))
    finally:
        if limiter.denials is not None:
            limiter.denials.forget(key)


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
        passed |= {verdict.claim: verdict.charged for verdict in _split(counting, charged)}
    return [Verdict(claim, charged, degraded=True) for claim, charged in passed.items()]


def _learned(verdict: Verdict) -> Verdict:
    claim, charged, _ = verdict
    if not charged.allowed and claim.limiter.denials is not None:
        claim.limiter.denials.learn(claim.key, claim.quota.limits, claim.costs, charged)
    return verdict


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


def _attributes(limiter: Limiter, fault: str, *verdicts: Verdict) -> dict[str, str | bool | int | float]:
    told: dict[str, str | bool | int | float] = {ATTRIBUTE_NAMESPACE: limiter.namespace}
    if verdicts:
        told[ATTRIBUTE_RULE] = ",".join(verdict.claim.limiter.rule for verdict in verdicts)
        told[ATTRIBUTE_OUTCOME] = "allowed" if all(verdict.passes for verdict in verdicts) else "denied"
    if fault:
        told[ATTRIBUTE_ERROR] = fault
    return told


def decision(verdict: Verdict, reservation: str = "") -> Decision:
    """Tell what became of a claim."""
    claim, charged, degraded = verdict
    states = tuple(
        LimitState(
            name,
            limit.unit,
            limit.amount,
            limit.period / 1000,
            row.remaining,
            None if row.retry < 0 else row.retry / 1000,
            row.reset / 1000,
        )
        for limit, name, row in zip(claim.quota.limits, claim.quota.names, charged.rows, strict=False)
    )
    return Decision(
        allowed=verdict.passes,
        rule=claim.limiter.rule,
        states=states,
        binding=_binding(states, allowed=charged.allowed),
        now=charged.now / 1000,
        wait=charged.wait / 1000,
        degraded=degraded,
        denied_in_shadow=not charged.allowed and claim.limiter.shadow,
        reservation=reservation if charged.allowed and not degraded else "",
    )


def _binding(states: Sequence[LimitState], *, allowed: bool) -> LimitState | None:
    """Return the limit that lets the call wait longest; where none does, the one nearest its end."""
    if not states:
        return None
    if allowed:
        return min(states, key=lambda state: state.remaining / state.limit)
    return max(states, key=lambda state: float("inf") if state.retry_after is None else state.retry_after)


def exceeded(verdict: Verdict) -> RateLimitExceeded:
    """Return what is raised for a denial."""
    told = decision(verdict)
    binding = told.binding
    if told.degraded and verdict.claim.limiter.on_fault is LimitFault.DENY:
        message = f"rule {told.rule!r}: Redis is out, and on_fault: deny refuses such calls"
    elif binding is None or binding.retry_after is None:
        message = f"rule {told.rule!r}: the call costs more than it may ever use at once"
    else:
        message = f"rule {told.rule!r}: over its limit ({binding.name}); again in {binding.retry_after:.3g} s"
    return RateLimitExceeded(
        message,
        rule=told.rule,
        limit=told.limit,
        remaining=told.remaining,
        retry_after=told.retry_after,
        reset_at=told.reset_at,
        degraded=told.degraded,
    )
