"""A look at the servers of a policy: what each is asked, and what came back. Nothing is judged here.

::

    first round trip    a canary is written, read and removed; INFO; in a cluster CLUSTER INFO
    second              PING and TIME, by themselves: connecting, and making INFO's reply, take longer

The breakers that spare calls are not asked: a look is what finds out whether a server is back.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cachepolicy.chance import chance
from cachepolicy.clock import Clock
from cachepolicy.errors import Fault, StoreError
from cachepolicy.flow.breaker import BreakerRule
from cachepolicy.flow.drive import arun, run
from cachepolicy.flow.effects import AsyncIO, Flow, Route, SyncIO, spread
from cachepolicy.flow.repeating import RetryRule
from cachepolicy.flow.resilience import Budget, Guard, ask_all
from cachepolicy.flow.stores import Site, Stores
from cachepolicy.tiers import commands, health
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.health import Info

SILENT: Final = frozenset(
    {
        Fault.REFUSED,
        Fault.TIMEOUT,
        Fault.LOST,
        Fault.PROTOCOL,
        Fault.BACKPRESSURE,
        Fault.CLOSED,
        Fault.OPEN,
        Fault.CLIENTS,
        Fault.AUTH,
        Fault.TLS,
        Fault.DATABASE,
    }
)
"""Faults of a server that cannot be spoken with; with any other it has answered."""

_RETRY: Final = RetryRule(attempts=2, on_timeout=False, budget=1.0)  # a connection may have been closed
_BREAKER: Final = BreakerRule(failures=1000)  # it never opens in one look


@dataclass(frozen=True, slots=True)
class Look:
    """What came of looking at one server.

    Attributes:
        node: of a cluster, as ``host:port``; empty: there is one server.
        fault: why it could not be spoken with; None: it answered.
        refusal: why the canary could not be written, or was not found again; None: it was, or was not tried.
        ping: seconds that PING took.
        skew: seconds that its clock is ahead of ours.
        info: what it told of itself.
        cluster: what it told of its cluster.
        at: when, on the monotonic clock.
        tried: whether the canary was.
    """

    node: str
    fault: Fault | None
    refusal: Fault | None
    ping: float | None = None
    skew: float | None = None
    info: Info | None = None
    cluster: Info | None = None
    at: float = 0.0
    tried: bool = True


@dataclass(frozen=True, slots=True)
class Spot:
    """Where to look: a site, and what a key that is written there must begin with."""

    site: Site
    prefix: str


def look(spot: Spot, seconds: float) -> Flow[list[Look]]:
    """Look at each server of a site; takes so many seconds at most, and raises nothing that they do."""
    site, clock = spot.site, spot.site.clock
    budget = Budget(clock, seconds)
    try:
        keys = yield from _keys(budget)
        if isinstance(keys, Fault):
            return [_nobody(keys, clock)]
        asked = [_questions(spot, key) for key in keys]
        answers = yield from _ask([command for each in asked for command in each], budget)
    except StoreError as fault:  # the time is over
        return [_nobody(fault.fault, clock)]
    looks: list[Look] = []
    for key, questions in zip(keys, asked, strict=True):
        mine, answers = answers[: len(questions)], answers[len(questions) :]
        node: str = (yield Route(key)) if site.place.endpoint.is_cluster else ""
        looks.append((yield from _one(site, key, node, mine, budget)))
    return looks


def _keys(budget: Budget) -> Flow[list[str] | Fault]:
    """Return keys, one on each server; or why it is not known which there are."""
    keys: list[str] = yield from spread()
    if not keys:  # of a cluster nothing is known before the first command
        (answer,) = yield from _ask([health.ping("")], budget)
        keys = yield from spread()
        if not keys:
            return answer.fault if isinstance(answer, StoreError) else Fault.CLUSTERDOWN
    return keys


def _questions(spot: Spot, key: str) -> list[Command[Any]]:
    tag = f"{{{key}}}:" if key else ""
    canary = f"{spot.prefix}canary:{tag}{secrets.token_hex(8)}"
    asked = [*health.canary(canary), health.info(key or canary)]
    return [*asked, health.cluster_info(key or canary)] if spot.site.place.endpoint.is_cluster else asked


def _one(site: Site, key: str, node: str, answers: list[Any], budget: Budget) -> Flow[Look]:
    """Make a look of what one server answered, and ask it how quick it is."""
    clock = site.clock
    put, same, _, told, *cluster = answers
    faults = [answer.fault for answer in answers if isinstance(answer, StoreError)]
    if len(faults) == len(answers) and faults[0] in SILENT:
        return Look(node, faults[0], None, at=clock.monotonic(), tried=False)
    refusal = _fault_of(put) or _fault_of(same) or (None if same is True else Fault.PROTOCOL)
    info, of_cluster = _info_of(told), _info_of(cluster[0]) if cluster else None
    began, sent_at = clock.monotonic(), clock.wall()
    try:
        pong, time = yield from _ask([health.ping(key), commands.time(key)], budget)
    except StoreError as fault:  # the time is over
        pong, time = fault, fault
    took = clock.monotonic() - began
    silent = _fault_of(pong)
    if silent in SILENT:
        return Look(node, silent, refusal, None, None, info, of_cluster, clock.monotonic())
    skew = time - (sent_at + took / 2) if isinstance(time, float) else None
    return Look(node, None, refusal, took, skew, info, of_cluster, clock.monotonic())


def _ask(asked: Sequence[Command[Any]], budget: Budget) -> Flow[list[Any | StoreError]]:
    """Ask past the breakers. Raises StoreError: the time is over."""
    guard = Guard(_RETRY, _BREAKER, budget.clock, chance)
    return (yield from ask_all(guard, asked, budget))


def _nobody(fault: Fault, clock: Clock) -> Look:
    return Look("", fault, None, at=clock.monotonic(), tried=False)


def _fault_of(answer: object) -> Fault | None:
    return answer.fault if isinstance(answer, StoreError) else None


def _info_of(answer: object) -> Info | None:
    return answer if isinstance(answer, Info) else None


@dataclass(slots=True)
class LookAround:
    """Look at the servers of several sites, each over its own connections.

    Attributes:
        stores: whose connections.
        spots: where to look.
        seconds: the most that it may take in all.
        clock: of the process.
    """

    stores: Stores
    spots: Sequence[Spot]
    seconds: float
    clock: Clock

    def run(self, io: SyncIO) -> list[list[Look]]:  # noqa: ARG002 - each site has its own
        """Look at one after another; a silent one leaves time for the next."""
        until = self.clock.monotonic() + self.seconds
        found: list[list[Look]] = []
        for number, spot in enumerate(self.spots):
            left = (until - self.clock.monotonic()) / (len(self.spots) - number)
            found.append(run(look(spot, left), self.stores.sync_io(spot.site)))
        return found

    def arun(self, io: AsyncIO) -> Awaitable[list[list[Look]]]:  # noqa: ARG002 - as above
        """Look at all of them at once."""

        async def at(spot: Spot) -> list[Look]:
            return await arun(look(spot, self.seconds), self.stores.async_io(spot.site))

        async def everywhere() -> list[list[Look]]:
            return await asyncio.gather(*[at(spot) for spot in self.spots])

        return everywhere()


def look_around(
    stores: Stores, spots: Sequence[Spot], seconds: float, clock: Clock
) -> Flow[list[list[Look]]]:
    """Look at the servers of several sites; returns what was found at each, in order."""
    found: list[list[Look]] = yield LookAround(stores, spots, seconds, clock)
    return found
