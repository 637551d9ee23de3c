from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cachepolicy import (
    MISS,
    CallDenied,
    ManualClock,
    NotCached,
    Outcome,
    ResultsMismatch,
    StoreError,
    Tier,
    aclose,
    cached_many,
    close,
    configure,
    control,
    observe,
)
from tests.support.colour import Colour
from tests.support.policies import cache_policy
from tests.support.trips import Trips
from tests.support.waiting import until

PATIENCE = 20.0  # seconds until a test that hangs is called a failure
NO_L1 = {"enabled": False}


@pytest.fixture(autouse=True)
def _memory() -> Iterator[None]:
    configure(cache_policy())
    yield
    close()


def lengths(colour: Colour, **options: Any) -> tuple[list[Any], Any]:
    """Decorate a function that measures words; return what it was asked for, call by call."""
    asked: list[Any] = []

    @colour.decorate(cached_many("answers", over="words", **options))
    def length(words: list[str], unit: str = "letters") -> list[dict[str, int]]:
        asked.append(words)
        return [{unit: len(word)} for word in words]

    return asked, length


def of(*words: str) -> list[dict[str, int]]:
    """Return what ``length`` returns for words."""
    return [{"letters": len(word)} for word in words]


def in_turn(colour: Colour, *calls: Callable[[], Any]) -> list[Any]:
    """Make calls on one loop, close its connections, and return the outcomes."""

    async def awaited() -> list[Any]:
        try:
            outcomes: list[Any] = []
            for call in calls:
                outcome = call()
                outcomes.append(await outcome if isinstance(outcome, Awaitable) else outcome)
            return outcomes
        finally:
            await aclose()

    return asyncio.run(awaited()) if colour.is_async else [call() for call in calls]


def test_only_the_missing_are_computed_and_order_is_kept(colour: Colour) -> None:
    """Some items are cached, some are not, some come twice: one call for the missing ones, each once."""
    asked, length = lengths(colour)
    assert colour.run(lambda: length(["b", "aa"])) == of("b", "aa")
    assert colour.run(lambda: length(["ccc", "aa", "dddd", "ccc", "b"])) == of(
        "ccc", "aa", "dddd", "ccc", "b"
    )
    assert asked == [["b", "aa"], ["ccc", "dddd"]]


def test_no_item_no_call(colour: Colour) -> None:
    """An empty sequence is answered by an empty list, and neither the function nor Redis is asked."""
    asked, length = lengths(colour)
    with observe() as seen:
        assert colour.run(lambda: length([])) == []
    assert (asked, seen) == ([], [])


def test_one_item(colour: Colour) -> None:
    """A batch of one is a batch like any other."""
    asked, length = lengths(colour)
    assert [colour.run(lambda: length(("aa",))) for _ in range(2)] == [of("aa")] * 2
    assert asked == [("aa",)]


def test_each_place_has_a_value_of_its_own(colour: Colour) -> None:
    """Duplicates do not share a mutable result, whether it is computed, from L1 or from Redis."""
    for local in ({}, NO_L1):
        configure(cache_policy(local=local))
        _, length = lengths(colour)
        for _ in range(2):
            first, second, third = colour.run(functools.partial(length, ["a", "a", "a"]))
            first["letters"] = second["letters"] = 7
            assert third == {"letters": 1}
        assert colour.run(functools.partial(length, ["a"])) == of("a")


def test_an_iterator_is_read_once(colour: Colour) -> None:
    """Items that can be read but once are read before anything else: the function gets a list of them."""
    asked, length = lengths(colour)
    assert colour.run(lambda: length(word for word in "ab")) == of("a", "b")
    assert asked == [["a", "b"]]


def test_other_arguments_are_part_of_each_items_key(colour: Colour) -> None:
    """The same item under another argument is another entry; positional and keyword spellings are one."""
    asked, length = lengths(colour)
    colour.run(lambda: length(["a"], "letters"))
    colour.run(lambda: length(words=["a"], unit="letters"))
    colour.run(lambda: length(["a"], unit="signs"))
    assert asked == [["a"], ["a"]]


def test_an_error_fails_the_call_and_keeps_nothing(colour: Colour) -> None:
    """What the function raises reaches the caller, also for items that are cached; nothing is stored."""
    fails = [True]

    @colour.decorate(cached_many("answers", over="items", negative=(LookupError,)))
    def twice(items: list[int]) -> list[int]:
        if 3 in items and fails:
            raise LookupError("no such item")
        return [2 * item for item in items]

    assert colour.run(lambda: twice([1])) == [2]
    with pytest.raises(LookupError, match="no such item"):
        colour.run(lambda: twice([1, 2, 3]))
    assert colour.run(lambda: twice.peek([1, 2, 3])) == [2, MISS, MISS]
    fails.clear()
    assert colour.run(lambda: twice([3])) == [6]  # and no lease was left behind


@pytest.mark.parametrize(
    ("wrong", "says"),
    [([1], "1 results for 2 items"), ("ab", "a str"), (None, "a NoneType"), ({"a": 1}, "a mapping")],
)
def test_a_wrong_number_of_results_is_an_error(colour: Colour, wrong: object, says: str) -> None:
    """A function that does not return one result per item is told so, and nothing is stored."""

    @colour.decorate(cached_many("answers", over="items"))
    def broken(items: list[str]) -> Any:
        return wrong

    with pytest.raises(ResultsMismatch, match=says):
        colour.run(lambda: broken(["a", "b"]))
    with pytest.raises(ResultsMismatch):
        colour.run(lambda: broken.bypass(["a", "b"]))
    assert colour.run(lambda: broken.peek(["a", "b"])) == [MISS, MISS]


def test_a_mapping_of_results_will_do(colour: Colour) -> None:
    """A function may return its results by item; its callers get them in the order of the items."""

    @colour.decorate(cached_many("answers", over="items"))
    def squares(items: list[int]) -> dict[int, float]:
        return {item: float(item**2) for item in reversed(items)}

    for _ in range(2):
        assert colour.run(lambda: squares([3, 1, 2, 3])) == [9.0, 1.0, 4.0, 9.0]


def test_an_exception_in_an_items_place_is_its_result(colour: Colour) -> None:
    """An exception of a listed class that stands for an item is kept for it alone, and given in its place."""
    asked = []

    @colour.decorate(cached_many("answers", over="items", negative=(LookupError,)))
    def find(items: list[str]) -> list[str | LookupError]:
        asked.append(items)
        return [LookupError(item) if item == "b" else item for item in items]

    for local in ({}, NO_L1):
        configure(cache_policy(local=local))
        asked.clear()
        for _ in range(2):
            one, two, three, again = colour.run(lambda: find(["a", "b", "c", "b"]))
            assert (one, repr(two), three, repr(again)) == ("a", "LookupError('b')", "c", "LookupError('b')")
            assert two is not again
        assert asked == [["a", "b", "c"]]


def test_what_is_not_admitted_is_given_and_not_kept(colour: Colour) -> None:
    """``cache_if`` and ``admit.none`` are asked item by item."""
    configure(cache_policy(admit={"none": False}))
    asked = []

    @colour.decorate(cached_many("answers", over="items", cache_if=lambda result: result != 2))
    def plain(items: list[int]) -> list[int | None]:
        asked.append(items)
        return [None if item == 3 else item for item in items]

    for _ in range(2):
        assert colour.run(lambda: plain([1, 2, 3])) == [1, 2, None]
    assert asked == [[1, 2, 3], [2, 3]]


def test_a_result_without_a_byte_form_is_given_and_not_kept(colour: Colour) -> None:
    """One item's result that cannot be stored keeps no other from being stored."""
    asked = []

    @colour.decorate(cached_many("answers", over="items"))
    def make(items: list[int]) -> list[object]:
        asked.append(items)
        return [object() if item == 2 else item for item in items]

    for _ in range(2):
        results = colour.run(lambda: make([1, 2, 2]))
        assert results[0] == 1
        assert results[1] is results[2]
    assert asked == [[1, 2], [2]]


def test_one_round_trip_reads_all(colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred hits in Redis are one round trip of one command; a hundred misses take three in all."""
    trips = Trips()
    trips.watch(monkeypatch)
    configure(cache_policy(local=NO_L1))
    _, length = lengths(colour)
    words = [f"word {number}" for number in range(100)]
    _, _, missed, _, hit, count, invalidated, peeked, looked = in_turn(
        colour,
        lambda: length(words[:1]),
        lambda: length.invalidate(words[:1]),  # scripts and versions are known from now on
        trips.take,
        lambda: length(words),
        trips.take,
        lambda: length(words),
        trips.take,
        lambda: length.invalidate(words),
        trips.take,
        lambda: length.peek(words),
        trips.take,
    )[2:]
    assert [(trip[0], len(trip)) for trip in missed] == [("MGET", 1), ("EVALSHA", 100), ("EVALSHA", 100)]
    assert (hit, looked) == ([["MGET"]], [["MGET"]])
    assert [len(trip) for trip in invalidated] == [100]
    assert (count, peeked) == (100, [MISS] * 100)


def test_ten_thousand_items(colour: Colour, redis_url: str) -> None:
    """A very large batch is computed in one call, and read back in parts that meet the deadline."""
    configure(cache_policy(redis_url, local=NO_L1, stampede={"lease": "1h"}))
    asked: list[int] = []

    @colour.decorate(cached_many("answers", over="items"))
    def twice(items: list[int]) -> list[int]:
        asked.append(len(items))
        return [2 * item for item in items]

    items = list(range(10_000))
    for outcome in (Outcome.MISS, Outcome.HIT):
        with observe() as seen:
            assert in_turn(colour, lambda: twice(items)) == [[2 * item for item in items]]
        assert {one.outcome for one in seen} == {outcome}
    assert asked == [10_000]


def test_each_item_is_observed_and_the_call_has_one_duration(colour: Colour) -> None:
    """``observe()`` records each different item, with its own outcome and the duration of the call."""
    _, length = lengths(colour)
    colour.run(lambda: length(["a"]))
    with observe() as seen:
        colour.run(lambda: length(["a", "b", "b"]))
    assert [(one.outcome, one.tier) for one in seen] == [
        (Outcome.HIT, Tier.L1),
        (Outcome.MISS, Tier.ORIGIN),
    ]
    assert [one.key for one in seen] == length.keys(["a", "b"])
    stats = length.stats()
    assert (stats.calls, stats.l1_hits, stats.misses) == (3, 1, 2)


def test_c3_overlapping_batches_compute_each_item_once(colour: Colour) -> None:
    """C3: batches in threads or tasks that want each other's items, in other orders, compute each once."""
    gate, asked = threading.Event(), []

    def compute(items: list[int]) -> list[int]:
        asked.extend(items)
        return [2 * item for item in items]

    orders = [list(range(40)), list(reversed(range(40))), [*range(20, 60)], [*range(59, -1, -2)]]
    if colour.is_async:

        @cached_many("answers", over="items")
        async def twice(items: list[int]) -> list[int]:
            for _ in range(10):
                await asyncio.sleep(0)
            return compute(items)

        async def all_at_once() -> list[list[int]]:
            return await asyncio.gather(*[twice(order) for order in orders])

        results = asyncio.run(all_at_once())
    else:

        @cached_many("answers", over="items")
        def twice_sync(items: list[int]) -> list[int]:
            assert gate.wait(PATIENCE)
            return compute(items)

        with ThreadPoolExecutor(len(orders)) as pool:
            futures = [pool.submit(twice_sync, order) for order in orders]
            gate.set()
            results = [future.result(PATIENCE) for future in futures]
    assert results == [[2 * item for item in order] for order in orders]
    assert sorted(asked) == list(range(60))


def test_c4_cancelling_a_caller_fails_nobody_else() -> None:
    """C4: a batch goes on when its caller is cancelled; whoever waits for its items gets them."""
    asked: list[list[str]] = []
    begun, gate = asyncio.Event(), asyncio.Event()

    @cached_many("answers", over="words")
    async def length(words: list[str]) -> list[int]:
        asked.append(words)
        begun.set()
        await gate.wait()
        return [len(word) for word in words]

    async def main() -> None:
        first = asyncio.create_task(length(["a", "bb"]))
        await begun.wait()
        second = asyncio.create_task(length(["bb", "a"]))
        for _ in range(10):
            await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        gate.set()
        assert await second == [2, 1]
        await aclose()

    asyncio.run(asyncio.wait_for(main(), PATIENCE))
    assert asked == [["a", "bb"]]


def test_an_error_reaches_all_who_wait() -> None:
    """One origin call that fails fails every batch that waited for one of its items, and none hangs."""
    gate = asyncio.Event()
    asked = []

    @cached_many("answers", over="words")
    async def length(words: list[str]) -> list[int]:
        asked.append(words)
        await gate.wait()
        raise ValueError("no")

    async def main() -> list[BaseException | list[int]]:
        tasks = [asyncio.create_task(length(["a", "b"])) for _ in range(3)]
        for _ in range(10):
            await asyncio.sleep(0)
        gate.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        await aclose()
        return found

    found = asyncio.run(asyncio.wait_for(main(), PATIENCE))
    assert [type(one) for one in found] == [ValueError] * 3
    assert asked == [["a", "b"]]


def test_a_batch_may_be_called_from_inside_itself(colour: Colour) -> None:
    """A function that asks for its own items does not wait for itself."""
    depth: list[int] = []

    if colour.is_async:

        @cached_many("answers", over="items")
        async def nested(items: list[int]) -> list[int]:
            depth.append(len(items))
            if len(depth) < 3:
                await nested([*items, 7])
            return items

        async def main() -> list[int]:
            found = await asyncio.wait_for(nested([1, 2]), PATIENCE)
            await aclose()
            return found

        assert asyncio.run(main()) == [1, 2]
    else:

        @cached_many("answers", over="items")
        def nested_sync(items: list[int]) -> list[int]:
            depth.append(len(items))
            if len(depth) < 3:
                nested_sync([*items, 7])
            return items

        assert nested_sync([1, 2]) == [1, 2]


def test_an_interrupt_leaves_no_flight_behind(colour: Colour) -> None:
    """KeyboardInterrupt in the function ends the call; the next call computes anew and nobody waits."""
    interrupts = [True]

    @colour.decorate(cached_many("answers", over="items"))
    def twice(items: list[int]) -> list[int]:
        if interrupts:
            interrupts.clear()
            raise KeyboardInterrupt
        return [2 * item for item in items]

    with pytest.raises(KeyboardInterrupt):
        colour.run(lambda: twice([1, 2, 3]))
    assert colour.run(lambda: twice([3, 2, 1])) == [6, 4, 2]


def test_c5_an_invalidation_of_one_item_wins_over_the_load(redis_url: str) -> None:
    """C5: an item that is invalidated while its batch is computed is not stored; the others are."""
    configure(cache_policy(redis_url))
    begun, gate, asked = threading.Event(), threading.Event(), []

    @cached_many("answers", over="words")
    def length(words: list[str]) -> list[int]:
        asked.append(words)
        begun.set()
        assert gate.wait(PATIENCE)
        return [len(word) for word in words]

    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(length, ["a", "b", "c"])
        assert begun.wait(PATIENCE)
        length.invalidate(["b"])
        gate.set()
        assert call.result(PATIENCE) == [1, 1, 1]
    assert length.peek(["a", "b", "c"]) == [1, MISS, 1]
    assert length(["a", "b", "c"]) == [1, 1, 1]
    assert asked == [["a", "b", "c"], ["b"]]


def test_stale_items_serve_while_one_call_computes_them_anew(colour: Colour) -> None:
    """C7: items past their TTL answer at once, and all of them are computed anew in one call."""
    clock = ManualClock()
    configure(cache_policy(ttl="10s", stale={"while_revalidate": "1h"}, local=NO_L1), clock=clock.clock)
    asked: list[list[str]] = []

    @colour.decorate(cached_many("answers", over="words"))
    def length(words: list[str]) -> list[int]:
        asked.append(words)
        return [len(word) for word in words]

    with observe() as seen:
        _, _, answer = in_turn(
            colour, lambda: length(["a", "b"]), lambda: clock.advance(11), lambda: length(["b", "a"])
        )
    assert answer == [1, 1]
    if not colour.is_async:
        until(lambda: length.peek(["a", "b"]) == [1, 1], "the refresh behind")
    assert [one.outcome for one in seen] == [Outcome.MISS] * 2 + [Outcome.STALE] * 2
    assert asked == [["a", "b"], ["b", "a"]]


def test_stale_items_stand_in_where_the_function_fails(colour: Colour) -> None:
    """C7: with ``if_error`` an outdated result stands in for one that could not be computed."""
    clock = ManualClock()
    configure(cache_policy(ttl="10s", stale={"if_error": "1h"}, local=NO_L1), clock=clock.clock)
    fails: list[bool] = []

    @colour.decorate(cached_many("answers", over="words"))
    def length(words: list[str]) -> list[int]:
        if fails:
            raise ValueError("no")
        return [len(word) for word in words]

    colour.run(lambda: length(["a", "b"]))
    clock.advance(11)
    fails.append(True)
    assert colour.run(lambda: length(["b", "a"])) == [1, 1]
    with pytest.raises(ValueError, match="no"):
        colour.run(lambda: length(["a", "c"]))


def test_wishes_hold_for_every_item(colour: Colour) -> None:
    """``control()`` governs a batch as it does a single call."""
    asked, length = lengths(colour)
    with control(only_if_cached=True), pytest.raises(NotCached):
        colour.run(lambda: length(["a"]))
    with control(no_store=True):
        colour.run(lambda: length(["a"]))
    assert colour.run(lambda: length.peek(["a"])) == [MISS]
    colour.run(lambda: length(["a", "b"]))
    with control(only_if_cached=True):
        assert colour.run(lambda: length(["b", "a"])) == of("b", "a")
    for wish in (control(refresh=True), control(no_cache=True)):
        with wish:
            colour.run(lambda: length(["b", "a", "b"]))
    assert asked == [["a"], ["a", "b"], ["b", "a"], ["b", "a"]]
    with control(max_age=0):
        colour.run(lambda: length(["a"]))
    assert len(asked) == 5


@pytest.mark.parametrize(
    ("on_fault", "error"), [("bypass", None), ("raise", StoreError), ("deny", CallDenied)]
)
def test_redis_down(colour: Colour, on_fault: str, error: type[Exception] | None) -> None:
    """While Redis is out a batch does as ``on_fault`` says, and each missing item is computed once."""
    configure(cache_policy("redis://127.0.0.1:1/0", on_fault=on_fault), clock=ManualClock().clock)
    asked, length = lengths(colour)
    words = [f"word {number}" for number in range(50)]
    if error is not None:
        with pytest.raises(error):
            in_turn(colour, lambda: length(words))
        assert asked == []
        return
    assert in_turn(colour, *[lambda: length(words)] * 2) == [of(*words)] * 2
    assert asked == [words]


def test_tags_of_items_invalidate_items(colour: Colour) -> None:
    """A tag may be the item itself: each item carries its own, and they are read in one round trip."""
    asked, length = lengths(colour, tags=("words", "unit"))
    for _ in range(2):
        colour.run(lambda: length(["a", "b"]))
    assert asked == [["a", "b"]]


def test_expired_items_serve_as_stale_ones_do(colour: Colour) -> None:
    """C5: ``expire`` puts every item of a call out of date; they stand in only where the function fails."""
    configure(cache_policy(stale={"if_error": "1h"}, local=NO_L1))
    fails: list[bool] = []

    @colour.decorate(cached_many("answers", over="words"))
    def length(words: list[str]) -> list[int]:
        if fails:
            raise ValueError("no")
        return [len(word) for word in words]

    colour.run(lambda: length(["a", "b"]))
    assert colour.run(lambda: length.expire(["a", "b", "c"])) == 2
    assert colour.run(lambda: length.peek(["a", "b"])) == [MISS, MISS]
    fails.append(True)
    with observe() as seen:
        assert colour.run(lambda: length(["a", "b"])) == [1, 1]
    assert {one.outcome for one in seen} == {Outcome.STALE}
