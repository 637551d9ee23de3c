"""Look in Redis for many calls at once: their entries and the versions of their tags, in one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from cachepolicy.errors import StoreError
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.look import refuse, weigh_whole
from cachepolicy.flow.lookup import Lookup
from cachepolicy.flow.plan import Call, Plan
from cachepolicy.flow.resilience import Budget, ask_all
from cachepolicy.flow.versions import parts_of
from cachepolicy.flow.weigh import Found
from cachepolicy.telemetry.spans import LookupSpan
from cachepolicy.tiers import commands, tags
from cachepolicy.tiers.commands import Command

MOST_IN_ONE_TRIP: Final = 1000
"""Calls for each round trip; Redis has its deadline for each."""


class Looked(NamedTuple):
    """What was read for one call."""

    lookup: Lookup
    blob: bytes | None
    vector: bytes
    fault: StoreError | None

    def weigh(self) -> Flow[Found | None]:
        """Do as ``look``, with what was read.

        Raises:
            StoreError: Redis failed, and the policy says to tell.
            CallDenied: Redis failed, and the policy says to refuse.
        """
        lookup, fault = self.lookup, self.fault
        lookup.budget = replace(lookup.budget)  # from here on, each counts for itself
        if fault is None:
            try:
                return (yield from weigh_whole(lookup, self.blob, self.vector))
            except StoreError as later:
                fault = later
        refuse(lookup, fault)
        return None


def look_for_all(plan: Plan, calls: Sequence[Call], span: LookupSpan) -> Flow[list[Looked]]:
    """Read what is stored for each call, of one caller's span; never raises what Redis failed with."""
    looked: list[Looked] = []
    for at in range(0, len(calls), MOST_IN_ONE_TRIP):
        looked += yield from _one_trip(plan, calls[at : at + MOST_IN_ONE_TRIP], span)
    return looked


def _one_trip(plan: Plan, calls: Sequence[Call], span: LookupSpan) -> Flow[list[Looked]]:
    site, versions = plan.site, plan.versions
    budget = Budget(plan.clock, plan.patience.deadline, span)
    lookups = [Lookup(plan, call, span, budget) for call in calls]
    for lookup in lookups:
        lookup.begin()
    now = plan.clock.monotonic()
    sorts = dict.fromkeys(call.tags for call in calls)
    known = {
        tag: versions.vector((tag,), now) for tag in dict.fromkeys(tag for sort in sorts for tag in sort)
    }
    unknown = [tag for tag, part in known.items() if part is None]
    epoch = versions.epoch()
    asked: list[Command[Any]] = _reads(plan, calls)
    if unknown:
        site.hearing.watch.start()  # while it does not run, no version is trusted for long
        asked.append(tags.read(plan.prefix, unknown, versions.life))
    results = yield from ask_all(site.guard, asked, budget)
    if unknown:
        read = results.pop()
        if isinstance(read, StoreError):
            return [Looked(lookup, None, b"", read) for lookup in lookups]
        learned = versions.learn(unknown, read, plan.clock.monotonic() + plan.trust_versions(), epoch)
        known |= zip(unknown, parts_of(learned), strict=True)
    vectors = {sort: b"".join(known[tag] or b"" for tag in sort) for sort in sorts}
    if not site.guard.routed:
        (read,) = results
        results = [read] * len(lookups) if isinstance(read, StoreError) else read
    looked = [
        Looked(lookup, None, vectors[call.tags], found)
        if isinstance(found, StoreError)
        else Looked(lookup, found, vectors[call.tags], None)
        for lookup, call, found in zip(lookups, calls, results, strict=True)
    ]
    results.clear()  # what drives the flow holds the list until the next effect
    return looked


def _reads(plan: Plan, calls: Sequence[Call]) -> list[Command[Any]]:
    """Return what reads all entries: one command, or one for each where servers share the keys."""
    keys = [call.key for call in calls]
    return [commands.get(key) for key in keys] if plan.site.guard.routed else [commands.get_all(keys)]
