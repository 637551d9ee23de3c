"""Where the classes of parameters apply, what a decorator can say of them, and the way through L1."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import openai
import pytest

from cachepolicy import DecorationError, Tier, UnkeyableArgument, cached, configure, llm_cached, observe
from cachepolicy.telemetry.names import Outcome, Reason
from tests.support.colour import Colour
from tests.support.policies import cache_policy
from tests.support.sdk import provider_function

NO_L1 = {"enabled": False}


@pytest.fixture(autouse=True)
def _memory() -> None:
    configure(cache_policy())


def decorated(function: Callable[..., Any], **options: Any) -> Any:
    """Return a function under ``llm_cached``, in the tests' namespace."""
    return llm_cached(namespace="answers", **options)(function)


def complete(prompt: str, **options: object) -> str:
    """Stand for somebody's own function around an SDK."""
    return prompt


def test_names_that_can_mean_but_one_thing_are_ignored_wherever_they_stand() -> None:
    """M1: a function's own ``timeout`` is as volatile as that of the SDK."""

    def ask(question: str, timeout: float = 1.0, api_key: str = "", service_tier: str = "auto") -> str:
        return question

    key = decorated(ask).key
    assert key("why?") == key("why?", 2.0, "secret", "flex")


@pytest.mark.parametrize(
    "name", ["user", "metadata", "store", "speed", "conversation", "container", "background", "request_id"]
)
def test_words_that_may_be_part_of_a_prompt_are_keyed(name: str) -> None:
    """M1: a function's own ``user`` may be greeted in its prompt: another one is another request."""
    namespace: dict[str, Any] = {}
    exec(f"def ask(question, {name}=None):\n    return question", {"__name__": __name__}, namespace)  # noqa: S102 - a name of the list above
    ask = decorated(namespace["ask"])
    assert ask.key("why?", **{name: "a"}) != ask.key("why?", **{name: "b"})
    ignoring = decorated(namespace["ask"], ignore=(name,))
    assert ignoring.key("why?", **{name: "a"}) == ignoring.key("why?", **{name: "b"})


def test_a_function_under_cached_is_read_as_it_is() -> None:
    """``@cached`` knows nothing of providers: every argument is part of the key."""
    key = cached("answers")(complete).key
    assert key("why?", timeout=1) != key("why?", timeout=2)
    assert key("why?", previous_response_id="a") != key("why?", previous_response_id="b")
    assert key("why?", stop=None) != key("why?")


def test_headers_that_shape_the_answer_are_keyed_and_no_others() -> None:
    """M1: by their names in any case; a header that is named by ``vary`` too."""
    key = decorated(complete).key
    plain = key("why?")
    assert key("why?", extra_headers={"X-Trace": "1", "Authorization": "secret"}) == plain
    beta = key("why?", extra_headers={"Anthropic-Beta": "a"})
    assert beta == key("why?", extra_headers={"anthropic-beta": "a", "X-Trace": "1"}) != plain
    assert beta != key("why?", extra_headers={"anthropic-beta": "b"})
    varied = decorated(complete, vary=("extra_headers.X-Team",)).key
    assert varied("why?", extra_headers={"x-team": "1"}) != varied("why?", extra_headers={"X-Team": "2"})

    def ask(question: str, extra_headers: dict[str, str] | None = None) -> str:
        return question

    key = decorated(ask).key
    assert key("why?") == key("why?", {}) == key("why?", {"X-Trace": "1"})
    assert key("why?") != key("why?", {"openai-beta": "a"})


def test_vary_brings_a_volatile_parameter_back() -> None:
    """And a state that only the provider holds: whoever names it says that it stays as it is."""
    key = decorated(complete, vary=("user", "previous_response_id")).key
    assert key("why?", user="a") != key("why?", user="b")
    assert key("why?", previous_response_id="a") != key("why?", previous_response_id="b")
    assert key("why?") != decorated(complete).key("why?")


def test_a_parameter_that_is_a_tag_tells_calls_apart() -> None:
    """A volatile one too: an entry is purged by the value that it was stored with."""
    key = decorated(complete, tags=("user",)).key
    assert key("why?", user="a") != key("why?", user="b")


def test_the_model_that_is_said_is_part_of_the_key() -> None:
    """M1: a function that asks another model today gives other answers."""

    def ask(question: str) -> str:
        return question

    keys = {decorated(ask, **options).key("why?") for options in ({}, {"model": "a"}, {"model": "b"})}
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vary": "user"}, "expected several names"),
        ({"vary": ("api_key",)}, "a secret is part of no key"),
        ({"tags": ("api_key",)}, "a secret is part of no key"),
        ({"vary": ("extra_headers.Authorization",)}, "a secret is part of no key"),
        ({"vary": ("extra_headers",)}, "name a header"),
        ({"vary": ("temperature",)}, "part of every key already"),
        ({"vary": ("prompt",)}, "part of every key already"),
        ({"vary": ("user",), "key": "a:{prompt}"}, "leave vary= out"),
        ({"temperature": -1}, "expected a number from 0 on"),
        ({"temperature": "0"}, "expected a number from 0 on"),
        ({"tenant": "nobody"}, "no such parameter"),
        ({"user": "options"}, r"expected a parameter without \*"),
    ],
)
def test_options_that_can_do_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    """When the function is decorated, with what is wrong and how to mend it."""
    with pytest.raises(DecorationError, match=message):
        decorated(complete, **options)


def test_options_are_refused_that_the_signature_contradicts() -> None:
    """``model=`` beside a parameter ``model``; ``vary=`` of what is not there, or is ignored."""

    def ask(model: str, timeout: float = 1.0) -> str:
        return model

    with pytest.raises(DecorationError, match="its parameter 'model' says that"):
        decorated(ask, model="a")
    with pytest.raises(DecorationError, match="no such parameter"):
        decorated(ask, vary=("user",))
    with pytest.raises(DecorationError, match="in vary= and in ignore="):
        decorated(ask, vary=("timeout",), ignore=("timeout",))


def test_a_call_that_continues_a_state_goes_past_the_cache(colour: Colour) -> None:
    """It is told why, whether the state is an argument or in the body; nothing is stored of it."""
    create = provider_function()
    ask = colour.decorate(llm_cached(namespace="answers"))(create)
    request: dict[str, Any] = {"model": "m", "messages": []}
    states: list[dict[str, Any]] = [
        {"previous_response_id": "a"},
        {"extra_body": {"conversation": "a"}},
    ]
    with observe() as seen:
        for state in states:
            colour.run(partial(ask, **request, **state))
            colour.run(partial(ask, **request, **state))
            assert colour.run(partial(ask.invalidate, **request, **state)) is False
            assert colour.run(partial(ask.refresh, **request, **state)).startswith("m")
    assert [(one.outcome, one.reason) for one in seen] == [(Outcome.BYPASS, Reason.SERVER_STATE)] * 6
    with pytest.raises(UnkeyableArgument, match="continues what only its provider holds"):
        ask.key(**request, previous_response_id="a")
    with observe() as seen:
        colour.run(partial(ask, **request, extra_body={"conversation": None}))
    assert [one.outcome for one in seen] == [Outcome.MISS]


def hits(colour: Colour, ask: Any, *calls: dict[str, Any]) -> list[Any]:
    """Return what each call is answered, over the open fast path."""
    return [colour.run(partial(ask, **call)) for call in calls]


def test_m1_the_fast_path_gives_nobody_the_answer_to_another_request(colour: Colour) -> None:
    """Calls that differ in what is left out share an entry; calls that differ in more never do."""
    create = provider_function()
    ask = colour.decorate(llm_cached(namespace="answers"))(create)
    same: dict[str, Any] = {"model": "m", "messages": [{"role": "user"}]}
    equal: list[dict[str, Any]] = [
        same,
        {**same, "user": "a"},
        {**same, "timeout": 1},
        {**same, "temperature": None, "metadata": {}},
        {**same, "temperature": openai.NOT_GIVEN, "extra_headers": {"X-Trace": "1"}},
    ]
    others: list[dict[str, Any]] = [
        {**same, "model": "n"},
        {**same, "temperature": 0},
        {**same, "temperature": 0.5},
        {**same, "extra_headers": {"openai-beta": "1"}},
        {**same, "extra_body": {"user": "a"}},
        {**same, "extra_body": {"user": "b"}},
    ]
    first = hits(colour, ask, *equal, *others)
    assert first == ["m 1"] * 5 + [f"{'n' if number == 2 else 'm'} {number}" for number in range(2, 8)]
    assert hits(colour, ask, *equal, *others) == first
    assert ask.stats().l1_hits >= len(first)
    assert hits(colour, ask, {**same, "previous_response_id": "a"}, same) == ["m 8", "m 1"]


def test_m1_the_fast_path_of_keyword_arguments(colour: Colour) -> None:
    """What ``**`` collects is read on the long way, and found by the short one where it says the same."""
    calls: list[dict[str, object]] = []

    @colour.decorate(llm_cached(namespace="answers"))
    def ask(question: str, **options: object) -> int:
        calls.append(options)
        return len(calls)

    def once(**options: object) -> Any:
        return colour.run(lambda: ask("why?", **options))

    assert [once(top_p=1), once(top_p=1, user="a"), once(top_p=1), once(user="b", top_p=1)] == [1, 1, 1, 1]
    assert [once(), once(user="a"), once(stop=None), once(top_k=openai.omit)] == [2, 2, 2, 2]
    assert once(previous_response_id="a") == 3
    assert [once(extra_body={"conversation": "a"}) for _ in range(2)] == [4, 5]
    assert [once(previous_response_id=None), once(), once(top_p=1)] == [2, 2, 1]


def test_the_origin_gets_what_its_caller_passed(colour: Colour) -> None:
    """Only the key is made without what does not shape the answer: the very objects are passed on."""
    create = provider_function()
    ask = colour.decorate(llm_cached(namespace="answers"))(create)
    messages = [{"role": "user"}]
    colour.run(lambda: ask(model="m", messages=messages, user="ann", temperature=None))
    assert create.seen == [{"model": "m", "messages": messages, "temperature": None, "user": "ann"}]  # type: ignore[attr-defined] # the stand-in lists it
    assert create.seen[0]["messages"] is messages  # type: ignore[attr-defined] # as above


@pytest.mark.parametrize("local", [{}, NO_L1], ids=["L1", "L2"])
def test_m1_the_key_is_taken_before_a_function_changes_its_arguments(
    colour: Colour, local: dict[str, Any]
) -> None:
    """What a function appends to its messages is no part of the request: later calls hit."""
    configure(cache_policy(local=local))

    @colour.decorate(llm_cached(namespace="answers", tags=("model",)))
    def chat(messages: list[str], **options: Any) -> str:
        messages.append("an answer")
        options["extra_body"]["seen"] = True
        return f"{len(messages)} messages"

    with observe() as seen:
        for _ in range(3):
            question, body = ["why?"], {"a": 1}
            assert colour.run(partial(chat, question, model="m", extra_body=body)) == "2 messages"
    assert [one.outcome for one in seen] == [Outcome.MISS, Outcome.HIT, Outcome.HIT]
    assert seen[1].tier is (Tier.L2 if local else Tier.L1)
