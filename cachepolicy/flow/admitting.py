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
from typing import Any

from cachepolicy.errors import StoreError
from cachepolicy.flow import incidents
from cachepolicy.flow.decision import Decision
from cachepolicy.flow.effects import Flow, sleep
from cachepolicy.flow.limiter import Claim, Refund
from cachepolicy.flow.limiting import charge_all, give_back
from cachepolicy.flow.occupancy import Place, enter
from cachepolicy.flow.verdict import Verdict, decision, exceeded
from cachepolicy.telemetry.usage import Usage
from cachepolicy.tiers import limits
from cachepolicy.tiers.commands import Command


@dataclass(slots=True, eq=False)
class Admission:
    """A call that may go on.

    Attributes:
        verdicts: of each rule.
        reservation: what its charges are remembered by, until they are settled; empty: they are not.
        places: that it holds until it ends.
        is_settled: whether somebody has said what it used.
    """

    verdicts: list[Verdict] = field(default_factory=list)
    reservation: str = ""
    places: list[Place] = field(default_factory=list)
    is_settled: bool = False

    def abandon(self) -> None:
        """Have its places given back by themselves. It takes no lock: garbage collection may call."""
        for place in self.places:
            place.abandon()


def admit(claims: Sequence[Claim], most_wait: int = 0, *, reserve: bool = False) -> Flow[Admission]:
    """Charge a call, and wait for its turn.

    Args:
        claims: what is asked of each rule.
        most_wait: ms that the caller would wait.
        reserve: it is known only afterwards what the call uses.

    Raises:
        RateLimitExceeded: a rule denies it.
    """
    admission = Admission()
    try:
        for claim in claims:
            if claim.quota.places is not None:
                place = yield from enter(claim, most_wait)
                if place is not None:
                    admission.places.append(place)
        if reserve and any(claim.quota.settles for claim in claims):
            admission.reservation = secrets.token_hex(8)
        verdicts = admission.verdicts = yield from charge_all(claims, most_wait, admission.reservation)
        denied = [verdict for verdict in verdicts if not verdict.passes]
        if denied:
            raise exceeded(max(denied, key=_patience))
        if most_wait:
            yield from _queue(admission)
    except GeneratorExit:
        admission.abandon()
        raise
    except BaseException:
        yield from leave(admission)
        raise
    return admission


def _queue(admission: Admission) -> Flow[None]:
    """Wait for the call's turn."""
    wait = max((v.charged.wait for v in admission.verdicts if not v.claim.limiter.shadow), default=0)
    if not wait:
        return
    try:
        yield from sleep(wait / 1000)
    except GeneratorExit:
        raise
    except BaseException:  # cancelled in the queue: its turn is free
        yield from give_back(admission.verdicts, admission.reservation)
        raise


def told(admission: Admission) -> Decision:
    """Return what the first rule of a call said."""
    return decision(admission.verdicts[0], admission.reservation)


def leave(admission: Admission) -> Flow[None]:
    """Give back the places that a call held."""
    places, admission.places = admission.places, []
    for place in places:
        yield from place.leave()


def settle(admission: Admission, requests: int, usage: Usage, total: int | None = None) -> Flow[bool]:
    """Charge what was used instead of what was reserved, once (Q3); tell whether this did it.

    Args:
        admission: of the call.
        requests: how many it counts for.
        usage: its tokens.
        total: how many they are together, where it is not their sum.
    """

    def used(verdict: Verdict) -> Sequence[int]:
        return verdict.claim.quota.costs(verdict.claim.limiter.use(requests, usage, total))

    return _settle(admission, used)


def end(admission: Admission, error: BaseException | None) -> Flow[None]:
    """End a call: what is not settled is given back where it failed, else the estimate stands.

    An interruption is no failure: the model may have gone on, and hanging up must not evade a quota.
    """
    try:
        yield from leave(admission)
    finally:
        if isinstance(error, Exception):
            yield from refund(admission)
        elif admission.reservation:
            yield from settle_as_estimated(admission)


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
    commands: list[Command[Any]] = []
    for verdict in admission.verdicts:
        command = _settlement(verdict, admission.reservation, costs(verdict))
        if command is not None:
            asked.append(verdict)
            commands.append(command)
    if not commands:
        return True
    limiter = asked[0].claim.limiter
    results = yield from limiter.ask_all(commands)
    done = False
    for verdict, result in zip(asked, results, strict=True):
        if isinstance(result, StoreError):
            incidents.fault(verdict.claim.limiter, result, "what was reserved stays charged")
        else:
            done = done or result is not False
            verdict.claim.limiter.forget_denial(verdict.claim.key)
    return done


def _settlement(verdict: Verdict, reservation: str, actual: Sequence[int]) -> Command[Any] | None:
    """Return what charges what was used instead of the estimate; None where Redis has no part in it."""
    claim, charged = verdict.claim, verdict.charged
    limits_of = claim.quota.limits
    if not limits_of or not charged.allowed:
        return None
    if verdict.degraded:
        claim.limiter.local.settle(claim.key, limits_of, claim.costs, actual)
        return None
    if reservation:
        return limits.settle(claim.key, limits_of, reservation, actual)
    unused = [cost - used for cost, used in zip(claim.costs, actual, strict=True)]
    return limits.give_back(claim.key, limits_of, unused, made=charged.now) if any(unused) else None


def _patience(verdict: Verdict) -> float:
    """Return how long a denied call has to wait."""
    waits = [float("inf") if row.retry < 0 else row.retry for row in verdict.charged.rows]
    return max(waits, default=0.0)
