"""A function under the test's control, in either colour; and waiting for what it leaves to the background."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import fakeredis

from cachepolicy import ManualClock, cached, configure
from cachepolicy.runtime import current
from tests.support.colour import Colour
from tests.support.policies import cache_policy
from tests.support.waiting import until

PATIENCE: Final = 20.0


class Origin:
    """Counts its calls; answers by their number, or as it is told to.

    Attributes:
        error: makes what it raises; None: it answers.
        gate: while it is not set, a call does not end.
        asked: set by each call as it begins.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.error: Callable[[], BaseException] | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()

    def answer(self) -> dict[str, int]:
        """Answer once the gate is open."""
        finish = self._begin()
        assert self.gate.wait(PATIENCE)
        return finish()

    async def answer_async(self) -> dict[str, int]:
        """Answer once the gate is open, without blocking the loop."""
        finish = self._begin()
        if not self.gate.is_set():
            await asyncio.to_thread(self.gate.wait, PATIENCE)
        return finish()

    def _begin(self) -> Callable[[], dict[str, int]]:
        self.calls += 1
        number, error = self.calls, self.error
        self.asked.set()

        def finish() -> dict[str, int]:
            if error is not None:
                raise error()
            return {"number": number}

        return finish

    def decorated(self, colour: Colour, **options: Any) -> Any:
        """Return a cached function in a colour that asks this origin."""
        if colour.is_async:

            @cached("answers", **options)
            async def later(question: str = "why?") -> dict[str, int]:
                return await self.answer_async()

            return later

        @cached("answers", **options)
        def answer(question: str = "why?") -> dict[str, int]:
            return self.answer()

        return answer


def past_its_ttl(
    colour: Colour, time: ManualClock, origin: Origin, stale: Mapping[str, str], **options: Any
) -> Any:
    """Return a function whose one answer was made 61 seconds ago, under a TTL of a minute.

    Args:
        colour: of the function.
        time: the clock.
        origin: what it asks.
        stale: the policy's ``stale``.
        options: ``decorator``, a mapping of the decorator's arguments; the rest is the policy's.
    """
    of_decorator = options.pop("decorator", {})
    configure(cache_policy(ttl="1m", stale=stale, **options), clock=time.clock)
    answer = origin.decorated(colour, **of_decorator)
    colour.run(answer)
    time.advance(61)
    return answer


def settled(colour: Colour, call: Callable[[], Any]) -> Any:
    """Call, then wait until nothing is done in the background any more; return the outcome of the call."""
    if not colour.is_async:
        try:
            return call()
        finally:
            settle()

    async def main() -> Any:
        try:
            outcome = call()
            return await outcome if isinstance(outcome, Awaitable) else outcome
        finally:
            await settle_async()

    return asyncio.run(main())


def settle() -> None:
    """Wait until no thread works in the background."""
    background = current.current().stores._background

    until(lambda: not background._unfinished, "the background to be done")


async def settle_async() -> None:
    """Wait until no task that the library spawned on this loop is left."""
    tasks = current.current().stores._tasks.get(asyncio.get_running_loop())
    while tasks:
        await asyncio.wait(set(tasks))


def in_memory() -> fakeredis.FakeRedis:
    """Return a client of the in-memory Redis that the policy in use has opened."""
    server = current.current().stores._memory
    assert server is not None
    return server.connect_sync(1)._client
