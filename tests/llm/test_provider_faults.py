"""A provider that fails: what may pass is answered by what is old, refusals are kept, the rest is raised."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from cachepolicy import ManualClock, Outcome, aclose, cached, configure, llm_cached, observe, policy
from cachepolicy.keys.layout import lease_key
from cachepolicy.llm.retry_after import LONGEST
from cachepolicy.policy.rules import CacheRule
from cachepolicy.telemetry.names import Reason
from tests.support.colour import ASYNC, Colour
from tests.support.origin import in_memory, settled
from tests.support.policies import cache_policy
from tests.support.source import ROOT
from tests.support.vendors import ANTHROPIC, API_KEY, COOKIE, OPENAI, Provider, Vendor
from tests.support.waiting import until

NO_L1 = {"enabled": False}
AS_LLM = llm_cached(namespace="answers")
KEEPS = {"bad_requests": True, "ttl": "30s"}


@pytest.fixture
def time() -> ManualClock:
    """Stand still until told otherwise."""
    return ManualClock()


@pytest.fixture
def provider() -> Iterator[Provider]:
    """Run a provider that answers until it is told to fail."""
    with Provider() as running:
        yield running


@pytest.fixture(params=[OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
def vendor(request: pytest.FixtureRequest) -> Vendor:
    """Run the test with each SDK."""
    param: Vendor = request.param
    return param


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
    colour: Colour, time: ManualClock, provider: Provider, vendor: Vendor, status: int
) -> None:
    """Where the provider is busy or broken an old answer serves, marked, and it is left alone for a while."""
    answer = _past_its_ttl(vendor.asker(colour, provider), colour, time, throttle="1h")
    provider.fail(status)
    with observe() as seen:
        assert [colour.run(lambda: answer("why?")) for _ in range(3)] == ["answer 1"] * 3
    assert {(one.outcome, one.reason, one.error) for one in seen} == {
        (Outcome.STALE, Reason.ORIGIN_ERROR, None)
    }
    assert provider.requests == 2


def test_a_provider_that_is_slow_or_gone_is_answered_for(
    colour: Colour, time: ManualClock, provider: Provider, vendor: Vendor
) -> None:
    """An SDK's timeout, and a connection that is refused, are answered by what is old."""
    answer = _past_its_ttl(vendor.asker(colour, provider, timeout=0.3), colour, time, throttle="1ms")
    provider.gate.clear()
    assert colour.run(lambda: answer("why?")) == "answer 1"
    provider.close()
    until(lambda: not in_memory().exists(lease_key(answer.key("why?"))), "the throttle to end")
    with observe() as seen:
        assert colour.run(lambda: answer("why?")) == "answer 1"
    assert seen[0].reason is Reason.ORIGIN_ERROR
    assert provider.requests == 2


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, None), (402, None), (403, None), (404, "model_not_found"), (429, "insufficient_quota")],
)
def test_what_somebody_has_to_see_is_raised(
    colour: Colour, time: ManualClock, provider: Provider, vendor: Vendor, status: int, code: str | None
) -> None:
    """What is wrong with the key, the account or the model is raised, whatever old answer there is."""
    answer = _past_its_ttl(vendor.asker(colour, provider), colour, time)
    provider.fail(status, code=code)
    for _ in range(2):
        error = _fails(colour, answer)
        assert isinstance(error, vendor.sdk.APIStatusError)
        assert error.status_code == status
    assert provider.requests == 3


def test_the_functions_own_bugs_are_raised(colour: Colour, time: ManualClock, provider: Provider) -> None:
    """A bug is not answered by what is old, not even one of the code that handles a provider's error."""
    broken = False

    @colour.paint
    def ask(question: str) -> str:
        if not broken:
            return "answer 1"
        try:
            return OPENAI.ask(provider.url, question, 20.0)
        except OPENAI.sdk.RateLimitError:
            return {"other": "x"}[question]

    answer = _past_its_ttl(ask, colour, time)
    broken = True
    provider.fail(429)
    assert type(_fails(colour, answer)) is KeyError


def test_a_cause_that_is_named_counts(colour: Colour, time: ManualClock, provider: Provider) -> None:
    """An error of the application that is raised from a provider's is judged by that."""

    class Unanswered(Exception):
        """What the application says instead."""

    ask_openai = OPENAI.asker(colour, provider)

    async def later(question: str) -> str:
        try:
            text: str = await ask_openai(question)
        except OPENAI.sdk.APIError as error:
            raise Unanswered from error
        return text

    def ask(question: str) -> str:
        try:
            text: str = ask_openai(question)
        except OPENAI.sdk.APIError as error:
            raise Unanswered from error
        return text

    answer = _past_its_ttl(later if colour.is_async else ask, colour, time, throttle="1ms")
    provider.fail(503)
    assert colour.run(lambda: answer("why?")) == "answer 1"
    provider.fail(401)
    until(lambda: not in_memory().exists(lease_key(answer.key("why?"))), "the throttle to end")
    assert type(_fails(colour, answer)) is Unanswered


def test_other_functions_keep_their_rule(colour: Colour, time: ManualClock, provider: Provider) -> None:
    """Under ``cached`` any exception is answered by what is old, and no refusal is kept by itself."""
    answer = _past_its_ttl(OPENAI.asker(colour, provider), colour, time, cached("answers"), throttle="1ms")
    provider.fail(401)
    assert colour.run(lambda: answer("why?")) == "answer 1"
    provider.fail(400)
    for _ in range(2):
        assert _fails(colour, answer, "other").status_code == 400
    assert provider.requests == 4


def test_retry_after_is_honoured(
    colour: Colour, time: ManualClock, provider: Provider, vendor: Vendor
) -> None:
    """A provider that wants to be left alone for 7 s is, where an old answer serves; then it is asked."""
    answer = _past_its_ttl(vendor.asker(colour, provider), colour, time, throttle="1ms")
    provider.fail(429, headers={"retry-after": "7"})
    colour.run(lambda: answer("why?"))
    redis, lease = in_memory(), lease_key(answer.key("why?"))
    assert 6000 < redis.pttl(lease) <= 7000
    provider.recover()
    assert [colour.run(lambda: answer("why?")) for _ in range(5)] == ["answer 1"] * 5
    assert provider.requests == 2
    redis.pexpire(lease, 1)  # seven seconds, of Redis' own time
    until(lambda: not redis.exists(lease), "the lease to end")
    assert colour.run(lambda: answer("why?")) == "answer 3"


def test_retry_after_is_bounded(colour: Colour, time: ManualClock, provider: Provider) -> None:
    """A header that asks for a day is not taken at its word."""
    answer = _past_its_ttl(OPENAI.asker(colour, provider), colour, time)
    provider.fail(429, headers={"retry-after": "86400"})
    colour.run(lambda: answer("why?"))
    assert in_memory().pttl(lease_key(answer.key("why?"))) <= LONGEST * 1000


def test_the_longer_of_throttle_and_retry_after_counts(
    colour: Colour, time: ManualClock, provider: Provider
) -> None:
    """A header that asks for less than ``stale.throttle`` does not shorten it."""
    answer = _past_its_ttl(OPENAI.asker(colour, provider), colour, time, throttle="1m")
    provider.fail(503, headers={"retry-after-ms": "10"})
    colour.run(lambda: answer("why?"))
    assert in_memory().pttl(lease_key(answer.key("why?"))) > 50_000


def test_refreshes_in_the_background_honour_retry_after(
    colour: Colour, time: ManualClock, provider: Provider
) -> None:
    """A refresh behind its callers' backs that is told to wait keeps all others from trying as well."""
    answer = _past_its_ttl(
        OPENAI.asker(colour, provider), colour, time, while_revalidate="1h", throttle="1ms"
    )
    provider.fail(429, headers={"retry-after": "7"})
    for _ in range(3):
        assert settled(colour, lambda: answer("why?")) == "answer 1"
    assert provider.requests == 2
    assert 6000 < in_memory().pttl(lease_key(answer.key("why?"))) <= 7000


def test_a_refresh_that_may_not_ask_hides_nothing_afterwards(
    colour: Colour, time: ManualClock, provider: Provider
) -> None:
    """What a refresh was refused for its key is raised as soon as callers wait for the model again."""
    answer = _past_its_ttl(OPENAI.asker(colour, provider), colour, time, while_revalidate="2s", throttle="1h")
    provider.fail(401)
    assert settled(colour, lambda: answer("why?")) == "answer 1"
    assert in_memory().pttl(lease_key(answer.key("why?"))) <= 1000
    time.advance(2)
    until(lambda: not in_memory().exists(lease_key(answer.key("why?"))), "the lease to end")
    assert _fails(colour, answer).status_code == 401


def test_with_nothing_old_each_call_asks(colour: Colour, provider: Provider) -> None:
    """Without an old answer a busy provider's error is raised as it is, and the next call asks again."""
    configure(cache_policy(negative=KEEPS))
    answer = AS_LLM(OPENAI.asker(colour, provider))
    provider.fail(429, headers={"retry-after": "7"})
    for _ in range(2):
        assert _fails(colour, answer).response.headers["retry-after"] == "7"
    assert provider.requests == 2


@pytest.mark.parametrize("local", [NO_L1, {"ttl": "1h"}], ids=["L2", "L1"])
@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_the_provider_refuses_is_kept(
    colour: Colour, time: ManualClock, provider: Provider, vendor: Vendor, local: dict[str, Any], status: int
) -> None:
    """A refused request is made once in ``negative.ttl``, and the error that comes again is equal."""
    configure(cache_policy(negative=KEEPS, local=local), clock=time.clock)
    answer = AS_LLM(vendor.asker(colour, provider))
    provider.fail(status, code="context_length_exceeded")
    first, *others = (_fails(colour, answer) for _ in range(4))
    assert provider.requests == 1
    assert len({id(error) for error in [first, *others]}) == 4
    for error in others:
        _assert_alike(error, first)
    time.advance(31)
    _fails(colour, answer)
    assert provider.requests == 2


def _assert_alike(error: Any, first: Any) -> None:
    """Fail where an error does not say all that another one says."""
    held = {"request", "response"}
    assert type(error) is type(first)
    assert str(error) == str(first)
    assert {name: value for name, value in vars(error).items() if name not in held} == {
        name: value for name, value in vars(first).items() if name not in held
    }
    assert error.body == first.body
    assert error.request_id == first.request_id == "req_1"
    assert error.response.status_code == error.status_code == first.status_code
    assert error.response.json() == first.response.json()
    assert error.response.headers["content-type"] == "application/json"
    assert error.request.url == first.request.url
    assert error.request.method == "POST"


def test_many_callers_get_an_error_each(provider: Provider) -> None:
    """All who wait for a request that is refused are told, by one request and an object for each."""
    configure(cache_policy(negative=KEEPS))
    answer = AS_LLM(OPENAI.asker(ASYNC, provider))
    provider.fail(400)

    async def crowd() -> list[Any]:
        return await asyncio.gather(*[answer("why?") for _ in range(10)], return_exceptions=True)

    errors = ASYNC.run(crowd)
    assert {type(error) for error in errors} == {OPENAI.sdk.BadRequestError}
    assert len({id(error) for error in errors}) == 10
    assert provider.requests == 1


def test_an_edited_request_is_asked(colour: Colour, provider: Provider) -> None:
    """A refusal is one request's: another one has a key of its own."""
    configure(cache_policy(negative=KEEPS))
    answer = AS_LLM(OPENAI.asker(colour, provider))
    provider.fail(400)
    _fails(colour, answer, "a long question")
    provider.recover()
    assert colour.run(lambda: answer("a short one")) == "answer 2"


def test_a_refusal_comes_before_an_old_answer(colour: Colour, time: ManualClock, provider: Provider) -> None:
    """What is refused now is newer than what was answered once."""
    answer = _past_its_ttl(OPENAI.asker(colour, provider), colour, time)
    provider.fail(400)
    for _ in range(2):
        assert _fails(colour, answer).status_code == 400
    assert provider.requests == 2


def test_refusals_are_not_kept_unless_the_policy_says_so(colour: Colour, provider: Provider) -> None:
    """Without ``negative.bad_requests`` a refused request is asked each time; the shipped policy has it."""
    configure(cache_policy())
    answer = AS_LLM(OPENAI.asker(colour, provider))
    provider.fail(400)
    for _ in range(2):
        _fails(colour, answer)
    assert provider.requests == 2
    shipped = policy.namespace(policy.load(policy.shipped(), variables={}).policy, "llm")
    assert isinstance(shipped, CacheRule)
    assert (shipped.negative.bad_requests, shipped.negative.ttl) == (True, 30.0)


def test_listed_classes_of_an_sdk_are_kept_but_never_for_auth(colour: Colour, provider: Provider) -> None:
    """``negative=`` may name an SDK's classes, even their base; what is about the account is not kept."""
    configure(cache_policy())
    kept = {OPENAI.sdk.APIError: "1m"}
    answer = llm_cached(namespace="answers", negative=kept)(OPENAI.asker(colour, provider))
    for status, asked in ((404, 1), (429, 1), (401, 2), (403, 2)):
        before = provider.requests
        provider.fail(status)
        for _ in range(2):
            assert _fails(colour, answer, f"for {status}").status_code == status
        assert provider.requests - before == asked


def test_nothing_of_what_was_sent_is_kept(
    colour: Colour, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither credentials nor cookies nor the prompt are stored with an error, and nothing of it is logged."""
    configure(cache_policy(negative=KEEPS, local=NO_L1, compression={"enabled": False}))
    answer = AS_LLM(OPENAI.asker(colour, provider))
    provider.fail(400)
    with caplog.at_level(logging.DEBUG, "cachepolicy"):
        _fails(colour, answer, "a question of nobody else")
    stored = in_memory().get(answer.key("a question of nobody else"))
    assert isinstance(stored, bytes)
    assert b"told to fail with 400" in stored
    for secret in (API_KEY, COOKIE, "a question of nobody else"):
        assert secret.encode() not in stored
    assert not [record for record in caplog.records if record.name == "cachepolicy"]


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


PROCESS = """
import json, sys
from cachepolicy import close, configure, llm_cached, observe

rule, url, load = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3] == "loaded"
configure(rule)
if load:
    import openai

@llm_cached(namespace="answers", key="q:{question}")
def answer(question: str) -> str:
    import openai
    with openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
        messages = [{"role": "user", "content": question}]
        answer = client.chat.completions.create(model="gpt-4.1-mini", messages=messages)
    return answer.choices[0].message.content

for line in sys.stdin:
    with observe() as seen:
        try:
            said = answer(line.strip())
        except Exception as error:
            said = [type(error).__name__, str(error), error.body, error.request_id, error.response.json()]
    print(json.dumps([said, seen[0].outcome, seen[0].reason]), flush=True)
close()
"""


class Process:
    """Another process with the same function, which asks what it is told to."""

    def __init__(self, rule: dict[str, Any], provider: Provider, load: str) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-c", PROCESS, json.dumps(rule), provider.url, load],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, question: str = "why?") -> Any:
        """Have it call the function; return what came, the outcome and its reason."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write(question + "\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())


@contextmanager
def _process(rule: dict[str, Any], provider: Provider, load: str = "loaded") -> Iterator[Process]:
    process = Process(rule, provider, load)
    with process.child as child:
        yield process
        assert child.stdin is not None
        child.stdin.close()
    assert process.child.returncode == 0


def _closed(colour: Colour, answer: Callable[[str], Any], question: str) -> Any:
    """Call, and close the loop's connections behind it."""
    if not colour.is_async:
        return answer(question)

    async def ask() -> Any:
        try:
            return await answer(question)
        finally:
            await aclose()

    return ask()


def test_another_process_raises_the_same(redis_url: str, colour: Colour, provider: Provider) -> None:
    """What one process was refused another one raises, without a request of its own."""
    rule = cache_policy(redis_url, negative=KEEPS, redis={"deadline": "2s"})
    configure(rule)
    answer = llm_cached(namespace="answers", key="q:{question}")(OPENAI.asker(colour, provider))
    provider.fail(400, code="context_length_exceeded")
    first = _fails(colour, lambda question: _closed(colour, answer, question))
    with _process(rule, provider) as other:
        said, outcome, _ = other.ask()
    assert said == [
        "BadRequestError",
        str(first),
        first.body,
        first.request_id,
        first.response.json(),
    ]
    assert outcome == "hit"
    assert provider.requests == 1


def test_a_process_without_the_sdk_asks_for_itself(redis_url: str, provider: Provider) -> None:
    """Nothing is imported to make an error: where its SDK is not loaded yet, the function is asked."""
    rule = cache_policy(redis_url, negative=KEEPS, redis={"deadline": "2s"})
    provider.fail(400)
    with _process(rule, provider) as first, _process(rule, provider, "later") as second:
        first.ask()
        assert [second.ask()[1] for _ in range(2)] == ["miss", "hit"]
    assert provider.requests == 2


def test_processes_leave_a_provider_alone_together(redis_url: str, provider: Provider) -> None:
    """A provider that told one process to wait is asked by no other, and by one when the time is over."""
    stale = {"if_error": "1h", "throttle": "1ms"}
    rule = cache_policy(redis_url, ttl="200ms", stale=stale, local=NO_L1, redis={"deadline": "2s"})
    with _process(rule, provider) as first, _process(rule, provider) as second:
        assert first.ask() == ["answer 1", "miss", None]
        provider.fail(429, headers={"retry-after": "1.5"})
        until(lambda: first.ask()[1] == "stale", "the answer to end")
        asked = provider.requests
        began = threading.Event()
        for _ in range(10):
            assert second.ask() == ["answer 1", "stale", "origin_error"]
            assert first.ask() == ["answer 1", "stale", "origin_error"]
            began.wait(0.05)
        assert provider.requests == asked == 2
        provider.recover()
        until(lambda: second.ask()[1] == "miss", "the provider to be asked again")
        assert first.ask() == ["answer 3", "hit", None]
    assert provider.requests == 3
