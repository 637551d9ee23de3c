from __future__ import annotations

import inspect
import threading
from dataclasses import dataclass
from datetime import timedelta
from functools import partial, partialmethod, wraps
from typing import Any

import pytest

from cachepolicy import (
    MISS,
    DecorationError,
    ManualClock,
    Outcome,
    PolicyError,
    Tier,
    UnkeyableArgument,
    UnknownNamespace,
    cached,
    configure,
    llm_cached,
    observe,
    scope,
)
from tests.support.colour import Colour
from tests.support.logged import logged
from tests.support.policies import cache_policy


@pytest.fixture(autouse=True)
def _memory() -> None:
    configure(cache_policy())


class Counted:
    """An origin that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, question: str, times: int = 1) -> list[str]:
        """Answer with a list, which callers could change."""
        self.calls += 1
        return [question] * times


def _counted(colour: Colour, **options: Any) -> tuple[Counted, Any]:
    origin = Counted()

    def answer(question: str, times: int = 1) -> list[str]:
        return origin(question, times)

    return origin, colour.decorate(cached("answers", **options))(answer)


def test_a_hit_does_not_call_the_function_again(colour: Colour) -> None:
    """A second call with equal arguments is answered without the function."""
    origin, answer = _counted(colour)
    assert colour.run(lambda: answer("why?")) == ["why?"]
    assert colour.run(lambda: answer("why?")) == ["why?"]
    assert origin.calls == 1


def test_every_spelling_of_a_call_is_the_same_call(colour: Colour) -> None:
    """Positional, keyword and defaulted arguments make one key."""
    origin, answer = _counted(colour)
    for call in (
        lambda: answer("why?"),
        lambda: answer(question="why?"),
        lambda: answer("why?", 1),
        lambda: answer(times=1, question="why?"),
    ):
        assert colour.run(call) == ["why?"]
    assert origin.calls == 1


def test_other_arguments_are_another_call(colour: Colour) -> None:
    """Arguments that differ in value or type do not share an answer."""
    origin, answer = _counted(colour)
    for times in (1, True, 2):
        colour.run(partial(answer, "why?", times))
    assert origin.calls == 3


def test_none_is_an_answer(colour: Colour) -> None:
    """A function that returns None is cached like any other."""
    calls = 0

    @colour.decorate(cached("answers"))
    def nothing(question: str) -> None:
        nonlocal calls
        calls += 1

    assert colour.run(lambda: nothing("why?")) is None
    assert colour.run(lambda: nothing("why?")) is None
    assert calls == 1
    assert colour.run(lambda: nothing.peek("why?")) is None
    assert colour.run(lambda: nothing.peek("else?")) is MISS


def test_a_caller_cannot_change_what_others_get(colour: Colour) -> None:
    """A mutable answer is fresh for each caller, from the first on."""
    _, answer = _counted(colour)
    for _ in range(3):
        colour.run(lambda: answer("why?")).append("changed")
    assert colour.run(lambda: answer("why?")) == ["why?"]


def test_the_policy_may_let_answers_be_shared(colour: Colour) -> None:
    """``local: {share: true}`` lends the stored object itself."""
    configure(cache_policy(local={"share": True}))
    _, answer = _counted(colour)
    first = colour.run(lambda: answer("why?"))
    assert colour.run(lambda: answer("why?")) is first


def test_an_error_is_the_functions_own_and_is_not_kept(colour: Colour) -> None:
    """What the function raises reaches its caller as it is, each time anew."""
    calls = 0

    @colour.decorate(cached("answers"))
    def fail(question: str) -> str:
        nonlocal calls
        calls += 1
        raise LookupError(question)

    for _ in range(2):
        with pytest.raises(LookupError, match="why"):
            colour.run(lambda: fail("why?"))
    assert calls == 2


def test_stop_iteration_passes_through() -> None:
    """A ``def`` that raises StopIteration raises just that, not a generator's RuntimeError."""

    @cached("answers")
    def stop(question: str) -> str:
        raise StopIteration(question)

    with pytest.raises(StopIteration, match="why"):
        stop("why?")


def test_an_answer_ends_with_its_ttl(colour: Colour) -> None:
    """Past its TTL an answer is made anew, from L1 and from Redis alike."""
    time = ManualClock()
    configure(cache_policy(local={"ttl": "10s"}, ttl="30s"), clock=time.clock)
    origin, answer = _counted(colour)
    outcomes = []
    for advance in (0, 5, 10, 16):
        time.advance(advance)
        with observe() as seen:
            colour.run(lambda: answer("why?"))
        outcomes.append((seen[0].outcome, seen[0].tier))
    assert outcomes == [
        (Outcome.MISS, Tier.ORIGIN),
        (Outcome.HIT, Tier.L1),
        (Outcome.HIT, Tier.L2),  # local.ttl is over
        (Outcome.MISS, Tier.ORIGIN),  # ttl is over
    ]
    assert origin.calls == 2


def test_an_l1_entry_filled_from_redis_does_not_outlive_it(colour: Colour) -> None:
    """What L1 takes from Redis ends when the answer's own TTL does, not ``local.ttl`` later."""
    time = ManualClock()
    configure(cache_policy(local={"ttl": "10s"}, ttl="30s"), clock=time.clock)
    origin, answer = _counted(colour)
    for advance in (
        0,
        25,
        6,
    ):  # made, read from Redis into L1 five seconds before its end, one second past it
        time.advance(advance)
        colour.run(lambda: answer("why?"))
    assert origin.calls == 2


@pytest.mark.parametrize("ttl", ["20s", 20, timedelta(seconds=20)])
def test_a_decorator_may_say_its_own_ttl(colour: Colour, ttl: Any) -> None:
    """``ttl=`` takes text with a unit, seconds, or a timedelta."""
    time = ManualClock()
    configure(cache_policy(), clock=time.clock)
    origin, answer = _counted(colour, ttl=ttl)
    assert answer.policy.ttl == 20.0
    for advance in (0, 19, 2):
        time.advance(advance)
        colour.run(lambda: answer("why?"))
    assert origin.calls == 2


@pytest.mark.parametrize(("ttl", "message"), [("10s", "at least 1m"), ("2h", "at most 1h"), ("soon", "30m")])
def test_a_ttl_outside_the_policy_is_an_error(colour: Colour, ttl: str, message: str) -> None:
    """A decorator's TTL that is none, or that the policy does not allow, is told before any call."""
    configure(cache_policy(ttl={"default": "30m", "min": "1m", "max": "1h"}))
    origin, answer = _counted(colour, ttl=ttl)
    with pytest.raises(PolicyError, match=message):
        colour.run(lambda: answer("why?"))
    assert origin.calls == 0


def test_jitter_shortens_a_ttl_and_never_lengthens_it(colour: Colour) -> None:
    """C7: entries end at different moments, none of them late."""
    time = ManualClock()
    configure(cache_policy(ttl="100s", jitter="50%", local={"enabled": False}), clock=time.clock)
    origin, answer = _counted(colour)
    for number in range(40):
        colour.run(partial(answer, str(number)))
    time.advance(75)
    for number in range(40):
        colour.run(partial(answer, str(number)))
    assert 40 < origin.calls < 80
    assert 50 <= answer.policy.ttl * 0.5 <= 100


def test_a_version_is_another_set_of_answers(colour: Colour) -> None:
    """Raising ``version`` leaves older answers behind."""

    def answer(question: str) -> str:
        return question

    keys = {colour.decorate(cached("answers", version=version))(answer).key("why?") for version in (1, 2)}
    templated = {
        colour.decorate(cached("answers", key="q:{question}", version=version))(answer).key("why")
        for version in (1, 2)
    }
    assert len(keys) == 2
    assert templated == {"test:answers:q:why", "test:answers:v2:q:why"}


def test_a_template_names_what_identifies_a_call(colour: Colour) -> None:
    """With ``key=`` only the named arguments make the key, and it can be read in Redis."""
    origin, answer = _counted(colour, key="question:{question}")
    assert answer.key("why") == "test:answers:question:why"
    assert colour.run(lambda: answer("why", 1)) == ["why"]
    assert colour.run(lambda: answer("why", 2)) == ["why"]
    assert origin.calls == 1


def test_a_callable_may_make_the_key(colour: Colour) -> None:
    """``key=`` may be a function of the same arguments; what it returns is encoded exactly."""
    origin, answer = _counted(colour, key=lambda question, times=1: question.lower())
    for question in ("WHY?", "why?", "what?"):
        colour.run(partial(answer, question))
    assert origin.calls == 2


def test_an_unkeyable_argument_is_told(colour: Colour) -> None:
    """An argument without an exact encoding raises before the call: function, parameter, remedy."""
    origin, answer = _counted(colour)
    with pytest.raises(UnkeyableArgument, match=r"answer\(\): parameter 'question': .*key="):
        colour.run(lambda: answer(object()))
    assert origin.calls == 0


def test_a_wrong_call_raises_what_the_function_would(colour: Colour) -> None:
    """A missing or unknown argument is a TypeError about the function's own parameters."""
    _, answer = _counted(colour)
    with pytest.raises(TypeError, match="question"):
        colour.run(answer)
    with pytest.raises(TypeError, match="wrong"):
        colour.run(lambda: answer("why?", wrong=1))


def test_an_unknown_namespace_is_told_with_the_nearest_word(colour: Colour) -> None:
    """A namespace that the policy does not declare is an error that offers the one that was meant."""

    @colour.decorate(cached("anwsers"))
    def answer(question: str) -> str:
        return question

    with pytest.raises(UnknownNamespace, match="answers"):
        colour.run(lambda: answer("why?"))


def test_a_namespace_of_another_kind_is_refused(colour: Colour) -> None:
    """A cached function needs a namespace of kind cache."""
    policy = cache_policy()
    policy["namespaces"]["files"] = {"kind": "temp", "db": 4}
    configure(policy)

    @colour.decorate(cached("files"))
    def answer(question: str) -> str:
        return question

    with pytest.raises(PolicyError, match="kind temp"):
        colour.run(lambda: answer("why?"))


@pytest.mark.parametrize("wrong", [partialmethod(print), property(len), 1, "answers", int])
def test_what_is_no_function_is_refused(wrong: Any) -> None:
    """Decorating something else is an error at once, with the way to mend it."""
    with pytest.raises(DecorationError):
        cached("answers")(wrong)


@pytest.mark.parametrize("version", [0, -1, True, "2"])
def test_a_version_is_a_whole_number(version: Any) -> None:
    """``version=`` from one on, and nothing else."""
    with pytest.raises(DecorationError, match="version"):
        cached("answers", version=version)(lambda question: question)


def test_a_decorated_function_looks_like_itself(colour: Colour) -> None:
    """C8: name, documentation, signature and colour are the function's own."""

    @colour.decorate(cached("answers"))
    def answer(question: str, /, times: int = 1, *, loud: bool = False) -> str:
        """Answer."""
        return question

    assert answer.__name__ == "answer"
    assert answer.__doc__ == "Answer."
    assert (
        str(inspect.signature(answer, eval_str=True))
        == "(question: str, /, times: int = 1, *, loud: bool = False) -> str"
    )
    assert inspect.iscoroutinefunction(answer) is colour.is_async


def test_llm_cached_is_bare_or_called(colour: Colour) -> None:
    """``@llm_cached`` and ``@llm_cached(…)`` both work, in the namespace ``llm`` unless another is named."""
    policy = cache_policy()
    policy["namespaces"]["llm"] = policy["namespaces"].pop("answers")
    policy["namespaces"]["tenants"] = {**policy["namespaces"]["llm"], "db": 2}
    configure(policy)

    def answer(messages: list[dict[str, str]]) -> str:
        return messages[0]["content"]

    bare = colour.decorate(llm_cached)(answer)
    called = colour.decorate(llm_cached(namespace="tenants", ttl="1m"))(answer)
    for each, namespace in ((bare, "llm"), (called, "tenants")):
        with observe() as seen:
            for _ in range(2):
                assert colour.run(partial(each, [{"role": "user", "content": "hi"}])) == "hi"
        assert [(one.namespace, one.tier) for one in seen] == [(namespace, Tier.ORIGIN), (namespace, Tier.L1)]
        assert seen[0].key.startswith(f"test:{namespace}:llm_cache:")


@pytest.mark.parametrize("kind", ["tenant", "user"])
def test_m7_a_scoped_namespace_without_a_scope_is_not_cached(colour: Colour, kind: str) -> None:
    """M7: with ``scope: tenant|user`` a call of nobody's is answered by the function, every time."""
    configure(cache_policy(scope=kind))
    origin, answer = _counted(colour)
    with observe() as seen:
        for _ in range(2):
            colour.run(lambda: answer("why?"))
    assert origin.calls == 2
    assert [(one.outcome, one.reason) for one in seen] == [(Outcome.BYPASS, "no_scope")] * 2


def test_a_scope_keeps_answers_apart(colour: Colour) -> None:
    """What one tenant or user is told, another never is; the same one is answered from the cache."""
    configure(cache_policy(scope="user"))
    origin, answer = _counted(colour)
    people = [{"user": "ann"}, {"user": "bob"}, {"user": "ann", "tenant": "acme"}, {"user": "b:ob"}]
    for who in people * 2:
        with scope(**who):
            colour.run(lambda: answer("why?"))
    assert origin.calls == len(people)
    with pytest.raises(UnkeyableArgument, match="scope"):
        answer.key("why?")


def test_scopes_nest_and_end() -> None:
    """An inner scope adds to the outer one, and ends with its block."""
    configure(cache_policy(scope="user"))

    @cached("answers")
    def answer(question: str) -> str:
        return question

    with scope(tenant="acme"):
        with scope(user="ann"):
            inner = answer.key("why?")
        with pytest.raises(UnkeyableArgument):
            answer.key("why?")
    with scope(tenant="acme", user="ann"):
        assert answer.key("why?") == inner


def test_a_value_that_would_come_back_different_is_not_cached(
    colour: Colour, caplog: pytest.LogCaptureFixture
) -> None:
    """An unserializable result is the caller's as it is, told once in the log, and never cached."""
    calls = 0

    @colour.decorate(cached("answers"))
    def pair(question: str):  # type: ignore[no-untyped-def] # noqa: ANN202 - no annotation is the point
        nonlocal calls
        calls += 1
        return (question, calls)

    with observe() as seen:
        assert colour.run(lambda: pair("canary-why")) == ("canary-why", 1)
        assert colour.run(lambda: pair("canary-why")) == ("canary-why", 2)
    assert [one.reason for one in seen] == ["unserializable"] * 2
    assert len(logged(caplog)) == 1
    assert "pair" in caplog.text
    assert "canary" not in caplog.text


def test_an_annotation_that_cannot_be_read_is_told(colour: Colour, caplog: pytest.LogCaptureFixture) -> None:
    """A return type without byte form is told; results of JSON's types are cached all the same."""
    calls = 0

    @colour.decorate(cached("answers"))
    def answer(question: str) -> threading.Lock | str:
        nonlocal calls
        calls += 1
        return question

    for _ in range(2):
        assert colour.run(lambda: answer("why?")) == "why?"
    assert calls == 1
    assert "return annotation cannot be read" in caplog.text


def test_functions_made_by_one_piece_of_code_are_kept_apart(colour: Colour) -> None:
    """Closures share answers when they captured equal plain values, and only then."""

    def make(model: str) -> Any:
        @colour.decorate(cached("answers"))
        def answer(question: str) -> str:
            return f"{model}: {question}"

        return answer

    small, large, again = make("small"), make("large"), make("small")
    assert small.key("why?") != large.key("why?")
    assert small.key("why?") == again.key("why?")


def test_partials_are_kept_apart() -> None:
    """Bound arguments are part of what a partial is."""

    def answer(model: str, question: str) -> str:
        return f"{model}: {question}"

    small, large = (cached("answers")(partial(answer, model)) for model in ("small", "large"))
    assert (small("why?"), large("why?")) == ("small: why?", "large: why?")
    with pytest.raises(DecorationError, match="bound argument"):
        cached("answers")(partial(answer, object()))  # type: ignore[arg-type] # it is no str either


def test_a_key_of_its_own_identifies_whatever_is_bound(colour: Colour) -> None:
    """With ``key=`` the object of a method or a captured value need not be known to anybody else."""

    class Model:
        def answer(self, question: str) -> str:
            return question

    first, second = (
        colour.decorate(cached("answers", key=lambda question: question))(Model().answer) for _ in range(2)
    )
    assert first.key("why?") == second.key("why?")
    if not colour.is_async:
        with pytest.raises(DecorationError, match="object of a method"):
            cached("answers")(Model().answer)


def test_a_lambda_is_refused() -> None:
    """Two lambdas have one name: there is nothing to keep their answers apart by."""
    with pytest.raises(DecorationError, match="write a def"):
        cached("answers")(lambda question: question)


def test_o2_a_bound_argument_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """O2: what a partial holds, a credential say, is in no message about its annotation."""

    def ask(credential: str, question: str) -> str:
        return question

    assert cached("answers")(partial(ask, "canary-credential"))("why?") == "why?"
    assert "canary" not in caplog.text


def test_a_wrapped_function_takes_what_its_wrapper_takes(colour: Colour) -> None:
    """An argument that a wrapper adds reaches it, and tells calls apart; its entries are its own."""

    def answer(question: str) -> str:
        return question

    @wraps(answer)
    def for_tenant(tenant: str, *args: Any, **kwargs: Any) -> str:
        return f"{tenant}: {answer(*args, **kwargs)}"

    wrapped = cached("answers")(for_tenant)
    assert wrapped("acme", "why?") == "acme: why?"
    assert wrapped("zeta", question="why?") == "zeta: why?"
    bare, anything = (colour.decorate(cached("answers"))(each) for each in (answer, _loudly(answer)))
    assert colour.run(lambda: bare("why?")) == "why?"
    assert colour.run(lambda: anything("why?")) == "WHY?"


def _loudly(function: Any) -> Any:
    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs).upper()

    return wrapper


def test_an_object_that_can_be_called(colour: Colour) -> None:
    """It is known by what it is; its verbs are about calls of it."""

    @dataclass
    class Model:
        name: str

        def __call__(self, question: str) -> str:
            return f"{self.name}: {question}"

    small, large = (colour.decorate(cached("answers"))(Model(name)) for name in ("small", "large"))
    for _ in range(2):
        assert colour.run(lambda: small("why?")) == "small: why?"
        assert colour.run(lambda: large("why?")) == "large: why?"
    assert colour.run(lambda: small.invalidate("why?")) is True
    assert colour.run(lambda: large.peek("why?")) == "large: why?"
