"""What tests of sessions share: a policy, verbs in either colour, and hands in Redis to turn the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import redis

from cachepolicy import NewSession, SessionManager, aclose
from tests.support.colour import Colour
from tests.support.limiting import Asked
from tests.support.sessions_policy import sessions_policy

DAY = 86_400_000
"""ms"""

__all__ = ["DAY", "Hands", "Sessions", "at_once", "sessions_policy"]


class Sessions:
    """A manager whose verbs are called in one colour, each on a loop of its own."""

    def __init__(self, colour: Colour, namespace: str = "sessions") -> None:
        self.manager = SessionManager(namespace)
        self.asked = Asked(colour)

    def __getattr__(self, name: str) -> Any:
        return partial(self.asked.verb, getattr(self.manager, name))


class Hands:
    """What an operator, or time, could do to the sessions of a server."""

    def __init__(self, url: str) -> None:
        self.client: Any = redis.Redis.from_url(url)

    def names(self) -> list[str]:
        """Return all keys."""
        return sorted(key.decode() for key in self.client.keys("*"))

    def key(self, created: NewSession) -> str:
        """Return the key of a session."""
        (key,) = (key for key in self.names() if key.endswith(f":{created.session.id}"))
        return key

    def dump(self) -> bytes:
        """Return all that the server holds: keys, and values whole."""
        found = []
        for key in self.client.keys("*"):
            kind = self.client.type(key)
            found.append(key)
            if kind == b"hash":
                found += [part for pair in self.client.hgetall(key).items() for part in pair]
            else:
                found.append(self.client.get(key))
        return b"\n".join(found)

    def turn(self, created: NewSession, milliseconds: int, *, but_absolute: bool = False) -> None:
        """Have a session be older by so much: what stands in it of time is that much earlier."""
        key = self.key(created)
        head = self.client.hget(key, "h")
        times = [int(head[at : at + 13]) - milliseconds for at in (0, 13, 26, 39)]
        if but_absolute:
            times[2] += milliseconds
        self.client.hset(key, "h", b"".join(b"%013d" % time for time in times) + head[52:])

    def grace(self, created: NewSession, milliseconds: int) -> None:
        """Have the grace of the token before end so much earlier."""
        key = self.key(created)
        before = self.client.hget(key, "o")
        self.client.hset(key, "o", before[:32] + b"%013d" % (int(before[32:]) - milliseconds))

    def close(self) -> None:
        """Hang up."""
        self.client.close()


def at_once(colour: Colour, works: Sequence[Callable[[], Any]]) -> list[Any]:
    """Do pieces of work at once, each a verb begun in this colour: by threads, or by tasks of one loop."""
    if not colour.is_async:
        with ThreadPoolExecutor(len(works)) as pool:
            return [done.result() for done in [pool.submit(work) for work in works]]

    async def main() -> list[Any]:
        try:
            outcomes = await asyncio.gather(*[work() for work in works], return_exceptions=True)
        finally:
            await aclose()  # when all have ended: one that goes on would connect anew
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return outcomes

    return asyncio.run(main())
