"""What this process has counted and Redis does not know yet: one number a cell, however many events."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable

from cachepolicy.flow.cells import Batch, Cell, Labels, Last
from cachepolicy.flow.series import Metric


class Buffer:
    """The counts of one namespace.

    A signal's handler may count while its own thread does, so the lock is one that its holder passes, and
    nothing can come between the steps of an addition.

    Args:
        most: so many cells are held, those of batches that Redis did not take included.
        fill: called with the number of cells when there is one more.
    """

    def __init__(self, most: int, fill: Callable[[int], None] = lambda _: None) -> None:
        self.lock = threading.RLock()
        self.cells = 0
        self.held = 0  # in batches that Redis did not take
        self.most = most
        self._fill = fill
        self._metrics: dict[Metric, Counts] = {}

    def of(self, metric: Metric) -> Counts:
        """Return where a metric is counted."""
        with self.lock:
            return self._metrics.setdefault(metric, Counts(self))

    def take(self, but: Collection[Metric] = ()) -> list[tuple[Metric, Batch]]:
        """Return what was counted, a batch for each metric, and begin anew.

        Args:
            but: metrics of which nothing is taken.
        """
        with self.lock:
            taken = [
                (metric, counts.take(metric.name))
                for metric, counts in list(self._metrics.items())
                if metric not in but and len(counts)
            ]
            self.cells = sum(map(len, list(self._metrics.values())))
            return taken

    def is_locked_here(self) -> bool:
        """Tell whether this thread holds the lock."""
        try:
            threading.Condition(self.lock).notify(0)  # wakes nobody, and raises where the lock is another's
        except RuntimeError:
            return False
        return True

    def after_fork(self) -> None:
        """Leave to the parent what it has counted, and the lock."""
        self.lock = threading.RLock()
        self.cells = self.held = 0
        for counts in list(self._metrics.values()):
            counts.clear()

    def has_room(self) -> bool:
        """Take room for a cell, and tell whether there was any."""
        if self.cells + self.held >= self.most:
            return False
        self.cells += 1
        self._fill(self.cells)
        return True


class Place:
    """Where a cell is added up; told from others by what it is, so that finding it compares nothing."""

    __slots__ = ("cell",)

    def __init__(self, cell: Cell) -> None:
        self.cell = cell


class Counts:
    """The counts of one metric."""

    __slots__ = ("_buffer", "_counts", "_seen", "_shown")

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._counts: dict[Place, int] = {}
        self._seen: dict[tuple[Labels, int], set[bytes]] = {}
        self._shown: dict[Cell, Last] = {}

    def add(self, place: Place, value: int) -> bool:
        """Add to a number; False where it is a new one, and no more can be held."""
        with self._buffer.lock:
            try:
                self._counts[place] += value
            except KeyError:
                if not self._buffer.has_room():
                    return False
                self._counts.setdefault(place, 0)
                self._counts[place] += value
        return True

    def add_all(self, added: Iterable[tuple[Place, int]]) -> bool:
        """Add to several numbers, as ``add`` does to one."""
        has_room = True
        with self._buffer.lock:
            for place, value in added:
                try:
                    self._counts[place] += value  # asked anew each time: a handler may take what was counted
                except KeyError:
                    has_room &= self.add(place, value)
        return has_room

    def see(self, labels: Labels, hour: int, item: bytes) -> bool:
        """Note that something was seen; False where it was not before, and no more can be held."""
        series = labels, hour
        with self._buffer.lock:
            if item not in self._seen.get(series, ()):
                if not self._buffer.has_room():
                    return False
                try:
                    self._seen[series].add(item)
                except KeyError:
                    self._seen[series] = {item}
        return True

    def show(self, cell: Cell, value: float, at: float) -> bool:
        """Note what a gauge shows at a time (s since the epoch); False where no more can be held."""
        with self._buffer.lock:
            last = self._shown.get(cell)
            if last is None:
                if not self._buffer.has_room():
                    return False
                last = Last(value, at, value, value)
            newest = (value, at) if at >= last.at else (last.value, last.at)
            self._shown[cell] = Last(*newest, min(value, last.low), max(value, last.high))
        return True

    def take(self, metric: str) -> Batch:
        """Return what was counted, and begin anew, first of all: a handler may count meanwhile."""
        added, seen, shown = self._counts, self._seen, self._shown
        self.clear()
        uniques = {series: frozenset(items) for series, items in seen.items() if items}
        counts: dict[Cell, int] = {}
        for place, value in added.items():
            counts[place.cell] = counts.get(place.cell, 0) + value
        return Batch(metric, counts=counts, uniques=uniques, gauges=shown)

    def __len__(self) -> int:
        return len(self._counts) + len(self._shown) + sum(map(len, self._seen.values()))
