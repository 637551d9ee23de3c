"""M1 with the real SDKs: what is not asked of a provider twice, and what is."""

from __future__ import annotations

import asyncio
from typing import Any

from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

from cachepolicy import configure, llm_cached, observe
from cachepolicy.telemetry.names import Outcome, Reason
from cachepolicy.testing.anthropic_server import AnthropicServer
from cachepolicy.testing.openai_server import OpenAIServer
from tests.support.policies import cache_policy

QUESTION = [{"role": "user", "content": "ping"}]
VOLATILE: list[dict[str, Any]] = [{}, {"metadata": {"trace": "1"}}, {"timeout": 5.0}]


def complete(client: OpenAI, messages: Any, **options: Any) -> str | None:
    """Ask OpenAI."""
    answer = client.chat.completions.create(model="gpt-4.1-mini", messages=messages, **options)
    return str(answer.choices[0].message.content)


def message(client: Anthropic, messages: Any, **options: Any) -> str:
    """Ask Anthropic."""
    answer = client.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=messages, **options)
    return str(answer.content[0].text)


async def complete_later(client: AsyncOpenAI, messages: Any, **options: Any) -> str | None:
    """Ask OpenAI without blocking."""
    answer = await client.chat.completions.create(model="gpt-4.1-mini", messages=messages, **options)
    return str(answer.choices[0].message.content)


async def message_later(client: AsyncAnthropic, messages: Any, **options: Any) -> str:
    """Ask Anthropic without blocking."""
    answer = await client.messages.create(
        model="claude-haiku-4-5", max_tokens=9, messages=messages, **options
    )
    return str(answer.content[0].text)


def test_m1_one_request_to_one_endpoint_is_made_once() -> None:
    """Whoever asks, with whatever label: the provider is asked once at each endpoint."""
    configure(cache_policy())
    decorated: tuple[Any, ...] = tuple(llm_cached(namespace="answers")(one) for one in (complete, message))
    with (
        OpenAIServer(answers={"ping": "here"}, think=0) as here,
        OpenAIServer(answers={"ping": "there"}, think=0) as there,
        AnthropicServer(answers={"ping": "else"}, think=0) as other,
    ):
        for server, kind, ask, said in (
            (here, OpenAI, decorated[0], "here"),
            (there, OpenAI, decorated[0], "there"),
            (other, Anthropic, decorated[1], "else"),
        ):
            for number, extra in enumerate(VOLATILE):
                with kind(base_url=server.base_url, api_key=f"key {number}") as client:
                    assert ask(client, QUESTION, **extra) == said
            assert server.requests == 1


def test_m1_one_request_of_coroutines_is_made_once() -> None:
    """The same of ``async def`` and the SDKs' async clients."""
    configure(cache_policy())
    asking: Any = llm_cached(namespace="answers")(complete_later)
    other: Any = llm_cached(namespace="answers")(message_later)

    async def main() -> None:
        with (
            OpenAIServer(answers={"ping": "here"}, think=0) as one,
            AnthropicServer(answers={"ping": "else"}, think=0) as two,
        ):
            for server, kind, ask, said in (
                (one, AsyncOpenAI, asking, "here"),
                (two, AsyncAnthropic, other, "else"),
            ):
                for number, extra in enumerate(VOLATILE):
                    async with kind(base_url=server.base_url, api_key=f"key {number}") as client:
                        assert await ask(client, QUESTION, **extra) == said
                assert server.requests == 1

    asyncio.run(main())


def test_m1_a_state_of_the_provider_is_asked_of_it_each_time() -> None:
    """What continues an earlier response goes past the cache."""
    configure(cache_policy())

    @llm_cached(namespace="answers")
    def respond(client: OpenAI, question: str, **options: Any) -> str:
        return str(client.responses.create(model="gpt-4.1-mini", input=question, **options).output_text)

    with (
        OpenAIServer(answers={"ping": "pong"}, think=0) as server,
        OpenAI(base_url=server.base_url, api_key="any") as client,
        observe() as seen,
    ):
        for options in ({}, {}, {"previous_response_id": "resp_1"}, {"previous_response_id": "resp_1"}):
            assert respond(client, "ping", **options) == "pong"
    assert server.requests == 3
    assert [one.outcome for one in seen] == [Outcome.MISS, Outcome.HIT, Outcome.BYPASS, Outcome.BYPASS]
    assert seen[-1].reason is Reason.SERVER_STATE
