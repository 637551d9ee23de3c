"""Whether anything that a process said was lost on its way to the others: by the number that it gave it.

A channel of Redis delivers at most once. A number that is missing may only be late, for writers have several
connections; so it is waited for, and given up after a while. What comes first from a source that was unknown
is taken to follow one message that is missing, unless it is number 1: nobody can say whether it was heard
from the beginning.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from cachepolicy.tiers.notices import Numbering, read_change

MOST_SOURCES: Final = 4096
MOST_AHEAD: Final = 10_000
NEVER: Final = float("inf")
_RAREST: Final = 64  # heartbeats between two announcements of one who says nothing


@dataclass(slots=True)
class _Source:
    through: int  # everything up to here was heard, or given up
    ahead: set[int] = field(default_factory=set[int])  # heard out of turn
    since: float = NEVER  # when the number that is missing now was first missed


class Sequences:
    """The numbers heard from each source; the sources heard from least lately are forgotten.

    Args:
        patience: seconds that a missing number is waited for.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._sources: OrderedDict[bytes, _Source] = OrderedDict()
        self._missing: set[bytes] = set()

    def hear(self, source: bytes, number: int, now: float) -> None:
        """Take note of a message."""
        known = self._sources.get(source)
        if known is None:
            known = self._sources[source] = _Source(max(0, number - 2))
            self._forget_oldest()
        else:
            self._sources.move_to_end(source)
        if number <= known.through:
            return
        known.ahead.add(number)
        if number == known.through + 1:
            while known.through + 1 in known.ahead:
                known.through += 1
                known.ahead.remove(known.through)
            known.since = now
        elif known.since == NEVER:
            known.since = now
        if not known.ahead:
            known.since = NEVER
            self._missing.discard(source)
        else:
            if len(known.ahead) > MOST_AHEAD:
                known.since = -NEVER
            self._missing.add(source)

    def due(self) -> float:
        """Return when a number that is missing will be given up."""
        return min((self._sources[source].since for source in self._missing), default=NEVER) + self._patience

    def give_up(self, now: float) -> int:
        """Give up what has been missing for too long; returns from how many sources."""
        lost = [source for source in self._missing if self._sources[source].since + self._patience <= now]
        for source in lost:
            known = self._sources[source]
            known.through = max(known.ahead)
            known.ahead.clear()
            known.since = NEVER
            self._missing.discard(source)
        return len(lost)

    def _forget_oldest(self) -> None:
        while len(self._sources) > MOST_SOURCES:
            source, _ = self._sources.popitem(last=False)
            self._missing.discard(source)


class Announcements:
    """What a process says besides its changes, so that others miss the last of them too.

    One who says nothing more repeats it ever more rarely: an announcement may get lost as well.
    """

    def __init__(self, numbering: Numbering) -> None:
        self._numbering = numbering
        self._announced = 0
        self._pause = self._left = 1  # heartbeats

    def next(self) -> bytes | None:
        """Return what to say at this heartbeat."""
        given = self._numbering.given
        if given == 0:
            return None
        if given != self._announced:
            self._pause = self._left = 1
        else:
            self._left -= 1
            if self._left > 0:
                return None
            self._pause = self._left = min(2 * self._pause, _RAREST)
        message = self._numbering.next()
        change = read_change(message)
        self._announced = 0 if change is None else change.number
        return message
