"""``batch``: permits are drawn from Redis in blocks and spent in this process, without a round trip each.

A block is charged before any of it is spent, so a limit is never exceeded; ``permit_terms`` says why not in
any period of time either. What it costs: calls are refused while other processes hold permits, a block each
at the most. A process draws what it spends before its permits lapse, so that little is lost.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from cachepolicy.clock import Clock
from cachepolicy.flow.effects import Flow, join
from cachepolicy.flow.permit_terms import Terms
from cachepolicy.flow.single_flight import Flight, Flights, Role
from cachepolicy.tiers.limits import Charged, Part

_MOST_GROWTH: Final = 4  # of a block over the last one: a burst of a moment is no demand
_PATIENCE: Final = 1.0  # seconds that a caller waits for another's draw before it asks for itself

Charge: TypeAlias = Callable[[Sequence[Part]], Flow[Charged]]


class Unspent(NamedTuple):
    """Permits that nobody spent, to be given back.

    Attributes:
        part: what they were charged.
        made: when, on the server's clock.
    """

    part: Part
    made: int


class Held:
    """The permits of one subject.

    Attributes:
        terms: by which they were drawn.
        costs: of the calls that may spend them.
        drawn: how many there were.
        left: how many there are.
        asked: before they were drawn, in seconds of the process's clock.
        end: when they lapse.
        charged: what Redis said.
    """

    __slots__ = ("asked", "charged", "costs", "drawn", "end", "left", "terms")

    def __init__(
        self, terms: Terms, costs: Sequence[int], drawn: int, asked: float, charged: Charged
    ) -> None:
        self.terms = terms
        self.costs = costs
        self.drawn = drawn
        self.left = drawn - 1  # one is for who drew them
        self.asked = asked
        self.end = asked + terms.life
        if terms.is_calendar:
            self.end = min(self.end, asked + min(row.reset - 1 for row in charged.rows) / 1000)
        self.charged = charged


class Permits:
    """The permits that this process holds under one rule.

    Args:
        clock: its monotonic reading rules.
        most: of how many subjects they are held; those drawn first go first.
    """

    def __init__(self, clock: Clock, most: int = 10_000) -> None:
        self.clock = clock.monotonic
        self.flights = Flights()
        self.refused: weakref.WeakKeyDictionary[Flight, tuple[Sequence[int], Charged]]
        self.refused = weakref.WeakKeyDictionary()  # what became of a draw, for those who waited for it
        self._most = most
        self._held: dict[str, Held] = {}
        self._unspent: list[Unspent] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._held)

    def spend(self, key: str, costs: Sequence[int]) -> Charged | None:
        """Spend a permit; None where there is none: ``draw``.

        Args:
            key: of the subject, or of all the subjects of a call together.
            costs: of the call; a permit is for calls that cost as much.

        Returns:
            What Redis said when it was drawn.
        """
        held = self._held.get(key)
        if held is None or held.left <= 0 or held.costs != costs or self.clock() >= held.end:
            return None
        with self._lock:
            if held.left <= 0:
                return None
            held.left -= 1
        return held.charged

    def wanted(self, key: str, terms: Terms) -> int:
        """Return how many permits to draw: what is spent before they lapse, going by the last."""
        held = self._held.get(key)
        if held is None:
            return 1
        spent, now = held.drawn - held.left, self.clock()
        if now < held.end:
            pace = terms.life / max(now - held.asked, 0.001)
            spent = int(spent * min(pace, _MOST_GROWTH))
        return max(1, min(spent, terms.block))

    def fill(self, key: str, held: Held) -> None:
        """Keep what was drawn."""
        with self._lock:
            self._drop(key)
            while len(self._held) >= self._most:
                self._drop(next(iter(self._held)))
            self._held[key] = held

    def accepts(self, key: str, costs: Sequence[int]) -> bool:
        """Tell whether permits are drawn for calls that cost so much: not while others' are held."""
        held = self._held.get(key)
        return held is None or held.costs == costs or self.clock() >= held.end

    def unspent(self) -> list[Unspent]:
        """Return what to give back of permits that nobody spent in time; once."""
        with self._lock:
            now = self.clock()
            for key in [key for key, held in self._held.items() if held.left and now >= held.end]:
                self._drop(key)
            unspent, self._unspent = self._unspent, []
            return unspent

    def close(self) -> list[Unspent]:
        """Hold nothing any more; return what to give back. The limits have changed, or the process ends."""
        with self._lock:
            for key in list(self._held):
                self._drop(key)
            unspent, self._unspent = self._unspent, []
            return unspent

    def after_fork(self) -> None:
        """Hold nothing: the permits are those of the process that was forked."""
        self._lock = threading.Lock()
        self._held = {}
        self._unspent = []
        self.refused = weakref.WeakKeyDictionary()
        self.flights.clear()

    def _drop(self, key: str) -> None:
        held = self._held.pop(key, None)
        if held is not None and held.left > 0:
            left, held.left = held.left, 0
            parts = held.terms.returned(left, self.clock() - held.asked)
            self._unspent += (Unspent(part, held.charged.now) for part in parts)


def draw(
    permits: Permits, key: str, costs: Sequence[int], terms: Terms, charge: Charge, *, is_async: bool
) -> Flow[Charged]:
    """Get a permit where ``spend`` has none: draw a block, or wait for one that is being drawn.

    Args:
        permits: of the rule.
        key: as for ``spend``.
        costs: as for ``spend``.
        terms: of the rule for this call.
        charge: charges parts in Redis, all or none.
        is_async: the colour of the caller.
    """
    while terms.block > 1 and permits.accepts(key, costs):
        role, flight = permits.flights.board(key, b"", is_async=is_async)
        if role is Role.ALONE:
            break
        if role is Role.LEAD:
            return (yield from _lead(permits, key, costs, terms, charge, flight))
        if not (yield from join(flight, _PATIENCE)):
            break
        refused = permits.refused.get(flight)
        if refused is not None and refused[0] == costs:
            return refused[1]
        spent = permits.spend(key, costs)
        if spent is not None:
            return spent
    return (yield from charge(terms.parts))


def _lead(
    permits: Permits, key: str, costs: Sequence[int], terms: Terms, charge: Charge, flight: Flight
) -> Flow[Charged]:
    try:
        spent = permits.spend(key, costs)  # another may have drawn since this caller looked
        if spent is not None:
            return spent
        count = permits.wanted(key, terms)
        asked = permits.clock()
        charged = yield from charge(terms.charged(count))
        if not charged.allowed and count > 1:
            count = max(1, min(_left(terms, charged), count - 1))
            asked = permits.clock()
            charged = yield from charge(terms.charged(count))
        if charged.allowed:
            permits.fill(key, Held(terms, costs, count, asked, charged))
        else:
            permits.refused[flight] = (costs, charged)
        return charged
    finally:
        permits.flights.land(key, flight, None)


def _left(terms: Terms, charged: Charged) -> int:
    """Return how many calls there is room for, as a refusal says."""
    costs = [cost for part in terms.parts for cost in part.costs]
    return min(row.remaining // cost for row, cost in zip(charged.rows, costs, strict=True) if cost)
