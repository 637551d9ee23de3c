"""What ``control()`` asks for, in each tier: for calls of its context, and for nobody else's."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cachepolicy import (
    MISS,
    ManualClock,
    NotCached,
    Outcome,
    PolicyError,
    Tier,
    aclose,
    cached,
    configure,
    control,
    observe,
)
from cachepolicy.flow.control import NO_CONTROL, Control, current_control
from cachepolicy.flow.invalidate import invalidate_tags
from cachepolicy.keys.layout import tag_id
from cachepolicy.runtime import current
from cachepolicy.telemetry.names import Reason
from tests.support.colour import ASYNC, SYNC, Colour
from tests.support.logged import logged
from tests.support.origin import PATIENCE, Origin, in_memory, past_its_ttl, settle, settled
from tests.support.policies import cache_policy

NO_L1 = {"enabled": False}
LOCAL = {"ttl": "1h"}


@pytest.fixture(params=[NO_L1, LOCAL], ids=["L2", "L1"])
def answer(request: pytest.FixtureRequest, colour: Colour, time: ManualClock, origin: Origin) -> Any:
    """Give a function that is answered from Redis, and one that is from L1."""
    configure(cache_policy(local=request.param), clock=time.clock)
    return origin.decorated(colour)


def test_no_cache_asks_the_function_and_keeps_what_it_says(
    colour: Colour, time: ManualClock, answer: Any
) -> None:
    """``no_cache``: what is cached does not answer; the result replaces it."""
    colour.run(answer)
    time.advance(1)
    with control(no_cache=True):
        assert colour.run(answer) == {"number": 2}
    assert colour.run(answer) == {"number": 2}


@pytest.mark.parametrize("way", ["no_cache", "refresh"])
def test_the_first_result_of_a_process_is_kept_in_redis(colour: Colour, origin: Origin, way: str) -> None:
    """``no_cache``, ``refresh``: also what came before versions of tags were known is in Redis."""
    configure(cache_policy(local=NO_L1))
    answer = origin.decorated(colour)
    wishes: dict[str, Any] = {way: True}
    with control(**wishes):
        colour.run(answer)
    assert colour.run(answer) == {"number": 1}


def test_no_store_keeps_nothing(colour: Colour, answer: Any) -> None:
    """``no_store``: a result is given and kept nowhere; what is cached still answers."""
    with control(no_store=True), observe() as seen:
        assert [colour.run(answer)["number"] for _ in range(2)] == [1, 2]
    assert {(one.outcome, one.reason) for one in seen} == {(Outcome.BYPASS, Reason.ASKED)}
    assert not in_memory().exists(answer.key())
    assert colour.run(answer) == {"number": 3}
    with control(no_store=True):
        assert colour.run(answer) == {"number": 3}


@pytest.mark.parametrize("way", ["no_cache", "refresh"])
def test_no_store_and_no_cache_touch_nothing(colour: Colour, origin: Origin, way: str) -> None:
    """``no_store`` with ``no_cache`` or ``refresh``: the function is called, what is cached stays."""
    configure(cache_policy())
    answer = origin.decorated(colour)
    colour.run(answer)
    wishes: dict[str, Any] = {way: True}
    with control(no_store=True, **wishes), observe() as seen:
        assert colour.run(answer) == {"number": 2}
    assert (seen[0].outcome, seen[0].reason) == (Outcome.BYPASS, Reason.ASKED)
    assert colour.run(answer) == {"number": 1}


def test_no_store_does_not_keep_others_from_storing(origin: Origin) -> None:
    """``no_store``: a load that another caller waits for is kept: he has nothing against it."""
    configure(cache_policy())
    answer = origin.decorated(ASYNC)
    origin.gate.clear()

    async def secretly() -> Any:
        with control(no_store=True):
            return await answer()

    async def main() -> None:
        leader = asyncio.create_task(secretly())
        await asyncio.to_thread(origin.asked.wait, PATIENCE)
        follower = asyncio.create_task(answer())
        for _ in range(20):
            await asyncio.sleep(0)
        origin.gate.set()
        assert [await leader, await follower] == [{"number": 1}] * 2
        assert await answer() == {"number": 1}

    asyncio.run(main())


def test_no_store_leaves_an_old_answer_as_it_is(colour: Colour, time: ManualClock, origin: Origin) -> None:
    """``no_store``: an old value may answer, but it is not computed anew on behalf of this caller."""
    answer = past_its_ttl(colour, time, origin, {"while_revalidate": "1h"})
    with control(no_store=True):
        assert [settled(colour, answer) for _ in range(3)] == [{"number": 1}] * 3
    assert origin.calls == 1
    settled(colour, answer)
    assert origin.calls == 2


def test_max_age_takes_nothing_older(colour: Colour, time: ManualClock, answer: Any) -> None:
    """``max_age``: younger answers will do, older ones are computed anew."""
    colour.run(answer)
    time.advance(10)
    with control(max_age="10s"):
        assert colour.run(answer) == {"number": 1}
    time.advance(1)
    with control(max_age=10):
        assert colour.run(answer) == {"number": 2}
    assert colour.run(answer) == {"number": 2}


@pytest.mark.parametrize("local", [NO_L1, LOCAL], ids=["L2", "L1"])
def test_max_age_takes_what_is_past_its_ttl_only_where_all_else_fails(
    colour: Colour, time: ManualClock, origin: Origin, local: dict[str, Any]
) -> None:
    """``max_age``: nothing old answers while it is computed anew, but where the function fails it does."""
    stale = {"while_revalidate": "1h", "if_error": "1h"}
    answer = past_its_ttl(colour, time, origin, stale, local=local)
    with control(max_age="1d"):
        assert settled(colour, answer) == {"number": 2}
    time.advance(5)
    origin.error = ConnectionError
    with control(max_age=1), observe() as seen:
        assert settled(colour, answer) == {"number": 2}
    assert seen[0].reason is Reason.ORIGIN_ERROR


def test_max_age_of_a_follower_is_kept_to(redis_url: str, time: ManualClock, origin: Origin) -> None:
    """``max_age``: who waits for a leader that is content with an older answer does not get that one."""
    configure(cache_policy(redis_url, local=NO_L1), clock=time.clock)
    answer = origin.decorated(ASYNC)

    async def strictly() -> Any:
        with control(max_age=1):
            return await answer()

    async def main() -> None:
        await answer()
        time.advance(10)
        answers = await asyncio.gather(answer(), strictly())
        assert list(answers) == [{"number": 1}, {"number": 2}]
        await aclose()

    asyncio.run(main())


def test_ttl_is_that_of_the_call(colour: Colour, time: ManualClock, answer: Any) -> None:
    """``ttl``: the result of a call lives as long as it says."""
    with control(ttl="10s"):
        colour.run(answer)
    time.advance(9)
    assert colour.run(answer) == {"number": 1}
    time.advance(2)
    assert colour.run(answer) == {"number": 2}


@pytest.mark.parametrize(("asked", "lives"), [("1s", 60), ("2h", 3600)])
def test_ttl_outside_the_range_is_clamped_and_told_once(
    time: ManualClock, origin: Origin, caplog: pytest.LogCaptureFixture, asked: str, lives: int
) -> None:
    """``ttl``: beyond what the policy allows the nearest TTL is used, and one warning says so."""
    configure(cache_policy(ttl={"default": "5m", "min": "1m", "max": "1h"}), clock=time.clock)
    answer = origin.decorated(SYNC)
    with control(ttl=asked), caplog.at_level(logging.WARNING, "cachepolicy"):
        answer()
        answer("what?")
    assert len(logged(caplog)) == 1
    time.advance(lives - 0.1)
    assert answer() == {"number": 1}
    time.advance(0.2)
    assert answer() == {"number": 3}


def test_only_if_cached_never_calls_the_function(
    colour: Colour, time: ManualClock, origin: Origin, answer: Any
) -> None:
    """``only_if_cached``: what is cached answers, anything else raises ``NotCached``, a ``LookupError``."""
    with control(only_if_cached=True), pytest.raises(LookupError) as raised:
        colour.run(answer)
    assert type(raised.value) is NotCached
    assert origin.calls == 0
    colour.run(answer)
    with control(only_if_cached=True):
        assert colour.run(answer) == {"number": 1}
    time.advance(3601)
    with control(only_if_cached=True), pytest.raises(NotCached):
        colour.run(answer)
    with control(only_if_cached=True, no_cache=True), pytest.raises(NotCached):
        colour.run(answer)
    assert origin.calls == 1


def test_a_hit_that_was_wished_for_counts_once(colour: Colour, answer: Any) -> None:
    """``only_if_cached``: each call is counted as one, whichever tier answers."""
    colour.run(answer)
    with control(only_if_cached=True):
        colour.run(answer)
    stats = answer.stats()
    assert (stats.calls, stats.l1_hits + stats.l2_hits) == (2, 1)


def test_only_if_cached_takes_what_any_call_would_be_given(
    colour: Colour, time: ManualClock, origin: Origin
) -> None:
    """``only_if_cached``: an old value within ``while_revalidate`` answers; nothing is computed anew."""
    answer = past_its_ttl(colour, time, origin, {"while_revalidate": "1h"})
    with control(only_if_cached=True), observe() as seen:
        assert settled(colour, answer) == {"number": 1}
    assert seen[0].outcome is Outcome.STALE
    assert origin.calls == 1
    assert settled(colour, answer) == {"number": 1}
    assert origin.calls == 2  # it hid nothing from the next caller


def test_only_if_cached_waits_for_nobody(origin: Origin) -> None:
    """``only_if_cached``: a load that is under way is not waited for."""
    configure(cache_policy())
    answer = origin.decorated(SYNC)
    origin.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(answer)
        assert origin.asked.wait(PATIENCE)
        with control(only_if_cached=True), pytest.raises(NotCached):
            answer()
        origin.gate.set()
        loading.result(PATIENCE)


def test_tags_of_a_call_invalidate_its_result(colour: Colour, answer: Any) -> None:
    """``tags``: a result is put out of date by a tag that its caller gave it, whoever asks."""
    with control(tags=["batch-7", "batch-7"]):
        colour.run(answer)
    assert colour.run(answer) == {"number": 1}
    _purge("batch-7")
    assert colour.run(answer) == {"number": 2}


def test_what_lacks_a_tag_is_no_answer_for_who_gives_it(
    colour: Colour, time: ManualClock, answer: Any
) -> None:
    """``tags``: an answer that was kept without the tag would outlive it: it is computed anew, with it."""
    colour.run(answer)
    time.advance(1)
    with control(tags="batch-7"):
        assert colour.run(answer) == {"number": 2}
        assert colour.run(answer) == {"number": 2}


def _purge(tag: str) -> None:
    (plan,) = current.current()._plans
    plan.site.sync_io().run(invalidate_tags(plan.site, plan.versions, [tag_id("", tag)], 1.0, purge=True))


def test_inside_another_the_stricter_holds() -> None:
    """Nested: the smaller ``max_age``, the inner ``ttl``, all tags, every wish of either; then the outer."""
    with control(max_age=10, ttl=60, tags=["a", "b"], no_store=True):
        with control(max_age=20, tags=["b", "c"], refresh=True):
            assert current_control() == Control(
                no_store=True, refresh=True, max_age=10, ttl=60, tags=("a", "b", "c")
            )
            with control(max_age=5, ttl=30):
                assert (current_control().max_age, current_control().ttl) == (5, 30)
        assert current_control() == Control(max_age=10, ttl=60, tags=("a", "b"), no_store=True)
    assert current_control() is NO_CONTROL


def test_an_error_inside_ends_it() -> None:
    """What holds inside ends with the block, however that ends."""
    with pytest.raises(ZeroDivisionError), control(no_cache=True):
        raise ZeroDivisionError
    assert current_control() is NO_CONTROL


def test_tasks_started_inside_inherit_it_and_others_do_not(origin: Origin) -> None:
    """A task started inside has the wishes, also after the block; one started before or beside has not."""
    configure(cache_policy())
    answer = origin.decorated(ASYNC)

    async def main() -> None:
        begin = asyncio.Event()

        async def later() -> Any:
            await begin.wait()
            return await answer()

        await answer()
        before = asyncio.create_task(later())
        with control(no_cache=True, no_store=True):
            inside = asyncio.create_task(later())
        begin.set()
        answers = [await before, await inside, await answer()]
        assert answers == [{"number": 1}, {"number": 2}, {"number": 1}]

    asyncio.run(main())


def test_threads_have_wishes_of_their_own(origin: Origin) -> None:
    """A plain thread starts without wishes; ``asyncio.to_thread`` takes them along."""
    configure(cache_policy())
    answer = origin.decorated(SYNC)
    answer()
    with control(no_cache=True, no_store=True):
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(answer).result(PATIENCE) == {"number": 1}

        async def main() -> Any:
            return await asyncio.to_thread(answer)

        assert asyncio.run(main()) == {"number": 2}


def test_what_the_function_calls_inherits_it(colour: Colour) -> None:
    """Cached functions that a cached function calls are under its caller's wishes."""
    configure(cache_policy())
    calls: list[str] = []

    @cached("answers")
    def inner() -> str:
        calls.append("inner")
        return "inner"

    @colour.decorate(cached("answers"))
    def outer() -> str:
        calls.append("outer")
        return inner()

    colour.run(outer)
    with control(refresh=True):
        colour.run(outer)
    assert calls == ["outer", "inner"] * 2


def test_wishes_made_after_the_fast_path_was_opened_are_seen(colour: Colour, origin: Origin) -> None:
    """A function that answered from L1 before anybody ever wished for anything obeys the first wish."""
    configure(cache_policy())
    answer = origin.decorated(colour)
    for _ in range(3):
        colour.run(answer)
    started = threading.Event()

    def beside() -> Any:
        started.wait(PATIENCE)
        return colour.run(answer)

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(beside)
        with control(no_cache=True, no_store=True):
            started.set()
            assert colour.run(answer) == {"number": 2}
            assert other.result(PATIENCE) == {"number": 1}
    with observe() as seen:
        assert colour.run(answer) == {"number": 1}
    assert seen[0].tier is Tier.L1


def test_a_duration_that_cannot_be_read_is_told() -> None:
    """A mistyped duration is an error where it stands, with what was expected."""
    wrong: list[dict[str, Any]] = [{"max_age": "soon"}, {"ttl": "0s"}, {"ttl": -1}]
    for wishes in wrong:
        with pytest.raises(PolicyError, match="control"), control(**wishes):
            pass
    with control(max_age=0):
        assert current_control().max_age == 0


def test_peek_and_verbs_work_under_control(colour: Colour, origin: Origin) -> None:
    """``peek`` under ``only_if_cached`` gives MISS, as ever, and raises nothing."""
    configure(cache_policy())
    answer = origin.decorated(colour)
    with control(only_if_cached=True):
        assert colour.run(answer.peek) is MISS
    settle()
