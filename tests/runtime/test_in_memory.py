"""``memory://`` is part of the process, so no deadline turns a call away from it."""

from __future__ import annotations

import itertools

from cachepolicy import cached, configure
from cachepolicy.clock import Clock
from tests.support.colour import Colour
from tests.support.policies import cache_policy


def test_a_process_that_is_busy_is_no_fault_of_a_store_in_it(colour: Colour) -> None:
    """C2: each reading of the clock is a minute after the last, and what was stored in memory is found."""
    minutes = itertools.count(0.0, 60.0)
    configure(cache_policy(ttl="7d", local={"ttl": "1s"}), clock=Clock(monotonic=lambda: next(minutes)))
    calls: list[int] = []

    @colour.decorate(cached("answers"))
    def answer(number: int) -> int:
        calls.append(number)
        return number

    assert [colour.run(lambda: answer(7)) for _ in range(3)] == [7, 7, 7]
    assert calls == [7]
