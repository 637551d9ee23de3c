"""Write a behaviour test once; run it for ``def`` and for ``async def``.

::

    def test_a_hit_does_not_call_again(colour: Colour) -> None:
        calls = []

        @colour.decorate(cached("temp"))
        def double(x: int) -> int:
            calls.append(x)
            return 2 * x

        assert colour.run(lambda: double(2)) == 4
        assert colour.run(lambda: double(2)) == 4
        assert calls == [2]

``decorate`` hands the decorator the function itself, or an ``async def`` of the same name, signature and
annotations; ``run`` calls, and waits for the outcome where it must be waited for.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Colour:
    """One of the two colours of function."""

    is_async: bool

    def paint(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Give ``function`` in this colour: itself, or an ``async def`` that does the same."""
        if not self.is_async:
            return function

        @functools.wraps(function)
        async def painted(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0)  # a real origin suspends
            return function(*args, **kwargs)

        return painted

    def decorate(self, decorator: Callable[[Any], Any]) -> Callable[[Callable[..., Any]], Any]:
        """Apply ``decorator`` to the function in this colour; the result, handle and all, is Any."""
        return lambda function: decorator(self.paint(function))

    def run(self, call: Callable[[], Any]) -> Any:
        """Call, and wait for the outcome on an event loop of its own if there is one to wait for."""
        if not self.is_async:
            return call()

        async def awaited() -> Any:
            outcome = call()  # made on the loop, as a caller would
            return await outcome if isinstance(outcome, Awaitable) else outcome

        return asyncio.run(awaited())


SYNC = Colour(is_async=False)
ASYNC = Colour(is_async=True)
