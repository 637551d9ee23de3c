"""C7: callers wait for the function as long as ``timeouts`` says; it goes on, and its result is kept."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cachepolicy import ManualClock, OriginTimeout, Outcome, Tier, cached, configure, control, observe
from cachepolicy.telemetry.names import Reason
from tests.support.colour import ASYNC, SYNC, Colour
from tests.support.origin import Origin, past_its_ttl, settle, settle_async, settled
from tests.support.policies import cache_policy

SHORT = "20ms"


def _configure(time: ManualClock, timeouts: dict[str, str], **rule: Any) -> None:
    policy = cache_policy(ttl="1m", stale={"if_error": "1h"}, timeouts=timeouts, **rule)
    configure(policy, clock=time.clock)


def _hangs(colour: Colour, time: ManualClock, origin: Origin, **timeouts: str) -> Any:
    """Return a function with an old answer, that does not answer any more."""
    answer = past_its_ttl(colour, time, origin, {"if_error": "1h"}, timeouts=timeouts)
    origin.gate.clear()
    return answer


def _let_go(colour: Colour, origin: Origin, answer: Any) -> Any:
    """Call, then let the function end and wait until it has."""
    if not colour.is_async:
        try:
            return answer()
        finally:
            origin.gate.set()
            settle()

    async def main() -> Any:
        try:
            return await answer()
        finally:
            origin.gate.set()
            await settle_async()

    return asyncio.run(main())


def test_c7_a_slow_function_is_answered_for(colour: Colour, time: ManualClock, origin: Origin) -> None:
    """C7: past ``soft`` the old value answers, marked; the function goes on, and its result is next.

    FusionCache#534 (no timeout on the first hit in L2), #560 (an old value was left after timeouts).
    """
    answer = _hangs(colour, time, origin, soft=SHORT)
    with observe() as seen:
        assert _let_go(colour, origin, answer) == {"number": 1}
    assert (seen[0].outcome, seen[0].reason) == (Outcome.STALE, Reason.ORIGIN_TIMEOUT)
    with observe() as seen:
        assert colour.run(answer) == {"number": 2}
    assert (seen[0].outcome, seen[0].tier) == (Outcome.HIT, Tier.L1)
    assert origin.calls == 2


def test_c7_with_nothing_old_a_soft_timeout_waits(colour: Colour, time: ManualClock, origin: Origin) -> None:
    """C7: ``soft`` is for callers who can be given something; the first ever waits for the function."""
    _configure(time, {"soft": "1ms"})
    answer = origin.decorated(colour)
    origin.gate.clear()
    threading.Timer(0.05, origin.gate.set).start()
    assert colour.run(answer) == {"number": 1}


def test_c7_a_function_that_fails_after_soft_is_not_kept(
    colour: Colour, time: ManualClock, origin: Origin
) -> None:
    """C7: what a function raises after its callers were answered is no answer (FusionCache#332)."""
    answer = _hangs(colour, time, origin, soft=SHORT)
    origin.error = ConnectionError
    assert _let_go(colour, origin, answer) == {"number": 1}
    with observe() as seen:
        assert colour.run(answer) == {"number": 1}
    assert seen[0].reason is Reason.ORIGIN_ERROR


def test_c7_past_hard_the_caller_is_told_and_the_result_kept(
    colour: Colour, time: ManualClock, origin: Origin
) -> None:
    """C7: past ``hard`` a call raises ``OriginTimeout``, a ``TimeoutError``; the result is there later."""
    _configure(time, {"hard": SHORT})
    answer = origin.decorated(colour)
    origin.gate.clear()
    with observe() as seen, pytest.raises(TimeoutError) as raised:
        _let_go(colour, origin, answer)
    assert type(raised.value) is OriginTimeout
    assert (seen[0].outcome, seen[0].reason, seen[0].error) == (
        Outcome.MISS,
        Reason.ORIGIN_TIMEOUT,
        "OriginTimeout",
    )
    assert colour.run(answer) == {"number": 1}
    assert origin.calls == 1


@pytest.mark.parametrize("way", ["refresh", "no_cache"])
def test_c7_hard_holds_for_callers_who_want_it_anew(
    colour: Colour, time: ManualClock, origin: Origin, way: str
) -> None:
    """C7: ``hard`` is the most that any caller waits, however he asks."""
    _configure(time, {"hard": SHORT})
    answer = origin.decorated(colour)
    with contextlib.suppress(OriginTimeout):  # on a busy machine; its result is kept all the same
        _let_go(colour, origin, answer)
    assert colour.run(answer) == {"number": 1}
    time.advance(1)
    origin.gate.clear()
    wishes: dict[str, Any] = {way: True}
    with control(**wishes), pytest.raises(OriginTimeout):
        _let_go(colour, origin, answer)
    assert colour.run(answer) == {"number": 2}


def test_c7_followers_are_given_the_old_answer_too(colour: Colour, time: ManualClock, origin: Origin) -> None:
    """C7: all who wait past ``soft`` are answered, each with an object of its own."""
    answer = _hangs(colour, time, origin, soft=SHORT)
    with observe() as seen:
        answers = _crowd(colour, origin, answer)
    assert answers == [{"number": 1}] * 5
    assert len({id(one) for one in answers}) == 5
    assert origin.calls == 2
    if colour.is_async:
        assert {one.reason for one in seen} == {Reason.ORIGIN_TIMEOUT}


def test_c7_followers_are_told_too(colour: Colour, time: ManualClock, origin: Origin) -> None:
    """C7: all who wait past ``hard`` get an ``OriginTimeout`` of their own; the function is asked once."""
    _configure(time, {"hard": SHORT})
    answer = origin.decorated(colour)
    origin.gate.clear()
    errors = _crowd(colour, origin, answer)
    assert {type(error) for error in errors} == {OriginTimeout}
    assert len({id(error) for error in errors}) == 5
    assert origin.calls == 1


def _crowd(colour: Colour, origin: Origin, answer: Any) -> list[Any]:
    """Ask five times at once; return the answers and errors."""
    if not colour.is_async:
        with ThreadPoolExecutor(5) as pool:
            asked = [pool.submit(answer) for _ in range(5)]
            outcomes = [one.exception() or one.result() for one in asked]
        origin.gate.set()
        settle()
        return outcomes

    async def main() -> list[Any]:
        outcomes = await asyncio.gather(*[answer() for _ in range(5)], return_exceptions=True)
        origin.gate.set()
        await settle_async()
        return outcomes

    return asyncio.run(main())


def test_c7_soft_then_hard(colour: Colour, time: ManualClock, origin: Origin) -> None:
    """C7: where nothing old is left to give past ``soft``, ``hard`` ends the wait."""
    _configure(time, {"soft": "1ms", "hard": SHORT})
    answer = origin.decorated(colour)
    origin.gate.clear()
    with pytest.raises(OriginTimeout):
        _let_go(colour, origin, answer)


def test_c7_a_cancelled_caller_leaves_the_function_running(time: ManualClock, origin: Origin) -> None:
    """C7: who is cancelled while he waits within ``hard`` harms nobody; the result is kept."""
    _configure(time, {"hard": "20s"})
    answer = origin.decorated(ASYNC)
    origin.gate.clear()

    async def main() -> None:
        task = asyncio.create_task(answer())
        other = asyncio.create_task(answer())
        await asyncio.to_thread(origin.asked.wait, 20)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        origin.gate.set()
        assert await other == {"number": 1}

    asyncio.run(main())
    assert origin.calls == 1


def test_a_def_function_in_the_background_sees_its_callers_context(time: ManualClock) -> None:
    """With ``timeouts`` a ``def`` runs in a thread, where the context variables of its caller hold."""
    _configure(time, {"hard": "20s"})
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")

    @cached("answers")
    def answer() -> list[str]:
        return [who.get(), threading.current_thread().name]

    who.set("alice")
    assert answer() == ["alice", "cachepolicy-background"]
    assert settled(SYNC, answer) == ["alice", "cachepolicy-background"]
