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
import os
from functools import partial
from typing import Final

from cachepolicy.clock import SYSTEM
from cachepolicy.errors import Fault, StoreError
from cachepolicy.flow import incidents
from cachepolicy.flow.drive import run
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.lookup import Lookup
from cachepolicy.flow.plan import Plan
from cachepolicy.flow.resilience import Budget, ask
from cachepolicy.tiers import entries
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.entries import Asked, Verdict

_RENEWED_AT: Final = 1 / 3  # of the lease
_NO_ANSWER: Final = frozenset(
    {Fault.REFUSED, Fault.TIMEOUT, Fault.LOST, Fault.PROTOCOL, Fault.BACKPRESSURE, Fault.OPEN, Fault.CLOSED}
)


def ask_for(lookup: Lookup, *, over: str = "") -> Flow[Asked]:
    """Ask for the lease of an entry; once granted, the lookup says when its load began.

    Args:
        lookup: whose load it is.
        over: the token of a holder that does not count; ``ANYBODY``: whoever it is.

    Raises:
        StoreError: Redis did not answer.
    """
    plan, site = lookup.plan, lookup.plan.site
    lookup.token = entries.token(lookup.versions or b"")
    command = entries.acquire(lookup.call.key, lookup.token, plan.patience.lease, lookup.seen, over=over)
    try:
        asked = yield from ask(site.guard, command, lookup.budget)
    except (StoreError, GeneratorExit):
        raise
    except BaseException:  # cancelled, or interrupted, while the lease may have been granted
        let_go(lookup)
        raise
    site.time.learn(asked.now)
    if asked.verdict is Verdict.GRANTED:
        lookup.began = asked.now
        lookup.seen = asked.stamp
    return asked


def give_back(lookup: Lookup, *, cooling: float) -> Flow[None]:
    """End a lease without a value; those who wait are told.

    Args:
        lookup: whose lease it is.
        cooling: seconds before anybody tries again.
    """
    if not lookup.token:
        return
    plan, site = lookup.plan, lookup.plan.site
    command = entries.release(lookup.call.key, lookup.token, cooling, site.hearing.names)
    lookup.token = ""
    try:
        yield from ask(site.guard, command, lookup.budget)
    except StoreError as fault:  # it ends by itself
        lookup.note(incidents.fault(plan, fault))
    site.hearing.wake(lookup.call.key)


def let_go(lookup: Lookup, fault: StoreError | None = None) -> None:
    """End a lease behind the caller's back: it is not to wait for that, or cannot.

    Args:
        lookup: whose lease it is.
        fault: why the value was not stored; a server that did not answer is asked a little later.
    """
    plan, key, token = lookup.plan, lookup.call.key, lookup.token
    lookup.token = ""
    if token:
        pause = plan.patience.lease * _RENEWED_AT if fault is not None and fault.fault in _NO_ANSWER else 0.0
        plan.site.background.at(SYSTEM.monotonic() + pause, partial(_release, plan, key, token))


class Renewal:
    """Keeps a lease while its load runs, whatever the load's thread or loop is busy with."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup: Lookup | None = lookup if lookup.token else None
        self._loop = asyncio.get_running_loop() if lookup.plan.is_async else None
        self._process = os.getpid()
        self._is_abandoned = False
        self._schedule()

    def end(self) -> None:
        """Renew no more, and hold on to nothing of the call."""
        lookup = self._lookup
        if lookup is None or self._is_abandoned:
            return
        self._lookup = None
        if self._process != os.getpid():  # forked off amid the load: the lease is the parent's
            lookup.token = ""

    def abandon(self) -> None:
        """Have the lease released by a thread, soon. It waits for no lock: garbage collection may call."""
        self._is_abandoned = True
        lookup = self._lookup
        if lookup is not None:
            lookup.plan.site.background.hurry(self._renew)

    def _schedule(self) -> None:
        lookup = self._lookup
        if lookup is not None:
            plan = lookup.plan
            plan.site.background.at(SYSTEM.monotonic() + plan.patience.lease * _RENEWED_AT, self._renew)

    def _renew(self) -> None:
        lookup = self._lookup
        if lookup is None:
            return
        plan, key, token = lookup.plan, lookup.call.key, lookup.token
        if self._is_abandoned or (self._loop is not None and self._loop.is_closed()):  # it will never end
            self._lookup = None
            _release(plan, key, token)
            return
        try:
            held = _ask(plan, entries.renew(key, token, plan.patience.lease, plan.site.hearing.names))
        except StoreError as fault:  # the next time is soon enough: three fit into a lease
            incidents.fault(plan, fault)
            held = True
        if held:
            self._schedule()


def _release(plan: Plan, key: str, token: str) -> None:
    """End a lease from a thread of our own."""
    try:
        _ask(plan, entries.release(key, token, 0.0, plan.site.hearing.names))
    except StoreError as fault:  # it ends by itself
        incidents.fault(plan, fault)
    plan.site.hearing.wake(key)


def _ask(plan: Plan, command: Command[bool]) -> bool:
    site = plan.site
    return run(ask(site.guard, command, Budget(plan.clock, plan.patience.deadline)), site.sync_io())
