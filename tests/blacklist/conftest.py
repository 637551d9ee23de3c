"""An empty store of each kind."""

from __future__ import annotations

import pytest

from cachepolicy.testing.redis_server import RedisServer


@pytest.fixture(params=["memory", "redis", "valkey"])
def url(request: pytest.FixtureRequest, redis_server: RedisServer, valkey_server: RedisServer) -> str:
    """Give the URL of an empty store of each kind."""
    if request.param == "memory":
        return "memory://"
    server = redis_server if request.param == "redis" else valkey_server
    server.command("FLUSHALL")
    return server.url
