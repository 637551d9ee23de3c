"""Sessions on each kind of store, in each colour."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cachepolicy import configure
from tests.support.colour import Colour
from tests.support.sessions import Hands, Sessions, sessions_policy

Opened = Callable[..., Sessions]


@pytest.fixture
def url(every_url: str) -> str:
    """Name an empty store of each kind."""
    return every_url


@pytest.fixture
def opened(url: str, colour: Colour) -> Opened:
    """Open sessions on each kind of store under rules of the test's own."""

    def open_sessions(**rule: Any) -> Sessions:
        configure(sessions_policy(url, **rule))
        return Sessions(colour)

    return open_sessions


@pytest.fixture
def on_redis(redis_url: str, colour: Colour) -> Opened:
    """Open sessions on a real Redis, where the test has its hands in."""

    def open_sessions(**rule: Any) -> Sessions:
        configure(sessions_policy(redis_url, **rule))
        return Sessions(colour)

    return open_sessions


@pytest.fixture
def hands(redis_url: str) -> Iterator[Hands]:
    """Give hands in the shared Redis."""
    hands = Hands(redis_url)
    yield hands
    hands.close()
