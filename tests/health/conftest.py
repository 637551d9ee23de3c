"""A server that no other test uses: what others leave there, such as keys that expired, a look would see."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cachepolicy.testing.redis_server import RedisServer


@pytest.fixture(scope="package")
def redis_server(redis_binary: str) -> Iterator[RedisServer]:
    """One server shared by these tests; ask for ``redis_url``, which hands it out emptied."""
    with RedisServer() as server:
        yield server
