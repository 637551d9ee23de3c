"""``batch``: a block of permits is drawn from Redis, and what nobody spent is given back."""

from __future__ import annotations

from collections.abc import Sequence

from cachepolicy.errors import StoreError
from cachepolicy.flow import incidents
from cachepolicy.flow.effects import Flow, in_task
from cachepolicy.flow.limiter import Claim, Limiter
from cachepolicy.flow.permit_terms import terms
from cachepolicy.flow.permits import Unspent, draw
from cachepolicy.telemetry.spans import Witness
from cachepolicy.tiers import limits
from cachepolicy.tiers.limits import Charged, Part


def draw_block(claim: Claim, witness: Witness) -> Flow[Charged]:
    """Charge a block of calls like this one, and let the call have the first.

    Args:
        claim: of the call.
        witness: hears what Redis does.

    Raises:
        StoreError: Redis cannot be asked.
    """
    limiter = claim.limiter

    def charge(parts: Sequence[Part]) -> Flow[Charged]:
        return limiter.ask(limits.charge(parts), witness)

    part = claim.part._replace(limits=claim.quota.declared)
    is_async = yield from in_task()
    charged = yield from draw(
        limiter.permits, claim.known_as, claim.costs, terms((part,), limiter.batch), charge, is_async=is_async
    )
    unspent = limiter.permits.unspent()
    if unspent:
        yield from give_back_permits(limiter, unspent)
    return charged


def give_back_permits(limiter: Limiter, unspent: Sequence[Unspent]) -> Flow[None]:
    """Give back permits that nobody spent; where Redis cannot be told, they drain by themselves."""
    commands = [limits.give_back(part.key, part.limits, part.costs, made=made) for part, made in unspent]
    results = yield from limiter.ask_all(commands)
    for result in results:
        if isinstance(result, StoreError):
            incidents.fault(limiter, result, "permits that were not spent stay charged")
