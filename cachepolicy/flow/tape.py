"""What has been read of a running stream: all of it while it is to be recorded, else what is still wanted.

::

    origin ──▶ [ chunk chunk chunk chunk ] ◀── places: each reader has one, and reads on from there
                 whole: from the first on; at its end the recording is stored
                 not whole: from the slowest reader on
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, NamedTuple

from cachepolicy.codec import recording
from cachepolicy.codec.equality import is_immutable
from cachepolicy.codec.serialize import Serialized, Serializer
from cachepolicy.errors import UnserializableValue

_UNKNOWN: Final = 1024  # bytes that a chunk without a byte form is taken for


class End(NamedTuple):
    """How a stream ended: properly, where ``error`` is None and it was not ``abandoned``."""

    error: BaseException | None = None
    traceback: TracebackType | None = None
    abandoned: bool = False


class Place:
    """How far one reader has come.

    Attributes:
        at: the chunk that it reads next.
        owner: the thread or task that it read in last.
        has_left: it reads no more; set without a lock, so the tape finds out when it looks.
        is_lost: it is not let read on.
    """

    __slots__ = ("at", "has_left", "is_lost", "owner")

    def __init__(self, at: int, owner: object) -> None:
        self.at = at
        self.owner = owner
        self.has_left = False
        self.is_lost = False


class Chunk(NamedTuple):
    """A chunk that waits for readers: what makes a fresh one of ``held``, or None where it may be lent."""

    held: Any
    load: Callable[[bytes], object] | None
    weight: int

    def take(self) -> object:
        """Return it, for one reader."""
        return self.held if self.load is None else self.load(self.held)


class Tape:
    """The chunks of one stream. It has no lock: its tee has.

    Args:
        serializer: of one chunk.
        limit: bytes of a recording; beyond, the same again of chunks that a slow reader has still to read.
    """

    def __init__(self, serializer: Serializer, limit: int) -> None:
        self._serializer = serializer
        self._limit = limit
        self._waiting: deque[Chunk] = deque()
        self._begin = 0  # which chunk is the first that waits
        self._held = 0
        self._size = 4
        self._recorded: list[Serialized] = []
        self._pauses: list[float] = []
        self._places: list[Place] = []
        self.is_whole = True
        self.unfit: UnserializableValue | None = None  # why it is not

    @property
    def end(self) -> int:
        """How many chunks have come."""
        return self._begin + len(self._waiting)

    @property
    def cost(self) -> float:
        """Seconds that the recorded chunks took to come."""
        return sum(self._pauses)

    def sit(self, owner: object) -> Place | None:
        """Return a place before the first chunk; None where that is gone."""
        if self._begin:
            return None
        place = Place(0, owner)
        self._places.append(place)
        return place

    def add(self, value: object, pause: float) -> None:
        """Take the next chunk; ``pause``: seconds that it took to come."""
        serialized = self._serialize(value) if self.is_whole or len(self._places) > 1 else None
        if self.is_whole and serialized is not None:
            self._size += len(serialized.payload) + recording.OVERHEAD
            if self._size > self._limit:
                over = f"a stream is over admit.max_value ({self._limit} bytes)"
                self._record_no_more(UnserializableValue(over))
            else:
                self._recorded.append(serialized)
                self._pauses.append(pause)
        weight = _UNKNOWN if serialized is None else len(serialized.payload)
        if serialized is None or is_immutable(value):
            chunk = Chunk(value, None, weight)
        else:
            chunk = Chunk(serialized.payload, serialized.load, weight)
        self._waiting.append(chunk)
        self._held += weight

    def give(self, place: Place) -> Chunk:
        """Return the next chunk that has come, for this reader."""
        chunk = self._waiting[place.at - self._begin]
        self.step(place)
        return chunk

    def step(self, place: Place) -> None:
        """Let a reader go on: it has the chunk."""
        place.at += 1
        if not self.is_whole:
            self._trim()

    def slowest(self) -> Place | None:
        """Return who keeps more chunks waiting than there is room for; None: there is room."""
        if self.is_whole or self._held <= self._limit:
            return None
        self._trim()
        if self._held <= self._limit:
            return None
        return min(self._places, key=lambda place: place.at, default=None)

    def lose(self, place: Place) -> None:
        """Have a reader read no further."""
        place.is_lost = place.has_left = True
        self._trim()

    def recording(self) -> bytes:
        """Return all chunks as a payload; they must all be there."""
        return recording.pack(self._recorded, self._pauses)

    def _serialize(self, value: object) -> Serialized | None:
        try:
            return self._serializer.dump(value)
        except UnserializableValue as unfit:
            if self.is_whole:
                self._record_no_more(unfit)
            return None

    def _record_no_more(self, why: UnserializableValue) -> None:
        self.is_whole = False
        self.unfit = why
        self._recorded, self._pauses = [], []

    def _trim(self) -> None:
        self._places = [place for place in self._places if not place.has_left]
        lowest = min((place.at for place in self._places), default=self.end)
        while self._begin < lowest:
            self._held -= self._waiting.popleft().weight
            self._begin += 1
