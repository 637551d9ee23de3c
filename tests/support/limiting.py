"""What tests of limits share: a policy with rules, and calls in either colour that leave nothing open."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cachepolicy import RateLimitExceeded, aclose
from tests.support.colour import Colour
from tests.support.policies import PATIENT


def limits_policy(
    url: str = "memory://",
    *,
    redis: Mapping[str, Any] | None = None,
    more: Mapping[str, Any] | None = None,
    **rule: Any,
) -> dict[str, Any]:
    """Return a policy with one namespace of limits, ``ratelimit``; ``rule`` is laid over it.

    Redis has all the time that a busy machine takes: a fault would look like a decision.
    """
    return {
        "version": 1,
        "app": "test",
        "redis": {"url": url, **PATIENT, **(redis or {})},
        "namespaces": {"ratelimit": {"kind": "ratelimit", "db": 2, **rule}},
        **(more or {}),
    }


class Asked:
    """Verbs and calls in one colour, one after the other, on one loop."""

    def __init__(self, colour: Colour) -> None:
        self.colour = colour

    def verb(self, verb: Any, *args: Any, **kwargs: Any) -> Any:
        """Do one verb."""
        return self.all(lambda: self.begun(verb, *args, **kwargs))[0]

    def begun(self, verb: Any, *args: Any, **kwargs: Any) -> Any:
        """Begin a verb in this colour; what comes is to be awaited, or is there."""
        return verb(*args, **kwargs) if self.colour.is_async else verb.sync(*args, **kwargs)

    def all(self, *calls: Callable[[], Any]) -> list[Any]:
        """Make calls in turn; return what became of each: what it returned, or why a limit denied it."""
        if not self.colour.is_async:
            return [_outcome(call) for call in calls]

        async def main() -> list[Any]:
            try:
                return [await _aoutcome(call) for call in calls]
            finally:
                await aclose()

        return asyncio.run(main())


def _outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except RateLimitExceeded as denied:
        return denied


async def _aoutcome(call: Callable[[], Any]) -> Any:
    try:
        outcome = call()
        return await outcome if isinstance(outcome, Awaitable) else outcome
    except RateLimitExceeded as denied:
        return denied


def denials(outcomes: list[Any]) -> list[bool]:
    """Tell of each outcome whether a limit denied it."""
    return [isinstance(outcome, RateLimitExceeded) for outcome in outcomes]
