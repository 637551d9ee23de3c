"""A Redis Cluster for ``async def``: one leaf for each of its servers; a batch asks them all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeVar

from cachepolicy.errors import Fault, StoreError, StoreMisconfigured
from cachepolicy.tiers import redis_async
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.endpoint import Host
from cachepolicy.tiers.ports import AsyncStore
from cachepolicy.tiers.replies import Redirected, store_error
from cachepolicy.tiers.routing import Group, Itinerary
from cachepolicy.tiers.slots import Owners, slots_question
from cachepolicy.tiers.topology import Topology, Turn

T = TypeVar("T")


def connect(place: Place, *, loop: asyncio.AbstractEventLoop | None = None) -> ClusterAsync:
    """Build the store; nothing is connected before it is used.

    Args:
        place: the cluster.
        loop: that it belongs to; None for the running one.
    """
    return ClusterAsync(place, loop or asyncio.get_running_loop())


class ClusterAsync:
    """``AsyncStore`` over the masters of a cluster.

    Commands that follow ASK have connections of their own: a cancelled one could leave its ASKING behind, and
    there it can only meet another ASKING.
    """

    def __init__(self, place: Place, loop: asyncio.AbstractEventLoop) -> None:
        self._place = place
        self._loop = loop
        self._patience = place.endpoint.connect_timeout + place.endpoint.deadline
        self._stagger = place.endpoint.deadline / 4
        self._topology = Topology(place.endpoint.address.hosts)
        self._leaves: dict[Turn, AsyncStore] = {}
        self._leaving: set[Turn] = set()
        self._asking: asyncio.Task[None] | None = None
        self._closed = False

    async def execute(self, command: Command[T], timeout: float) -> T:
        """Carry out a command; redirects are followed within the timeout."""
        deadline = self._loop.time() + timeout
        topology = self._topology
        if topology.is_due() or not topology.is_known:
            await self._learn(timeout)
        host = topology.owner(command.key)
        if host is None:
            raise topology.nobody()
        turn = Turn(host)
        try:
            result = await self._leaf(turn).execute(command, deadline - self._loop.time())
        except Redirected as moved:
            itinerary = Itinerary(topology, [command], topology.redirect(turn, moved))
        except StoreError as fault:
            topology.failed(host, fault)
            raise
        else:
            topology.answered(host)
            return result
        outcome: T | StoreError = (await self._travel(itinerary, deadline))[0]
        if isinstance(outcome, StoreError):
            raise outcome
        return outcome

    async def execute_all(self, commands: Sequence[Command[Any]], timeout: float) -> list[Any | StoreError]:
        """Carry out several: all servers that have some of their keys are asked at once."""
        deadline = self._loop.time() + timeout
        if self._topology.is_due() or not self._topology.is_known:
            await self._learn(timeout)
        return await self._travel(Itinerary(self._topology, commands), deadline)

    def node(self, key: str) -> str:
        """Name the master that has a key; empty while it is not known."""
        topology = self._topology
        if topology.is_due() and topology.is_known:
            self._ask_soon()  # while its breaker is open, nobody else would ask who replaces a master
        return topology.name(key)

    def spread(self) -> list[str]:
        """Return keys, one on each master that has any; none while they are not known."""
        return self._topology.spread()

    async def aclose(self) -> None:
        """Close the connections."""
        self._closed = True
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])
        while self._leaves:
            _, leaf = self._leaves.popitem()
            await leaf.aclose()

    def _leaf(self, turn: Turn) -> AsyncStore:
        leaf = self._leaves.get(turn)
        if leaf is None:
            if self._closed:
                raise store_error(Fault.CLOSED, sent=False)
            leaf = self._leaves[turn] = redis_async.connect(self._place, turn.host, loop=self._loop)
        if self._leaving:
            self._leaving.discard(turn)
        return leaf

    async def _travel(self, itinerary: Itinerary, deadline: float) -> list[Any | StoreError]:
        while groups := itinerary.groups():
            left = deadline - self._loop.time()
            stages = [self._stage(itinerary, turn, group, left) for turn, group in groups.items()]
            if len(stages) == 1:
                await stages[0]
            else:
                await asyncio.gather(*stages)
        return itinerary.outcomes

    async def _stage(self, itinerary: Itinerary, turn: Turn, group: Group, left: float) -> None:
        outcomes: Sequence[Any | StoreError]
        try:
            outcomes = await self._leaf(turn).execute_all(itinerary.commands(turn, group), left)
        except StoreError as fault:
            outcomes = [fault] * (len(group) << turn.asking)
        itinerary.arrive(turn, group, outcomes)

    async def _learn(self, timeout: float) -> None:
        """Have the map asked for; wait for it only while there is none."""
        self._ask_soon()
        if self._asking is not None and not self._topology.is_known:
            await asyncio.wait([self._asking], timeout=timeout)

    def _ask_soon(self) -> None:
        topology = self._topology
        if (self._asking is None or self._asking.done()) and not self._closed:
            patience = self._patience * len(topology.candidates())
            if topology.claim(patience):
                self._asking = self._loop.create_task(self._ask_around())

    async def _ask_around(self) -> None:
        """Ask one server after another; a silent one holds up nobody, the next is asked beside it."""
        topology = self._topology
        fault = store_error(Fault.REFUSED, sent=False)
        hosts = iter(topology.candidates())
        host = next(hosts, None)
        asked: set[asyncio.Task[Owners | StoreError]] = set()
        try:
            while asked or host is not None:
                if host is not None:
                    asked.add(self._loop.create_task(self._ask(host)))
                    host = next(hosts, None)
                answers, asked = await asyncio.wait(
                    asked,
                    timeout=None if host is None else self._stagger,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for answer in (task.result() for task in answers):
                    if not isinstance(answer, StoreError):
                        topology.learn(answer)
                        await self._retire()
                        return
                    fault = answer
                    if isinstance(fault, StoreMisconfigured):
                        host, hosts = None, iter(())  # the others would say the same
            topology.unlearned(fault)
        finally:
            self._asking = None
            for task in asked:
                task.cancel()

    async def _ask(self, host: Host) -> Owners | StoreError:
        try:
            owners = await self._leaf(Turn(host)).execute(slots_question(host), self._patience)
        except StoreError as fault:
            self._topology.failed(host, fault)
            return fault
        self._topology.answered(host)
        return owners

    async def _retire(self) -> None:
        """Close connections to servers that own nothing, and were not used since that was seen."""
        masters = self._topology.masters()
        for turn in [turn for turn in self._leaves if turn.host not in masters]:
            if turn in self._leaving:
                self._leaving.discard(turn)
                await self._leaves.pop(turn).aclose()
            else:
                self._leaving.add(turn)
