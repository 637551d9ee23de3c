"""The verbs of a limiter, each as one flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from cachepolicy.flow.decision import Decision
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.limiter import Claim, Limiter
from cachepolicy.flow.limiting import charge, charge_all
from cachepolicy.flow.verdict import Verdict, decision
from cachepolicy.tiers import limit_overrides, limits

T = TypeVar("T")


def check(claim: Claim) -> Flow[Decision]:
    """Charge a call to one subject."""
    return decision((yield from charge(claim)))


def check_all(claims: Sequence[Claim]) -> Flow[list[Decision]]:
    """Charge a call to several subjects, or to none."""
    return [decision(verdict) for verdict in (yield from charge_all(claims))]


def peek(claim: Claim) -> Flow[Decision]:
    """Say what would become of a call; nothing is charged, and nothing counted.

    Raises:
        StoreError: Redis cannot be asked.
    """
    charged = yield from claim.limiter.ask(limits.peek((claim.part,)))
    return decision(Verdict(claim, charged))


def refund(claim: Claim) -> Flow[None]:
    """Give back what a call was charged, though it was not reserved.

    Raises:
        StoreError: Redis could not be told.
    """
    if claim.quota.limits:
        try:
            yield from claim.limiter.ask(limits.give_back(claim.key, claim.quota.limits, claim.costs))
        finally:
            claim.limiter.forget_denial(claim.key)


def reset(limiter: Limiter, key: str) -> Flow[bool]:
    """Forget what a subject has used, here too; tell whether Redis knew of anything.

    Raises:
        StoreError: Redis could not be told.
    """
    try:
        return (yield from limiter.ask(limits.reset(key)))
    finally:
        _forget(limiter, key)


def override(
    limiter: Limiter, key: str, amounts: Mapping[str, tuple[int, int]] | None, ttl: int
) -> Flow[bool]:
    """Give a subject amounts of its own, or those of the rule again.

    Raises:
        StoreError: Redis could not be told.
    """
    try:
        return (yield from limiter.ask(limit_overrides.override(key, amounts, ttl)))
    finally:
        _forget(limiter, key)


def overrides(limiter: Limiter, key: str, names: Mapping[str, str]) -> Flow[dict[str, int]]:
    """Return which amounts a subject has of its own, by the names of its limits.

    Raises:
        StoreError: Redis cannot be asked.
    """
    found = yield from limiter.ask(limit_overrides.overrides(key))
    return {names[field]: amount for field, (amount, _) in found.items() if field in names}


def _forget(limiter: Limiter, key: str) -> None:
    limiter.local.reset(key)
    limiter.forget_denial(key)
