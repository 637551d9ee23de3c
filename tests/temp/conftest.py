"""A store of temporary files in memory, and one on a real Redis, in both colours."""

from __future__ import annotations

import pytest

from cachepolicy import configure
from tests.support.colour import Colour
from tests.support.temping import Files, temp_policy


@pytest.fixture(params=["memory", "redis"])
def files(request: pytest.FixtureRequest, colour: Colour, redis_url: str) -> Files:
    """Give a store with small chunks."""
    configure(temp_policy("memory://" if request.param == "memory" else redis_url))
    return Files(colour)


@pytest.fixture
def redis_files(redis_url: str, colour: Colour) -> Files:
    """Give such a store on a real Redis."""
    configure(temp_policy(redis_url))
    return Files(colour)
