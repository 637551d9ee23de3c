"""``@rate_limited``: what is charged, when, and what a caller is told who may not go on."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from cachepolicy import (
    DecorationError,
    ManualClock,
    PolicyError,
    RateLimiter,
    RateLimitExceeded,
    UnkeyableArgument,
    Usage,
    aclose,
    cached,
    configure,
    llm_cached,
    rate_limited,
)
from cachepolicy.runtime import current
from tests.support.colour import Colour
from tests.support.limiting import Asked, denials, limits_policy
from tests.support.sdk_answers import chat
from tests.support.waiting import until_async

CHAT = {"by": "user", "requests": "2/hour", "tokens": "1000/day"}


@pytest.fixture
def asked(colour: Colour) -> Asked:
    """Call in each colour."""
    return Asked(colour)


def _configure(redis_url: str, *, more: Any = None, **rules: Any) -> None:
    configure(limits_policy(redis_url, rules=rules, more=more))


def _left(asked: Asked, rule: str = "chat", subject: Any = "a", **kwargs: Any) -> dict[str, int]:
    """Return what is left of each limit."""
    told = asked.verb(RateLimiter().peek, rule, subject, cost=0, **kwargs)
    return {state.name: state.remaining for state in told.states}


def test_calls_within_the_limit_pass_and_the_next_is_told_why_not(asked: Asked, redis_url: str) -> None:
    """The error says which limit, what is left, and when to come back; the function is not called."""
    _configure(redis_url, chat={"by": "user", "requests": ["2/hour", "100/day"]})
    calls = []

    @asked.colour.decorate(rate_limited("chat"))
    def answer(user: str) -> str:
        calls.append(user)
        return "done"

    *passed, denied = asked.all(*[partial(answer, "a")] * 3)
    assert passed == ["done", "done"]
    assert calls == ["a", "a"]
    assert isinstance(denied, RateLimitExceeded)
    assert (denied.rule, denied.limit, denied.remaining, denied.degraded) == ("chat", 2, 0, False)
    assert denied.retry_after == pytest.approx(1800, abs=30)
    assert denied.reset_at > 1_600_000_000
    assert str(denied).startswith("rule 'chat': over its limit (requests 2/hour); again in ")
    assert [state.remaining for state in denied.decision.states] == [0, 98]
    assert "'a'" not in str(denied)
    assert _left(asked) == {"requests 2/hour": 0, "requests 100/day": 98}


def test_q1_all_rules_are_charged_or_none(asked: Asked, redis_url: str) -> None:
    """Q1: a call that one of several rules denies is charged to none of them."""
    _configure(
        redis_url, chat={"by": "user", "requests": "5/hour"}, ip={"by": "address", "requests": "2/hour"}
    )

    @asked.colour.decorate(rate_limited("chat", "ip"))
    def answer(user: str, address: str) -> str:
        return "done"

    outcomes = asked.all(*[partial(answer, "a", "1.2.3.4")] * 4)
    assert denials(outcomes) == [False, False, True, True]
    assert outcomes[2].rule == "ip"
    assert _left(asked) == {"requests 5/hour": 3}
    assert _left(asked, "ip", "1.2.3.4") == {"requests 2/hour": 0}


def test_several_rules_are_one_round_trip(redis_url: str) -> None:
    """Q1: however many rules and limits, Redis is asked once."""
    _configure(
        redis_url, chat={"by": "user", "requests": ["5/hour", "9/day"]}, ip={"by": "user", "requests": "2/s"}
    )

    @rate_limited("chat", "ip")
    def answer(user: str) -> str:
        return "done"

    answer("a")  # connects, and tells the script
    breaker = current.current().limits.limiter("ratelimit", "chat", "").site.guard.sole
    before = breaker.calls
    answer("b")
    assert breaker.calls == before + 1


def test_a_call_may_count_for_several(asked: Asked, redis_url: str) -> None:
    """``cost`` is a number, a parameter, or what takes the same arguments."""
    _configure(redis_url, chat={"by": "user", "requests": "10/hour"})

    @asked.colour.decorate(rate_limited("chat", cost=3))
    def fixed(user: str) -> str:
        return "done"

    @asked.colour.decorate(rate_limited("chat", cost="count"))
    def named(user: str, *, count: int = 2) -> str:
        return "done"

    @asked.colour.decorate(rate_limited("chat", cost=lambda user, *items: len(items)))
    def worked_out(user: str, *items: int) -> str:
        return "done"

    asked.all(
        lambda: fixed("a"), lambda: named("a"), lambda: named("a", count=1), lambda: worked_out("a", 7, 8)
    )
    assert _left(asked) == {"requests 10/hour": 2}
    assert denials(asked.all(lambda: fixed("a"))) == [True]
    for wrong in (-1, 1.5, "2", True):
        with pytest.raises(UnkeyableArgument, match="cost: expected a whole number"):
            asked.all(partial(named, "a", count=wrong))


def test_what_is_never_possible_is_told_so(asked: Asked, redis_url: str) -> None:
    """A call that costs more than may ever be used at once has no ``retry_after``."""
    _configure(redis_url, chat={"by": "user", "requests": "2/hour"})

    @asked.colour.decorate(rate_limited("chat", cost=3))
    def answer(user: str) -> str:
        return "done"

    (denied,) = asked.all(lambda: answer("a"))
    assert denied.retry_after is None
    assert "more than it may ever use" in str(denied)


def test_something_else_is_answered_instead(asked: Asked, redis_url: str) -> None:
    """``on_exceeded`` takes the error; what it returns is returned, awaited where it must be."""
    _configure(redis_url, chat={"by": "user", "requests": "1/hour"})

    async def slowly(denied: RateLimitExceeded) -> str:
        return f"slowly {denied.rule}"

    instead = slowly if asked.colour.is_async else lambda denied: f"slowly {denied.rule}"

    @asked.colour.decorate(rate_limited("chat", on_exceeded=instead))
    def answer(user: str) -> str:
        return "done"

    assert asked.all(*[partial(answer, "a")] * 2) == ["done", "slowly chat"]


def test_errors_of_the_function_are_its_callers(asked: Asked, redis_url: str) -> None:
    """The function's own error comes through as it is, a denial of its provider too; the request counts."""
    _configure(redis_url, chat={"by": "user", "requests": "5/hour"})
    own = RateLimitExceeded("of a provider", rule="theirs")

    @asked.colour.decorate(rate_limited("chat", on_exceeded=lambda _: "instead"))
    def fails(user: str, error: BaseException) -> str:
        raise error

    for error in (
        (ValueError("own"), StopIteration("own")) if not asked.colour.is_async else (ValueError("own"),)
    ):
        with pytest.raises(type(error), match="own"):
            asked.all(partial(fails, "a", error))
    assert asked.all(partial(fails, "a", own)) == [own]


def test_shadow_lets_every_call_pass(asked: Asked, redis_url: str) -> None:
    """A rule in shadow decides and is counted, and denies nobody; it does not stand in the way of others."""
    _configure(
        redis_url,
        trial={"by": "user", "requests": "1/hour", "shadow": True},
        chat={"by": "user", "requests": "3/hour"},
    )

    @asked.colour.decorate(rate_limited("trial", "chat"))
    def answer(user: str) -> str:
        return "done"

    tally = current.current().limits.limiter("ratelimit", "trial", "").tally
    before = tally.allowed, tally.shadow, tally.exceeded
    assert denials(asked.all(*[partial(answer, "a")] * 4)) == [False, False, False, True]
    after = tally.allowed, tally.shadow, tally.exceeded
    assert tuple(new - old for new, old in zip(after, before, strict=True)) == (1, 2, 0)
    assert asked.verb(RateLimiter().check, "trial", "a").denied_in_shadow


def test_a_hit_below_is_charged_and_above_is_not(asked: Asked, redis_url: str) -> None:
    """Above a cache every call counts; below it those only that the cache did not answer."""
    caches = {"answers": {"kind": "cache", "scope": "global", "ttl": "1h"}}
    policy = limits_policy(redis_url, rules={"chat": {"by": "user", "requests": "2/hour"}})
    configure({**policy, "namespaces": {**policy["namespaces"], **caches}})

    @asked.colour.decorate(lambda function: rate_limited("chat")(cached("answers")(function)))
    def above(user: str) -> str:
        return "done"

    @asked.colour.decorate(lambda function: cached("answers")(rate_limited("chat")(function)))
    def below(user: str) -> str:
        return "done"

    assert denials(asked.all(*[partial(above, "a")] * 3)) == [False, False, True]
    assert denials(asked.all(*[partial(below, "b")] * 5)) == [False] * 5
    assert _left(asked, subject="b") == {"requests 2/hour": 1}
    assert asked.all(lambda: above.peek("a")) == ["done"]  # the verbs of the cache are still there


def test_methods_are_limited(asked: Asked, redis_url: str) -> None:
    """Methods, class methods, static methods, and cached methods with their verbs; ``self`` may be asked."""
    caches = {"answers": {"kind": "cache", "scope": "global", "ttl": "1h"}}
    rules = {"api": {"by": "user", "requests": "1/hour"}}
    policy = limits_policy(redis_url, rules=rules)
    configure({**policy, "namespaces": {**policy["namespaces"], **caches}})
    decorate, paint = asked.colour.decorate, asked.colour.paint

    class Client:
        tenant = "t"

        @decorate(rate_limited("api", by=("self.tenant", "user")))
        def own(self, user: str) -> str:
            return self.tenant + user

        @decorate(rate_limited("api", by=("cls.tenant", "user")))
        def _of_class(cls, user: str) -> str:  # noqa: N805 - made one below
            return cls.tenant + user

        of_class: Any = classmethod(_of_class)
        static = rate_limited("api")(staticmethod(paint(lambda user: user)))

        @decorate(lambda f: rate_limited("api")(cached("answers", ignore=("self",))(f)))
        def both(self, user: str) -> str:
            return user

    client = Client()
    for method, subject in (
        (client.own, "a"),
        (client.static, "c"),
        (Client.static, "d"),
        (client.both, "e"),
    ):
        assert denials(asked.all(*[partial(method, subject)] * 2)) == [False, True]
    assert denials(asked.all(lambda: client.of_class("b"), lambda: Client.of_class("b"))) == [False, True]
    assert asked.all(lambda: client.both.peek("e")) == ["e"]


def test_the_wrapper_is_what_it_wraps() -> None:
    """Name, signature, documentation and kind of function stay; a generator stays one."""

    async def coroutine(user: str, *, deep: bool = False) -> str:
        """Say it."""
        return user

    async def chunks(user: str) -> AsyncIterator[str]:
        yield user

    def parts(user: str) -> Iterator[str]:
        yield user

    limited = rate_limited("chat")(coroutine)
    assert (limited.__name__, limited.__doc__) == ("coroutine", "Say it.")
    assert inspect.signature(limited) == inspect.signature(coroutine)
    assert inspect.iscoroutinefunction(limited)
    assert inspect.isasyncgenfunction(rate_limited("chat")(chunks))
    assert inspect.isgeneratorfunction(rate_limited("chat")(parts))


def test_what_cannot_be_limited_is_refused() -> None:
    """A class, a property, a rule named twice, or an option of no sense is refused at once."""

    def answer(user: str) -> str:
        return "done"

    with pytest.raises(DecorationError, match="a class cannot be limited"):
        rate_limited("chat")(type("Some", (), {}))
    with pytest.raises(DecorationError, match="a property cannot be limited"):
        rate_limited("chat")(property(answer))  # type: ignore[type-var] # what this is about
    with pytest.raises(DecorationError, match="named twice"):
        rate_limited("chat", "ip", "chat")
    with pytest.raises(DecorationError, match="cost='costs': no such parameter"):
        rate_limited("chat", cost="costs")(answer)
    with pytest.raises(DecorationError, match="tokens: expected a whole number"):
        rate_limited("chat", tokens=1.5)(answer)  # type: ignore[arg-type] # what this is about
    with pytest.raises(DecorationError, match="names no rule of this decorator: 'ip'"):
        rate_limited("chat", by={"ip": "user"})(answer)


def test_q4_callers_who_wait_are_served_in_order(redis_url: str) -> None:
    """Q4: each books the next slot in one round trip; turns come in the order of asking, steadily."""
    _configure(redis_url, chat={"by": "user", "requests": "10/s", "burst": "10%", "wait": "10s"})
    served: list[int] = []

    @rate_limited("chat", wait=True)
    async def answer(user: str, number: int) -> None:
        served.append(number)

    async def main() -> float:
        loop = asyncio.get_running_loop()
        await answer("warm", 0)
        began = loop.time()
        await asyncio.gather(*(answer("a", number) for number in range(1, 6)))
        await aclose()
        return loop.time() - began

    took = asyncio.run(main())
    assert served == [0, 1, 2, 3, 4, 5]
    assert took >= 0.39


def test_waiting_has_a_bound(asked: Asked, redis_url: str) -> None:
    """Who would wait for longer than it may is refused at once, and has booked nothing."""
    _configure(
        redis_url,
        chat={"by": "user", "requests": "1/hour", "wait": "1m"},
        free={"by": "user", "requests": "1/h"},
    )

    @asked.colour.decorate(rate_limited("chat", wait=True))
    def answer(user: str) -> str:
        return "done"

    @asked.colour.decorate(rate_limited("free", wait=0.05))
    def briefly(user: str) -> str:
        return "done"

    @asked.colour.decorate(rate_limited("free", wait=True))
    def boundless(user: str) -> str:
        return "done"

    assert denials(asked.all(*[partial(answer, "a")] * 3)) == [False, True, True]
    assert asked.verb(RateLimiter().peek, "chat", "a").retry_after == pytest.approx(3600, abs=60)
    assert denials(asked.all(*[partial(briefly, "a")] * 2)) == [False, True]
    with pytest.raises(PolicyError, match="wait=True needs wait: in the rule"):
        asked.all(lambda: boundless("a"))


def test_who_is_cancelled_in_the_queue_is_charged_nothing(redis_url: str) -> None:
    """A caller that gives up while it waits for its turn gets back what it had booked."""
    _configure(redis_url, chat={"by": "user", "requests": "1/hour", "wait": "2h"})

    @rate_limited("chat", wait=True)
    async def answer(user: str) -> str:
        return "done"

    async def main() -> float | None:
        await answer("a")
        peek = RateLimiter().peek
        queued = asyncio.create_task(answer("a"))

        async def is_booked() -> bool:
            return ((await peek("chat", "a")).retry_after or 0) > 3700

        await until_async(is_booked, "the second caller to book its turn")
        queued.cancel()
        with pytest.raises(asyncio.CancelledError):
            await queued
        told = await peek("chat", "a")
        await aclose()
        return told.retry_after

    assert asyncio.run(main()) == pytest.approx(3600, abs=60)


def test_tokens_are_reserved_and_settled(asked: Asked, redis_url: str) -> None:
    """Q3: the estimate is charged before the call, and what the answer says it took in the end."""
    _configure(redis_url, chat=CHAT)
    seen: list[dict[str, int]] = []

    @rate_limited("chat", tokens="max_tokens")
    def answer(user: str, max_tokens: int | None = None) -> Any:
        told = RateLimiter().peek.sync("chat", user, cost=0)
        seen.append({state.name: state.remaining for state in told.states})
        return {"usage": {"prompt_tokens": 30, "completion_tokens": 12}}

    answer("a", max_tokens=400)
    assert seen == [{"requests 2/hour": 1, "tokens 1000/day": 600}]
    assert _left(asked) == {"requests 2/hour": 1, "tokens 1000/day": 958}


def test_an_answer_of_an_sdk_settles(asked: Asked, redis_url: str) -> None:
    """What ``usage`` of an SDK's answer says is charged; ``@llm_cached`` below gives the same answer."""
    caches = {"llm": {"kind": "cache", "scope": "global", "ttl": "1h"}}
    policy = limits_policy(redis_url, rules={"chat": {**CHAT, "requests": "9/hour"}})
    configure({**policy, "namespaces": {**policy["namespaces"], **caches}})
    completion = ChatCompletion.model_validate(chat("hello"))
    assert completion.usage is not None
    took = completion.usage.total_tokens

    @asked.colour.decorate(lambda function: rate_limited("chat")(llm_cached(temperature=0)(function)))
    def answer(user: str, messages: list[dict[str, str]]) -> Any:
        return completion

    asked.all(lambda: answer("a", [{"role": "user", "content": "hi"}]))
    assert _left(asked)["tokens 1000/day"] == 1000 - took


@pytest.mark.parametrize("tokens", [300, lambda user: 300, lambda user: Usage("m", 100, 200)])
def test_an_estimate_stands_where_nobody_says_what_was_used(
    asked: Asked, redis_url: str, tokens: Any
) -> None:
    """An answer without usage leaves what was reserved."""
    _configure(redis_url, chat=CHAT)

    @asked.colour.decorate(rate_limited("chat", tokens=tokens))
    def answer(user: str) -> str:
        return "done"

    asked.all(lambda: answer("a"))
    assert _left(asked)["tokens 1000/day"] == 700


def test_an_estimate_that_nobody_made_never_keeps_a_first_call_out(asked: Asked, redis_url: str) -> None:
    """A guess is capped at the smallest limit; what a call says itself is not, and is denied for good."""
    _configure(redis_url, chat={"by": "user", "tokens": ["100/hour", "5000/day"]})

    @asked.colour.decorate(rate_limited("chat"))
    def answer(user: str, messages: list[Any], max_tokens: int | None = None) -> str:
        return "done"

    guessed, denied, said = asked.all(
        lambda: answer("a", [{"role": "user", "content": "x" * 4000}]),
        lambda: answer("a", [{"role": "user", "content": "x"}]),
        lambda: answer("b", [], max_tokens=101),
    )
    assert guessed == "done"
    assert denied.retry_after is not None
    assert said.retry_after is None


def test_a_guess_does_not_ask_for_an_unused_quota(asked: Asked, redis_url: str) -> None:
    """Where nobody says how much is written, small quotas serve more than one call."""
    _configure(redis_url, chat={"by": "user", "tokens": "1000/day"})

    @asked.colour.decorate(rate_limited("chat"))
    def answer(user: str, prompt: str) -> Any:
        return {"usage": {"prompt_tokens": 5, "completion_tokens": 6}}

    assert denials(asked.all(*[partial(answer, "a", "why?")] * 5)) == [False] * 5
    assert _left(asked) == {"tokens 1000/day": 1000 - 5 * 11}


@pytest.mark.parametrize(
    ("refund", "requests", "tokens"), [("tokens", 1, 1000), ("all", 2, 1000), ("none", 1, 700)]
)
def test_a_call_that_failed_gets_back_what_the_rule_says(
    asked: Asked, redis_url: str, refund: str, requests: int, tokens: int
) -> None:
    """By default the tokens, and not the request; all; or nothing."""
    _configure(redis_url, chat={**CHAT, "refund": refund})

    @asked.colour.decorate(rate_limited("chat", tokens=300))
    def answer(user: str) -> str:
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        asked.all(lambda: answer("a"))
    assert _left(asked) == {"requests 2/hour": requests, "tokens 1000/day": tokens}


def test_all_is_given_back_of_requests_too(asked: Asked, redis_url: str) -> None:
    """``refund: all`` holds for a rule that counts requests only."""
    _configure(redis_url, chat={"by": "user", "requests": "2/hour", "refund": "all"})

    @asked.colour.decorate(rate_limited("chat"))
    def answer(user: str) -> str:
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        asked.all(lambda: answer("a"))
    assert _left(asked) == {"requests 2/hour": 2}


def test_hanging_up_does_not_evade_a_quota(redis_url: str) -> None:
    """A caller that is cancelled amid the call leaves its estimate: the model may have gone on."""
    _configure(redis_url, chat=CHAT)

    async def main() -> int | None:
        began = asyncio.Event()

        @rate_limited("chat", tokens=300)
        async def answer(user: str) -> None:
            began.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(answer("a"))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        told = await RateLimiter().peek("chat", "a")
        await aclose()
        return told.states[1].remaining

    assert asyncio.run(main()) == 700


def test_usage_beyond_the_estimate_is_a_debt(asked: Asked, redis_url: str) -> None:
    """What was used is charged whole, beyond the limit too: later calls wait for it."""
    _configure(redis_url, chat={"by": "user", "tokens": "1000/hour"})

    @asked.colour.decorate(rate_limited("chat", tokens=10))
    def answer(user: str) -> Any:
        return {"usage": {"prompt_tokens": 1500, "completion_tokens": 500}}

    _, denied = asked.all(*[partial(answer, "a")] * 2)
    assert denied.retry_after == pytest.approx(3636, abs=60)


def test_money_is_charged_by_the_price_list(asked: Asked, redis_url: str) -> None:
    """What an answer's tokens cost is charged in millionths, rounded up, and a limit of money denies."""
    prices = {"currency": "USD", "prices": {"small": {"input": 1, "output": 3}}}
    _configure(redis_url, more=prices, chat={"by": "user", "money": "0.01 USD/day"})

    @asked.colour.decorate(rate_limited("chat"))
    def answer(user: str, messages: list[Any], model: str, max_tokens: int) -> Any:
        return {"model": model, "usage": {"prompt_tokens": 1000, "completion_tokens": 2000}}

    outcomes = asked.all(*[partial(answer, "a", [], "small", 2000)] * 2)
    assert denials(outcomes) == [False, True]
    assert _left(asked) == {"money 0.01 USD/day": 3000}


def test_no_subject_is_told_to_anybody(
    asked: Asked, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """O2: no error, log or decision repeats who was counted."""
    _configure(redis_url, chat={"by": "user", "requests": "1/hour"})

    @asked.colour.decorate(rate_limited("chat"))
    def answer(user: str) -> str:
        return "done"

    outcomes = asked.all(*[partial(answer, "canary-user")] * 2)
    told = asked.verb(RateLimiter().check, "chat", "canary-user")
    assert "canary" not in f"{outcomes!r}{vars(outcomes[1])!r}{told!r}{caplog.text}"


def test_a_clock_that_stands_still_refuses_here(asked: Asked) -> None:
    """Who was refused is refused in the process, without asking Redis; a cheaper call is asked about."""
    time = ManualClock()
    configure(limits_policy(rules={"chat": {"by": "user", "requests": "10/hour"}}), clock=time.clock)

    @asked.colour.decorate(rate_limited("chat", cost="count"))
    def answer(user: str, count: int) -> str:
        return "done"

    assert denials(asked.all(lambda: answer("a", 6), lambda: answer("a", 6))) == [False, True]
    breaker = current.current().limits.limiter("ratelimit", "chat", "").site.guard.sole
    before = breaker.calls
    assert denials(asked.all(lambda: answer("a", 6))) == [True]
    assert breaker.calls == before
    assert denials(asked.all(lambda: answer("a", 4))) == [False]


@pytest.mark.parametrize("algorithm", ["gcra", "window", "calendar"])
def test_every_algorithm_lets_the_limit_pass_and_no_more(
    asked: Asked, redis_url: str, algorithm: str
) -> None:
    """However use is counted, so many calls pass at once, and the next is told when to come back."""
    _configure(redis_url, chat={"by": "user", "requests": "5/day", "algorithm": algorithm})

    @asked.colour.decorate(rate_limited("chat"))
    def answer(user: str) -> str:
        return "done"

    outcomes = asked.all(*[partial(answer, "a")] * 7)
    assert denials(outcomes) == [False] * 5 + [True] * 2
    assert 0 < outcomes[-1].retry_after <= 86_400 * 21 / 20  # a window's oldest part counts in full
