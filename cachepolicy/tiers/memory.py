"""``memory://``: fakeredis, with Lua, in this process; nothing outlives it.

Both colours use the synchronous leaf, which never waits for anything: fakeredis' asyncio client swallows the
cancellation of the task that uses it.
"""

from __future__ import annotations

import fakeredis

from cachepolicy.tiers.redis_sync import RedisSync


class MemoryServer:
    """One in-memory Redis that sync and async code share."""

    def __init__(self) -> None:
        self._server = fakeredis.FakeServer()

    def connect_sync(self, db: int) -> RedisSync:
        """Build a sync leaf for one database."""
        return RedisSync(fakeredis.FakeRedis(server=self._server, db=db))

    def connect_async(self, db: int) -> MemoryAsync:
        """Build an async leaf for one database."""
        return MemoryAsync(self.connect_sync(db))


class MemoryAsync:
    """``AsyncStore`` over the in-memory Redis: each operation is done before it could be awaited."""

    def __init__(self, store: RedisSync) -> None:
        self._store = store

    async def get(self, key: str, timeout: float) -> bytes | None:
        """Return the bytes under ``key``."""
        return self._store.get(key, timeout)

    async def set(self, key: str, value: bytes, ttl: float, timeout: float) -> None:
        """Store ``value`` for ``ttl`` seconds."""
        self._store.set(key, value, ttl, timeout)

    async def delete(self, key: str, timeout: float) -> bool:
        """Remove ``key``; tell whether it was there."""
        return self._store.delete(key, timeout)

    async def aclose(self) -> None:
        """Close the connections."""
        self._store.close()
