"""Moments in which a busy machine left this process alone: they are no part of what took its time."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Final

_BEAT: Final = 0.01
_LEAST: Final = 0.03  # seconds: what is shorter is nothing out of the ordinary


@dataclass(frozen=True, slots=True)
class _Stall:
    begin: float
    end: float
    lost: float


class Stalls:
    """Notes them from now on, in a thread that wakes all the time; times are of ``time.perf_counter``.

    What this process did meanwhile is no stall, and neither is waiting: a thread that waits keeps none from
    waking.
    """

    def __init__(self) -> None:
        self._found: list[_Stall] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stalls", daemon=True)
        self._thread.start()

    def within(self, begin: float, end: float) -> float:
        """Return how many seconds were lost between two moments; the last of them is known a beat later."""
        return sum(
            max(0.0, min(stall.lost, min(end, stall.end) - max(begin, stall.begin))) for stall in self._found
        )

    def close(self) -> None:
        """Note what there was until now, and no more."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        ended = False
        last, busy = time.perf_counter(), time.process_time()
        while not ended:
            ended = self._ended.wait(_BEAT)
            now, used = time.perf_counter(), time.process_time()
            lost = now - last - _BEAT - (used - busy)
            if lost > _LEAST:
                self._found.append(_Stall(last, now, lost))
            last, busy = now, used
