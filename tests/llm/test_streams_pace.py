"""M3: how fast streams that are cached come again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from cachepolicy import ManualClock, cached, configure
from tests.support.colour import Colour
from tests.support.policies import cache_policy
from tests.support.streams import END, Desk, forget


def _slow(time: ManualClock, desk: Desk, *pauses: float) -> Any:
    """Return a stream that takes its time."""

    def tell() -> Iterator[int]:
        for number, pause in enumerate(pauses):
            time.advance(pause)
            yield number

    async def tell_async() -> AsyncIterator[int]:
        for number, pause in enumerate(pauses):
            await asyncio.sleep(0)
            time.advance(pause)
            yield number

    decorate: Any = cached("answers")
    return decorate(tell_async if desk.is_async else tell)


@pytest.mark.parametrize(
    ("replay", "expected"),
    [
        ({}, [0, 0, 0, 0]),
        ({"pace": "0s"}, [0, 0, 0, 0]),
        ({"pace": "20ms"}, [0.02, 0.02, 0.02, 0.02]),
        ({"pace": 0.5}, [0.5, 0.5, 0.5, 0.5]),
        ({"pace": "recorded"}, [0.25, 0, 2, 0.5]),
        ({"pace": "recorded", "longest": "1m"}, [0.25, 0, 7, 0.5]),
        ({"pace": "recorded", "longest": "0.1s"}, [0.1, 0, 0.1, 0.1]),
    ],
)
@pytest.mark.parametrize("tier", ["l1", "l2"])
def test_m3_replays_keep_a_pace(
    colour: Colour, replay: dict[str, Any], expected: list[float], tier: str
) -> None:
    """M3: chunks come again at once, evenly, or as they were recorded, as ``replay`` says."""
    time = ManualClock()
    configure(cache_policy(replay=replay), clock=time.clock)
    desk = Desk(colour)
    tell = _slow(time, desk, 0.25, 0, 7, 0.5)
    assert desk.rest(tell()) == [0, 1, 2, 3]
    if tier == "l2":
        forget(tell)
    stream, paused = tell(), []
    for number in range(4):
        before = time.now_monotonic
        assert desk.next(stream) == number
        paused.append(round(time.now_monotonic - before, 3))
    assert paused == expected
    assert desk.next(stream) is END
    desk.end()


def test_m3_what_is_recorded_is_how_long_the_origin_took(colour: Colour) -> None:
    """M3: a reader who takes his time between two chunks does not slow replays down."""
    time = ManualClock()
    configure(cache_policy(replay={"pace": "recorded"}), clock=time.clock)
    desk = Desk(colour)
    tell = _slow(time, desk, 0.1, 0.1)
    stream = tell()
    desk.next(stream)
    time.advance(600)
    desk.rest(stream)
    before = time.now_monotonic
    assert desk.rest(tell()) == [0, 1]
    assert time.now_monotonic - before == pytest.approx(0.2)
    desk.end()
