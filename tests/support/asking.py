"""One call after another in either colour, and the connections closed behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from cachepolicy import Tier, aclose, close, observe
from tests.support.colour import Colour


def ask_each(colour: Colour, function: Any, arguments: Iterable[Any]) -> tuple[list[Any], list[Tier]]:
    """Call a function with each argument in turn, on one loop; return the answers and whence they came."""

    async def ask() -> list[Any]:
        answers = [await function(argument) for argument in arguments]
        await aclose()
        return answers

    with observe() as seen:
        if colour.is_async:
            answers = asyncio.run(ask())
        else:
            answers = [function(argument) for argument in arguments]
            close()
    return answers, [one.tier for one in seen]


def ask_once(colour: Colour, function: Any, argument: Any) -> Any:
    """Call a function, and close the connections that belong to the call's loop."""
    if not colour.is_async:
        return function(argument)

    async def ask() -> Any:
        try:
            return await function(argument)
        finally:
            await aclose()

    return colour.run(ask)
