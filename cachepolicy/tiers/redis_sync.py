"""The Redis leaf for ``def``: a bounded pool, no retries, no decisions."""

from __future__ import annotations

import math
from typing import Any

from redis import Redis
from redis.connection import BlockingConnectionPool, Connection, SSLConnection, UnixDomainSocketConnection

from cachepolicy.tiers.endpoint import (
    FAULTS,
    Endpoint,
    as_bytes,
    connection_arguments,
    python_packer,
    translate,
    uses_tls,
)


def connect(endpoint: Endpoint, db: int) -> RedisSync:
    """Build the leaf for one database; nothing is connected before it is used."""
    arguments = connection_arguments(endpoint, db)
    arguments["command_packer"] = python_packer()
    arguments["redis_connect_func"] = _greet
    tls = SSLConnection if uses_tls(endpoint) else Connection
    arguments["connection_class"] = UnixDomainSocketConnection if "path" in arguments else tls
    pool = BlockingConnectionPool(**arguments)
    return RedisSync(Redis(connection_pool=pool))


def _greet(connection: Any) -> None:
    """Log in and select the database; redis-py would keep a connection open whose greeting broke off."""
    try:
        connection.on_connect()
    except BaseException:
        connection.disconnect()
        raise


class RedisSync:
    """``SyncStore`` over a redis-py client. Its timeout is the pool's: per connection, not per call."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def get(self, key: str, timeout: float) -> bytes | None:  # noqa: ARG002 - see the class
        """Return the bytes under ``key``."""
        try:
            return as_bytes(self._client.get(key))
        except FAULTS as fault:
            raise translate(fault) from None

    def set(self, key: str, value: bytes, ttl: float, timeout: float) -> None:  # noqa: ARG002 - see the class
        """Store ``value`` for ``ttl`` seconds."""
        try:
            self._client.set(key, value, px=max(1, math.ceil(ttl * 1000)))
        except FAULTS as fault:
            raise translate(fault) from None

    def delete(self, key: str, timeout: float) -> bool:  # noqa: ARG002 - see the class
        """Remove ``key``; tell whether it was there."""
        try:
            return bool(self._client.unlink(key))
        except FAULTS as fault:
            raise translate(fault) from None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._client.connection_pool.disconnect()
