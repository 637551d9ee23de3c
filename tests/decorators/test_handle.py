from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from cachepolicy import MISS, ManualClock, Outcome, Tier, cached, configure, observe
from tests.support.colour import Colour
from tests.support.policies import cache_policy


@pytest.fixture(autouse=True)
def _memory() -> None:
    configure(cache_policy())


def _decorated(colour: Colour) -> tuple[list[str], Any]:
    calls: list[str] = []

    @colour.decorate(cached("answers"))
    def answer(question: str) -> dict[str, int]:
        calls.append(question)
        return {"number": len(calls)}

    return calls, answer


@pytest.mark.parametrize("verb", ["invalidate", "expire", "refresh", "peek", "bypass"])
def test_c8_a_verb_has_the_colour_of_its_function(colour: Colour, verb: str) -> None:
    """C8: what may touch Redis is awaited on an ``async def``, and answers at once on a ``def``."""
    _, answer = _decorated(colour)

    async def is_awaited() -> bool:
        outcome = getattr(answer, verb)("why?")
        if inspect.isawaitable(outcome):
            await outcome
            return True
        return False

    assert asyncio.run(is_awaited()) is colour.is_async
    assert inspect.iscoroutinefunction(answer) is colour.is_async


def test_c8_a_function_stays_what_it_was(colour: Colour) -> None:
    """C8: name, parameters and annotations are the function's own; the other verbs never wait."""
    _, answer = _decorated(colour)
    signature = inspect.signature(answer)
    assert list(signature.parameters) == ["question"]
    assert signature.return_annotation == "dict[str, int]"
    assert answer.__name__ == "answer"
    colour.run(lambda: answer("why?"))
    assert answer.key("why?").startswith("test:answers:cache:")
    assert answer.policy.namespace == "answers"
    assert answer.stats().misses == 1


def test_invalidate_removes_an_answer_from_both_tiers(colour: Colour) -> None:
    """After ``invalidate`` the function is asked again; it tells whether there was anything to remove."""
    _, answer = _decorated(colour)
    assert colour.run(lambda: answer.invalidate("why?")) is False
    assert colour.run(lambda: answer("why?")) == {"number": 1}
    assert colour.run(lambda: answer.invalidate(question="why?")) is True
    assert colour.run(lambda: answer.peek("why?")) is MISS
    assert colour.run(lambda: answer("why?")) == {"number": 2}


def test_invalidate_leaves_other_calls_alone(colour: Colour) -> None:
    """Only the named call is forgotten."""
    _, answer = _decorated(colour)
    colour.run(lambda: answer("why?"))
    colour.run(lambda: answer("what?"))
    colour.run(lambda: answer.invalidate("why?"))
    assert colour.run(lambda: answer.peek("what?")) == {"number": 2}


def test_refresh_asks_the_function_and_keeps_what_it_says(colour: Colour) -> None:
    """``refresh`` replaces a cached answer in both tiers."""
    time = ManualClock()
    configure(cache_policy(local={"ttl": "1s"}), clock=time.clock)
    _, answer = _decorated(colour)
    assert colour.run(lambda: answer("why?")) == {"number": 1}
    assert colour.run(lambda: answer.refresh("why?")) == {"number": 2}
    assert colour.run(lambda: answer("why?")) == {"number": 2}
    time.advance(2)  # L1 is over
    assert colour.run(lambda: answer("why?")) == {"number": 2}


def test_peek_never_calls_the_function(colour: Colour) -> None:
    """``peek`` finds what either tier holds, or MISS."""
    time = ManualClock()
    configure(cache_policy(local={"ttl": "1s"}), clock=time.clock)
    calls, answer = _decorated(colour)
    assert colour.run(lambda: answer.peek("why?")) is MISS
    assert calls == []
    colour.run(lambda: answer("why?"))
    assert colour.run(lambda: answer.peek("why?")) == {"number": 1}
    time.advance(2)
    assert colour.run(lambda: answer.peek("why?")) == {"number": 1}
    assert calls == ["why?"]


def test_bypass_reads_and_stores_nothing(colour: Colour) -> None:
    """``bypass`` is the function itself; arguments without a key are welcome."""
    _, answer = _decorated(colour)
    with observe() as seen:
        assert colour.run(lambda: answer.bypass("why?")) == {"number": 1}
        assert colour.run(lambda: answer.bypass(object())) == {"number": 2}
    assert [(one.outcome, one.tier, one.reason) for one in seen] == [
        (Outcome.BYPASS, Tier.ORIGIN, "asked")
    ] * 2
    assert colour.run(lambda: answer.peek("why?")) is MISS


def test_key_is_the_name_in_redis(colour: Colour) -> None:
    """``key`` gives the very name that the answer is stored under, without calling anything."""
    calls, answer = _decorated(colour)
    with observe() as seen:
        colour.run(lambda: answer("why?"))
    assert answer.key("why?") == seen[0].key
    assert answer.key("why?").startswith("test:answers:cache:")
    assert "why" not in answer.key("why?")
    assert calls == ["why?"]


def test_stats_count_every_call_once(colour: Colour) -> None:
    """``stats`` accounts for each call by how it was answered, observed or not."""
    _, answer = _decorated(colour)
    for _ in range(3):
        colour.run(lambda: answer("why?"))
    with observe():
        colour.run(lambda: answer("why?"))
    colour.run(lambda: answer.bypass("why?"))
    colour.run(lambda: answer.peek("why?"))  # no call
    colour.run(lambda: answer.invalidate("why?"))  # takes the entry out; its hits stay counted
    stats = answer.stats()
    assert (stats.calls, stats.l1_hits, stats.misses, stats.bypasses, stats.entries) == (5, 3, 1, 1, 0)
    assert stats.hit_rate == pytest.approx(3 / 5)


def test_policy_is_what_applies_now(colour: Colour) -> None:
    """``policy`` follows ``configure``."""
    _, answer = _decorated(colour)
    assert (answer.policy.namespace, answer.policy.ttl) == ("answers", 3600.0)
    configure(cache_policy(ttl="2m", db=7))
    assert answer.policy.ttl == 120.0
    assert answer.policy.rule.db == 7
