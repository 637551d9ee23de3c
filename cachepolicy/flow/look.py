"""Look in Redis: the entry and, where they are not known, the versions of its tags, in one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from cachepolicy.errors import CallDenied, Fault, StoreError
from cachepolicy.flow import incidents
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.lookup import Lookup
from cachepolicy.flow.plan import OnFault
from cachepolicy.flow.resilience import Budget, ask, ask_all
from cachepolicy.flow.versions import ids_of
from cachepolicy.flow.weigh import Found, Worth, weigh
from cachepolicy.tiers import commands, tags
from cachepolicy.tiers.commands import Command

_TAKES_NO_WRITES: Final = frozenset({Fault.OOM, Fault.READONLY, Fault.MISCONF, Fault.NOREPLICAS})


def look(lookup: Lookup) -> Flow[Found | None]:
    """Return what is stored and of use; None where nothing is, or Redis is out.

    Raises:
        StoreError: Redis failed, and the policy says to tell.
        CallDenied: Redis failed, and the policy says to refuse.
    """
    plan = lookup.plan
    lookup.begin()
    site, call = plan.site, lookup.call
    try:
        if site.replay:
            yield from site.replay.settle(site.guard, lookup.budget, call.key, plan.prefix, call.tags)
        vector = plan.versions.vector(call.tags, plan.clock.monotonic())
        if vector is not None:
            blob = yield from ask(site.guard, commands.head(call.key), lookup.budget)
        else:
            blob, vector = yield from _both(lookup)
    except StoreError as fault:
        refuse(lookup, fault)
        return None
    return (yield from look_closer(lookup, blob, vector))


def look_closer(lookup: Lookup, blob: bytes | None, vector: bytes) -> Flow[Found | None]:
    """Do as ``look`` from the first bytes on; ``vector``: the current versions of the call's tags."""
    plan = lookup.plan
    guard, replay = plan.site.guard, plan.site.replay
    try:
        if blob is not None and len(blob) >= commands.HEAD:
            blob = yield from ask(guard, commands.get(lookup.call.key), lookup.budget)
        if replay and not replay.draining:  # Redis is back
            half = lookup.budget.left / 2  # sync code replays here: this call is to have time for itself too
            share = Budget(plan.clock, half, lookup.budget.witness)
            yield from replay.start(guard, share)
            lookup.budget.left = half + share.left
        return (yield from weigh_whole(lookup, blob, vector))
    except StoreError as fault:
        refuse(lookup, fault)
        return None


def weigh_whole(lookup: Lookup, blob: bytes | None, vector: bytes) -> Flow[Found | None]:
    """Do as ``weigh``, and read the versions of tags that it does not know.

    Raises:
        StoreError: Redis failed.
    """
    found = weigh(lookup, blob, vector)
    if found is not None and found.worth is Worth.UNKNOWN:
        yield from learn(lookup, ids_of(found.header.versions))
        found = weigh(lookup, blob, vector)
    return None if found is None or found.worth is Worth.UNKNOWN else found


def learn(lookup: Lookup, ids: Sequence[bytes]) -> Flow[bytes]:
    """Read versions of tags; return them as a value carries them.

    Raises:
        StoreError: Redis failed.
    """
    plan, versions = lookup.plan, lookup.plan.versions
    epoch = versions.epoch()
    command = tags.read(plan.prefix, ids, versions.life)
    try:
        found = yield from ask(plan.site.guard, command, lookup.budget)
    except StoreError as fault:
        found = yield from _known(lookup, ids, fault)
    return versions.learn(ids, found, plan.clock.monotonic() + plan.trust_versions(), epoch)


def refuse(lookup: Lookup, fault: StoreError) -> None:
    """Go on without Redis, where the policy lets it.

    Raises:
        StoreError: the policy says to tell.
        CallDenied: the policy says to refuse.
    """
    plan = lookup.plan
    lookup.note(incidents.fault(plan, fault))
    if plan.on_fault is OnFault.RAISE:
        raise fault
    if plan.on_fault is OnFault.DENY:
        raise CallDenied(f"{plan.name}: refused, as on_fault: deny says, while Redis is out") from fault


def _known(lookup: Lookup, ids: Sequence[bytes], fault: StoreError) -> Flow[list[bytes]]:
    """Read versions of tags from a server that takes no writes: what it holds may still answer."""
    if fault.fault not in _TAKES_NO_WRITES:
        raise fault
    return (yield from ask(lookup.plan.site.guard, tags.known(lookup.plan.prefix, ids), lookup.budget))


def _both(lookup: Lookup) -> Flow[tuple[bytes | None, bytes]]:
    """Read the entry's first bytes and the versions of the call's tags."""
    plan, call, versions = lookup.plan, lookup.call, lookup.plan.versions
    plan.site.hearing.watch.start()  # while it does not run, no version is trusted for long
    epoch = versions.epoch()
    asked: tuple[Command[Any], ...] = (
        commands.head(call.key),
        tags.read(plan.prefix, call.tags, versions.life),
    )
    blob, read = yield from ask_all(plan.site.guard, asked, lookup.budget)
    if isinstance(blob, StoreError):
        raise blob
    if isinstance(read, StoreError):
        read = yield from _known(lookup, call.tags, read)
    until = plan.clock.monotonic() + plan.trust_versions()
    return blob, versions.learn(call.tags, read, until, epoch)
