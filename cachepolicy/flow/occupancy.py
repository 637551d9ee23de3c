"""Calls that run at once: each holds a place on a lease, which is renewed at a third of it and always ends.

::

    enter ──▶ a place: the call, renewing ──▶ leave
          ──▶ none is free: no, or ask again for as long as the caller would wait
          ──▶ Redis is out: as ``on_fault`` says
"""

from __future__ import annotations

import asyncio
import os
import secrets
from typing import Final

from cachepolicy.clock import SYSTEM
from cachepolicy.errors import RateLimitExceeded, StoreError
from cachepolicy.flow import incidents
from cachepolicy.flow.decision import Decision, LimitState
from cachepolicy.flow.drive import run
from cachepolicy.flow.effects import Flow, sleep
from cachepolicy.flow.limiter import Claim, LimitFault, Places
from cachepolicy.flow.verdict import refusal
from cachepolicy.tiers import limit_leases
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.limit_leases import Entered

_RENEWED_AT: Final = 1 / 3  # of the lease
_FIRST_PAUSE: Final = 0.02  # seconds until a caller who waits asks again
_LONGEST_PAUSE: Final = 0.5


class Place:
    """A place that a call holds.

    Args:
        claim: of the call.
        places: how many there are.
        lease_id: it is known by in Redis; empty: it is one of this process alone.
    """

    def __init__(self, claim: Claim, places: Places, lease_id: str) -> None:
        self._claim = claim
        self._lease = places.lease
        self._id = lease_id
        self._process = os.getpid()
        self._loop = asyncio._get_running_loop()  # noqa: SLF001 - the public function raises where None is meant
        self._is_held = True
        self._is_abandoned = False
        if lease_id:
            self._schedule()

    def leave(self) -> Flow[None]:
        """Give it back; once."""
        if not self._is_held or self._process != os.getpid():  # forked off amid the call: it is the parent's
            return
        self._is_held = False
        limiter, key = self._claim.limiter, self._claim.key
        if not self._id:
            limiter.local_places.leave(key)
            return
        try:
            yield from limiter.ask(limit_leases.leave(key, self._id))
        except StoreError as fault:  # it ends by itself
            incidents.fault(limiter, fault, "a place is free when its lease ends")

    def abandon(self) -> None:
        """Have it given back when it would be renewed. It takes no lock: garbage collection may call."""
        self._is_abandoned = True

    def _schedule(self) -> None:
        at = SYSTEM.monotonic() + self._lease / 1000 * _RENEWED_AT
        self._claim.limiter.site.background.at(at, self._renew)

    def _renew(self) -> None:
        """Hold it for another lease: from a thread, so that a busy loop does not lose it."""
        if not self._is_held or self._process != os.getpid():
            return
        if self._is_abandoned or (self._loop is not None and self._loop.is_closed()):  # its call never ends
            run(self.leave(), self._claim.limiter.site.sync_io())
            return
        try:
            self._ask(limit_leases.stay(self._claim.key, self._id, self._lease))
        except StoreError as fault:  # the next time is soon enough: three fit into a lease
            incidents.fault(self._claim.limiter, fault, "a place is renewed later")
        self._schedule()

    def _ask(self, command: Command[bool]) -> bool:
        limiter = self._claim.limiter
        return run(limiter.ask(command), limiter.site.sync_io())


def enter(claim: Claim, most_wait: int = 0) -> Flow[Place | None]:
    """Take a place; None where the rule has none to take, or lets the call pass without.

    Args:
        claim: of the call.
        most_wait: ms that the caller would wait for one; who waits longest is not the first to get it.

    Raises:
        RateLimitExceeded: none is free.
    """
    places = claim.quota.places
    if places is None:
        return None
    limiter, waited, pause = claim.limiter, 0.0, _FIRST_PAUSE
    lease_id = secrets.token_hex(8)
    while True:
        entered = yield from _asked(claim, places, lease_id)
        if isinstance(entered, Place) or entered is None:
            return entered
        left = most_wait / 1000 - waited
        if limiter.shadow or left <= 0:
            break
        rest = min(pause, left)
        yield from sleep(rest)
        waited, pause = waited + rest, min(2 * pause, _LONGEST_PAUSE)
    if limiter.shadow:
        limiter.tally.shadow += 1
        return None
    limiter.tally.exceeded += 1
    limiter.tally.denied += 1
    raise _full(claim, places, entered, degraded=False)


def _asked(claim: Claim, places: Places, lease_id: str) -> Flow[Place | Entered | None]:
    """Ask for a place; decide as ``on_fault`` says where Redis cannot be asked."""
    limiter = claim.limiter
    command = limit_leases.enter(claim.key, lease_id, places.most, places.lease)
    try:
        entered = yield from limiter.ask(command)
    except StoreError as fault:
        incidents.fault(limiter, fault, f"on_fault: {limiter.on_fault} says what becomes of calls")
        limiter.tally.degraded += 1
        if limiter.on_fault is LimitFault.ALLOW or limiter.shadow:
            return None
        if limiter.on_fault is LimitFault.LOCAL:
            mine = max(1, int(places.most * limiter.share))
            if limiter.local_places.enter(claim.key, mine):
                return Place(claim, places, "")
        limiter.tally.exceeded += 1
        none = Entered(allowed=False, now=int(limiter.clock.wall() * 1000), running=0, retry=limiter.pause)
        raise _full(claim, places, none, degraded=True) from None
    except GeneratorExit:
        raise
    except BaseException:  # cancelled, or interrupted, while a place may have been given
        Place(claim, places, lease_id).abandon()
        raise
    return Place(claim, places, lease_id) if entered.allowed else entered


def _full(claim: Claim, places: Places, entered: Entered, *, degraded: bool) -> RateLimitExceeded:
    retry = entered.retry / 1000
    name = f"concurrency {places.most}"
    state = LimitState(name, "concurrency", places.most, 0.0, 0, retry, retry)
    told = Decision(
        allowed=False,
        rule=claim.limiter.rule,
        states=(state,),
        binding=state,
        now=entered.now / 1000,
        degraded=degraded,
    )
    return refusal(told, f"{places.most} calls run at once, and no more may")
