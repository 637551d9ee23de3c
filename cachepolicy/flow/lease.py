"""One load per key among all processes (C3): the lease of an entry, from asking for it to its end.

::

    ask ──▶ granted ──▶ load, renewing at a third of the lease ──▶ store, or release
     ▲  ╲─▶ changed ──▶ look again
     │  ╲─▶ cooling ──▶ it failed a moment ago: what is out of date answers, else load
     │  ╲─▶ held ──▶ wait for a push
     ╰───────────────────────┘  changed, released, or silent for as long as the lease runs
"""

from __future__ import annotations

import asyncio
from typing import Final

from cachepolicy.clock import SYSTEM
from cachepolicy.errors import StoreError
from cachepolicy.flow import incidents
from cachepolicy.flow.drive import run
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.lookup import Lookup
from cachepolicy.flow.resilience import Budget, ask
from cachepolicy.tiers import entries
from cachepolicy.tiers.entries import Asked, Verdict

_RENEWED_AT: Final = 1 / 3  # of the lease


def ask_for(lookup: Lookup, *, force: bool = False) -> Flow[Asked]:
    """Ask for the lease of an entry; once granted, the lookup says when its load began.

    Raises:
        StoreError: Redis did not answer.
    """
    plan, site = lookup.plan, lookup.plan.site
    lookup.token = entries.token(lookup.versions or b"")
    command = entries.acquire(lookup.call.key, lookup.token, plan.patience.lease, lookup.seen, force=force)
    asked = yield from ask(site.guard, command, lookup.budget)
    site.time.learn(asked.now)
    if asked.verdict is Verdict.GRANTED:
        lookup.began = asked.now
        lookup.seen = asked.stamp
    return asked


def give_back(lookup: Lookup, *, cooling: bool) -> Flow[None]:
    """End a lease without a value; those who wait are told."""
    if not lookup.token:
        return
    plan, site = lookup.plan, lookup.plan.site
    seconds = plan.life.throttle if cooling else 0.0
    command = entries.release(lookup.call.key, lookup.token, seconds, site.hearing.names)
    lookup.token = ""
    try:
        yield from ask(site.guard, command, lookup.budget)
    except StoreError as fault:  # it ends by itself
        lookup.note(incidents.fault(plan, fault))
    else:
        site.hearing.released(lookup.call.key)  # as after a store


class Renewal:
    """Keeps a lease while its load runs, whatever the load's thread or loop is busy with."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup: Lookup | None = lookup if lookup.token else None
        self._loop = asyncio.get_running_loop() if lookup.plan.is_async else None
        self._schedule()

    def end(self) -> None:
        """Renew no more, and hold on to nothing of the call."""
        self._lookup = None

    def _schedule(self) -> None:
        lookup = self._lookup
        if lookup is not None:
            plan = lookup.plan
            plan.site.background.at(SYSTEM.monotonic() + plan.patience.lease * _RENEWED_AT, self._renew)

    def _renew(self) -> None:
        lookup = self._lookup
        if lookup is None or (self._loop is not None and self._loop.is_closed()):  # its load will never end
            return
        plan, key, token = lookup.plan, lookup.call.key, lookup.token
        site = plan.site
        command = entries.renew(key, token, plan.patience.lease, site.hearing.names)
        try:
            held = run(ask(site.guard, command, Budget(plan.clock, plan.patience.deadline)), site.sync_io())
        except StoreError as fault:  # the next time is soon enough: three fit into a lease
            incidents.fault(plan, fault)
            held = True
        if held:
            self._schedule()
