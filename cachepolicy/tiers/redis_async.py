"""The Redis leaf for ``async def``: a bounded pool of one event loop, no retries, no decisions."""

from __future__ import annotations

import asyncio
import math

from redis.asyncio import Redis
from redis.asyncio.connection import (
    BlockingConnectionPool,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)

from cachepolicy.tiers.endpoint import FAULTS, Endpoint, as_bytes, connection_arguments, translate, uses_tls


def connect(endpoint: Endpoint, db: int) -> RedisAsync:
    """Build the leaf for one database on the running loop; nothing is connected before it is used."""
    arguments = connection_arguments(endpoint, db)
    tls = SSLConnection if uses_tls(endpoint) else Connection
    arguments["connection_class"] = UnixDomainSocketConnection if "path" in arguments else tls
    pool = BlockingConnectionPool(**arguments)
    return RedisAsync(Redis(connection_pool=pool))


class RedisAsync:
    """``AsyncStore`` over a redis-py asyncio client."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def get(self, key: str, timeout: float) -> bytes | None:
        """Return the bytes under ``key``."""
        try:
            async with asyncio.timeout(timeout):
                return as_bytes(await self._client.get(key))
        except FAULTS as fault:
            raise translate(fault) from None

    async def set(self, key: str, value: bytes, ttl: float, timeout: float) -> None:
        """Store ``value`` for ``ttl`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._client.set(key, value, px=max(1, math.ceil(ttl * 1000)))
        except FAULTS as fault:
            raise translate(fault) from None

    async def delete(self, key: str, timeout: float) -> bool:
        """Remove ``key``; tell whether it was there."""
        try:
            async with asyncio.timeout(timeout):
                return bool(await self._client.unlink(key))
        except FAULTS as fault:
            raise translate(fault) from None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        await self._client.connection_pool.disconnect()
