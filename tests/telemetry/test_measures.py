"""What is measured of calls that leave L1, as OpenTelemetry and other readers see it."""

from __future__ import annotations

import asyncio
import threading
import timeit
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from cachepolicy import ManualClock, cached, cached_many, configure
from cachepolicy.keys.layout import lease_key
from cachepolicy.runtime import current
from cachepolicy.telemetry import histograms as rooms
from cachepolicy.telemetry import measures, metrics
from cachepolicy.telemetry.histograms import Histogram
from cachepolicy.telemetry.names import Outcome, Tier
from cachepolicy.testing.redis_server import RedisServer
from tests.support.colour import Colour
from tests.support.metered import exported_metrics, histograms, numbers
from tests.support.origin import Origin, past_its_ttl, settled
from tests.support.policies import cache_policy

_AT = ("cachepolicy.namespace", "answers")


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryMetricReader]:
    """Read metrics of a provider of this test's own, with nothing counted before."""
    with exported_metrics(monkeypatch) as reader:
        yield reader


@pytest.fixture
def origin() -> Iterator[Origin]:
    """Give a function that is let go in the end."""
    made = Origin()
    yield made
    made.gate.set()


def _run(colour: Colour, call: Callable[[], Any]) -> Any:
    """Call, and leave no connection to a loop that ends."""

    async def later() -> Any:
        try:
            return await call()
        finally:
            await current.current().stores.aclose()

    return asyncio.run(later()) if colour.is_async else call()


def _counts(reader: InMemoryMetricReader, name: str) -> dict[tuple[str, ...], int]:
    """Return how many values a histogram has, by its attributes but the namespace; ours and theirs agree."""
    theirs: dict[Any, Any] = {
        at: (point.count, point.sum) for at, point in histograms(reader).get(name, {}).items()
    }
    (ours,) = [series for histogram, series in metrics.distributions() if histogram.name == name]
    assert theirs == {
        tuple(sorted(one.attributes.items())): (sum(one.counts), pytest.approx(one.total)) for one in ours
    }
    return {tuple(str(value) for key, value in at if (key, value) != _AT): n for at, (n, _) in theirs.items()}


def test_calls_that_leave_l1_are_timed(colour: Colour, reader: InMemoryMetricReader, redis_url: str) -> None:
    """O2: a call that L1 did not answer is in `operation.duration` once; one that it did costs no metric."""
    configure(cache_policy(redis_url, local={"coherence": "off"}))

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    for _ in range(5):
        _run(colour, lambda: answer("why?"))
    assert _counts(reader, "cachepolicy.operation.duration") == {("miss", "origin"): 1}
    current.close()
    _run(colour, lambda: answer("why?"))
    found = {("miss", "origin"): 1, ("hit", "l2"): 1}
    assert _counts(reader, "cachepolicy.operation.duration") == found


def test_the_function_is_timed_however_it_ends(colour: Colour, reader: InMemoryMetricReader) -> None:
    """`origin.duration` has each call of the function, and whether it raised; seconds, not milliseconds."""
    clock = ManualClock()
    configure(cache_policy(), clock=clock.clock)

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        clock.advance(0.2)
        if question == "no":
            raise ValueError(question)
        return question

    _run(colour, lambda: answer("why?"))
    with pytest.raises(ValueError, match="no"):
        _run(colour, lambda: answer("no"))
    assert _counts(reader, "cachepolicy.origin.duration") == {("ok",): 1, ("error",): 1}
    for point in histograms(reader)["cachepolicy.origin.duration"].values():
        assert point.sum == pytest.approx(0.2)
        assert point.bucket_counts[point.explicit_bounds.index(0.25)] == 1  # not in the default buckets


def test_calls_past_the_cache_are_timed(colour: Colour, reader: InMemoryMetricReader) -> None:
    """A call that goes past the cache left L1 too, and its function was called."""
    configure(cache_policy())

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    _run(colour, lambda: answer.bypass("why?"))
    assert _counts(reader, "cachepolicy.operation.duration") == {("bypass", "origin"): 1}
    assert _counts(reader, "cachepolicy.origin.duration") == {("ok",): 1}


def test_a_batch_is_timed_once_for_each_way_it_was_answered(
    colour: Colour, reader: InMemoryMetricReader, redis_url: str
) -> None:
    """A batch of a hundred items is one call, not a hundred, in each way in which any was answered."""
    configure(cache_policy(redis_url))

    @colour.decorate(cached_many("answers", over="questions"))
    def answers(questions: list[int]) -> list[int]:
        return questions

    _run(colour, lambda: answers([1, 2, 3]))
    current.close()
    _run(colour, lambda: answers([1, 2, 3, 4, 5]))
    found = {("miss", "origin"): 2, ("hit", "l2"): 1}
    assert _counts(reader, "cachepolicy.operation.duration") == found


def test_a_wait_for_another_process_is_timed(
    colour: Colour, reader: InMemoryMetricReader, own_redis: RedisServer
) -> None:
    """`lease.wait` has who waited for another process, and nobody who led at once."""
    configure(cache_policy(own_redis.url, stampede={"lease": "10s", "wait": "300ms"}))

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    _run(colour, lambda: answer("mine"))
    assert _counts(reader, "cachepolicy.lease.wait") == {}
    held = "redis.call('SELECT', 1) return redis.call('SET', KEYS[1], 'somebody', 'PX', 60000)"
    own_redis.command("EVAL", held, "1", lease_key(answer.key("why?")))
    _run(colour, lambda: answer("why?"))
    assert _counts(reader, "cachepolicy.lease.wait") == {(): 1}
    (waited,) = histograms(reader)["cachepolicy.lease.wait"].values()
    assert 0.3 <= waited.sum < 10


def test_what_is_stored_is_measured(colour: Colour, reader: InMemoryMetricReader, redis_url: str) -> None:
    """`item.size` is what lies in Redis; `compression.ratio` has what was compressed, and nothing else."""
    configure(cache_policy(redis_url, compression={"threshold": "1KB"}))

    @colour.decorate(cached("answers"))
    def answer(size: int) -> str:
        return "x" * size

    _run(colour, lambda: answer(10))
    _run(colour, lambda: answer(100_000))
    assert _counts(reader, "cachepolicy.item.size") == {(): 2}
    (size,) = histograms(reader)["cachepolicy.item.size"].values()
    assert 150 < size.sum < 1_000
    (ratio,) = histograms(reader)["cachepolicy.compression.ratio"].values()
    assert ratio.count == 1
    assert ratio.sum > 100


def test_refreshes_behind_callers_are_counted(
    colour: Colour, reader: InMemoryMetricReader, origin: Origin
) -> None:
    """An entry computed anew behind its callers is counted, and whether the function failed."""
    time = ManualClock()
    answer = past_its_ttl(colour, time, origin, {"while_revalidate": "1h", "throttle": "1ms"})
    settled(colour, answer)
    time.advance(61)
    origin.error = lambda: ConnectionError("the provider is down")
    settled(colour, answer)
    found = {dict(at)["cachepolicy.outcome"]: n for at, n in numbers(reader)["cachepolicy.refreshes"].items()}
    assert found == {"ok": 1, "error": 1}


def _evictions(reader: InMemoryMetricReader) -> dict[str, float]:
    found = numbers(reader)["cachepolicy.evictions"]
    return {dict(at)["cachepolicy.reason"]: count for at, count in found.items() if count}


@pytest.mark.parametrize(
    ("reason", "count"), [("size", 1), ("ttl", 1), ("invalidated", 1)], ids=["size", "ttl", "invalidated"]
)
def test_why_entries_leave_l1(colour: Colour, reader: InMemoryMetricReader, reason: str, count: int) -> None:
    """Entries that leave L1 are counted by why: no room, their time was over, or they were out of date."""
    clock = ManualClock()
    most = 4000 if reason == "size" else 1_000_000
    configure(cache_policy(ttl="1m", local={"max_bytes": most, "max_value": 3000}), clock=clock.clock)

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question * 2000

    _run(colour, lambda: answer("a"))
    assert _evictions(reader) == {}
    if reason == "size":
        _run(colour, lambda: answer("b"))
    elif reason == "ttl":
        clock.advance(61)
        _run(colour, lambda: answer("a"))
    else:
        _run(colour, lambda: answer.invalidate("a"))
    assert _evictions(reader) == {reason: count}


def test_telemetry_that_is_off_measures_nothing(colour: Colour, reader: InMemoryMetricReader) -> None:
    """`telemetry: {enabled: false}` measures nothing, also where another policy of the process did before."""
    configure(cache_policy())
    configure({**cache_policy(), "telemetry": {"enabled": False}})

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    _run(colour, lambda: answer("why?"))
    assert all(not series for _, series in metrics.distributions())
    assert histograms(reader) == {}


def test_c1_a_meter_that_raises_fails_no_call(
    colour: Colour, reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C1: a meter provider of the application's that fails is counted, and no caller hears of it."""
    configure(cache_policy())

    class Broken:
        def record(self, *_: object) -> None:
            raise OSError

    monkeypatch.setattr(measures.OPERATION, "told", Broken())
    monkeypatch.setattr(rooms.WISHES, "failures", 0)

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    assert _run(colour, lambda: answer("why?")) == "why?"
    assert rooms.WISHES.failures == 1


@pytest.mark.parametrize("value", [0.0, 0.1, 0.1000001, 5.0, 5.1], ids=str)
def test_a_value_is_in_the_bucket_whose_bound_it_reaches(value: float) -> None:
    """A bucket holds what is no larger than its bound, as `le` says."""
    histogram = Histogram("any", "s", "", (0.1, 1.0, 5.0))
    histogram.record(value, (("a", "b"),))
    (one,) = histogram.read()
    bucket = one.counts.index(1)
    bounds = (-1.0, *histogram.bounds, float("inf"))
    assert bounds[bucket] < value <= bounds[bucket + 1]
    assert (one.total, dict(one.attributes)) == (value, {"a": "b"})


def test_recording_is_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """To count a value takes some hundred nanoseconds: less than a hundred additions."""
    monkeypatch.setattr(measures.OPERATION, "told", None)
    monkeypatch.setattr(measures.OPERATION, "_series", {})
    monkeypatch.setattr(rooms.WISHES, "exemplars", False)
    measured = measures.Measures("answers")
    hit = partial(measured.answered, 0.0003, Outcome.HIT, Tier.L2)
    taken = min(timeit.repeat(hit, number=2_000, repeat=20)) / 2_000
    baseline = min(timeit.repeat("x += 1", "x = 0", number=20_000, repeat=20)) / 20_000
    assert taken < 100 * baseline


def test_threads_may_record_at_once() -> None:
    """Many threads that record at once raise nothing, and lose next to nothing."""
    histogram = Histogram("any", "s", "", (0.1, 1.0))

    def work() -> None:
        for number in range(2_000):
            histogram.record(0.5, (("n", str(number % 50)),))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    counted = sum(sum(one.counts) for one in histogram.read())
    assert 7_900 <= counted <= 8_000
