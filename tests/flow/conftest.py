"""What tests of flows share: a clock and a function, both under their control."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cachepolicy import ManualClock
from tests.support.origin import Origin


@pytest.fixture
def time() -> ManualClock:
    """Stand still until told otherwise."""
    return ManualClock()


@pytest.fixture
def origin() -> Iterator[Origin]:
    """Give a function that is let go in the end."""
    made = Origin()
    yield made
    made.gate.set()
