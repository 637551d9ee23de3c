"""Servers that are filled."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from cachepolicy.testing.redis_server import RedisServer
from tests.support.filling import Filled


@pytest.fixture(scope="module")
def _shared(redis_binary: str) -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def roomy(_shared: RedisServer) -> RedisServer:
    """Give an emptied server that has no limit until a test says so."""
    for name, value in (("maxmemory", "0"), ("maxmemory-policy", "noeviction")):
        _shared.command("CONFIG", "SET", name, value)
    _shared.command("FLUSHALL")
    return _shared


@pytest.fixture
def filled(roomy: RedisServer) -> Iterator[Callable[[str], Filled]]:
    """Give what limits that server's memory, under a policy."""
    opened: list[Filled] = []

    def limit(policy: str) -> Filled:
        opened.append(Filled(roomy.url, policy))
        return opened[-1]

    yield limit
    for each in opened:
        each.close()
