"""A provider that fails: what may pass is answered by what is old, refusals are kept, the rest is raised."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from cachepolicy import ManualClock, Outcome, cached, configure, llm_cached, observe, policy
from cachepolicy.keys.layout import lease_key
from cachepolicy.llm.retry_after import LONGEST
from cachepolicy.policy.rules import CacheRule
from cachepolicy.telemetry.names import Reason
from tests.support.colour import ASYNC, Colour
from tests.support.origin import in_memory, settled
from tests.support.policies import cache_policy
from tests.support.vendors import ANTHROPIC, API_KEY, OPENAI, Provider, Vendor
from tests.support.waiting import until

NO_L1 = {"enabled": False}
AS_LLM = llm_cached(namespace="answers")
KEEPS = {"bad_requests": True, "ttl": "30s"}


@pytest.fixture
def time() -> ManualClock:
    """Stand still until told otherwise."""
    return ManualClock()


@pytest.fixture(params=[OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
def provider(request: pytest.FixtureRequest) -> Iterator[Provider]:
    """Run a provider of each SDK's that answers until it is told to fail."""
    vendor: Vendor = request.param
    with vendor.server(answers={"why?": ["answer 1", "answer 2", "answer 3"]}, think=0) as server:
        yield Provider(vendor, server)


def _past_its_ttl(
    function: Callable[[str], Any], colour: Colour, time: ManualClock, decorator: Any = AS_LLM, **stale: str
) -> Any:
    """Return a function whose one answer was made 61 seconds ago, under a TTL of a minute."""
    stale = {"if_error": "1h", **stale}
    configure(cache_policy(ttl="1m", stale=stale, local=NO_L1, negative=KEEPS), clock=time.clock)
    answer = decorator(function)
    assert colour.run(lambda: answer("why?")) == "answer 1"
    time.advance(61)
    return answer


def _fails(colour: Colour, answer: Callable[[str], Any], question: str = "why?") -> Any:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - the caller looks at it
        colour.run(lambda: answer(question))
    return raised.value


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_what_may_pass_is_answered_by_what_is_old(
    colour: Colour, time: ManualClock, provider: Provider, status: int
) -> None:
    """Where the provider is busy or broken an old answer serves, marked, and it is left alone for a while."""
    answer = _past_its_ttl(provider.asker(colour), colour, time, throttle="1h")
    provider.fail(status)
    with observe() as seen:
        assert [colour.run(lambda: answer("why?")) for _ in range(3)] == ["answer 1"] * 3
    assert {(one.outcome, one.reason, one.error) for one in seen} == {
        (Outcome.STALE, Reason.ORIGIN_ERROR, None)
    }
    assert provider.server.requests == 2


def test_a_provider_that_is_slow_or_gone_is_answered_for(
    colour: Colour, time: ManualClock, provider: Provider
) -> None:
    """An SDK's timeout, and a connection that is refused, are answered by what is old."""
    answer = _past_its_ttl(provider.asker(colour), colour, time, throttle="1ms")
    with type(provider.server)(think=60) as slow:
        provider.server, provider.timeout = slow, provider.vendor.sdk.Timeout(provider.timeout, read=0.3)
        assert colour.run(lambda: answer("why?")) == "answer 1"
        until(lambda: slow.requests, "the request to be read")
        assert slow.requests == 1
    until(lambda: not in_memory().exists(lease_key(answer.key("why?"))), "the throttle to end")
    provider.gone = True
    with observe() as seen:
        assert colour.run(lambda: answer("why?")) == "answer 1"
    assert (seen[0].outcome, seen[0].reason) == (Outcome.STALE, Reason.ORIGIN_ERROR)


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, None), (402, None), (403, None), (404, "model_not_found"), (429, "insufficient_quota")],
)
def test_what_somebody_has_to_see_is_raised(
    colour: Colour, time: ManualClock, provider: Provider, status: int, code: str | None
) -> None:
    """What is wrong with the key, the account or the model is raised, whatever old answer there is."""
    answer = _past_its_ttl(provider.asker(colour), colour, time)
    provider.fail(status, code)
    for _ in range(2):
        error = _fails(colour, answer)
        assert isinstance(error, provider.vendor.sdk.APIStatusError)
        assert error.status_code == status
    assert provider.server.requests == 3


def test_the_functions_own_bugs_are_raised(colour: Colour, time: ManualClock, provider: Provider) -> None:
    """A bug is not answered by what is old, not even one of the code that handles a provider's error."""
    broken = False

    @colour.paint
    def ask(question: str) -> str:
        if not broken:
            return "answer 1"
        try:
            return provider.vendor.ask(provider, question)
        except provider.vendor.sdk.RateLimitError:
            return {"other": "x"}[question]

    answer = _past_its_ttl(ask, colour, time)
    broken = True
    provider.fail(429)
    assert type(_fails(colour, answer)) is KeyError


def test_a_cause_that_is_named_counts(colour: Colour, time: ManualClock, provider: Provider) -> None:
    """An error of the application that is raised from a provider's is judged by that."""

    class Unanswered(Exception):
        """What the application says instead."""

    ask_model = provider.asker(colour)

    async def later(question: str) -> str:
        try:
            text: str = await ask_model(question)
        except provider.vendor.sdk.APIError as error:
            raise Unanswered from error
        return text

    def ask(question: str) -> str:
        try:
            text: str = ask_model(question)
        except provider.vendor.sdk.APIError as error:
            raise Unanswered from error
        return text

    answer = _past_its_ttl(later if colour.is_async else ask, colour, time, throttle="1ms")
    provider.server.fail_with(503)
    assert colour.run(lambda: answer("why?")) == "answer 1"
    provider.fail(401)
    until(lambda: not in_memory().exists(lease_key(answer.key("why?"))), "the throttle to end")
    assert type(_fails(colour, answer)) is Unanswered


def test_other_functions_keep_their_rule(colour: Colour, time: ManualClock, provider: Provider) -> None:
    """Under ``cached`` any exception is answered by what is old, and no refusal is kept by itself."""
    answer = _past_its_ttl(provider.asker(colour), colour, time, cached("answers"), throttle="1ms")
    provider.server.fail_with(401)
    assert colour.run(lambda: answer("why?")) == "answer 1"
    provider.fail(400)
    for _ in range(2):
        assert _fails(colour, answer, "other").status_code == 400
    assert provider.server.requests == 4


def test_retry_after_is_honoured(colour: Colour, time: ManualClock, provider: Provider) -> None:
    """A provider that wants to be left alone for 50 s is, where an old answer serves; then it is asked."""
    answer = _past_its_ttl(provider.asker(colour), colour, time, throttle="1ms")
    provider.server.fail_with(429, retry_after=50)
    colour.run(lambda: answer("why?"))
    redis, lease = in_memory(), lease_key(answer.key("why?"))
    assert 30_000 < redis.pttl(lease) <= 50_000
    assert [colour.run(lambda: answer("why?")) for _ in range(5)] == ["answer 1"] * 5
    assert provider.server.requests == 2
    redis.pexpire(lease, 1)  # fifty seconds, of Redis' own time
    until(lambda: not redis.exists(lease), "the lease to end")
    assert colour.run(lambda: answer("why?")) == "answer 2"


def test_retry_after_is_bounded(colour: Colour, time: ManualClock, provider: Provider) -> None:
    """A header that asks for a day is not taken at its word."""
    answer = _past_its_ttl(provider.asker(colour), colour, time)
    provider.server.fail_with(429, retry_after=86400)
    colour.run(lambda: answer("why?"))
    assert in_memory().pttl(lease_key(answer.key("why?"))) <= LONGEST * 1000


def test_the_longer_of_throttle_and_retry_after_counts(
    colour: Colour, time: ManualClock, provider: Provider
) -> None:
    """A header that asks for less than ``stale.throttle`` does not shorten it."""
    answer = _past_its_ttl(provider.asker(colour), colour, time, throttle="1m")
    provider.server.fail_with(503, retry_after=0.01)
    colour.run(lambda: answer("why?"))
    assert in_memory().pttl(lease_key(answer.key("why?"))) > 50_000


def test_refreshes_in_the_background_honour_retry_after(
    colour: Colour, time: ManualClock, provider: Provider
) -> None:
    """A refresh behind its callers' backs that is told to wait keeps all others from trying as well."""
    answer = _past_its_ttl(provider.asker(colour), colour, time, while_revalidate="1h", throttle="1ms")
    provider.server.fail_with(429, 3, retry_after=50)
    for _ in range(3):
        assert settled(colour, lambda: answer("why?")) == "answer 1"
    assert provider.server.requests == 2
    assert 30_000 < in_memory().pttl(lease_key(answer.key("why?"))) <= 50_000


def test_a_refresh_that_may_not_ask_hides_nothing_afterwards(
    colour: Colour, time: ManualClock, provider: Provider
) -> None:
    """What a refresh was refused for its key is raised as soon as callers wait for the model again."""
    answer = _past_its_ttl(provider.asker(colour), colour, time, while_revalidate="2s", throttle="1h")
    provider.fail(401)
    assert settled(colour, lambda: answer("why?")) == "answer 1"
    assert in_memory().pttl(lease_key(answer.key("why?"))) <= 1000
    time.advance(2)
    until(lambda: not in_memory().exists(lease_key(answer.key("why?"))), "the lease to end")
    assert _fails(colour, answer).status_code == 401


def test_with_nothing_old_each_call_asks(colour: Colour, provider: Provider) -> None:
    """Without an old answer a busy provider's error is raised as it is, and the next call asks again."""
    configure(cache_policy(negative=KEEPS))
    answer = AS_LLM(provider.asker(colour))
    provider.server.fail_with(429, 3, retry_after=7)
    for _ in range(2):
        assert _fails(colour, answer).response.headers["retry-after"] == "7"
    assert provider.server.requests == 2


@pytest.mark.parametrize("local", [NO_L1, {"ttl": "1h"}], ids=["L2", "L1"])
@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_the_provider_refuses_is_kept(
    colour: Colour, time: ManualClock, provider: Provider, local: dict[str, Any], status: int
) -> None:
    """A refused request is made once in ``negative.ttl``, and the error that comes again is equal."""
    configure(cache_policy(negative=KEEPS, local=local), clock=time.clock)
    answer = AS_LLM(provider.asker(colour))
    provider.fail(status, "context_length_exceeded")
    first, *others = (_fails(colour, answer) for _ in range(4))
    assert provider.server.requests == 1
    assert len({id(error) for error in [first, *others]}) == 4
    for error in others:
        _assert_alike(error, first)
    time.advance(31)
    _fails(colour, answer)
    assert provider.server.requests == 2


def _assert_alike(error: Any, first: Any) -> None:
    """Fail where an error does not say all that another one says."""
    held = {"request", "response"}
    assert type(error) is type(first)
    assert str(error) == str(first)
    assert {name: value for name, value in vars(error).items() if name not in held} == {
        name: value for name, value in vars(first).items() if name not in held
    }
    assert error.body == first.body
    assert error.request_id == first.request_id
    assert str(error.request_id).startswith("req_")
    assert error.response.status_code == error.status_code == first.status_code
    assert error.response.json() == first.response.json()
    assert error.response.headers["content-type"] == "application/json"
    assert error.request.url == first.request.url
    assert error.request.method == "POST"


def test_many_callers_get_an_error_each(provider: Provider) -> None:
    """All who wait for a request that is refused are told, by one request and an object for each."""
    configure(cache_policy(negative=KEEPS))
    answer = AS_LLM(provider.asker(ASYNC))
    provider.fail(400)

    async def crowd() -> list[Any]:
        return await asyncio.gather(*[answer("why?") for _ in range(10)], return_exceptions=True)

    errors = ASYNC.run(crowd)
    assert {type(error) for error in errors} == {provider.vendor.sdk.BadRequestError}
    assert len({id(error) for error in errors}) == 10
    assert provider.server.requests == 1


def test_an_edited_request_is_asked(colour: Colour, provider: Provider) -> None:
    """A refusal is one request's: another one has a key of its own."""
    configure(cache_policy(negative=KEEPS))
    answer = AS_LLM(provider.asker(colour))
    provider.server.fail_with(400)
    _fails(colour, answer, "a long why?")
    assert colour.run(lambda: answer("why?")) == "answer 1"


def test_a_refusal_comes_before_an_old_answer(colour: Colour, time: ManualClock, provider: Provider) -> None:
    """What is refused now is newer than what was answered once."""
    answer = _past_its_ttl(provider.asker(colour), colour, time)
    provider.fail(400)
    for _ in range(2):
        assert _fails(colour, answer).status_code == 400
    assert provider.server.requests == 2


def test_refusals_are_not_kept_unless_the_policy_says_so(colour: Colour, provider: Provider) -> None:
    """Without ``negative.bad_requests`` a refused request is asked each time; the shipped policy has it."""
    configure(cache_policy())
    answer = AS_LLM(provider.asker(colour))
    provider.fail(400)
    for _ in range(2):
        _fails(colour, answer)
    assert provider.server.requests == 2
    shipped = policy.namespace(policy.load(policy.shipped(), variables={}).policy, "llm")
    assert isinstance(shipped, CacheRule)
    assert (shipped.negative.bad_requests, shipped.negative.ttl) == (True, 30.0)


def test_listed_classes_of_an_sdk_are_kept_but_never_for_auth(colour: Colour, provider: Provider) -> None:
    """``negative=`` may name an SDK's classes, even their base; what is about the account is not kept."""
    configure(cache_policy())
    kept = {provider.vendor.sdk.APIError: "1m"}
    answer = llm_cached(namespace="answers", negative=kept)(provider.asker(colour))
    for status, asked in ((404, 1), (429, 1), (401, 2), (403, 2)):
        before = provider.server.requests
        provider.server.fail_with(status, asked)
        for _ in range(2):
            assert _fails(colour, answer, f"for {status}").status_code == status
        assert provider.server.requests - before == asked


def test_nothing_of_what_was_sent_is_kept(
    colour: Colour, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither credentials nor the prompt are stored with an error, and nothing of it is logged."""
    configure(cache_policy(negative=KEEPS, local=NO_L1, compression={"enabled": False}))
    answer = AS_LLM(provider.asker(colour))
    provider.fail(400)
    with caplog.at_level(logging.DEBUG, "cachepolicy"):
        _fails(colour, answer, "a question of nobody else")
    stored = in_memory().get(answer.key("a question of nobody else"))
    assert isinstance(stored, bytes)
    assert b"told to fail with 400" in stored
    logged = repr([vars(record) for record in caplog.records])
    for secret in (API_KEY, "a question of nobody else"):
        assert secret.encode() not in stored
        assert secret not in logged


def test_an_error_that_cannot_be_described_is_raised(colour: Colour) -> None:
    """A refusal whose response was never read is raised as it is, and not kept."""
    configure(cache_policy(negative=KEEPS))
    calls = []

    @colour.decorate(AS_LLM)
    def answer(question: str) -> str:
        calls.append(question)
        request = httpx2.Request("POST", "http://localhost")
        unread = httpx2.Response(400, stream=httpx2.SyncByteStream(), request=request)
        raise OPENAI.sdk.BadRequestError("refused", response=unread, body=None)

    with observe() as seen:
        for _ in range(2):
            assert type(_fails(colour, answer)) is OPENAI.sdk.BadRequestError
    assert len(calls) == 2
    assert {one.reason for one in seen} == {Reason.UNSERIALIZABLE}
