"""M6: what answers from the cache spared is accounted, and never looks like a billable call."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from cachepolicy import ManualClock, aclose, cached, configure, control, llm_cached, namespace, scope
from cachepolicy.telemetry.savings import MOST_ACCOUNTS, OTHER, Account, Accounts, Ledger, Savings
from cachepolicy.telemetry.usage import Usage
from cachepolicy.tiers.local import Table
from tests.support.colour import ASYNC, Colour
from tests.support.exported import exported_spans
from tests.support.metered import exported_metrics, numbers
from tests.support.origin import settled
from tests.support.policies import cache_policy

PRICES: Mapping[str, Any] = {
    "currency": "USD",
    "prices": {
        "gpt-4o": {"input": 2.5, "output": 10, "cached_input": 1.25},
        "gpt-4o-mini*": {"input": 0.15, "output": 0.6},
    },
}
ONE = Decimal("0.00037")
"""100 tokens, 64 of them cached, and 20: 36 × 2.50 + 64 × 1.25 + 20 × 10, for a million."""


def _policy(url: str = "memory://", **rule: Any) -> dict[str, Any]:
    return {**cache_policy(url, **rule), **PRICES}


async def _closing(call: Callable[[], Any]) -> Any:
    """Call on this loop, and close its connections."""
    try:
        return await call()
    finally:
        await aclose()


def _completion(model: str) -> dict[str, Any]:
    return {
        "model": model,
        "choices": [{"message": {"role": "assistant", "content": "because"}, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "prompt_tokens_details": {"cached_tokens": 64},
        },
    }


def _answer(colour: Colour, time: ManualClock | None = None, seconds: float = 0.0) -> Any:
    @colour.decorate(llm_cached(namespace="answers"))
    def answer(question: str, model: str = "gpt-4o") -> dict[str, Any]:
        if time is not None:
            time.advance(seconds)
        return _completion(model)

    return answer


def test_m6_an_l1_hit_spares_what_its_answer_took(colour: Colour) -> None:
    """M6: each hit in L1 spares the tokens, money and seconds of the answer; a miss spares nothing."""
    clock = ManualClock()
    configure(_policy(), clock=clock.clock)
    answer = _answer(colour, clock, 2.5)
    colour.run(lambda: answer("why?"))
    assert answer.stats().saved == Savings()
    for _ in range(3):
        colour.run(lambda: answer("why?"))
    assert answer.stats().l1_hits == 3
    assert answer.stats().saved == Savings(3, 300, 60, 3 * ONE, "USD", 7.5)
    assert namespace("answers").savings() == {Account("gpt-4o"): answer.stats().saved}


def test_m6_an_l2_hit_spares_what_its_answer_took(colour: Colour, redis_url: str) -> None:
    """M6: a hit in Redis, of an answer that somebody else made, spares the same: it lies with the value."""
    answer = _answer(colour)
    call = partial(answer, "why?")
    for _ in range(2):  # two policies in turn: nothing is left of the first but what lies in Redis
        configure(_policy(redis_url))
        colour.run(lambda: _closing(call) if colour.is_async else call())
    saved = answer.stats().saved
    assert answer.stats().l2_hits == 1
    assert (saved.input_tokens, saved.output_tokens, saved.cost, saved.currency) == (100, 20, ONE, "USD")


def test_m6_a_stale_answer_spares_too(colour: Colour) -> None:
    """M6: an answer past its TTL that stands in for a failed call spares that call."""
    clock, fail = ManualClock(), False
    configure(_policy(ttl="1m", stale={"if_error": "1h"}, local={"enabled": False}), clock=clock.clock)

    @colour.decorate(llm_cached(namespace="answers"))
    def answer(question: str, model: str = "gpt-4o") -> dict[str, Any]:
        if fail:
            raise ConnectionError
        return _completion(model)

    colour.run(lambda: answer("why?"))
    clock.advance(61)
    fail = True
    settled(colour, lambda: answer("why?"))
    assert answer.stats().stale == 1
    assert answer.stats().saved.cost == ONE


def test_m6_callers_who_share_a_call_are_spared_theirs() -> None:
    """M6: of three callers at once one pays, and two are spared."""
    configure(_policy())
    answer = _answer(ASYNC)

    async def main() -> None:
        await asyncio.gather(*(answer("why?") for _ in range(3)))
        await aclose()

    asyncio.run(main())
    assert answer.stats().coalesced == 2
    assert answer.stats().saved.cost == 2 * ONE


def test_m6_a_call_past_the_cache_spares_nothing(colour: Colour) -> None:
    """M6: misses, bypasses and calls that want nothing kept are paid for."""
    configure(_policy())
    answer = _answer(colour)
    colour.run(lambda: answer("why?"))
    colour.run(lambda: answer.bypass("why?"))
    with control(no_cache=True, no_store=True):
        colour.run(lambda: answer("why?"))
    assert answer.stats().saved == Savings()


def test_m6_a_hit_by_a_wish_counts_once(colour: Colour) -> None:
    """M6: a caller who wants only what is cached is spared one call, not two."""
    configure(_policy())
    answer = _answer(colour)
    colour.run(lambda: answer("why?"))
    with control(only_if_cached=True):
        colour.run(lambda: answer("why?"))
    assert answer.stats().saved.calls == 1


def test_m6_money_is_exact_over_a_million_hits() -> None:
    """M6: a million hits cost a million times one, to the last decimal."""
    configure(_policy())
    answer = _answer(Colour(is_async=False))
    answer("why?")
    for _ in range(1_000_000):
        answer("why?")
    assert answer.stats().saved.cost == Decimal(370)


def test_m6_what_entries_spared_outlives_them(colour: Colour) -> None:
    """M6: an entry that goes leaves what its hits spared, and so does a function."""
    configure(_policy())

    def in_a_function_that_ends() -> None:
        answer = _answer(colour)
        for _ in range(3):
            colour.run(lambda: answer("why?"))
        colour.run(lambda: answer.invalidate("why?"))
        assert answer.stats().entries == 0
        assert answer.stats().saved.cost == 2 * ONE

    in_a_function_that_ends()
    gc.collect()
    assert namespace("answers").savings()[Account("gpt-4o")].cost == 2 * ONE


def test_m6_no_price_is_made_up(colour: Colour) -> None:
    """M6: a model without a price spares tokens only, and it is told how many; patterns are the policy's."""
    configure(_policy())
    answer = _answer(colour)
    for model in ("gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18", "gpt-4o"):
        for _ in range(2):
            colour.run(partial(answer, "why?", model))
    saved = answer.savings()
    assert {account.model: each.cost for account, each in saved.items()} == {
        "gpt-4o-2024-08-06": None,
        "gpt-4o-mini-2024-07-18": Decimal("0.000027"),
        "gpt-4o": ONE,
    }
    whole = answer.stats().saved
    assert (whole.cost, whole.unpriced_tokens, whole.input_tokens) == (ONE + Decimal("0.000027"), 120, 300)


def test_m6_savings_are_told_by_tenant(colour: Colour) -> None:
    """M6: where answers belong to a tenant, so does what they spare; in L1 and in Redis."""
    for local in (True, False):
        configure(_policy(scope="tenant", local={"enabled": local}))
        answer = _answer(colour)
        for tenant, calls in (("acme", 3), ("umbrella", 2)):
            with scope(tenant=tenant):
                for _ in range(calls):
                    colour.run(partial(answer, "why?"))
        assert {account.tenant: each.calls for account, each in answer.savings().items()} == {
            "acme": 2,
            "umbrella": 1,
        }


def test_m6_a_plain_function_spares_seconds(colour: Colour) -> None:
    """M6: a function that asks no model spares time, and no tokens."""
    clock = ManualClock()
    configure(_policy(), clock=clock.clock)

    @colour.decorate(cached("answers"))
    def slow(question: str) -> str:
        clock.advance(4)
        return question

    for _ in range(3):
        colour.run(lambda: slow("why?"))
    assert slow.stats().saved == Savings(calls=2, seconds=8.0)


def test_m6_a_result_that_cannot_be_read_is_answered_all_the_same(colour: Colour) -> None:
    """C1: a result whose attributes raise is given to its caller; the fault is counted."""
    configure(_policy())

    class Odd(dict[str, int]):
        @property
        def usage(self) -> object:
            raise RuntimeError

        def get(self, *_: object) -> Any:
            raise RuntimeError

    @colour.decorate(llm_cached(namespace="answers"))
    def answer(question: str) -> Any:
        return Odd()

    assert colour.run(lambda: answer("why?")) == {}
    assert answer.stats().misses + answer.stats().bypasses == 1


def test_accounts_are_bounded() -> None:
    """Models and tenants beyond a bound are counted together, and those that are known stay themselves."""
    ledger = Ledger(Accounts(2))
    for tenant in ("a", "b", "c", "d", "a"):
        ledger.add(1, 0.0, Usage("m", 5), tenant)
    assert {account: sums.calls for account, sums in ledger} == {
        Account("m", "a"): 2,
        Account("m", "b"): 1,
        Account("m", OTHER): 2,
    }
    accounts = Accounts(0)
    names = {accounts.admitted(Account(f"model {number}", "t")) for number in range(MOST_ACCOUNTS)}
    assert len(names) <= 101
    assert Account(OTHER, OTHER) in names


def test_a_table_without_hits_has_spared_nothing() -> None:
    """An entry that nobody asked for again makes no account."""
    ledger = Ledger()
    Table().add_savings(ledger)
    assert list(ledger) == []


# What Langfuse, Phoenix, Logfire and OpenTelemetry itself know a call that costs by.
BILLABLE = ("gen_ai.", "llm.", "model", "openinference.", "langfuse.", "operation.cost", "ai.", "embedding.")


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Collect spans of a provider of this test's own."""
    with exported_spans(monkeypatch) as exporter:
        yield exporter


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryMetricReader]:
    """Read metrics of a provider of this test's own, with nothing counted before."""
    with exported_metrics(monkeypatch) as reader:
        yield reader


def test_m6_a_hit_never_looks_billable(
    colour: Colour, exporter: InMemorySpanExporter, reader: InMemoryMetricReader
) -> None:
    """M6: no span or metric of a hit has what a backend would price it by; spans are INTERNAL."""
    configure({**_policy(local={"ttl": "1h"}), "telemetry": {"spans": "all", "tenants": True}})
    answer = _answer(colour)
    for _ in range(2):
        colour.run(lambda: answer("why?"))
    configure({**_policy(local={"enabled": False}), "telemetry": {"spans": "all"}})
    for _ in range(2):
        colour.run(lambda: answer("why?"))
    spans = [span for span in exporter.get_finished_spans() if span.name == "cache.get answers"]
    assert {dict(span.attributes or {})["cachepolicy.tier"] for span in spans} == {"origin", "l1", "l2"}
    for span in spans:
        assert span.kind is SpanKind.INTERNAL
        assert [name for name in span.attributes or {} if name.startswith(BILLABLE)] == []
    for name in ("cachepolicy.saved.tokens", "cachepolicy.saved.cost", "cachepolicy.saved.time"):
        points = numbers(reader).get(name, {})
        assert points
        assert [key for point in points for key, _ in point if key.startswith(BILLABLE)] == []


def test_m6_the_span_of_an_l2_hit_says_what_it_spared(colour: Colour, exporter: InMemorySpanExporter) -> None:
    """M6: tokens, money and seconds stand on the span of a hit in Redis; on that of a miss they do not."""
    clock = ManualClock()
    configure(_policy(local={"enabled": False}), clock=clock.clock)
    answer = _answer(colour, clock, 2.0)
    for _ in range(2):
        colour.run(lambda: answer("why?"))
    miss, hit = (
        {
            name: value
            for name, value in (span.attributes or {}).items()
            if name == "cachepolicy.model" or ".saved." in name
        }
        for span in exporter.get_finished_spans()
        if span.name == "cache.get answers"
    )
    assert miss == {}
    assert hit == {
        "cachepolicy.model": "gpt-4o",
        "cachepolicy.saved.input_tokens": 100,
        "cachepolicy.saved.output_tokens": 20,
        "cachepolicy.saved.cost": 0.00037,
        "cachepolicy.saved.currency": "USD",
        "cachepolicy.saved.seconds": 2.0,
    }


@pytest.mark.parametrize("named", [True, False])
def test_m6_metrics_tell_what_was_spared(colour: Colour, reader: InMemoryMetricReader, named: bool) -> None:
    """M6: tokens, money and time are in the metrics, L1 hits too; tenants where the policy says so."""
    clock = ManualClock()
    configure({**_policy(scope="tenant"), "telemetry": {"tenants": named}}, clock=clock.clock)
    answer = _answer(colour, clock, 2.0)
    with scope(tenant="acme"):
        for _ in range(3):
            colour.run(lambda: answer("why?"))
    labels = (
        ("cachepolicy.model", "gpt-4o"),
        ("cachepolicy.namespace", "answers"),
        *((("cachepolicy.tenant", "acme"),) if named else ()),
    )
    assert numbers(reader)["cachepolicy.saved.tokens"] == {
        (*labels, ("cachepolicy.token.type", "input")): 200,
        (*labels, ("cachepolicy.token.type", "output")): 40,
    }
    assert numbers(reader)["cachepolicy.saved.cost"] == {(("cachepolicy.currency", "USD"), *labels): 0.00074}
    assert numbers(reader)["cachepolicy.saved.time"] == {labels: 4.0}


def test_m6_counters_of_what_was_spared_never_fall(colour: Colour, reader: InMemoryMetricReader) -> None:
    """M6: a replaced policy's savings stay in the sums, at the prices of their time."""
    configure(_policy())
    answer = _answer(colour)
    for _ in range(3):
        colour.run(lambda: answer("why?"))
    configure(cache_policy())
    for _ in range(3):
        colour.run(lambda: answer("why?"))
    gc.collect()
    assert list(numbers(reader)["cachepolicy.saved.cost"].values()) == [0.00074]
    assert sum(numbers(reader)["cachepolicy.saved.tokens"].values()) == 4 * 120
