"""What tests of LLM functions share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.colour import Colour
from tests.support.streams import Desk


@pytest.fixture
def desk(colour: Colour) -> Iterator[Desk]:
    """Give a place to read streams at, in the colour of the test."""
    made = Desk(colour)
    yield made
    made.end()
