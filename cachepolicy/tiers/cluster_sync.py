"""A Redis Cluster for ``def``: one leaf for each of its servers; a batch asks them one after another."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, TypeVar

from cachepolicy.clock import SYSTEM
from cachepolicy.errors import Fault, StoreError, StoreMisconfigured
from cachepolicy.tiers import redis_sync
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.redis_sync import RedisSync
from cachepolicy.tiers.replies import Redirected, store_error
from cachepolicy.tiers.routing import Itinerary
from cachepolicy.tiers.slots import slots_question
from cachepolicy.tiers.topology import Topology, Turn

T = TypeVar("T")

_now = SYSTEM.monotonic


def connect(place: Place) -> ClusterSync:
    """Build the store; nothing is connected before it is used."""
    return ClusterSync(place)


class ClusterSync:
    """``SyncStore`` over the masters of a cluster."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._topology = Topology(place.endpoint.address.hosts)
        self._leaves: dict[Turn, RedisSync] = {}
        self._leaving: set[Turn] = set()
        self._asked = threading.Event()  # set when whoever asks for the map has heard
        self._closed = False

    def execute(self, command: Command[T], timeout: float) -> T:
        """Carry out a command; redirects are followed within the timeout."""
        deadline = _now() + timeout
        topology = self._topology
        if topology.is_due() or not topology.is_known:
            self._learn(deadline)
        host = topology.owner(command.key)
        if host is None:
            raise topology.nobody()
        turn = Turn(host)
        try:
            result = self._leaf(turn).execute(command, deadline - _now())
        except Redirected as moved:
            itinerary = Itinerary(topology, [command], topology.redirect(turn, moved))
        except StoreError as fault:
            topology.failed(host, fault)
            raise
        else:
            topology.answered(host)
            return result
        outcome: T | StoreError = self._travel(itinerary, deadline)[0]
        if isinstance(outcome, StoreError):
            raise outcome
        return outcome

    def execute_all(self, commands: Sequence[Command[Any]], timeout: float) -> list[Any | StoreError]:
        """Carry out several: one round trip for each server that has some of their keys."""
        deadline = _now() + timeout
        if self._topology.is_due() or not self._topology.is_known:
            self._learn(deadline)
        return self._travel(Itinerary(self._topology, commands), deadline)

    def node(self, key: str) -> str:
        """Name the master that has a key; empty while it is not known."""
        return self._topology.name(key)

    def spread(self) -> list[str]:
        """Return keys, one on each master that has any; none while they are not known."""
        return self._topology.spread()

    def busy(self) -> float:
        """Return the share of its connections that is in use, to the server where it is the largest."""
        leaves = list(self._leaves.values())
        return max((leaf.busy() for leaf in leaves), default=0.0)

    def close(self) -> None:
        """Close the connections, for good: a call under way may connect, and nothing of it is kept."""
        self._closed = True
        while self._leaves:
            _, leaf = self._leaves.popitem()
            leaf.close()

    def _leaf(self, turn: Turn) -> RedisSync:
        leaf = self._leaves.get(turn)
        if leaf is None:
            leaf = self._leaves.setdefault(turn, redis_sync.connect(self._place, turn.host))
            if self._closed:
                leaf.close()
        if self._leaving:
            self._leaving.discard(turn)
        return leaf

    def _travel(self, itinerary: Itinerary, deadline: float) -> list[Any | StoreError]:
        while groups := itinerary.groups():
            for number, (turn, group) in enumerate(self._topology.best_first(groups)):
                left = (deadline - _now()) / (len(groups) - number)  # a silent one leaves time for the next
                try:
                    outcomes = self._leaf(turn).execute_all(itinerary.commands(turn, group), left)
                except StoreError as fault:
                    outcomes = [fault] * (len(group) << turn.asking)
                itinerary.arrive(turn, group, outcomes)
        return itinerary.outcomes

    def _learn(self, deadline: float) -> None:
        """Ask for the map, where nobody else does; wait for it only while there is none."""
        topology, asked = self._topology, self._asked
        left = deadline - _now()
        if topology.claim(left):
            try:
                self._ask_around(deadline - left / 2 if topology.is_known else deadline)
            finally:
                self._asked = threading.Event()
                asked.set()
        elif not topology.is_known and topology.refusal is None:
            asked.wait(left)

    def _ask_around(self, deadline: float) -> None:
        topology = self._topology
        fault = store_error(Fault.REFUSED, sent=False)
        hosts = topology.candidates()
        for number, host in enumerate(hosts):
            left = (deadline - _now()) / (len(hosts) - number)
            try:
                owners = self._leaf(Turn(host)).execute(slots_question(host), left)
            except StoreError as error:
                fault = error
                topology.failed(host, fault)
                if isinstance(fault, StoreMisconfigured):
                    break  # the others would say the same
            else:
                topology.learn(owners)
                topology.answered(host)
                self._retire()
                return
        topology.unlearned(fault)

    def _retire(self) -> None:
        """Close connections to servers that own nothing, and were not used since that was seen."""
        masters = self._topology.masters()
        for turn in [turn for turn in self._leaves if turn.host not in masters]:
            if turn in self._leaving:
                self._leaving.discard(turn)
                self._leaves.pop(turn).close()
            else:
                self._leaving.add(turn)
