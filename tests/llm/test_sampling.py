"""Answers that are meant to differ: what the policy's ``sampling`` does with calls that ask for chance."""

from __future__ import annotations

import logging
from collections import Counter
from functools import partial
from typing import Any

import pytest

from cachepolicy import MISS, Outcome, PolicyError, Tier, cached, configure, control, llm_cached, observe
from cachepolicy.telemetry.names import Reason
from tests.support.colour import Colour
from tests.support.policies import cache_policy

NO_L1 = {"enabled": False}
THREE = {"temperature_above_zero": {"variants": 3}}
BYPASS = {"temperature_above_zero": "bypass"}
CACHE = {"temperature_above_zero": "cache"}


def configured(sampling: Any, **rule: Any) -> None:
    """Use a policy that says this of sampling."""
    configure(cache_policy(sampling=sampling, **rule))


def asking(colour: Colour, **options: Any) -> Any:
    """Return a function whose answers are numbered, and which takes what an SDK does."""
    calls: list[object] = []

    def ask(question: str, temperature: float | None = None, **more: object) -> str:
        calls.append(question)
        return f"{question} {len(calls)}"

    return colour.decorate(llm_cached(namespace="answers", **options))(ask)


def test_bypass_keeps_no_answer_that_is_meant_to_differ(colour: Colour) -> None:
    """The function is called each time, and observers are told why."""
    configured(BYPASS)
    ask = asking(colour)
    with observe() as seen:
        answers = [colour.run(partial(ask, "why?", 0.7)) for _ in range(3)]
    assert answers == ["why? 1", "why? 2", "why? 3"]
    assert [(one.outcome, one.reason) for one in seen] == [(Outcome.BYPASS, Reason.SAMPLING)] * 3
    assert colour.run(partial(ask.peek, "why?", 0.7)) is MISS
    assert colour.run(lambda: ask.get_many([ask.call("why?", 0.7)])) == [MISS]
    assert colour.run(partial(ask.refresh, "why?", 0.7)) == "why? 4"
    assert colour.run(partial(ask.invalidate, "why?", 0.7)) is False


@pytest.mark.parametrize("sampling", [CACHE, BYPASS, THREE], ids=["cache", "bypass", "variants"])
def test_temperature_zero_has_one_answer(colour: Colour, sampling: Any) -> None:
    """Nothing is drawn: it is cached as any call is, and answered over the fast path."""
    configured(sampling)
    ask = asking(colour)
    for zero in (0, 0.0, -0.0):
        assert {colour.run(partial(ask, "why?", zero)) for _ in range(5)} == {"why? 1"}
    assert len({colour.run(partial(ask, "why?", extra_body={"temperature": 0})) for _ in range(5)}) == 1
    assert ask.stats().l1_hits == 18
    assert ask.stats().entries == 2


def test_cache_keeps_one_answer(colour: Colour) -> None:
    """``cache``, the default: a call that asks for chance is answered as any is."""
    for sampling in (CACHE, {}):
        configured(sampling)
        ask = asking(colour)
        assert {colour.run(partial(ask, "why?", 0.7)) for _ in range(5)} == {"why? 1"}


@pytest.mark.parametrize("local", [{}, NO_L1], ids=["L1", "L2"])
def test_variants_keeps_so_many_answers_and_draws_from_them(colour: Colour, local: Any) -> None:
    """As many calls of the function as there are variants, then hits alone; each variant is drawn."""
    configured(THREE, local=local)
    ask = asking(colour)
    with observe() as seen:
        answers = Counter(colour.run(partial(ask, "why?", 0.7)) for _ in range(60))
    assert answers.keys() == {"why? 1", "why? 2", "why? 3"}
    assert Counter(one.outcome for one in seen) == {Outcome.MISS: 3, Outcome.HIT: 57}
    assert {one.tier for one in seen if one.outcome is Outcome.HIT} == {Tier.L2 if local else Tier.L1}


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"temperature": None},
        {"temperature": 1},
        {"extra_body": {"temperature": 2}},
        {"temperature": "hot"},
    ],
    ids=str,
)
def test_what_is_not_zero_asks_for_chance(colour: Colour, call: dict[str, Any]) -> None:
    """A temperature that is not passed is the provider's own, and that is above zero."""
    configured(BYPASS)
    ask = asking(colour)
    assert [colour.run(partial(ask, "why?", **call)) for _ in range(2)] == ["why? 1", "why? 2"]


def test_temperature_among_keyword_arguments(colour: Colour) -> None:
    """It is found in what ``**`` collects."""
    configured(BYPASS)

    @colour.decorate(llm_cached(namespace="answers"))
    def ask(question: str, **options: Any) -> int:
        calls.append(question)
        return len(calls)

    calls: list[str] = []
    assert [colour.run(lambda: ask("why?", temperature=0)) for _ in range(2)] == [1, 1]
    assert [colour.run(lambda: ask("why?", temperature=0.1)) for _ in range(2)] == [2, 3]


def test_a_variant_can_be_chosen(colour: Colour) -> None:
    """By its number, from 0 on; what a call does not keep is an error, and no error elsewhere."""
    configured(THREE)
    ask = asking(colour)
    chosen = []
    for number in (0, 1, 2, 2, 1, 0):
        with control(variant=number):
            chosen.append(colour.run(partial(ask, "why?", 0.7)))
    assert chosen == ["why? 1", "why? 2", "why? 3", "why? 3", "why? 2", "why? 1"]
    with control(variant=3):
        with pytest.raises(PolicyError, match="keeps 3: 0 to 2"):
            colour.run(partial(ask, "why?", 0.7))
        assert colour.run(partial(ask, "why?", 0)) == "why? 4"
    for wrong in (-1, 1.0, True):
        with pytest.raises(PolicyError, match="expected a whole number"), control(variant=wrong):  # type: ignore[arg-type] # being wrong is the point
            pass


def test_a_seed_draws_the_same_variant_each_time(colour: Colour) -> None:
    """For the same call; over many seeds all variants as often, and another call may draw another."""
    configured(THREE)
    ask = asking(colour)

    def drawn(seed: str, question: str = "why?") -> str:
        with control(seed=seed):
            return str(ask.key(question, 0.7))

    keys = {drawn(f"user {number}") for number in range(50)}
    assert len(keys) == 3
    assert all(drawn(f"user {number}") == drawn(f"user {number}") for number in range(9))
    often = Counter(drawn(f"user {number}") for number in range(600))
    assert min(often.values()) > 150
    assert len({drawn("me", f"{number}")[-1] for number in range(20)}) == 3
    with control(seed="me"):
        assert len({colour.run(partial(ask, "why?", 0.7)) for _ in range(9)}) == 1


def test_the_inner_choice_holds() -> None:
    """A seed inside a chosen variant draws; a variant inside a seed is the one that is chosen."""
    configured(THREE)

    @llm_cached(namespace="answers")
    def ask(question: str, temperature: float = 1) -> str:
        return question

    with control(variant=0):
        first = ask.key("why?")
        with control(seed="a"):
            drawn = {ask.key(f"{number}")[-2:] for number in range(20)}
        with control(ttl="1m"):
            assert ask.key("why?") == first
        with control(seed="a"), control(variant=0):
            assert ask.key("why?") == first
    assert drawn == {":0", ":1", ":2"}


@pytest.mark.parametrize("verb", ["invalidate", "expire"])
def test_invalidating_a_call_means_all_its_variants(colour: Colour, verb: str) -> None:
    """Nobody is served a purged answer, whichever he draws; a chosen one is put out of date alone."""
    configured(THREE)
    ask = asking(colour)

    def every() -> list[str]:
        found = []
        for number in range(3):
            with control(variant=number):
                found.append(colour.run(partial(ask, "why?", 0.7)))
        return found

    every()
    assert colour.run(partial(getattr(ask, verb), "why?", 0.7)) is True
    assert every() == ["why? 4", "why? 5", "why? 6"]
    with control(variant=1):
        assert colour.run(partial(getattr(ask, verb), "why?", 0.7)) is True
    assert every() == ["why? 4", "why? 7", "why? 6"]


def test_the_other_verbs_draw_as_a_call_does(colour: Colour) -> None:
    """``peek`` and ``refresh`` mean the chosen variant, or one by chance; ``key`` it, or the first."""
    configured(THREE)
    ask = asking(colour)
    with control(variant=2):
        colour.run(partial(ask, "why?", 0.7))
        assert colour.run(partial(ask.peek, "why?", 0.7)) == "why? 1"
        assert colour.run(partial(ask.refresh, "why?", 0.7)) == "why? 2"
        assert ask.key("why?", 0.7).endswith(":2")
        assert colour.run(lambda: ask.get_many([ask.call("why?", 0.7)])) == ["why? 2"]
    with control(variant=1):
        assert colour.run(partial(ask.peek, "why?", 0.7)) is MISS
    assert ask.key("why?", 0.7).endswith(":0")
    assert ask.key("why?", 0)[:-2] != ask.key("why?", 0.7)[:-4]


def test_a_function_that_shows_no_temperature(colour: Colour, caplog: pytest.LogCaptureFixture) -> None:
    """It counts as asking for chance, which is told once; ``temperature=`` says what it is."""
    configured(BYPASS)

    def numbered(**options: Any) -> Any:
        calls: list[str] = []

        def ask(question: str) -> int:
            calls.append(question)
            return len(calls)

        return colour.decorate(llm_cached(namespace="answers", **options))(ask)

    with caplog.at_level(logging.WARNING, "cachepolicy"):
        for options, answers in (({}, [1, 2]), ({"temperature": 1.0}, [1, 2]), ({"temperature": 0}, [1, 1])):
            ask = numbered(**options)
            assert [colour.run(partial(ask, "why?")) for _ in range(2)] == answers
    assert len([one for one in caplog.records if "show no temperature" in one.message]) == 1
    caplog.clear()
    configured(CACHE)
    with caplog.at_level(logging.WARNING, "cachepolicy"):
        assert [colour.run(partial(numbered(), "why?")) for _ in range(2)] == [1, 1]
    assert not [one for one in caplog.records if "show no temperature" in one.message]


def test_only_answers_of_models_are_sampled(colour: Colour) -> None:
    """``@cached`` functions are as they were, whatever their parameters are called."""
    configured(BYPASS)
    calls: list[float] = []

    @colour.decorate(cached("answers"))
    def measure(temperature: float) -> int:
        calls.append(temperature)
        return len(calls)

    assert [colour.run(partial(measure, 20.5)) for _ in range(3)] == [1, 1, 1]


def test_embeddings_of_an_sdk_are_not_drawn() -> None:
    """There is nothing to sample in a vector."""
    from tests.support.sdk import FUNCTIONS

    configured(THREE)
    embed: Any = llm_cached(namespace="answers")(FUNCTIONS["openai embeddings create"])
    ask: Any = llm_cached(namespace="answers")(FUNCTIONS["openai chat create"])
    assert not embed.key(input="a", model="b")[:-1].endswith(":")
    assert ask.key(messages=[], model="b").endswith(":0")
    assert not ask.key(messages=[], model="b", temperature=0)[:-1].endswith(":")

    @llm_cached(namespace="answers")
    def explain_embeddings(question: str) -> str:
        return question

    assert explain_embeddings.key("why?").endswith(":0")


def test_a_temperature_that_is_ignored_tells_nothing() -> None:
    """Calls that are told to be one are one: none of them is drawn where another is not."""
    configured(BYPASS)

    @llm_cached(namespace="answers", ignore=("temperature",), temperature=0)
    def ask(question: str, temperature: float = 1) -> int:
        calls.append(question)
        return len(calls)

    calls: list[str] = []
    assert [ask("why?", 2), ask("why?", 0), ask("why?", 1)] == [1, 1, 1]


def test_an_own_key_has_variants_too() -> None:
    """``key=`` says what the call is; which answer it gets is drawn all the same."""
    configured(THREE)

    @llm_cached(namespace="answers", key="ask:{question}")
    def ask(question: str, temperature: float = 1) -> str:
        return question

    with control(variant=1):
        assert ask.key("why") == "test:answers:ask:why:1"
    assert ask.key("why", 0) == "test:answers:ask:why"
