"""``memory://``: fakeredis, with Lua, in this process. The same leaves over it; nothing outlives the process."""

from __future__ import annotations

import fakeredis

from cachepolicy.tiers.redis_async import RedisAsync
from cachepolicy.tiers.redis_sync import RedisSync


class MemoryServer:
    """One in-memory Redis that sync and async leaves share."""

    def __init__(self) -> None:
        self._server = fakeredis.FakeServer()

    def connect_sync(self, db: int) -> RedisSync:
        """Build a sync leaf for one database."""
        return RedisSync(fakeredis.FakeRedis(server=self._server, db=db))

    def connect_async(self, db: int) -> RedisAsync:
        """Build an async leaf for one database on the running loop."""
        return RedisAsync(fakeredis.FakeAsyncRedis(server=self._server, db=db))
