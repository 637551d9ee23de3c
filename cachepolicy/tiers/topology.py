"""What is known of a cluster's servers: who owns which slot, who failed, and when to ask again.

::

    nothing known ──▶ asked at once, by one caller; the others wait for it
    MOVED         ──▶ that slot is adopted at once, the rest is asked for within a second
    a master lost ──▶ asked for soon, and again, until it answers or has been replaced

Whoever is told of a failure in the same moment does not ask in the same moment: times are drawn at random.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from cachepolicy.chance import chance as draw
from cachepolicy.clock import SYSTEM
from cachepolicy.errors import Fault, StoreError
from cachepolicy.tiers.endpoint import Host
from cachepolicy.tiers.replies import SLOTS, Redirected, again, store_error
from cachepolicy.tiers.slots import Owners, slot_of

T = TypeVar("T")

MOST_REDIRECTS: Final = 5

_NEVER: Final = float("inf")
_TRIALS: Final = 64 * SLOTS  # after so many a slot without a key is none that ever gets one
_SOON: Final = 0.1  # seconds, at most, until the map is asked for after a server failed
_CALMLY: Final = 1.0  # the same after MOVED: the slot that matters is known already
_PAUSE: Final = 0.25  # seconds between two askings, at least; twice as many at most
_GONE: Final = frozenset(
    {Fault.REFUSED, Fault.LOST, Fault.TIMEOUT, Fault.CLUSTERDOWN, Fault.MASTERDOWN, Fault.READONLY}
)


class Turn(NamedTuple):
    """Where a command goes next; ``asking`` where its slot is being moved there."""

    host: Host
    asking: bool = False


class Topology:
    """The map of one cluster, for all threads, or for one loop.

    Args:
        seeds: the servers that the policy names.
        now: monotonic time.
        chance: draws from 0 to 1.
    """

    def __init__(
        self,
        seeds: Sequence[Host],
        now: Callable[[], float] = SYSTEM.monotonic,
        chance: Callable[[], float] = draw,
    ) -> None:
        self.is_known = False
        self.refusal: StoreError | None = None  # of the last asking, while nothing is known
        self._seeds = tuple(seeds)
        self._now = now
        self._chance = chance
        self._owners: Owners = [None] * SLOTS
        self._suspects: set[Host] = set()
        self._names: dict[Host, str] = {}
        self._lock = threading.Lock()
        self._due_at = 0.0
        self._not_before = 0.0

    def owner(self, key: str) -> Host | None:
        """Return the master that has a key; None while it is not known."""
        return self._owners[slot_of(key)]

    def name(self, key: str) -> str:
        """Name the master that has a key, for its breaker; empty while it is not known."""
        host = self._owners[slot_of(key)]
        if host is None:
            return ""
        name = self._names.get(host)
        if name is None:
            name = self._names[host] = f"{host[0]}:{host[1]}"
        return name

    def nobody(self) -> StoreError:
        """Say that no master has a key, or that it is not known which."""
        if not self.is_known:
            return again(self.refusal or store_error(Fault.TIMEOUT, sent=False), sent=False)
        self._ask_within(_SOON)
        return store_error(Fault.CLUSTERDOWN, sent=False)

    def masters(self) -> set[Host]:
        """Return all that own a slot."""
        return {host for host in self._owners if host is not None}

    def spread(self) -> list[str]:
        """Return keys, one on each master, found by trial: thousands where one owns few slots."""
        left = self.masters()
        found: list[str] = []
        for number in range(_TRIALS):
            if not left:
                break
            host = self.owner(key := str(number))
            if host in left:
                left.discard(host)
                found.append(key)
        return found

    def is_due(self) -> bool:
        """Tell whether the map should be asked for now."""
        return self._due_at != _NEVER and self._due_at <= self._now()

    def claim(self, seconds: float) -> bool:
        """Become the one who asks for the map; another may after so many seconds without ``learn``."""
        with self._lock:
            if not self.is_due():
                return False
            self._due_at = self._not_before = self._now() + seconds
            self.refusal = None
            return True

    def candidates(self) -> list[Host]:
        """Return whom to ask for the map: those in good standing first, in an order of chance."""
        hosts = list(dict.fromkeys([*self.masters(), *self._seeds]))
        draws = {host: (host in self._suspects, self._chance()) for host in hosts}
        return sorted(hosts, key=draws.__getitem__)

    def best_first(self, groups: Mapping[Turn, T]) -> list[tuple[Turn, T]]:
        """Order what goes to several servers, one after another: those that failed come last."""
        return sorted(groups.items(), key=lambda item: item[0].host in self._suspects)

    def learn(self, owners: Owners) -> None:
        """Take a new map."""
        with self._lock:
            self._owners = owners
            self.is_known = True
            masters = self.masters()
            self._suspects &= masters
            self._names = {host: name for host, name in self._names.items() if host in masters}
            self._not_before = self._now() + _PAUSE * (1 + self._chance())
            self._due_at = self._not_before if self._suspects else _NEVER

    def unlearned(self, fault: StoreError) -> None:
        """Take note that nobody told the map."""
        with self._lock:
            self.refusal = fault
            pause = _PAUSE * (1 + self._chance()) if self.is_known else _SOON * self._chance()
            self._not_before = self._due_at = self._now() + pause

    def answered(self, host: Host) -> None:
        """Take note that a server is there."""
        if self._suspects:
            self._suspects.discard(host)

    def failed(self, host: Host, fault: StoreError) -> None:
        """Take note of a fault; where the server may have been replaced, the map is asked for soon."""
        if fault.fault in _GONE:
            self._suspects.add(host)
            self._ask_within(_SOON)

    def redirect(self, turn: Turn, moved: Redirected) -> Turn:
        """Return where to follow; a slot that has moved is known from now on.

        Raises:
            StoreUnavailable: the server did not say where.
        """
        self._ask_within(_CALMLY if moved.host else _SOON)
        if moved.host is None:
            raise store_error(Fault.REDIRECTED, sent=False)
        host = (moved.host[0] or turn.host[0], moved.host[1])
        if not moved.asking:
            self._owners[moved.slot] = host
        return Turn(host, moved.asking)

    def _ask_within(self, seconds: float) -> None:
        with self._lock:
            at = max(self._not_before, self._now() + seconds * self._chance())
            self._due_at = min(self._due_at, at)
