"""Put entries out of date: one by its call or key, many by a tag, all of a namespace; each in one step.

``purge`` leaves nothing to serve, ``expire`` what may stand in where there is nothing better. Both win every
race: a load that began before stores nothing after.
"""

from __future__ import annotations

from collections.abc import Sequence

from cachepolicy.errors import StoreError
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.plan import Call, Plan
from cachepolicy.flow.resilience import Budget, ask
from cachepolicy.flow.single_flight import Flights
from cachepolicy.flow.stores import Site
from cachepolicy.flow.versions import Versions
from cachepolicy.keys.layout import version_key
from cachepolicy.tiers import entries, tags
from cachepolicy.tiers.local import LocalCache
from cachepolicy.tiers.quota import Quota


def invalidate(plan: Plan, call: Call, *, purge: bool = True) -> Flow[bool]:
    """Put a call's entry out of date, in both tiers and everywhere; tell whether there was one.

    Raises:
        StoreError: Redis could not be told; L1 is cleared all the same, and Redis is told when it is back.
    """
    return (
        yield from invalidate_key(
            plan.site,
            plan.flights,
            plan.local,
            call.key,
            plan.patience.deadline,
            purge=purge,
            quota=plan.quota,
        )
    )


def invalidate_key(
    site: Site,
    flights: Flights,
    local: LocalCache | None,
    key: str,
    deadline: float,
    *,
    purge: bool,
    quota: Quota | None = None,
) -> Flow[bool]:
    """Put an entry out of date by its key; otherwise as ``invalidate``."""
    hearing = site.hearing
    flights.fence(key)
    held = local is not None and local.drop(key)
    notice = hearing.watch.notice(key)
    command = entries.invalidate(key, hearing.names, notice, purge=purge, quota=quota)
    try:
        stored = yield from ask(site.guard, command, Budget(site.clock, deadline))
    except StoreError as fault:
        hearing.unsaid([notice], fault)
        site.replay.keep_invalidation(key)
        raise
    finally:
        if local is not None:  # a lookup may have read Redis before and filled L1 since
            local.drop(key)
    hearing.wake(key)
    return held or stored


def invalidate_tags(
    site: Site, versions: Versions, ids: Sequence[bytes], deadline: float, *, purge: bool
) -> Flow[None]:
    """Put all entries that carry one of the tags out of date.

    Raises:
        StoreError: Redis could not be told; L1 is cleared all the same, and Redis is told when it is back.
    """
    hearing = site.hearing
    hearing.purged(versions.prefix, ids)
    notices = [hearing.watch.notice(version_key(versions.prefix, tag)) for tag in ids]
    command = tags.bump(versions.prefix, ids, versions.life, hearing.names, notices, purge=purge)
    try:
        yield from ask(site.guard, command, Budget(site.clock, deadline))
    except StoreError as fault:
        hearing.unsaid(notices, fault)
        for tag in ids:
            site.replay.keep_version(versions.prefix, tag, versions.life, purge=purge)
        raise
    finally:
        hearing.purged(versions.prefix, ids)  # a lookup may have read the old versions meanwhile
