"""A call under limits, from asking whether it may go on to what it used in the end.

::

    take a place ──▶ charge, reserving what is estimated ──▶ wait for its turn ──▶ the call
        │ none free      │ over a limit                           │
        ╰────────────────┴──▶ RateLimitExceeded                   ├─▶ used this much: settled
                                                                  ├─▶ failed: given back, as the rule says
                                                                  ╰─▶ cancelled: the estimate stands
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cachepolicy.errors import StoreError
from cachepolicy.flow import incidents
from cachepolicy.flow.effects import Flow, sleep
from cachepolicy.flow.limiter import Claim, Limiter, Refund, Use
from cachepolicy.flow.limiting import Verdict, charge_all, exceeded, give_back
from cachepolicy.flow.resilience import Budget, ask_all
from cachepolicy.tiers import limits

Using = Callable[[Limiter], Use]
"""Says of each rule what a call used: prices are the rule's."""


@dataclass(slots=True, eq=False)
class Admission:
    """A call that may go on.

    Attributes:
        verdicts: of each rule.
        reservation: what its charges are remembered by, until they are settled; empty: they are not.
    """

    verdicts: list[Verdict]
    reservation: str = ""
    is_settled: bool = field(default=False, init=False)


def admit(claims: Sequence[Claim], most_wait: int = 0, *, reserve: bool = False) -> Flow[Admission]:
    """Charge a call, and wait for its turn.

    Args:
        claims: what is asked of each rule.
        most_wait: ms that the caller would wait.
        reserve: it is known only afterwards what the call uses.

    Raises:
        RateLimitExceeded: a rule denies it.
    """
    settles = reserve and any(claim.quota.settles for claim in claims)
    reservation = secrets.token_hex(8) if settles else ""
    verdicts = yield from charge_all(claims, most_wait, reservation)
    denied = [verdict for verdict in verdicts if not verdict.passes]
    if denied:
        raise exceeded(max(denied, key=_patience))
    wait = max(verdict.charged.wait for verdict in verdicts if not verdict.claim.limiter.shadow) if most_wait else 0
    if wait:
        try:
            yield from sleep(wait / 1000)
        except GeneratorExit:
            raise
        except BaseException:  # cancelled in the queue: its turn is free
            yield from give_back(verdicts, reservation)
            raise
    return Admission(verdicts, reservation)


def settle(admission: Admission, using: Using) -> Flow[bool]:
    """Charge what was used instead of what was reserved, once (Q3); tell whether this did it."""
    return _settle(admission, lambda verdict: verdict.claim.quota.costs(using(verdict.claim.limiter)))


def settle_as_estimated(admission: Admission) -> Flow[bool]:
    """Let the estimate stand: nobody says what was used."""
    return _settle(admission, lambda verdict: verdict.claim.costs)


def refund(admission: Admission, *, everything: bool = False) -> Flow[bool]:
    """Give back what was reserved, once; the request itself too where each rule, or the caller, says so."""

    def left(verdict: Verdict) -> Sequence[int]:
        quota, costs, how = verdict.claim.quota, verdict.claim.costs, verdict.claim.limiter.refund
        if everything or how is Refund.ALL:
            return (0,) * len(costs)
        if how is Refund.NONE:
            return costs
        return [0 if counts else cost for counts, cost in zip(quota.counts, costs, strict=True)]

    return _settle(admission, left)


def _settle(admission: Admission, costs: Callable[[Verdict], Sequence[int]]) -> Flow[bool]:
    if admission.is_settled:
        return False
    admission.is_settled = True
    asked: list[Verdict] = []
    commands = []
    for verdict in admission.verdicts:
        claim = verdict.claim
        if not claim.quota.limits or not verdict.charged.allowed:
            continue
        actual = costs(verdict)
        if verdict.degraded:
            claim.limiter.local.settle(claim.key, claim.quota.limits, claim.costs, actual)
            continue
        if admission.reservation:
            command = limits.settle(claim.key, claim.quota.limits, admission.reservation, actual)
        else:
            unused = [cost - used for cost, used in zip(claim.costs, actual, strict=True)]
            if not any(unused):
                continue
            command = limits.give_back(claim.key, claim.quota.limits, unused)
        asked.append(verdict)
        commands.append(command)
    if not commands:
        return bool(admission.verdicts)
    limiter = asked[0].claim.limiter
    done = False
    results = yield from ask_all(limiter.site.guard, commands, Budget(limiter.clock, limiter.deadline))
    for verdict, result in zip(asked, results, strict=True):
        if isinstance(result, StoreError):
            incidents.fault(verdict.claim.limiter, result, "what was reserved stays charged")
            continue
        done = done or result is not False
        if verdict.claim.limiter.denials is not None:
            verdict.claim.limiter.denials.forget(verdict.claim.key)
    return done


def _patience(verdict: Verdict) -> float:
    """Return how long a denied call has to wait."""
    waits = [float("inf") if row.retry < 0 else row.retry for row in verdict.charged.rows]
    return max(waits, default=0.0)
