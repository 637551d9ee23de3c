"""Functions that ask a model through another library are called once; the cache answers from then on."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI
from pydantic import SecretStr
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from cachepolicy import Outcome, configure, llm_cached, observe
from cachepolicy.testing.openai_server import OpenAIServer
from tests.support.colour import Colour
from tests.support.policies import cache_policy
from tests.support.source import ROOT

PING = "ping"
NO_L1 = {"enabled": False}

# In a process of its own: what litellm starts and opens while it is imported and used, it leaves.
LITELLM = """
import asyncio, json, sys
import litellm
litellm.suppress_debug_info = True
from cachepolicy import configure, llm_cached, observe

configure(json.loads(sys.argv[1]))
asked = {"model": "openai/gpt-4.1-mini", "api_base": sys.argv[2], "api_key": "k", "num_retries": 0}

@llm_cached(namespace="answers")
def answer(question: str) -> litellm.ModelResponse:
    messages = [{"role": "user", "content": question}]
    return litellm.completion(messages=messages, **asked)

@llm_cached(namespace="answers")
async def later(question: str) -> litellm.ModelResponse:
    messages = [{"role": "user", "content": question}]
    return await litellm.acompletion(messages=messages, **asked)

async def both():
    return [await later("ping") for _ in range(2)]

def refused(question):
    try:
        answer(question)
    except litellm.BadRequestError as error:
        return [type(error).__name__, str(error), error.status_code, error.llm_provider]

with observe() as seen:
    refusals = [refused("too long"), refused("too long")]
    answers = [answer("ping"), answer("ping"), *asyncio.run(both())]
assert answers[0] == answers[1] and answers[2] == answers[3]
assert answers[0]._hidden_params == answers[1]._hidden_params
said = [one.choices[0].message.content for one in answers]
print(json.dumps([said, refusals, [one.outcome for one in seen]]))
"""


@pytest.fixture
def server() -> Any:
    """Run a server that knows one answer."""
    with OpenAIServer(answers={PING: "pong"}, think=0) as running:
        yield running


def test_litellm(server: OpenAIServer) -> None:
    """``completion`` and ``acompletion`` are called once each, and what is refused is refused once."""
    rule = cache_policy(local=NO_L1, negative={"bad_requests": True})
    server.fail_with(400, code="context_length_exceeded")
    ran = subprocess.run(
        [sys.executable, "-c", LITELLM, json.dumps(rule), server.base_url],
        env={**os.environ, "PYTHONPATH": str(ROOT), "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    answers, refusals, outcomes = json.loads(ran.stdout)
    assert answers == ["pong"] * 4
    assert refusals[0] == refusals[1]
    assert refusals[0][2:] == [400, "openai"]
    assert outcomes == ["miss", "hit"] * 3
    assert server.requests == 3


def test_langchain(colour: Colour, server: OpenAIServer) -> None:
    """A message of ``ChatOpenAI`` comes back equal, with its metadata, from one request."""
    configure(cache_policy(local=NO_L1))

    def chat() -> ChatOpenAI:
        return ChatOpenAI(
            model="gpt-4.1-mini", base_url=server.base_url, api_key=SecretStr("k"), max_retries=0
        )

    if colour.is_async:

        @llm_cached(namespace="answers")
        async def later(question: str) -> AIMessage:
            model = chat()
            try:
                return await model.ainvoke(question)
            finally:
                await model.root_async_client.close()
                model.root_client.close()

        answer: Any = later
    else:

        @llm_cached(namespace="answers")
        def at_once(question: str) -> AIMessage:
            model = chat()
            try:
                return model.invoke(question)
            finally:
                model.root_client.close()

        answer = at_once

    with observe() as seen:
        first, second = (colour.run(lambda: answer(PING)) for _ in range(2))
    assert type(second) is AIMessage
    assert second == first
    assert second is not first
    assert second.content == "pong"
    assert second.response_metadata["finish_reason"] == "stop"
    assert [one.outcome for one in seen] == [Outcome.MISS, Outcome.HIT]
    assert server.requests == 1


def test_pydantic_ai(colour: Colour, server: OpenAIServer) -> None:
    """What an agent says is asked for once; ``def`` and ``async def`` around it."""
    configure(cache_policy(local=NO_L1))

    async def ask(question: str) -> str:
        async with AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
            agent = Agent(OpenAIChatModel("gpt-4.1-mini", provider=OpenAIProvider(openai_client=client)))
            return (await agent.run(question)).output

    def ask_now(question: str) -> str:
        return asyncio.run(ask(question))

    answer: Any = llm_cached(namespace="answers")(ask if colour.is_async else ask_now)
    with observe() as seen:
        assert [colour.run(lambda: answer(PING)) for _ in range(2)] == ["pong"] * 2
    assert [one.outcome for one in seen] == [Outcome.MISS, Outcome.HIT]
    assert server.requests == 1
