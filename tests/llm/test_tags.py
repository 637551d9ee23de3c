"""Tags of LLM calls: all answers of a model are put out of date in one step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from cachepolicy import aclose, configure, llm_cached, namespace
from tests.support.colour import ASYNC, Colour
from tests.support.policies import cache_policy
from tests.support.sdk import provider_function
from tests.support.trips import Trips


def purge(colour: Colour, model: str) -> None:
    """Put an end to the answers of a model."""
    verb = namespace("answers").purge_tag
    colour.run(partial(verb if colour.is_async else verb.sync, "model", model))


def keywords(calls: list[str]) -> Callable[..., str]:
    """Return a function that takes its model with ``**``."""

    def ask(question: str, **options: Any) -> str:
        calls.append(options["model"])
        return f"{options['model']} {len(calls)}"

    return ask


def named(calls: list[str]) -> Callable[..., str]:
    """Return a function with a parameter for its model."""

    def ask(question: str, model: str) -> str:
        calls.append(model)
        return f"{model} {len(calls)}"

    return ask


@pytest.mark.parametrize("kind", [named, keywords])
def test_all_answers_of_a_model_are_invalidated_in_one_step(
    redis_url: str, kind: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``purge_tag("model", "gpt-4o")``: wherever the model is passed, and no others; one round trip, O(1)."""
    counted = Trips()
    counted.watch(monkeypatch)
    configure(cache_policy(redis_url, tags=["model"], local={"coherence": "off"}))
    ask: Any = llm_cached(namespace="answers")(kind([]))
    questions = [(f"question {number}", model) for number in range(5) for model in ("gpt-4o", "other")]

    def everything() -> list[Any]:
        return [ask(question, model=model) for question, model in questions]

    first = everything()
    assert everything() == first
    namespace("answers").purge_tag.sync("model", "nobody")  # the server gets to know the script
    counted.take()
    namespace("answers").purge_tag.sync("model", "gpt-4o")
    assert len(counted.take()) == 1
    second = everything()
    assert second[1::2] == first[1::2]
    assert not set(second[::2]) & set(first)


def test_all_answers_of_a_model_are_invalidated_by_a_coroutine_too(redis_url: str) -> None:
    """The same of ``async def``."""
    configure(cache_policy(redis_url, tags=["model"]))
    ask: Any = ASYNC.decorate(llm_cached(namespace="answers"))(keywords([]))

    async def main() -> None:
        first = [await ask("why?", model=model) for model in ("gpt-4o", "other")]
        await namespace("answers").purge_tag("model", "gpt-4o")
        assert [await ask("why?", model=model) for model in ("gpt-4o", "other")] == ["gpt-4o 3", first[1]]
        await aclose()

    ASYNC.run(main)


def test_a_decorated_method_of_an_sdk_has_the_tags_of_its_arguments(colour: Colour) -> None:
    """The model is found among the parameters of ``create``."""
    configure(cache_policy(tags=["model"]))
    ask = colour.decorate(llm_cached(namespace="answers"))(provider_function())
    request: dict[str, Any] = {"model": "gpt-4o", "messages": []}
    assert colour.run(partial(ask, **request)) == colour.run(partial(ask, **request)) == "gpt-4o 1"
    purge(colour, "gpt-4o")
    assert colour.run(partial(ask, **request)) == "gpt-4o 2"


def test_a_function_that_always_asks_one_model_says_which(colour: Colour) -> None:
    """``model=`` of the decorator is a tag of all its answers, without any in the policy."""
    configure(cache_policy())
    calls: list[str] = []

    @colour.decorate(llm_cached(namespace="answers", model="gpt-4o"))
    def ask(question: str) -> int:
        calls.append(question)
        return len(calls)

    assert [colour.run(partial(ask, "why?")) for _ in range(2)] == [1, 1]
    purge(colour, "other")
    assert colour.run(partial(ask, "why?")) == 1
    purge(colour, "gpt-4o")
    assert colour.run(partial(ask, "why?")) == 2


def test_a_keyword_that_was_not_passed_is_no_tag(colour: Colour) -> None:
    """Calls without it are cached as any are."""
    configure(cache_policy(tags=["prompt_version"]))
    ask = colour.decorate(llm_cached(namespace="answers", tags=("topic",)))(keywords([]))
    assert colour.run(partial(ask, "why?", model="a")) == colour.run(partial(ask, "why?", model="a"))
    colour.run(partial(ask, "why?", model="a", topic="b"))
    verb = namespace("answers").purge_tag
    colour.run(partial(verb if colour.is_async else verb.sync, "topic", "b"))
    assert colour.run(partial(ask, "why?", model="a")) == "a 1"
    assert colour.run(partial(ask, "why?", model="a", topic="b")) == "a 3"
