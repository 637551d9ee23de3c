"""Fixtures for pytest: ``pytest_plugins = ["cachepolicy.testing.fixtures"]`` in a ``conftest.py``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cachepolicy.testing.anthropic_server import AnthropicServer
from cachepolicy.testing.fault_proxy import FaultProxy
from cachepolicy.testing.openai_server import OpenAIServer
from cachepolicy.testing.redis_server import NoRedisServer, RedisServer


@pytest.fixture(scope="session")
def cachepolicy_redis() -> Iterator[RedisServer]:
    """One private redis-server for the whole run; without a binary the test is skipped."""
    try:
        server = RedisServer()
    except NoRedisServer as missing:
        pytest.skip(str(missing))
    with server:
        yield server


@pytest.fixture
def redis_url(cachepolicy_redis: RedisServer) -> str:
    """Give the URL of the private server, emptied."""
    cachepolicy_redis.command("FLUSHALL")
    return cachepolicy_redis.url


@pytest.fixture
def fault_proxy(redis_url: str) -> Iterator[FaultProxy]:
    """Put a proxy of this test's own in front of the private server, emptied."""
    with FaultProxy(redis_url) as proxy:
        yield proxy


@pytest.fixture
def openai_server() -> Iterator[OpenAIServer]:
    """Run a local server that speaks OpenAI's wire format, and answers at once: fill its ``answers``."""
    with OpenAIServer(think=0) as server:
        yield server


@pytest.fixture
def anthropic_server() -> Iterator[AnthropicServer]:
    """Run a local server that speaks Anthropic's wire format, and answers at once: fill its ``answers``."""
    with AnthropicServer(think=0) as server:
        yield server
