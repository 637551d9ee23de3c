"""What tests of temporary files share: a policy with one namespace of them, and verbs in either colour."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import redis

from cachepolicy import TempStore, aclose
from tests.support.colour import Colour
from tests.support.policies import PATIENT

CHUNK = 1000

_PASS = """
for _, key in ipairs(redis.call('KEYS', '*')) do
  if redis.call('TYPE', key).ok == 'zset' then
    for _, name in ipairs(redis.call('ZRANGE', key, 0, -1)) do
      redis.call('ZINCRBY', key, -ARGV[1], name)
    end
  end
  local left = redis.call('PTTL', key)
  if left >= 0 then
    redis.call('PEXPIRE', key, string.format('%.0f', left - ARGV[1]))
  end
end
"""


def temp_policy(
    url: str = "memory://", *, redis: Mapping[str, Any] | None = None, **rule: Any
) -> dict[str, Any]:
    """Return a policy with one namespace, ``temp``, in small chunks; ``rule`` is laid over it."""
    return {
        "version": 1,
        "app": "test",
        "redis": {"url": url, **PATIENT, **(redis or {})},
        "namespaces": {"temp": {"kind": "temp", "db": 4, "chunk": CHUNK, **rule}},
    }


def content(size: int) -> bytes:
    """Return bytes that nothing makes smaller, always the same."""
    return random.Random(size).randbytes(size)


class Files:
    """The store's verbs in one colour, each call on a loop of its own."""

    def __init__(self, colour: Colour) -> None:
        self.colour = colour
        self.store = TempStore()

    def do(self, verb: Any, *args: Any, **kwargs: Any) -> Any:
        """Do one verb."""
        return self.run(lambda: verb(*args, **kwargs) if self.colour.is_async else verb.sync(*args, **kwargs))

    def put(self, source: Any, **kwargs: Any) -> Any:
        """Upload a file."""
        return self.do(self.store.put, source, **kwargs)

    def read(self, *args: Any, **kwargs: Any) -> Any:
        """Read a file, or a part of it."""
        return self.do(self.store.read, *args, **kwargs)

    def usage(self, owner: Any = None) -> Any:
        """Ask how much is kept."""
        return self.do(self.store.usage, owner)

    def pieces(self, stream: Any, most: int = 10**9) -> list[bytes]:
        """Take pieces of a stream."""

        async def taken() -> list[bytes]:
            found: list[bytes] = []
            async for piece in stream:
                found.append(piece)
                if len(found) == most:
                    break
            return found

        if self.colour.is_async:
            outcome: list[bytes] = self.run(taken)
            return outcome
        found = []
        for piece in stream:
            found.append(piece)
            if len(found) == most:
                break
        return found

    def run(self, call: Callable[[], Any]) -> Any:
        """Call, and wait for the outcome on a loop whose connections are closed afterwards."""
        if not self.colour.is_async:
            return call()

        async def main() -> Any:
            try:
                return await call()
            finally:
                await aclose()

        return asyncio.run(main())


def other(url: str) -> redis.Redis:
    """Connect another client to the database of the files."""
    return redis.Redis.from_url(f"{url}/4")


def pass_time(url: str, seconds: float) -> None:
    """Have so much time pass for all that is kept, at once: what ends then has ended."""
    with other(url) as client:
        client.eval(_PASS, 0, str(round(seconds * 1000)))


def chunk_keys(client: redis.Redis) -> list[bytes]:
    """Return the keys of all chunks, in order."""
    keys: Any = client.keys("*temp:{*}:*")
    return sorted(keys, key=lambda key: int(key.rpartition(b":")[2]))


def in_parts(data: bytes, size: int, error: Exception | None = None) -> Iterator[bytes]:
    """Give bytes in parts, then raise."""
    for at in range(0, len(data), size):
        yield data[at : at + size]
    if error is not None:
        raise error


async def in_parts_async(data: bytes, size: int, error: Exception | None = None) -> AsyncIterator[bytes]:
    """Give bytes in parts, then raise."""
    for part in in_parts(data, size, error):
        await asyncio.sleep(0)
        yield part
