"""``LLMCacheManager``: the verbs of the seed, over the same parts as ``@llm_cached``."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from anthropic.types import Message
from openai.types.chat import ChatCompletion
from opentelemetry.trace import StatusCode

from cachepolicy import (
    CallDenied,
    LLMCacheManager,
    ManualClock,
    PolicyError,
    StoreError,
    UnkeyableArgument,
    aclose,
    configure,
    control,
    namespace,
    observe,
    scope,
)
from tests.support.colour import Colour
from tests.support.exported import exported_spans
from tests.support.policies import cache_policy
from tests.support.sdk_answers import chat

MESSAGES = [{"role": "user", "content": "why?"}]


def _policy(url: str = "memory://", **rule: Any) -> dict[str, Any]:
    """Return a policy with patience for a busy machine: a fault of Redis would look like a miss."""
    return cache_policy(url, **rule)


class Asked:
    """A manager's verbs in a colour, all in one context, as one request handler has it."""

    def __init__(self, colour: Colour, manager: LLMCacheManager | None = None) -> None:
        self.colour, self.manager = colour, manager or LLMCacheManager("answers")

    def __call__(self, *steps: Any) -> list[Any]:
        """Do steps, each a function that takes this and returns a call of a verb."""
        if not self.colour.is_async:
            return [step(self) for step in steps]

        async def main() -> list[Any]:
            try:
                done = []
                for step in steps:
                    outcome = step(self)
                    done.append(await outcome if asyncio.iscoroutine(outcome) else outcome)
                return done
            finally:
                await aclose()

        return asyncio.run(main())

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """Look."""
        verb = self.manager.get_cached_response
        return verb(*args, **kwargs) if self.colour.is_async else verb.sync(*args, **kwargs)

    def keep(self, *args: Any, **kwargs: Any) -> Any:
        """Keep."""
        verb = self.manager.cache_response
        return verb(*args, **kwargs) if self.colour.is_async else verb.sync(*args, **kwargs)

    def purge(self, tag: str, value: object) -> Any:
        """Put an end to what carries a tag."""
        verb = namespace("answers").purge_tag
        return verb(tag, value) if self.colour.is_async else verb.sync(tag, value)


@pytest.mark.parametrize("response", ["yes", {"text": "yes", "n": [1, None]}, ["a"], "", 0, {}])
def test_what_is_kept_is_found(colour: Colour, redis_url: str, response: Any) -> None:
    """Text and JSON's types come back as they were, from L1 and from Redis; before, there is None."""
    policy = _policy(redis_url, admit={"empty": True}, local={"blind_ttl": "1m"})
    configure(policy)
    asked = Asked(colour)
    steps = [
        lambda it: it.get(MESSAGES, "gpt-4o", temperature=0),
        lambda it: it.keep(MESSAGES, "gpt-4o", response, temperature=0),
        lambda it: it.get(MESSAGES, "gpt-4o", temperature=0),
    ]
    assert asked(*steps) == [None, True, response]
    assert asked.manager.stats().l1_hits == 1
    configure(policy)
    assert asked(steps[0]) == [response]
    assert asked.manager.stats().l2_hits == 1


def test_m1_all_that_is_said_is_in_the_key() -> None:
    """M1: prompt or messages, model and each parameter make the key; their order does not."""
    configure(_policy())
    key = LLMCacheManager("answers").get_cache_key
    keys = {
        key("why?", "gpt-4o"),
        key(MESSAGES, "gpt-4o"),
        key("why?", "gpt-4o-mini"),
        key("why?", "gpt-4o", temperature=0),
        key("why?", "gpt-4o", temperature=0.0),
        key("why?", "gpt-4o", temperature=None),
        key("why?", "gpt-4o", seed=0),
    }
    assert len(keys) == 7
    assert key("why?", "gpt-4o", a=1, b=2) == key("why?", "gpt-4o", b=2, a=1)
    assert all(each.startswith("test:answers:llm_cache:") for each in keys)


def test_what_cannot_be_keyed_is_told() -> None:
    """A parameter that has no exact form raises, and is never left out."""
    configure(_policy())
    with pytest.raises(UnkeyableArgument):
        LLMCacheManager("answers").get_cache_key("why?", "gpt-4o", client=object())


def test_m7_without_a_tenant_there_is_no_key(colour: Colour) -> None:
    """M7: where answers belong to a tenant, nothing is found or kept for nobody, nor for another."""
    configure(_policy(scope="tenant"))
    asked = Asked(colour)
    with pytest.raises(UnkeyableArgument, match="tenant"):
        asked(lambda it: it.get("why?", "gpt-4o"))
    with scope(tenant="acme"):
        assert asked(lambda it: it.keep("why?", "gpt-4o", "yes")) == [True]
        assert asked(lambda it: it.get("why?", "gpt-4o")) == ["yes"]
    with scope(tenant="umbrella"):
        assert asked(lambda it: it.get("why?", "gpt-4o")) == [None]


def _completion() -> ChatCompletion:
    return ChatCompletion.construct(
        id="c",
        model="gpt-4o",
        created=1,
        object="chat.completion",
        choices=[
            {
                "index": 0,
                "finish_reason": "eos_token",
                "message": {"role": "assistant", "content": "yes", "reasoning_content": "hm"},
            }
        ],
        usage={"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
    )


def test_m5_an_sdk_object_is_kept_as_data_and_rebuilt(colour: Colour) -> None:
    """M5: an answer of an SDK comes back as plain data, or equal to itself where its class is named."""
    configure(_policy(local={"enabled": False}))
    whole = _completion()
    asked = Asked(colour)
    plain, again = asked(
        lambda it: it.keep("why?", "gpt-4o", whole),
        lambda it: it.get("why?", "gpt-4o"),
        lambda it: it.get("why?", "gpt-4o", as_=ChatCompletion),
    )[1:]
    assert plain["choices"][0]["message"]["content"] == "yes"
    assert again == whole
    assert again.choices[0].message.reasoning_content == "hm"
    message = Message.construct(id="m", model="claude", content=[{"type": "text", "text": "yes"}])
    kept = asked(
        lambda it: it.keep("why?", "claude", message),
        lambda it: it.get("why?", "claude", as_=Message),
    )
    assert kept == [True, message]
    with pytest.raises(TypeError, match="expected a class of an SDK"):
        asked(lambda it: it.get("why?", "claude", as_=dict))


def test_m6_its_hits_are_accounted(colour: Colour) -> None:
    """M6: each hit spares what a kept answer took, and the seconds from the miss to the keeping."""
    time = ManualClock()
    configure(_policy(), clock=time.clock)
    asked = Asked(colour)
    asked(
        lambda it: it.get("why?", "gpt-4o"),
        lambda _: time.advance(3),
        lambda it: it.keep("why?", "gpt-4o", _completion()),
        lambda it: it.get("why?", "gpt-4o"),
        lambda it: it.get("why?", "gpt-4o"),
    )
    stats = asked.manager.stats()
    assert (stats.misses, stats.l1_hits) == (1, 2)
    assert (stats.saved.input_tokens, stats.saved.output_tokens, stats.saved.seconds) == (20, 4, 6.0)
    assert namespace("answers").savings() == asked.manager.savings()


def test_c5_an_invalidation_in_between_wins(colour: Colour, redis_url: str) -> None:
    """C5: an answer that was begun before its tag was purged is not kept after it; a later one is."""
    configure(_policy(redis_url, tags=["model"]))
    asked = Asked(colour)
    kept = asked(
        lambda it: it.get("why?", "gpt-4o"),
        lambda it: it.purge("model", "gpt-4o"),
        lambda it: it.keep("why?", "gpt-4o", "old"),
        lambda it: it.get("why?", "gpt-4o"),
        lambda it: it.keep("why?", "gpt-4o", "new"),
        lambda it: it.get("why?", "gpt-4o"),
    )
    assert kept[3:] == [None, True, "new"]


def test_c5_a_purged_key_wins(colour: Colour, redis_url: str) -> None:
    """C5: the same where the key was purged: the answer is refused, and its caller told."""
    configure(_policy(redis_url))
    asked = Asked(colour)
    key = asked.manager.get_cache_key("why?", "gpt-4o")
    purge = namespace("answers").purge_key
    kept = asked(
        lambda it: it.get("why?", "gpt-4o"),
        lambda it: purge(key) if it.colour.is_async else purge.sync(key),
        lambda it: it.keep("why?", "gpt-4o", "old"),
        lambda it: it.get("why?", "gpt-4o"),
    )
    assert kept[2:] == [False, None]


def test_what_is_not_admitted_is_not_kept(colour: Colour) -> None:
    """None, what is too large, and what would come back different are not kept; nor against a wish."""
    configure(_policy(admit={"max_value": "1KiB"}))
    asked = Asked(colour)
    for refused in (None, "x" * 2000, object(), {1, 2}, (1, 2)):
        assert asked(lambda it: it.keep("why?", "gpt-4o", refused)) == [False]  # noqa: B023 - called at once
    with control(no_store=True):
        assert asked(lambda it: it.keep("why?", "gpt-4o", "yes")) == [False]
    assert asked(lambda it: it.get("why?", "gpt-4o")) == [None]


@pytest.mark.parametrize("response", ["", chat("Fo", "length"), chat(None, refusal="I cannot.")])
def test_m2_an_answer_that_is_no_good_is_not_kept(colour: Colour, response: Any) -> None:
    """M2: who does not decorate is told that a cut off, refused or empty answer was not kept."""
    configure(_policy())
    steps = [lambda it: it.keep(MESSAGES, "gpt-4o", response), lambda it: it.get(MESSAGES, "gpt-4o")]
    assert Asked(colour)(*steps) == [False, None]


def test_a_ttl_is_kept_within_the_policys_range(colour: Colour) -> None:
    """``ttl=`` says how long an answer is fresh; outside the range of the namespace the nearest is used."""
    time = ManualClock()
    configure(_policy(ttl={"default": "1h", "min": "1m", "max": "2h"}), clock=time.clock)
    asked = Asked(colour)
    asked(
        lambda it: it.keep("a", "m", "yes", ttl="10m"),
        lambda it: it.keep("b", "m", "yes", ttl=timedelta(days=9)),
    )
    time.advance(601)
    assert asked(lambda it: it.get("a", "m"), lambda it: it.get("b", "m")) == [None, "yes"]
    time.advance(7_000)
    assert asked(lambda it: it.get("b", "m")) == [None]
    with pytest.raises(PolicyError, match="duration"):
        asked(lambda it: it.keep("a", "m", "yes", ttl="soon"))


def test_redis_out_is_a_miss_unless_the_policy_says_otherwise(colour: Colour) -> None:
    """C1: with ``on_fault: bypass`` nothing is found and nothing raised; ``raise`` and ``deny`` tell."""
    configure(_policy("redis://127.0.0.1:1"))
    asked = Asked(colour)
    assert asked(lambda it: it.get("why?", "m"), lambda it: it.keep("why?", "m", "yes"))[0] is None
    for word, error in (("raise", StoreError), ("deny", CallDenied)):
        configure(_policy("redis://127.0.0.1:1", on_fault=word))
        with pytest.raises(error):
            asked(lambda it: it.get("why?", "m"))


def test_a_miss_is_seen_and_is_no_error(colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each verb of looking makes a span and an observation as a call does; a miss has no error status."""
    with exported_spans(monkeypatch) as exporter:
        configure(_policy())
        asked = Asked(colour)
        with observe() as seen:
            asked(
                lambda it: it.get("why?", "m"),
                lambda it: it.keep("why?", "m", "yes"),
                lambda it: it.get("why?", "m"),
            )
        assert [(each.outcome, each.tier) for each in seen] == [("miss", "l2"), ("hit", "l1")]
        (span,) = exporter.get_finished_spans()
        assert span.status.status_code is StatusCode.UNSET
        assert dict(span.attributes or {})["cache.hit"] is False


def test_the_key_is_free_of_redis() -> None:
    """``get_cache_key`` asks nobody: it works where Redis is out."""
    configure(_policy("redis://127.0.0.1:1"))
    assert LLMCacheManager("answers").get_cache_key("why?", "m")


def test_what_was_missed_under_another_policy_is_forgotten(colour: Colour) -> None:
    """A miss of before ``configure()`` does not keep an answer from being kept under the new policy."""
    configure(_policy(local={"enabled": False}))
    asked = Asked(colour)

    def configured_anew(_: object) -> None:
        configure(_policy(local={"enabled": False}))

    assert asked(
        lambda it: it.get("why?", "m"),
        configured_anew,
        lambda it: it.keep("why?", "m", "yes"),
        lambda it: it.get("why?", "m"),
    ) == [None, None, True, "yes"]
