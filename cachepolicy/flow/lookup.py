"""What one caller's lookup carries along, and what it leaves in L1."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from cachepolicy.codec.envelope import Header
from cachepolicy.codec.equality import is_immutable
from cachepolicy.codec.raised import Raised
from cachepolicy.codec.serialize import Form, Serialized
from cachepolicy.flow.accounting import tenant_of
from cachepolicy.flow.answer import Answer, Spare
from cachepolicy.flow.hearing import Echo
from cachepolicy.flow.plan import Call, Plan
from cachepolicy.flow.resilience import Budget
from cachepolicy.flow.versions import ids_of
from cachepolicy.telemetry.names import Outcome, Tier
from cachepolicy.telemetry.spans import LookupSpan
from cachepolicy.telemetry.usage import Usage
from cachepolicy.tiers.local import Entry

_LAST_COSTS: Final = 3
"""Where entries are computed anew early: how many times its cost before its end L1 lets go of one. From there
on every call asks Redis and draws; one in twenty volunteers at once, nearly one in one at the end."""


@dataclass(slots=True, eq=False)
class Lookup:
    """What one caller's lookup carries along.

    Attributes:
        plan: of the function.
        call: that is answered.
        span: of the lookup.
        budget: what Redis may still take of the caller's time.
        fault: the class of the first fault of the store.
        seen: the stamp of what was found under the key; empty: nothing was.
        fill_token: of the key in L1, from before Redis was read or written: what changed since is not kept.
        echo: what is heard of the key while this process stores it.
        trust: how long what is read or written now may be held in L1, in seconds.
        fallback: an older value, where the policy lets it stand in for one that cannot be had.
        token: of the lease that the lookup asked for; empty: it did not.
        began: when the load began, on the server's clock.
        versions: of the tags when they were last read, as a value made now will carry them; None: never.
        waited: how long its caller has waited for another process, in seconds.
        stood_by: another process held the lease when it asked.
        behind: it computes anew what answers meanwhile; nobody waits for it.
        serves_until: when that answers at once no longer, wall clock.
    """

    plan: Plan
    call: Call
    span: LookupSpan
    budget: Budget
    fault: str | None = None
    seen: bytes = b""
    fill_token: int = 0
    echo: Echo | None = None
    trust: float = 0.0
    fallback: Spare | None = None
    token: str = ""
    began: float = 0.0
    versions: bytes | None = None
    waited: float = 0.0
    stood_by: bool = False
    behind: bool = False
    serves_until: float = 0.0

    def begin(self) -> None:
        """Get ready to read or write Redis: a change is missed where it is listened for only afterwards."""
        local = self.plan.local
        if local is not None:
            self.trust = self.plan.trust_value()
            self.fill_token = local.token(self.call.key)

    def note(self, fault: str) -> None:
        """Keep the first fault: what the answer will tell."""
        self.fault = self.fault or fault


class Kept(NamedTuple):
    """A value as L1 keeps it.

    Attributes:
        value: as the function gave it, or as it was read.
        serialized: its byte form.
        created: when its load began, wall clock.
        fresh_for: how long it may answer, in seconds.
        cost: how long the origin took, in seconds.
        versions: of the tags that it carries.
        tail: of its stored form; empty: it is stored nowhere else.
        own: this process stored it.
        stale: it is past its TTL, and answers all the same.
        usage: what the model took for it.
    """

    value: object
    serialized: Serialized
    created: float
    fresh_for: float
    cost: float = 0.0
    versions: bytes = b""
    tail: bytes = b""
    own: bool = False
    stale: bool = False
    usage: Usage | None = None


def failed(outcome: Outcome, tier: Tier, error: BaseException, lookup: Lookup) -> Answer:
    """Make an answer of an error: what is raised to the caller."""
    return Answer(
        outcome, tier, error=error, traceback=error.__traceback__, fault=lookup.fault, span=lookup.span
    )


def fill(lookup: Lookup, kept: Kept) -> None:
    """Keep a value in L1: itself where it cannot be changed, else the bytes to make a fresh one of.

    A large value is left to L2: one would cost L1 many others. What it replaces goes all the same.
    """
    plan, call, token = lookup.plan, lookup.call, lookup.fill_token
    local = plan.local
    if local is None:
        return
    weight = len(kept.serialized.payload)
    if weight > plan.local_max_value:
        local.discard(plan.table, call.local_key)
        return
    fresh_for = kept.fresh_for
    if not kept.stale and _ends_early(plan, plan.clock.wall() + fresh_for - kept.created, kept.cost):
        fresh_for -= _LAST_COSTS * kept.cost
    if fresh_for <= 0:
        return
    hearing = plan.site.hearing
    now = plan.clock.monotonic()
    tags = ids_of(kept.versions) or call.tags
    serialized = kept.serialized
    held: object = serialized.payload
    load: Callable[[bytes], object] | None = serialized.load
    if serialized.form == Form.ERROR:
        load = plan.admission.errors.lift
    elif plan.share or is_immutable(kept.value):
        held, load = kept.value, None
    entry = Entry(
        plan.table,
        call.local_key,
        held,
        load,
        now + min(lookup.trust, fresh_for),
        kept.created,
        weight,
        name=call.key,
        own=kept.own,
        tags=tags,
        tail=kept.tail,
        stale=kept.stale,
        cost=kept.cost,
        usage=kept.usage,
        tenant=tenant_of(plan, call),
    )
    if (
        not local.put(entry, token, now=now)
        and kept.own
        and plan.coherent
        and hearing.verifies
        and local.put(
            entry, token, now=now, despite_echo=True
        )  # perhaps it was our own writing that was heard
        and (lookup.echo is None or lookup.echo.tail != entry.tail)  # looked at once it can be dropped
    ):
        hearing.watch.verify(call.key)


def volunteers(plan: Plan, header: Header) -> bool:
    """Tell whether this caller computes a value anew while it is still fresh.

    XFetch (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention, VLDB 2015).
    Its beta is 1.
    """
    if not _ends_early(plan, header.fresh_until - header.created, header.cost):
        return False
    ahead = -header.cost * math.log(1.0 - plan.random())
    return plan.clock.wall() + ahead >= header.fresh_until


def _ends_early(plan: Plan, lifetime: float, cost: float) -> bool:
    """Tell whether a value may be computed anew before it ends: not where that would take long, compared."""
    return plan.life.early and cost * 10 <= lifetime


def made_anew(value: object, answer: Answer) -> Answer:
    """Return an answer with a value, or with the exception that stands in its place."""
    if type(value) is Raised:
        return answer._replace(error=value.error)
    return answer._replace(value=value)
