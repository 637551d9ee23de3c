"""M1: different requests have different keys, and equal ones the same, parameter by parameter."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import anthropic
import numpy
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import create_model

from cachepolicy import UnkeyableArgument, configure, llm_cached
from cachepolicy.llm.parameters import CONTINUOUS, NULLABLE, SERVER_STATE, VOLATILE
from tests.support.policies import cache_policy
from tests.support.sdk import FUNCTIONS, SHAPING


@pytest.fixture(autouse=True)
def _memory() -> None:
    configure(cache_policy())


def decorated(function: Callable[..., Any], **options: Any) -> Any:
    """Return a function under ``llm_cached``, in the tests' namespace."""
    return llm_cached(namespace="answers", **options)(function)


def least(function: Callable[..., Any]) -> dict[str, object]:
    """Return the fewest arguments that a function can be called with."""
    required = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    return {parameter.name: f"a {parameter.name}" for parameter in required}


def of(function: Callable[..., Any], *classes: frozenset[str]) -> list[str]:
    """Return the parameters of a function that are in one of the classes."""
    wanted: frozenset[str] = frozenset().union(*classes)
    return [name for name in inspect.signature(function).parameters if name in wanted]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_m1_each_keyed_parameter_tells_requests_apart(name: str) -> None:
    """Two values of a parameter that shapes the answer are two keys, and leaving it out is a third."""
    function = FUNCTIONS[name]
    ask, request = decorated(function), least(function)
    values = ["one", "other", 0, 1, [], {"a": 1}, {"a": 2}, True]
    plain = ask.key(**request)
    for parameter in of(function, SHAPING - {"extra_headers"}):
        keys = {ask.key(**{**request, parameter: value}) for value in values}
        assert len(keys | {plain}) == len(values) + 1, parameter


@pytest.mark.parametrize("name", FUNCTIONS)
def test_m1_no_volatile_parameter_is_part_of_a_key(name: str) -> None:
    """Whatever its value, the key is that of the request without it."""
    function = FUNCTIONS[name]
    ask, request = decorated(function), least(function)
    plain = ask.key(**request)
    for parameter in of(function, VOLATILE):
        for value in ("one", "other", 0, {"a": 1}, object(), None):
            assert ask.key(**request, **{parameter: value}) == plain, parameter


@pytest.mark.parametrize("name", FUNCTIONS)
def test_m1_no_entry_belongs_to_what_continues_a_state_of_the_provider(name: str) -> None:
    """Nothing is cached of it; not passed, however that is spelled, it changes nothing."""
    function = FUNCTIONS[name]
    ask, request = decorated(function), least(function)
    plain = ask.key(**request)
    for parameter in of(function, SERVER_STATE):
        with pytest.raises(UnkeyableArgument, match="only its provider holds"):
            ask.key(**request, **{parameter: "state"})
        for absent in (None, openai.omit, anthropic.NOT_GIVEN):
            assert ask.key(**request, **{parameter: absent}) == plain, parameter


@pytest.mark.parametrize("name", FUNCTIONS)
def test_m1_what_is_not_passed_is_not_passed_however_it_is_spelled(name: str) -> None:
    """The sentinels of either SDK are one; None is as they are only where the SDK takes it so."""
    function = FUNCTIONS[name]
    ask, request = decorated(function), least(function)
    plain = ask.key(**request)
    for parameter in of(function, SHAPING - request.keys()):
        for absent in (openai.omit, openai.NOT_GIVEN, anthropic.omit, anthropic.NOT_GIVEN):
            assert ask.key(**request, **{parameter: absent}) == plain, parameter
        is_absent = parameter in NULLABLE or parameter == "extra_headers"
        assert (ask.key(**request, **{parameter: None}) == plain) is is_absent, parameter


def complete(prompt: str, **options: object) -> str:
    """Stand for somebody's own function around an SDK."""
    return prompt


def test_collision_1_what_goes_beyond_the_sdk() -> None:
    """M1: ``extra_body`` is part of the request."""
    ask = decorated(complete)
    bodies: list[dict[str, object]] = [{}, {"extra_body": {"top_k": 1}}, {"extra_body": {"top_k": 2}}]
    assert len({ask.key("why?", **body) for body in bodies}) == 3


def test_collision_2_the_endpoint() -> None:
    """M1: the same request to another endpoint is another request."""
    ask = decorated(complete)
    for name in ("base_url", "api_base", "api_version", "region"):
        assert ask.key("why?", **{name: "one"}) != ask.key("why?", **{name: "other"})


@pytest.mark.parametrize("name", ["min_p", "repetition_penalty", "enable_thinking", "tomorrows_parameter"])
def test_collision_3_a_parameter_that_nobody_knows(name: str) -> None:
    """M1: what is on no list shapes the answer."""
    ask = decorated(complete)
    assert len({ask.key("why?", **{name: 1}), ask.key("why?", **{name: 2}), ask.key("why?")}) == 3


def test_collision_4_arguments_that_run_together() -> None:
    """M1: what a value says cannot be taken for another argument."""
    ask = decorated(complete)
    assert ask.key("x", suffix="a") != ask.key("x", suffix="aprompt: x")
    assert ask.key("x", stop="a", suffix="b") != ask.key("x", stop="astop: b")


def test_collision_5_an_edited_schema() -> None:
    """M1: a response format is known by its schema, not by its name."""
    ask = decorated(complete)
    short = create_model("Answer", text=(str, ...))
    long = create_model("Answer", text=(str, ...), source=(str, ...))
    again = create_model("Answer", text=(str, ...))
    assert ask.key("why?", response_format=short) != ask.key("why?", response_format=long)
    assert ask.key("why?", response_format=short) == ask.key("why?", response_format=again)


def test_collision_6_audio_by_its_content() -> None:
    """M1: two recordings are two, whatever their files are called; so are two arrays."""
    ask = decorated(complete)
    one, other = ("speech.wav", b"one"), ("speech.wav", b"other")
    assert ask.key("why?", file=one) != ask.key("why?", file=other)
    zeros = numpy.zeros(3, dtype=numpy.float32)
    assert ask.key("why?", audio=zeros) != ask.key("why?", audio=zeros + 1)
    assert ask.key("why?", audio=zeros) != ask.key("why?", audio=zeros.astype(numpy.float64))


def test_collision_7_text_and_model_and_bytes() -> None:
    """M1: ``a:b`` of ``c`` is not ``a`` of ``b:c``; bytes are not their hexadecimal form."""
    embed = decorated(FUNCTIONS["openai embeddings create"])
    assert embed.key(input="a:b", model="c") != embed.key(input="a", model="b:c")
    assert embed.key(input=b"\x01", model="c") != embed.key(input="01", model="c")
    assert embed.key(input="a", model="c", dimensions=256) != embed.key(input="a", model="c", dimensions=512)


def test_collision_8_all_that_came_before_the_last_message() -> None:
    """M1: the model, the system prompt, the tools and every earlier message are part of the request."""
    ask = decorated(FUNCTIONS["anthropic messages create"])
    question = {"role": "user", "content": "why?"}
    request: dict[str, Any] = {"model": "m", "max_tokens": 10, "messages": [question]}
    others: list[dict[str, Any]] = [
        {"model": "n"},
        {"system": "Answer in German."},
        {"tools": [{"name": "search"}]},
        {"messages": [{"role": "assistant", "content": "Hello"}, question]},
    ]
    assert len({ask.key(**request), *(ask.key(**{**request, **other}) for other in others)}) == 5


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.sampled_from([0.0, 0.5, 1.0])
    | st.text("ab:", max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=2),
    max_leaves=4,
)
VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "messages": st.lists(st.dictionaries(st.sampled_from(["role", "content"]), JSON, max_size=2), max_size=2),
    "model": st.sampled_from(["a", "b"]),
    "temperature": st.sampled_from([0, 0.0, 1, 1.0]),
    "stop": st.none() | st.text("ab", max_size=1),
    "extra_body": st.none() | st.dictionaries(st.text("ab", max_size=1), JSON, max_size=2),
    "unheard_of": JSON,
    "user": JSON,
    "timeout": st.sampled_from([None, 1.0]),
}
REQUESTS = st.fixed_dictionaries({}, optional=dict(VALUES))


def typed(value: object) -> object:
    """Return a value that is equal to another's only where both are the same value of the same types."""
    if isinstance(value, dict):
        return {name: typed(value[name]) for name in sorted(value)}
    return [typed(item) for item in value] if isinstance(value, list) else (type(value), value)


def meaning(request: Mapping[str, object]) -> object:
    """Return what a request asks for, as its documentation says."""
    kept = {name: value for name, value in request.items() if name not in {"user", "timeout"}}
    kept |= {name: value + 0.0 for name, value in kept.items() if name in CONTINUOUS and type(value) is int}
    return typed({n: v for n, v in kept.items() if not (v is None and n in {"stop", "extra_body"})})


@given(REQUESTS, REQUESTS)
def test_m1_equal_requests_have_equal_keys_and_only_they(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Whatever is asked, however it is spelled: the keys are equal exactly where the requests are."""
    ask = decorated(complete)
    assert (ask.key("x", **one) == ask.key("x", **other)) is (meaning(one) == meaning(other))


@given(REQUESTS, st.randoms(use_true_random=False))
def test_m1_the_order_of_arguments_and_of_dicts_is_nothing(request: dict[str, Any], chance: Any) -> None:
    """A request spelled in another order, or positionally, has the same key."""

    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            names = list(value)
            chance.shuffle(names)
            return {name: shuffled(value[name]) for name in names}
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    ask = decorated(complete)
    assert ask.key("x", **request) == ask.key(**shuffled({**request, "prompt": "x"}))


@given(st.lists(REQUESTS, min_size=2, max_size=6))
def test_m1_nobody_is_answered_another_request(requests: list[dict[str, Any]]) -> None:
    """Whatever was asked before, an answer is the one to what is asked now; over the open fast path too."""

    @llm_cached(namespace="answers")
    def ask(prompt: str, **options: Any) -> str:
        return repr(meaning(options))

    for _ in range(2):
        assert [ask("x", **request) for request in requests] == [repr(meaning(one)) for one in requests]
    assert ask.stats().l1_hits >= len(requests)
