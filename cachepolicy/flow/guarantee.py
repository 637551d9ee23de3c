"""Whether the servers of a namespace keep what it stores: asked once, beside its first call.

::

    required:    ask ── they keep it ──▶ the call
                     ── they may not, or do not tell ──▶ PolicyError; asked anew by calls after a moment
    best_effort: the call ──▶ ask ── they may not, or do not tell ──▶ one warning, and it is counted

From then on a call asks nothing.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from cachepolicy.errors import Fault, PolicyError, StoreError
from cachepolicy.flow.effects import Flow, spread
from cachepolicy.flow.resilience import Budget, ask_all
from cachepolicy.flow.stores import Site
from cachepolicy.telemetry.logs import Event, fields
from cachepolicy.tiers.maxmemory import UNTOLD, Maxmemory, maxmemory

T = TypeVar("T")

EVICTABLE: Final = "evictable"
"""What it is counted as that a server may evict what must be kept."""

OTHER: Final = "evictable.other"
"""What it is counted as that a server evicts otherwise than the policy counts on."""

UNKNOWN: Final = "evictable.unknown"
"""What it is counted as that a server does not tell."""

_LOG: Final = logging.getLogger("cachepolicy")
_A_MOMENT: Final = 1.0  # seconds until servers are asked anew
_SILENT: Final = frozenset({Fault.FORBIDDEN, Fault.UNSUPPORTED, Fault.ERROR})
"""How a server refuses to tell; of anything else that goes wrong the call is told."""

_TO_ASK: Final = (
    "whether its Redis may evict what it keeps cannot be seen: INFO does not tell maxmemory and "
    "maxmemory_policy; let the user run INFO (ACL: +info)"
)


@dataclass(slots=True, eq=False)
class Guarantee:
    """What is known of a namespace's servers, under one policy.

    Attributes:
        namespace: its name.
        required: calls are refused until its servers are known to keep what it stores.
        loss: what is lost if they do not, for the message.
        site: where it is.
        deadline: the most that asking may take, in seconds.
        errors: where it is counted.
        settled: nothing is left to be asked.
        keepers: under which ``maxmemory-policy`` servers keep what they must; empty: under any.
        wanted: the one that the policy counts on; None: it counts on none.
        spared: no fault of asking becomes one of the call, as with a cache: it meets the fault by itself.
    """

    namespace: str
    required: bool
    loss: str
    site: Site
    deadline: float
    errors: Counter[str]
    settled: bool
    keepers: tuple[str, ...] = ("noeviction",)
    wanted: str | None = None
    spared: bool = False
    _refusal: str = field(default="", init=False)
    _not_before: float = field(default=0.0, init=False)

    def over(self, flow: Flow[T]) -> Flow[T]:
        """Return the same flow, over servers that are asked first, or afterwards, unless they were."""
        if self.settled:
            return flow
        return self._before(flow) if self.required else self._after(flow)

    def _before(self, flow: Flow[T]) -> Flow[T]:
        """Go on once the servers are known to keep what they are given.

        Raises:
            PolicyError: they do not, or do not tell.
            StoreError: they cannot be asked.
        """
        now = self.site.clock.monotonic
        if now() >= self._not_before:
            try:
                self._refusal = self._found((yield from self._survey(self.deadline)))
            except StoreError:
                if not self.spared:
                    raise
                self._not_before = now() + _A_MOMENT
            else:
                self.settled = not self._refusal
                self._not_before = now() + _A_MOMENT if self._refusal else 0.0
        if self._refusal:
            raise PolicyError(f"namespace {self.namespace}: guarantee: required, but {self._refusal}")
        return (yield from flow)

    def _after(self, flow: Flow[T]) -> Flow[T]:
        """Go on, then see to it that somebody is told; no fault of asking becomes one of the call."""
        now = self.site.clock.monotonic
        began = now()
        result = yield from flow
        if self.settled or now() < self._not_before:
            return result
        self._not_before = now() + _A_MOMENT  # nobody else asks meanwhile
        try:
            found = self._found((yield from self._survey(self.deadline - (now() - began))))
        except StoreError as fault:  # it is asked again by a later call
            self.errors[str(fault.fault)] += 1
            return result
        if not self.settled:
            self.settled = True
            if found:
                beside = fields(Event.EVICTABLE, namespace=self.namespace)
                _LOG.warning("namespace %s: %s", self.namespace, found, extra=beside)
        return result

    def _survey(self, seconds: float) -> Flow[list[Maxmemory]]:
        """Ask each server that has some of the keys.

        Raises:
            StoreError: one cannot be asked.
        """
        guard, budget = self.site.guard, Budget(self.site.clock, seconds)
        keys: list[str] = yield from spread()
        if not keys:  # of a cluster nothing is known before the first command
            (_,) = yield from ask_all(guard, [maxmemory("")], budget)
            keys = (yield from spread()) or [""]
        results = yield from ask_all(guard, [maxmemory(key) for key in keys], budget)
        found: list[Maxmemory] = []
        for result in results:
            if isinstance(result, StoreError) and result.fault not in _SILENT:
                raise result
            found.append(UNTOLD if isinstance(result, StoreError) else result)
        return found

    def _found(self, servers: list[Maxmemory]) -> str:
        """Count what is wrong with the servers, and say it; empty: nothing is."""
        evicting = [server for server in servers if self.keepers and server.is_other_than(self.keepers)]
        if evicting:
            self.errors[EVICTABLE] += 1
            return (
                f"its Redis may evict what it keeps when memory is full (maxmemory-policy "
                f"{_policies(evicting)}): {self.loss}; set maxmemory-policy {_either(self.keepers)} "
                "there, or give the namespace a Redis of its own (url:)"
            )
        others = [server for server in servers if self.wanted and server.is_other_than((self.wanted,))]
        if others:
            self.errors[OTHER] += 1
            return (
                f"its Redis does not evict as the policy counts on when memory is full (maxmemory-policy "
                f"{_policies(others)}): set maxmemory-policy {self.wanted} there, or eviction.redis to that"
            )
        if any(server.evicts is None for server in servers):  # a policy or a limit that is not told
            self.errors[UNKNOWN] += 1
            return f"{_TO_ASK}{', or say guarantee: best_effort' if self.required else ''}"
        return ""


def _policies(servers: Iterable[Maxmemory]) -> str:
    return ", ".join(sorted({server.policy for server in servers}))


def _either(words: tuple[str, ...]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
