"""Policies with one namespace of sessions, and verbs of its stores in either colour."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cachepolicy.runtime import current
from tests.support.colour import Colour
from tests.support.policies import PATIENT

HOSTILE_USERS: Final[Sequence[Any]] = (
    *("a", "a:b", "a*", "{a}", "}{", "a\nb", "\x00", "Grüße", "x" * 10_000, "\ud800", "~1"),
    *(5, -5, 10**40),
)
"""Ids of users that are all different, and look like anything else."""


def sessions_policy(
    url: str = "memory://", *, redis: Mapping[str, Any] | None = None, **rule: Any
) -> dict[str, Any]:
    """Return a policy with one namespace, ``sessions``; ``rule`` is laid over it.

    Redis has all the time that a busy machine takes.
    """
    return {
        "version": 1,
        "app": "test",
        "redis": {"url": url, **PATIENT, **(redis or {})},
        "namespaces": {"sessions": {"kind": "sessions", "db": 0, **rule}},
    }


def do(colour: Colour, verb: Any, *args: Any, **kwargs: Any) -> Any:
    """Do one verb in a colour, and leave nothing of its loop behind."""
    if not colour.is_async:
        return verb.sync(*args, **kwargs)

    async def main() -> Any:
        try:
            return await verb(*args, **kwargs)
        finally:
            await current.current().stores.aclose()

    return asyncio.run(main())
