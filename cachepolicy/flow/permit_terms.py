"""How much a rule with ``batch`` draws at once, how long that may be held, and what of it can be given back.

A permit is spent later than it was charged. Three things keep every period of time within the limit all the
same, not only all of time:

- A permit lapses when the limit has drained by a whole block since it was drawn (``gcra``), or with the hour,
  day or month that it was charged to (``calendar``).
- ``gcra`` keeps one block of its burst back (``lowered``): what is spent late finds room there.
- What may have drained since a permit was drawn is not given back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cachepolicy.tiers.limits import Algorithm, Limit, Part


@dataclass(frozen=True, slots=True)
class Terms:
    """How calls of one cost are charged in blocks.

    Attributes:
        parts: the subjects, their limits as Redis counts them, and the costs of one call.
        block: the most permits that are drawn at once; with 1, nothing is drawn ahead.
        life: how long they may be held, in seconds.
        is_calendar: whether they are charged to an hour, a day or a month.
    """

    parts: tuple[Part, ...]
    block: int
    life: float
    is_calendar: bool

    def charged(self, calls: int) -> tuple[Part, ...]:
        """Return what so many calls are charged."""
        return tuple(part._replace(costs=tuple(cost * calls for cost in part.costs)) for part in self.parts)

    def returned(self, calls: int, held: float) -> tuple[Part, ...]:
        """Return what can be given back of so many calls, drawn ``held`` seconds ago."""
        parts = [
            part._replace(
                costs=tuple(
                    max(0, cost * calls - _drained(limit, held))
                    for limit, cost in zip(part.limits, part.costs, strict=True)
                )
            )
            for part in self.parts
        ]
        return tuple(part for part in parts if any(part.costs))


def terms(parts: Sequence[Part], share: float) -> Terms:
    """Return how calls are charged in blocks.

    Args:
        parts: the subjects, their limits as the policy has them, and the costs of one call. Where a subject
            may have limits of its own, nothing is drawn ahead.
        share: of a limit that is drawn at once.
    """
    pairs = [pair for part in parts for pair in zip(part.limits, part.costs, strict=True) if pair[1] > 0]
    is_known = not any(part.overridden for part in parts)  # a subject's own burst keeps no block back
    block = max(1, min((_block(limit, share) // cost for limit, cost in pairs), default=1)) if is_known else 1
    life = min((share * limit.period for limit, _ in pairs), default=0.0)
    for limit, _ in pairs:
        if limit.algorithm is Algorithm.GCRA:
            life = min(life, _block(limit, share) * limit.period // limit.amount)
    return Terms(
        tuple(part._replace(limits=lowered(part.limits, share)) for part in parts),
        block,
        life / 1000,
        any(limit.algorithm is Algorithm.CALENDAR for limit, _ in pairs),
    )


def lowered(limits: Sequence[Limit], share: float) -> tuple[Limit, ...]:
    """Return the limits of a rule with ``batch`` as Redis must count them, whatever is charged."""
    return tuple(
        replace(limit, burst=limit.burst - _block(limit, share))
        if limit.algorithm is Algorithm.GCRA
        else limit
        for limit in limits
    )


def _block(limit: Limit, share: float) -> int:
    if limit.algorithm is Algorithm.GCRA:
        return int(min(share * limit.burst, limit.burst // 2))
    return int(share * limit.amount)


def _drained(limit: Limit, held: float) -> int:
    if limit.algorithm is not Algorithm.GCRA:
        return 0
    return -(-(int(held * 1000) + 1) * limit.amount // limit.period)
