"""M6: whatever a call's outcome, no backend takes one of our spans for a billable call of a model."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry.trace import SpanKind

from cachepolicy import ManualClock, RateLimiter, aclose, configure, llm_cached
from tests.support.backends import BACKENDS, BILLABLE
from tests.support.colour import ASYNC, Colour
from tests.support.origin import settled
from tests.support.policies import cache_policy
from tests.support.sessions_policy import do
from tests.support.traces import Traces, told

PRICES = {"currency": "USD", "prices": {"gpt-4o": {"input": 2.5, "output": 10}}}
DIALECTS = pytest.mark.parametrize(
    "telemetry",
    [
        {},
        {"dialect": "openinference"},
        {"dialect": "openinference", "content": True, "key_hash": True, "spans": "all"},
    ],
    ids=["default", "openinference", "everything"],
)


def _completion(question: str) -> dict[str, Any]:
    return {
        "model": "gpt-4o",
        "choices": [{"message": {"role": "assistant", "content": question}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20},
    }


def _policy(telemetry: dict[str, Any], **rule: Any) -> dict[str, Any]:
    more = {"limits": {"kind": "ratelimit", "db": 2}}
    policy = {**cache_policy(**rule), **PRICES, "telemetry": telemetry}
    return {**policy, "namespaces": {**policy["namespaces"], **more}}


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_rules_find_what_is_billable(backend: str) -> None:
    """The backends' rules, as they are written down here, know a model's call when they see one."""
    assert BACKENDS[backend](BILLABLE[backend])
    assert not BACKENDS[backend]({"cache.hit": True})


@DIALECTS
def test_m6_no_outcome_looks_billable(colour: Colour, traces: Traces, telemetry: dict[str, Any]) -> None:
    """M6: of a miss, hits, a stale answer, a refresh, a bypass and a decision, no span looks billable."""
    time = ManualClock()
    stale = {"while_revalidate": "1m"}
    configure(_policy(telemetry, ttl="1m", stale=stale, local={"enabled": False}), clock=time.clock)

    @colour.decorate(llm_cached(namespace="answers"))
    def answer(question: str, model: str = "gpt-4o") -> dict[str, Any]:
        return _completion(question)

    for _ in range(2):
        colour.run(lambda: answer("why?"))
    time.advance(61)
    settled(colour, lambda: answer("why?"))
    colour.run(lambda: answer.bypass("why?"))
    do(colour, RateLimiter("limits").check_rate_limit, "ada", "chat", 5)
    outcomes = {told(span).get("cachepolicy.outcome") for span in traces.spans}
    assert outcomes == {"miss", "hit", "stale", "bypass", "allowed", None}
    _check(traces, telemetry)
    saving = next(span for span in traces.spans if told(span).get("cachepolicy.outcome") == "hit")
    assert told(saving)["cachepolicy.saved.input_tokens"] == 100


@DIALECTS
def test_m6_a_coalesced_call_does_not_look_billable(traces: Traces, telemetry: dict[str, Any]) -> None:
    """M6: who shares another's call of the model is not shown as having made one."""
    configure(_policy(telemetry))

    @ASYNC.decorate(llm_cached(namespace="answers"))
    def answer(question: str, model: str = "gpt-4o") -> dict[str, Any]:
        return _completion(question)

    async def main() -> None:
        await asyncio.gather(answer("why?"), answer("why?"))
        await answer("why?")
        await aclose()

    asyncio.run(main())
    assert "coalesced" in {told(span).get("cachepolicy.outcome") for span in traces.spans}
    _check(traces, telemetry)


def _check(traces: Traces, telemetry: dict[str, Any]) -> None:
    kind = "CHAIN" if "dialect" in telemetry else None
    for span in traces.spans:
        assert span.kind is SpanKind.INTERNAL
        assert [name for name, bills in BACKENDS.items() if bills(told(span))] == []
        assert told(span).get("openinference.span.kind") == kind
        assert ("input.value" in told(span)) == ("content" in telemetry and span.name == "cache.get answers")
