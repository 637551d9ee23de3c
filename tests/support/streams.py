"""Streams under the test's control, and reading them step by step, in either colour."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from contextvars import copy_context
from typing import Any, Final

from cachepolicy import aclose, cached
from cachepolicy.runtime import current
from tests.support.colour import Colour
from tests.support.origin import settle
from tests.support.waiting import until

END: Final = object()


class Source:
    """Gives chunks, and counts.

    Attributes:
        chunks: what each stream gives.
        error: makes what it raises after them; None: it ends.
        calls: how many streams have begun.
        given: how many chunks were asked for, over all streams.
        ended: how many streams have come to an end of whatever kind.
    """

    def __init__(self, *chunks: Any) -> None:
        self.chunks = chunks
        self.error: Callable[[], BaseException] | None = None
        self.calls = self.given = self.ended = 0

    def read(self) -> Iterator[Any]:
        """Begin a stream."""
        self.calls += 1
        try:
            for chunk in self.chunks:
                self.given += 1
                yield chunk
            if self.error is not None:
                raise self.error()
        finally:
            self.ended += 1

    async def read_async(self) -> AsyncGenerator[Any, None]:
        """Begin a stream."""
        self.calls += 1
        try:
            for chunk in self.chunks:
                await asyncio.sleep(0)
                self.given += 1
                yield chunk
            if self.error is not None:
                raise self.error()
        finally:
            self.ended += 1

    def decorated(self, colour: Colour, decorate: Callable[[Any], Any] | None = None) -> Any:
        """Return a cached generator function that gives this."""
        decorate = decorate or cached("answers")
        if colour.is_async:

            async def tell_async(question: str = "why?") -> Any:
                async with aclosing(self.read_async()) as chunks:
                    async for chunk in chunks:
                        yield chunk

            return decorate(tell_async)

        def tell(question: str = "why?") -> Any:
            yield from self.read()

        return decorate(tell)


class Desk:
    """Where streams are read: a thread, or one loop that goes on between the steps."""

    def __init__(self, colour: Colour) -> None:
        self.is_async = colour.is_async
        self._runner = asyncio.Runner()

    def do(self, work: Callable[[], Any]) -> Any:
        """Do something where streams are read, and wait for it where there is something to wait for."""
        if not self.is_async:
            return work()

        async def done() -> Any:
            outcome = work()
            return await outcome if isinstance(outcome, Awaitable) else outcome

        return self._runner.run(done(), context=copy_context())

    def next(self, stream: Any) -> Any:
        """Read one chunk; ``END``: there is none."""
        if not self.is_async:
            return next(stream, END)
        return self.do(lambda: anext(stream, END))

    def rest(self, stream: Any) -> list[Any]:
        """Read all that is left."""
        return list(iter(lambda: self.next(stream), END))

    def close(self, stream: Any) -> None:
        """Read no more."""
        self.do(stream.aclose if self.is_async else stream.close)

    def turn(self) -> None:
        """Let happen what happens by itself."""
        if self.is_async:
            self._runner.run(turns())
        else:
            settle()

    def end(self) -> None:
        """Close what belongs to the loop."""
        if self.is_async:
            self.do(aclose)
        self._runner.close()


async def turns() -> None:
    """Let every task run until it can go no further."""
    for _ in range(50):
        await asyncio.sleep(0)


def forget(function: Any) -> None:
    """Have L1 hold nothing of a function any more."""
    plan = plan_of(function)
    plan.local.clear(plan.table)


def plan_of(function: Any) -> Any:
    """Return the plan that a decorated function is under."""
    return function.policy._binding.bound().plan


def leases() -> int:
    """Count the leases in the in-memory Redis of the policy in use."""
    server = current.current().stores._memory
    assert server is not None
    client: Any = server.connect_sync(1)._client
    return len(client.keys("*:~lease:*"))


def no_lease_is_left() -> None:
    """Wait until every lease has been given back."""
    until(lambda: not leases(), "the leases")
