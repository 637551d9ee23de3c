"""Metrics on each kind of store, in each colour."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from cachepolicy import configure
from cachepolicy.clock import SYSTEM, Clock
from cachepolicy.testing.fault_proxy import FaultProxy
from tests.support.colour import Colour
from tests.support.counted import Counting, Stored, analytics_policy
from tests.support.metrics import Counted

Opened = Callable[..., Counted]
Begun = Callable[..., Counting]


@pytest.fixture
def url(every_url: str) -> str:
    """Name an empty store of each kind."""
    return every_url


@pytest.fixture
def opened(url: str, colour: Colour) -> Opened:
    """Open metrics on each kind of store under rules of the test's own."""

    def open_metrics(**rule: Any) -> Counted:
        return Counted(colour, url, **rule)

    return open_metrics


@pytest.fixture
def on_redis(redis_url: str, colour: Colour) -> Opened:
    """Open metrics on a real Redis, where the test has its hands in."""

    def open_metrics(**rule: Any) -> Counted:
        return Counted(colour, redis_url, **rule)

    return open_metrics


@pytest.fixture
def begun(redis_url: str, colour: Colour) -> Iterator[Begun]:
    """Count, in a process, for the shared server, under rules of the test's own."""
    with ExitStack() as ended:

        def begin(*, clock: Clock = SYSTEM, **rule: Any) -> Counting:
            configure(analytics_policy(redis_url, **rule), clock=clock)
            return ended.enter_context(closing(Counting(colour)))

        yield begin


@pytest.fixture
def stored(redis_url: str) -> Iterator[Stored]:
    """Read what the shared server has counted."""
    stored = Stored(redis_url)
    yield stored
    stored.close()


@pytest.fixture
def proxy(redis_url: str) -> Iterator[FaultProxy]:
    """Put a bad network between the library and the shared server."""
    with FaultProxy(redis_url) as proxy:
        yield proxy
