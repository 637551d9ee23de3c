"""The one source of time.

``monotonic`` rules everything that stays in this process (L1 deadlines, budgets, ages);
``wall`` rules what other processes read (the envelope). Nothing else in the package reads a clock. Streams
that are replayed at a pace sleep by it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


async def _sleep_async(seconds: float) -> None:
    import asyncio  # whoever awaits has loaded it

    await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Clock:
    """Two readings, both in seconds; plain callables, so that a hot path can hold them directly.

    ``sleep`` and ``sleep_async`` take seconds too.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    sleep_async: Callable[[float], Awaitable[None]] = _sleep_async


SYSTEM = Clock()


def lifetime_ms(seconds: float) -> int:
    """Return how long something lives as whole milliseconds, at least one: Redis refuses a life of none."""
    return max(1, round(seconds * 1000))


@dataclass(slots=True)
class ManualClock:
    """A clock that moves only when told to, or when somebody sleeps by it.

    >>> time = ManualClock()
    >>> time.clock.monotonic()
    1000.0
    >>> time.advance(60)
    >>> time.clock.monotonic()
    1060.0
    """

    now_monotonic: float = 1_000.0
    now_wall: float = 1_700_000_000.0
    clock: Clock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = Clock(
            lambda: self.now_monotonic, lambda: self.now_wall, self.advance, self._advance_async
        )

    def advance(self, seconds: float) -> None:
        """Move both readings forward by ``seconds``."""
        self.now_monotonic += seconds
        self.now_wall += seconds

    async def _advance_async(self, seconds: float) -> None:
        self.advance(seconds)
