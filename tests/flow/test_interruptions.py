"""A function that raises what is no ``Exception`` is called once, and nothing is left behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cachepolicy import ManualClock, configure
from tests.support.colour import ASYNC, SYNC, Colour
from tests.support.origin import PATIENCE, Origin, in_memory, settle
from tests.support.policies import cache_policy
from tests.support.waiting import until


class Stop(BaseException):
    """Somebody's own way to stop everything."""


ERRORS: list[Callable[[], BaseException]] = [
    KeyboardInterrupt,
    SystemExit,
    Stop,
    lambda: pytest.fail.Exception("failed"),
    lambda: asyncio.CancelledError("the function's own"),
]
NAMES = ["KeyboardInterrupt", "SystemExit", "Stop", "pytest.fail", "CancelledError"]


@pytest.mark.parametrize("timeouts", [{}, {"hard": "20s"}], ids=["", "hard"])
@pytest.mark.parametrize("error", ERRORS, ids=NAMES)
def test_an_interrupted_function_is_called_once(colour: Colour, error: Any, timeouts: dict[str, str]) -> None:
    """Its caller gets what it raised; the lease is free, and the next call asks it anew."""
    configure(cache_policy(timeouts=timeouts))
    origin = Origin()
    origin.error = error
    answer = origin.decorated(colour)
    with pytest.raises(type(error())):
        colour.run(answer)
    assert origin.calls == 1
    assert not in_memory().keys("*~lease*")
    origin.error = None
    assert colour.run(answer) == {"number": 2}


def test_c4_followers_of_an_interrupted_leader_are_not_interrupted() -> None:
    """C4: what stops one thread is none of the others' business: one of them leads the next load."""
    configure(cache_policy())
    origin = Origin()
    origin.error = Stop
    origin.gate.clear()
    answer = origin.decorated(SYNC)
    with ThreadPoolExecutor(5) as pool:
        leader = pool.submit(answer)
        assert origin.asked.wait(PATIENCE)
        origin.error = None
        followers = [pool.submit(answer) for _ in range(4)]
        threading.Timer(0.1, origin.gate.set).start()
        assert isinstance(leader.exception(PATIENCE), Stop)
        assert [one.result(PATIENCE) for one in followers] == [{"number": 2}] * 4


def test_what_stops_a_refresh_stops_its_thread_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refresh that is interrupted ends its thread, which tells of it; others take its place."""
    time = ManualClock()
    configure(cache_policy(ttl="1m", stale={"while_revalidate": "1h", "throttle": "1ms"}), clock=time.clock)
    told: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_type))
    origin = Origin()
    answer = origin.decorated(SYNC)
    answer()
    origin.error = Stop
    for _ in range(40):
        time.advance(61 if not told else 1)
        assert answer() == {"number": 1}
        settle()
        threading.Event().wait(0.002)  # the throttle is Redis' own
    until(lambda: len(told) == origin.calls - 1, "the last thread to tell")
    assert set(told) == {Stop}
    assert len(told) > 32
    origin.error = None
    time.advance(1)
    answer()
    settle()
    assert answer()["number"] > 1


def test_what_stops_a_refresh_stops_the_loop() -> None:
    """SystemExit out of a task's refresh ends the loop, as that of any task does."""
    time = ManualClock()
    configure(cache_policy(ttl="1m", stale={"while_revalidate": "1h"}), clock=time.clock)
    origin = Origin()
    answer = origin.decorated(ASYNC)
    ASYNC.run(answer)
    time.advance(61)
    origin.error = SystemExit

    async def main() -> None:
        assert await answer() == {"number": 1}
        await asyncio.Event().wait()

    with pytest.raises(SystemExit):
        asyncio.run(main())
    assert origin.calls == 2
