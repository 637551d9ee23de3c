"""A time limit that a busy event loop does not use up: what kept the loop busy was not the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

_TICK: Final = 0.01


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Give up what is inside after so many seconds; of a moment in which the loop was busy, little counts.

    Raises:
        TimeoutError: it took longer.
    """
    loop = asyncio.get_running_loop()
    ticking: list[asyncio.TimerHandle] = []

    def tick(left: float, since: float) -> None:
        now = loop.time()
        left -= min(now - since, 2 * _TICK)
        if left <= 0:
            limit.reschedule(now)
        else:
            ticking[:] = [loop.call_later(min(left, _TICK), tick, left, now)]

    async with asyncio.timeout(None) as limit:
        tick(seconds, loop.time())
        try:
            yield
        finally:
            ticking.pop().cancel()
