"""A namespace within its quota: what stands there uncounted is found behind callers' backs, and counted.

That is so when a quota is given to a cache that has entries, or Redis has lost the count: once, page by page.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from cachepolicy.errors import StoreError
from cachepolicy.flow.detaching import volunteer
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.resilience import Budget, ask
from cachepolicy.flow.stores import Site
from cachepolicy.tiers import commands, quota
from cachepolicy.tiers.quota import Quota

_PAGE: Final = 250  # keys that are looked at in one step: a quarter of a millisecond
_PATIENCE: Final = 5.0  # seconds for each: nobody waits


def count_rest(site: Site, prefix: str, of: Quota, errors: Counter[str]) -> Flow[None]:
    """Have what nobody has counted counted, if there may be any; it goes on without its caller.

    Args:
        site: where it is.
        prefix: what the keys of its namespace begin with.
        of: the namespace's quota.
        errors: where it is counted that it could not be done.
    """
    if of.uncounted:
        of.uncounted = False
        yield from volunteer(_count(site, prefix, of, errors), _nothing)


def _count(site: Site, prefix: str, of: Quota, errors: Counter[str]) -> Flow[None]:
    cursor = -1
    try:
        while cursor:
            page = commands.scan(max(cursor, 0), prefix, _PAGE)
            cursor, keys = yield from ask(site.guard, page, Budget(site.clock, _PATIENCE))
            if keys:
                yield from ask(site.guard, quota.adopt(of, keys), Budget(site.clock, _PATIENCE))
        of.uncounted = False  # it was anew at the first page, if nothing had been stored yet
    except StoreError as fault:  # what is not counted ends by its TTL
        errors[str(fault.fault)] += 1


def _nothing() -> None:
    """Nobody waits for it."""
