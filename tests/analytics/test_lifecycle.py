"""A1, C1: nothing is lost when a policy is replaced or closed, and counting costs its callers nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from cachepolicy import AnalyticsCache, StoreError, aclose, close, configure
from cachepolicy.flow.cells import Batch
from cachepolicy.flow.series import Metric
from cachepolicy.runtime import current
from cachepolicy.telemetry import analytics as told
from cachepolicy.telemetry.names import (
    METRIC_ANALYTICS_DROPPED,
    METRIC_ANALYTICS_FLUSHED,
    METRIC_ANALYTICS_PENDING,
)
from cachepolicy.testing.fault_proxy import FaultProxy, Refuse
from tests.analytics.conftest import Begun
from tests.support.counted import Stored, analytics_policy, pending
from tests.support.metered import exported_metrics, numbers
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def others() -> set[threading.Thread]:
    """The threads of tests before: what they opened may live on for a while."""
    return set(threading.enumerate())


def _threads(others: set[threading.Thread]) -> list[str]:
    return [
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith("cachepolicy") and thread not in others
    ]


def test_a1_a_policy_that_is_replaced_loses_nothing(begun: Begun, stored: Stored) -> None:
    """A1: ``configure()`` sends what was counted under the old policy."""
    counting = begun()
    counting.increment_metric("hits", 3)
    begun()
    assert stored.total("hits") == 3
    counting.increment_metric("hits", 4)
    close()
    assert stored.total("hits") == 7


def test_a1_closing_sends_and_counting_goes_on(redis_url: str, stored: Stored) -> None:
    """A1: ``aclose()`` sends what was counted; what is counted afterwards is sent too."""
    configure(analytics_policy(redis_url, flush={"interval": "10ms"}))
    manager = AnalyticsCache()

    async def main() -> None:
        await manager.increment_metric("hits", 3)
        await aclose()

    asyncio.run(main())
    assert stored.total("hits") == 3
    manager.increment_metric.sync("hits", 4)
    until(lambda: pending() == 0, "counts to be sent by themselves")
    assert stored.total("hits") == 7


def test_a1_nothing_runs_while_nothing_is_counted(begun: Begun, others: set[threading.Thread]) -> None:
    """A1: the flusher's threads begin with the first event, and end after the last has been sent."""
    counting = begun(flush={"interval": "10ms"})
    with current.current().analytics.desk("analytics", "a test")._flushing:  # nothing is sent meanwhile
        counting.increment_metric("hits")
        assert _threads(others) != []
    until(lambda: pending() == 0, "counts to be sent by themselves")
    until(lambda: _threads(others) == [], "the threads to end")


def test_a1_a_policy_replaced_in_an_outage_loses_nothing(
    proxy: FaultProxy, stored: Stored, others: set[threading.Thread]
) -> None:
    """A1: what the old policy could not send is sent when Redis is back, and its threads end then."""
    quick: dict[str, Any] = {"breaker": {"failures": 1000, "window": "1s", "open_for": "10ms"}}
    policy = analytics_policy(proxy.url, redis=quick, flush={"interval": "20ms"})
    configure(policy)
    manager = AnalyticsCache()
    proxy.fault = Refuse()
    manager.increment_metric.sync("hits", 3)
    configure(policy)
    manager.increment_metric.sync("hits", 4)
    proxy.fault = None
    until(lambda: stored.total("hits") == 7, "counts of both to be sent")
    until(lambda: _threads(others) == [], "the threads to end")


def test_a1_an_event_that_comes_too_late_is_sent(
    redis_url: str, stored: Stored, others: set[threading.Thread]
) -> None:
    """A1: what a thread counts under a policy that has just been replaced is sent as well."""
    policy = analytics_policy(redis_url, flush={"interval": "10ms"})
    configure(policy)
    late = current.current().analytics.meter("analytics", "hits", "a test")
    configure(policy)
    late.add({}, 5)
    until(lambda: stored.total("hits") == 5, "what came late to be sent")
    until(lambda: _threads(others) == [], "the threads to end")


def test_a1_what_is_just_being_taken_is_sent_at_the_end(
    begun: Begun, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A1: a process that ends, while another thread is about to send what was counted, sends it itself."""
    begun().increment_metric("hits", 3)
    desk = current.current().analytics.desk("analytics", "a test")
    taken, gate, take = threading.Event(), threading.Event(), desk.buffer.take

    def slowly(but: Collection[Metric] = ()) -> list[tuple[Metric, Batch]]:
        batches = take(but)
        taken.set()
        assert gate.wait(20)
        return batches

    monkeypatch.setattr(desk.buffer, "take", slowly)
    sending = desk.flush()
    other = threading.Thread(target=lambda: next(sending))  # and it is not sent before this test ends
    other.start()
    assert taken.wait(20)
    ending = threading.Thread(target=desk.flush_at_once)
    ending.start()
    ending.join(0.1)  # it finds that something waits, and waits for the other
    gate.set()
    other.join()
    ending.join()
    assert stored.total("hits") == 3


def test_c1_a_fault_of_redis_is_nobodys(proxy: FaultProxy, begun: Begun) -> None:
    """C1: counting raises nothing, and waits for nothing, while Redis is out; only ``flush`` tells."""
    manager = AnalyticsCache()
    configure(analytics_policy(proxy.url, flush={"interval": "5ms"}))
    proxy.fault = Refuse()
    manager.record_revenue.sync(1, "USD")
    for number in range(2_000):
        manager.increment_metric.sync("hits", 1, {"n": str(number % 50)})
    with pytest.raises(StoreError):
        manager.flush.sync()
    proxy.fault = None
    until(lambda: pending() == 0, "counts to be sent by themselves")


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryMetricReader]:
    """Read the metrics of counting from a provider of the test's own."""
    monkeypatch.setattr(told, "_FLUSHES", {})
    with exported_metrics(monkeypatch) as reader:
        yield reader


def test_a1_what_became_of_it_is_told(reader: InMemoryMetricReader, begun: Begun) -> None:
    """A1: metrics tell how much was flushed, waits, and was dropped."""
    counting = begun(flush={"interval": "1h", "max_pending": 2})
    for number in range(5):
        counting.increment_metric("hits", labels={"n": str(number)})
    counting.flush()
    counting.increment_metric("hits")
    where = (("cachepolicy.namespace", "analytics"),)
    found = numbers(reader)
    assert [
        list(found[name].items())
        for name in (METRIC_ANALYTICS_FLUSHED, METRIC_ANALYTICS_DROPPED, METRIC_ANALYTICS_PENDING)
    ] == [[(where, 2)], [(where, 3)], [(where, 1)]]
