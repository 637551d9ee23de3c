"""A1: what Redis does not take waits, is sent again, and counts once; what cannot is dropped and told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from cachepolicy import PolicyError, StoreError, StoreUnavailable, close, configure
from cachepolicy.clock import SYSTEM, Clock, ManualClock
from cachepolicy.telemetry.analytics import flushes
from cachepolicy.testing.fault_proxy import FaultProxy, Fin, HalfReply, NetworkFault, Refuse, Reset
from cachepolicy.testing.redis_server import RedisServer
from tests.analytics.conftest import Begun
from tests.support.colour import Colour
from tests.support.counted import Counting, Stored, analytics_policy, flushed, pending
from tests.support.waiting import until

_QUICK: dict[str, Any] = {"breaker": {"failures": 1000, "window": "1s", "open_for": "10ms"}}
Through = Callable[..., Counting]


@pytest.fixture
def through(proxy: FaultProxy, colour: Colour) -> Iterator[Through]:
    """Open metrics through the proxy; in the end the network is well, so that nothing is left behind."""
    with ExitStack() as ended:

        def open_metrics(*, clock: Clock = SYSTEM, **rule: Any) -> Counting:
            configure(analytics_policy(proxy.url, redis=_QUICK, **rule), clock=clock)
            return ended.enter_context(closing(Counting(colour)))

        def mend() -> None:
            proxy.fault = None
            close()

        yield open_metrics
        mend()


def test_a1_what_redis_does_not_take_waits(through: Through, proxy: FaultProxy, stored: Stored) -> None:
    """A1: while Redis is out nothing is lost and nobody is held up; it is counted when Redis is back."""
    counting = through(flush={"interval": "20ms"})
    for _ in range(3):
        counting.increment_metric("hits", 10)
        until(lambda: flushed(counting), "the connection to be opened anew")
        proxy.fault = Refuse()
        proxy.cut()
        for _ in range(50):
            counting.increment_metric("hits", 1, {"model": "m"})
        with pytest.raises(StoreError):
            counting.flush()
        counting.increment_metric("hits", 2, {"model": "m"})
        assert pending() == 2
        proxy.fault = None
        until(lambda: pending() == 0, "counts to be sent by themselves")
    assert stored.total("hits") == 3 * 62


def test_a1_what_waits_adds_up(through: Through, proxy: FaultProxy) -> None:
    """A1: an outage holds one number a cell, however many flushes fail in it."""
    counting = through()
    proxy.fault = Refuse()
    for _ in range(20):
        counting.increment_metric("hits")
        with pytest.raises(StoreError):
            counting.flush()
    assert pending() == 2  # the batch that failed, and what came after it


def test_a1_beyond_max_pending_is_dropped(
    through: Through, proxy: FaultProxy, stored: Stored, caplog: pytest.LogCaptureFixture
) -> None:
    """A1: no more than ``max_pending`` cells are held; events beyond are dropped, and each is counted."""
    counting = through(flush={"interval": "1h", "max_pending": 10})
    before = flushes("analytics").dropped
    proxy.fault = Refuse()
    with caplog.at_level(logging.WARNING, "cachepolicy"):
        for turn in range(2):
            for number in range(15):
                counting.increment_metric("hits", labels={"n": str(number)})
            with pytest.raises(StoreError):
                counting.flush()
            assert pending() == 10, turn
    assert flushes("analytics").dropped - before == 5 + 15
    assert sum("counts were dropped" in record.message for record in caplog.records) == 1
    proxy.fault = None
    until(lambda: flushed(counting), "the connection to be opened anew")
    assert stored.total("hits") == 10
    counting.increment_metric("hits", labels={"n": "14"})
    counting.flush()
    assert stored.total("hits") == 11


def test_a1_beyond_max_pending_may_raise(through: Through, proxy: FaultProxy, stored: Stored) -> None:
    """A1: under ``on_fault: raise`` the event that cannot be held is an error, of each kind of metric."""
    counting = through(flush={"interval": "1h", "max_pending": 1}, on_fault="raise")
    proxy.fault = Refuse()
    counting.increment_metric("hits")
    counting.increment_metric("hits")
    for metric, verb in (
        ("others", counting.increment_metric),
        ("latency", counting.observe_value),
        ("queue", counting.set_gauge),
        ("users", counting.add_unique),
    ):
        with pytest.raises(StoreUnavailable, match="max_pending"):
            verb(metric, 1)
    proxy.fault = None
    until(lambda: flushed(counting), "the connection to be opened anew")
    assert stored.total("hits") == 2


@pytest.mark.parametrize("fault", [Fin(), Reset(), HalfReply(then_close=True)], ids=repr)
def test_a1_a_lost_reply_never_counts_twice(
    through: Through, proxy: FaultProxy, stored: Stored, fault: NetworkFault
) -> None:
    """A1: batches whose replies are lost are sent again, and count once: totals are right to the unit."""
    counting = through()
    sent = 0
    for turn in range(6):
        proxy.fault = fault if turn % 2 else None
        for number in range(20):
            counting.increment_metric("hits", number, {"n": str(number)})
            sent += number
        counting.observe_value("latency", turn)
        if turn % 2:
            with pytest.raises(StoreError):
                counting.flush()
        else:
            until(lambda: flushed(counting), "the connection to be opened anew")
    proxy.fault = None
    until(lambda: flushed(counting), "the connection to be opened anew")
    assert stored.total("hits") == sent
    assert stored.part("latency", "count") == 6


@pytest.mark.parametrize("fault", [Fin(), Reset()], ids=repr)
def test_a1_money_whose_reply_is_lost_counts_once(
    through: Through, proxy: FaultProxy, stored: Stored, fault: NetworkFault
) -> None:
    """A1: a payment that Redis took and did not answer is held, sent again by itself, and counted once."""
    counting = through(flush={"interval": "20ms"})
    counting.record_revenue(1, "USD")
    proxy.fault = fault
    for _ in range(5):
        counting.record_revenue("2.50", "USD")
    assert pending() == 5
    proxy.fault = None
    until(lambda: pending() == 0, "payments to be sent again")
    assert stored.part("revenue", "USD") == 13_500_000


def test_a1_money_may_raise(through: Through, proxy: FaultProxy, stored: Stored) -> None:
    """A1: under ``on_fault: raise`` a payment that Redis did not take is an error, and is not sent later."""
    counting = through(on_fault="raise")
    proxy.fault = Refuse()
    with pytest.raises(StoreUnavailable):
        counting.record_revenue(1, "USD")
    proxy.fault = None
    until(lambda: flushed(counting), "the connection to be opened anew")
    assert stored.part("revenue", "USD") == 0


def test_a1_payments_that_cannot_be_held_are_dropped(
    through: Through, proxy: FaultProxy, stored: Stored
) -> None:
    """A1: payments wait among ``max_pending`` too, and beyond it are dropped, and counted."""
    counting = through(flush={"interval": "1h", "max_pending": 2})
    before = flushes("analytics").dropped
    proxy.fault = Refuse()
    for _ in range(5):
        counting.record_revenue(1, "USD")
    assert pending() == 2
    assert flushes("analytics").dropped - before == 3
    proxy.fault = None
    until(lambda: flushed(counting), "the connection to be opened anew")
    assert stored.part("revenue", "USD") == 2_000_000


def test_a1_what_redis_may_have_forgotten_is_not_sent_again(
    through: Through, proxy: FaultProxy, stored: Stored
) -> None:
    """A1: a batch that may have counted is dropped once Redis no longer knows of it: never twice is first."""
    time = ManualClock()
    counting = through(clock=time.clock)
    before = flushes("analytics").dropped
    counting.increment_metric("hits", 2)
    counting.flush()
    counting.increment_metric("hits", 3)
    proxy.fault = Fin()
    with pytest.raises(StoreError):
        counting.flush()
    proxy.fault = None
    time.advance(3600)
    for key in stored.client.keys("*:batch:*"):
        stored.client.delete(key)
    until(lambda: flushed(counting), "the connection to be opened anew")
    assert stored.total("hits") == 5
    assert flushes("analytics").dropped - before == 1
    assert pending() == 0


def test_a1_what_was_never_sent_waits_for_as_long_as_it_takes(
    through: Through, proxy: FaultProxy, stored: Stored
) -> None:
    """A1: a batch that certainly did not count is sent after an outage of any length."""
    time = ManualClock()
    counting = through(clock=time.clock)
    proxy.fault = Refuse()
    counting.increment_metric("hits", 5)
    with pytest.raises(StoreError):
        counting.flush()
    time.advance(86_400)
    proxy.fault = None
    until(lambda: flushed(counting), "the connection to be opened anew")
    assert stored.total("hits") == 5


def test_c1_what_redis_will_never_take_holds_nothing_up(begun: Begun, stored: Stored) -> None:
    """C1: a metric whose keys somebody else has taken is dropped, and the other metrics go on."""
    counting = begun()
    counting.increment_metric("taken")
    counting.flush()
    (key,) = stored.client.keys("*:series:*taken}")
    stored.client.delete(key)
    stored.client.set(key, "somebody's")
    before = flushes("analytics").dropped
    counting.increment_metric("taken")
    counting.increment_metric("hits")
    counting.flush()
    assert stored.total("hits") == 1
    assert flushes("analytics").dropped - before == 1
    assert pending() == 0


def test_a1_many_cells_do_not_wait_for_the_interval(begun: Begun, stored: Stored) -> None:
    """A1: as many cells as ``max_cells`` are flushed at once, behind the caller's back."""
    counting = begun(flush={"interval": "1h", "max_cells": 20})
    for number in range(20):
        counting.increment_metric("hits", labels={"n": str(number)})
    until(lambda: pending() == 0, "counts to be sent by themselves")
    assert stored.total("hits") == 20


def test_a1_a_server_that_may_evict_is_refused(own_redis: RedisServer, colour: Colour) -> None:
    """A1: under ``guarantee: required`` nothing is counted on a server that may evict; it waits meanwhile."""
    own_redis.command("CONFIG", "SET", "maxmemory", "100mb")
    own_redis.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    configure(analytics_policy(own_redis.url, guarantee="required"))
    with closing(Counting(colour)) as counting:
        counting.increment_metric("hits")
        with pytest.raises(PolicyError, match="evict"):
            counting.flush()
        assert pending() == 1
        own_redis.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
        until(lambda: flushed(counting), "the server to be asked anew")
        assert pending() == 0
