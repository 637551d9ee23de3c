"""C7: what is out of date answers while it is computed anew, or where it cannot be; never past its end."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from typing import Any

import pytest

from cachepolicy import ManualClock, Outcome, Tier, aclose, configure, observe
from cachepolicy.flow.background import MOST_THREADS
from cachepolicy.keys.layout import lease_key
from cachepolicy.telemetry.names import Reason
from tests.support.colour import ASYNC, SYNC, Colour
from tests.support.logged import logged
from tests.support.origin import Origin, in_memory, past_its_ttl, settle, settled
from tests.support.policies import cache_policy

NO_L1 = {"enabled": False}


def _configure(time: ManualClock, stale: dict[str, str], **rule: Any) -> None:
    configure(cache_policy(ttl="1m", stale=stale, **rule), clock=time.clock)


def _break(origin: Origin) -> None:
    origin.error = lambda: ConnectionError("the provider is down")


def test_c7_an_old_answer_is_given_at_once_and_replaced_once(
    colour: Colour, time: ManualClock, origin: Origin
) -> None:
    """C7: within ``while_revalidate`` the old value is given without waiting, and one origin call is made."""
    answer = past_its_ttl(colour, time, origin, {"while_revalidate": "1m"})
    origin.gate.clear()

    def crowd() -> list[Any]:
        return [answer() for _ in range(20)]

    async def crowd_async() -> Any:
        answers = await asyncio.gather(*[answer() for _ in range(20)])
        origin.gate.set()
        return answers

    with observe() as seen:
        if colour.is_async:
            assert settled(colour, crowd_async) == [{"number": 1}] * 20
        else:
            assert crowd() == [{"number": 1}] * 20
            origin.gate.set()
            settle()
    assert {(one.outcome, one.reason) for one in seen} <= {
        (Outcome.STALE, Reason.REVALIDATING),
        (Outcome.COALESCED, None),
    }
    assert origin.calls == 2
    with observe() as seen:
        assert colour.run(answer) == {"number": 2}
    assert (seen[0].outcome, seen[0].tier) == (Outcome.HIT, Tier.L1)


def test_c7_the_refreshed_answer_is_in_redis_too(colour: Colour, time: ManualClock, origin: Origin) -> None:
    """C7: without an L1 the refreshed value is what the next caller gets (FusionCache#604)."""
    answer = past_its_ttl(colour, time, origin, {"while_revalidate": "1m"}, local=NO_L1)
    assert settled(colour, answer) == {"number": 1}
    with observe() as seen:
        assert colour.run(answer) == {"number": 2}
    assert (seen[0].outcome, seen[0].tier) == (Outcome.HIT, Tier.L2)


def test_c7_a_refresh_that_fails_is_not_tried_again_at_once(
    colour: Colour, time: ManualClock, origin: Origin
) -> None:
    """C7: after a refresh failed the old value goes on, and the function is left alone (``throttle``)."""
    answer = past_its_ttl(colour, time, origin, {"while_revalidate": "1m", "throttle": "1h"}, local=NO_L1)
    _break(origin)
    with observe() as seen:
        assert [settled(colour, answer) for _ in range(5)] == [{"number": 1}] * 5
    assert origin.calls == 2
    assert {one.outcome for one in seen} == {Outcome.STALE}


def test_c7_a_refresh_that_gives_nothing_to_keep_is_throttled(
    colour: Colour, time: ManualClock, origin: Origin
) -> None:
    """C7: a refreshed value that the policy does not admit is no reason for a call by each caller."""
    stale = {"while_revalidate": "1m", "throttle": "1h"}
    first_only = {"cache_if": lambda value: value["number"] == 1}
    answer = past_its_ttl(colour, time, origin, stale, local=NO_L1, decorator=first_only)
    assert [settled(colour, answer) for _ in range(5)] == [{"number": 1}] * 5
    assert origin.calls == 2


def test_c7_a_background_failure_is_not_kept_as_an_answer(
    colour: Colour, time: ManualClock, origin: Origin
) -> None:
    """C7: what a refresh raises replaces nothing and is told once, without the message (FusionCache#332)."""
    answer = past_its_ttl(colour, time, origin, {"while_revalidate": "1m", "throttle": "1ms"}, local=NO_L1)
    _break(origin)
    settled(colour, answer)
    with observe() as seen:
        assert settled(colour, answer) == {"number": 1}
    assert (seen[0].outcome, seen[0].reason) == (Outcome.STALE, Reason.REVALIDATING)


def test_a_failed_refresh_is_told_once(
    colour: Colour, time: ManualClock, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    """An operator sees that the function fails behind its callers' backs: one line, no value in it."""
    answer = past_its_ttl(colour, time, origin, {"while_revalidate": "1m", "throttle": "1ms"}, local=NO_L1)
    _break(origin)
    with caplog.at_level(logging.WARNING, "cachepolicy"):
        for _ in range(3):
            settled(colour, answer)
    (said,) = [record.getMessage() for record in logged(caplog)]
    assert "ConnectionError" in said
    assert "provider" not in said


def test_c7_past_the_window_callers_wait_for_the_function(
    colour: Colour, time: ManualClock, origin: Origin
) -> None:
    """C7: past ``while_revalidate`` nothing old is given."""
    _configure(time, {"while_revalidate": "1m"})
    answer = origin.decorated(colour)
    colour.run(answer)
    time.advance(121)
    assert colour.run(answer) == {"number": 2}


def test_c7_where_the_function_fails_an_old_answer_is_given_and_marked(
    colour: Colour, time: ManualClock, origin: Origin
) -> None:
    """C7: within ``if_error`` an error is answered by the old value, and ``observe`` says so."""
    answer = past_its_ttl(colour, time, origin, {"if_error": "1h", "throttle": "1h"})
    _break(origin)
    with observe() as seen:
        assert [colour.run(answer) for _ in range(5)] == [{"number": 1}] * 5
    assert {(one.outcome, one.reason, one.error) for one in seen} == {
        (Outcome.STALE, Reason.ORIGIN_ERROR, None)
    }
    assert seen[0].age == pytest.approx(61)
    assert origin.calls == 2  # the others are spared by the throttle


def test_c7_after_the_throttle_the_function_is_tried_again(
    colour: Colour, time: ManualClock, origin: Origin
) -> None:
    """C7: once the throttle is over, one caller tries, and a function that is well again answers."""
    answer = past_its_ttl(colour, time, origin, {"if_error": "1h", "throttle": "1ms"})
    _break(origin)
    assert colour.run(answer) == {"number": 1}
    origin.error = None
    threading.Event().wait(0.01)  # the throttle is Redis' own
    assert colour.run(answer) == {"number": 3}


def test_c7_followers_get_the_old_answer_too(colour: Colour, time: ManualClock, origin: Origin) -> None:
    """C7: who waited for a load that failed is answered by the old value, each by an object of its own."""
    answer = past_its_ttl(ASYNC, time, origin, {"if_error": "1h"})
    _break(origin)

    async def crowd() -> list[Any]:
        return await asyncio.gather(*[answer() for _ in range(10)])

    with observe() as seen:
        answers = ASYNC.run(crowd)
    assert answers == [{"number": 1}] * 10
    assert len({id(one) for one in answers}) == 10
    assert {(one.outcome, one.reason) for one in seen} == {(Outcome.STALE, Reason.ORIGIN_ERROR)}
    assert origin.calls == 2


@pytest.mark.parametrize("stale", [{"if_error": "1m"}, {"while_revalidate": "1m"}], ids=str)
@pytest.mark.parametrize("local", [NO_L1, {"ttl": "1h"}], ids=["L2", "L1"])
def test_c7_nothing_is_given_past_its_end(
    colour: Colour, time: ManualClock, origin: Origin, stale: dict[str, str], local: dict[str, Any]
) -> None:
    """C7: ``stale_until`` is never extended: however often the old value served, then the error comes.

    FusionCache#212, #229: each time a failed refresh was throttled, the old value was given a longer life.
    """
    _configure(time, {**stale, "throttle": "10s"}, local=local)
    answer = origin.decorated(colour)
    colour.run(answer)
    time.advance(60)
    _break(origin)
    for _ in range(59):
        time.advance(1)
        assert settled(colour, answer) == {"number": 1}
    time.advance(1.001)
    with pytest.raises(ConnectionError):
        settled(colour, answer)


def test_c7_a_load_that_fails_late_is_not_answered_by_what_has_ended(
    colour: Colour, time: ManualClock, origin: Origin
) -> None:
    """C7: an old value whose time ended while the function was asked does not stand in for its error."""
    answer = past_its_ttl(colour, time, origin, {"if_error": "1m"})

    def late() -> BaseException:
        time.advance(60)
        return ConnectionError()

    origin.error = late
    with pytest.raises(ConnectionError):
        colour.run(answer)


def test_a_short_stale_window_adds_to_the_ttl(colour: Colour, time: ManualClock, origin: Origin) -> None:
    """``if_error`` counts from the end of the TTL: it cannot be shorter than that (FusionCache#115)."""
    _configure(time, {"if_error": "1s"})
    answer = origin.decorated(colour)
    colour.run(answer)
    _break(origin)
    time.advance(59)
    with observe() as seen:
        assert colour.run(answer) == {"number": 1}
    assert seen[0].outcome is Outcome.HIT
    time.advance(1.5)
    with observe() as seen:
        assert colour.run(answer) == {"number": 1}
    assert seen[0].outcome is Outcome.STALE


def test_c7_what_is_expired_may_still_stand_in(colour: Colour, time: ManualClock, origin: Origin) -> None:
    """C7: ``expire`` leaves what answers where the function fails; ``invalidate`` leaves nothing."""
    _configure(time, {"if_error": "1h"})
    answer = origin.decorated(colour)
    colour.run(answer)
    colour.run(answer.expire)
    _break(origin)
    with observe() as seen:
        assert settled(colour, answer) == {"number": 1}
    assert seen[0].reason is Reason.ORIGIN_ERROR
    colour.run(answer.invalidate)
    with pytest.raises(ConnectionError):
        colour.run(answer)


def test_c7_a_refresh_does_not_wait_for_another_process(
    colour: Colour, time: ManualClock, origin: Origin
) -> None:
    """C7: while somebody else has the lease, the old value is given at once (bentocache#103)."""
    answer = past_its_ttl(colour, time, origin, {"while_revalidate": "1m"}, local=NO_L1)
    in_memory().set(lease_key(answer.key()), "other", px=60_000)
    assert settled(colour, answer) == {"number": 1}


def test_old_answers_that_wait_for_nobody_are_given_when_all_threads_are_busy(
    time: ManualClock, origin: Origin
) -> None:
    """With no thread left for a refresh the caller is not made to do it; another one has it done later."""
    _configure(time, {"while_revalidate": "1m"})
    answer = origin.decorated(SYNC)
    for number in range(MOST_THREADS + 1):
        answer(str(number))
    time.advance(61)
    origin.gate.clear()
    for number in range(MOST_THREADS + 1):
        assert answer(str(number)) == {"number": number + 1}
    origin.gate.set()
    settle()
    assert origin.calls == 2 * MOST_THREADS + 1
    time.advance(6)  # L1 asks again
    assert answer(str(MOST_THREADS)) == {"number": MOST_THREADS + 1}
    settle()
    assert answer(str(MOST_THREADS)) == {"number": 2 * MOST_THREADS + 2}


def test_a_loop_that_ends_takes_its_refreshes_along(
    time: ManualClock, origin: Origin, recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    """``asyncio.run`` cancels a refresh without a warning; its lease is free at once (cashews#144)."""
    gc.collect()  # what other tests left
    recwarn.clear()
    caplog.clear()
    answer = past_its_ttl(ASYNC, time, origin, {"while_revalidate": "1m"}, local=NO_L1)
    _break(origin)
    origin.gate.clear()

    async def leave() -> None:
        assert await answer() == {"number": 1}
        while origin.calls < 2:  # noqa: ASYNC110 - the origin counts for threads and loops alike
            await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.01, origin.gate.set)  # frees the thread that waits for it

    asyncio.run(leave())
    origin.gate.set()
    origin.error = None
    gc.collect()
    assert settled(ASYNC, answer) == {"number": 1}
    assert settled(ASYNC, answer) == {"number": 3}
    assert not recwarn.list
    assert not logged(caplog)


def test_aclose_waits_for_refreshes(time: ManualClock, origin: Origin) -> None:
    """``aclose`` lets a refresh end, and what it computed is kept."""
    answer = past_its_ttl(ASYNC, time, origin, {"while_revalidate": "1m"})

    async def leave() -> None:
        await answer()
        await aclose()

    asyncio.run(leave())
    assert ASYNC.run(answer) == {"number": 2}
    assert origin.calls == 2
