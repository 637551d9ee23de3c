"""A server filled past its memory, quickly: what tests of eviction need."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from typing import Any, Final

import redis

from cachepolicy import SessionManager, aclose
from tests.support.colour import Colour

_FILL: Final = """
for number = ARGV[1] + 0, ARGV[2] - 1 do
  redis.call('SET', KEYS[1] .. number, ARGV[3] .. number, 'PX', ARGV[4])
end"""
_BATCH: Final = 100
VALUE: Final = "x" * 1000
FULL: Final = 30 * 2**20
"""Bytes of ``maxmemory`` of a server that is filled."""


class Filled:
    """A server with ``maxmemory``, and what is written past it beside the library.

    Args:
        url: of the server.
        policy: its ``maxmemory-policy``.
    """

    def __init__(self, url: str, policy: str) -> None:
        self.client: Any = redis.Redis.from_url(url)
        self._numbers = itertools.count()
        self.client.config_set("maxmemory", FULL)
        self.client.config_set("maxmemory-policy", policy)

    def write(self, count: int, ttl: float, prefix: str = "test:llm:", db: int = 0) -> int:
        """Write so many values of 1 kB; return how many were refused.

        Args:
            count: how many.
            ttl: of each, in seconds.
            prefix: of their keys.
            db: where.
        """
        refused = 0
        for first in range(0, count, _BATCH):
            try:
                with self.client.pipeline(transaction=False) as pipe:
                    pipe.execute_command("SELECT", db)
                    pipe.eval(_FILL, 1, prefix, first, min(first + _BATCH, count), VALUE, int(ttl * 1000))
                    pipe.execute_command("SELECT", 0)
                    pipe.execute()
            except redis.ResponseError as error:
                if "maxmemory" not in str(error):
                    raise
                refused += _BATCH
        return refused

    def fill_for_good(self) -> None:
        """Write values without a TTL, ever smaller ones, until there is no room for any.

        A while later there may be some again: a server gives back what clients needed.
        """
        for size in (2**20, 2**14, 2**6):
            with suppress(redis.exceptions.OutOfMemoryError):
                while True:
                    self.client.set(f"other:{next(self._numbers)}", b"x" * size)
            self.client.connection_pool.disconnect()  # with its room for commands as large

    def info(self, name: str) -> int:
        """Return a number that INFO tells."""
        return int(self.client.info()[name])

    def count(self, pattern: str) -> int:
        """Return how many keys of database 0 look like this."""
        return sum(1 for _ in self.client.scan_iter(pattern, count=1000))

    def close(self) -> None:
        """Close the connection."""
        self.client.close()


class LoggedIn:
    """Users who log in and stay idle, in one colour."""

    def __init__(self, colour: Colour, count: int) -> None:
        self._colour = colour
        manager = SessionManager()
        self.tokens = [
            new.token for new in self._all(manager.create_session, [f"u{n}" for n in range(count)])
        ]

    def there(self) -> int:
        """Count those who are logged in still; nobody's session is renewed by that."""
        return sum(found is not None for found in self._all(SessionManager().peek_session, self.tokens))

    def _all(self, verb: Any, arguments: list[str]) -> list[Any]:
        if not self._colour.is_async:
            return [verb.sync(argument) for argument in arguments]

        async def main() -> list[Any]:
            try:
                return await asyncio.gather(*(verb(argument) for argument in arguments))
            finally:
                await aclose()

        return asyncio.run(main())
