"""Libraries that stand between an application and the SDKs read what the local servers say."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI
from pydantic import SecretStr
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from cachepolicy.testing.anthropic_server import AnthropicServer
from cachepolicy.testing.openai_server import OpenAIServer
from cachepolicy.testing.replies import Reply, ToolCall

# In a process of its own: what litellm starts and opens while it is imported and used, it leaves.
_LITELLM = """
import sys

import litellm

openai, anthropic = ({"api_base": url, "api_key": "k"} for url in sys.argv[1:])
messages = [{"role": "user", "content": "ping"}]
for model, at in (("openai/gpt-4.1-mini", openai), ("anthropic/claude-haiku-4-5", anthropic)):
    print(litellm.completion(model=model, messages=messages, **at).choices[0].message.content)
    parts = litellm.completion(model=model, messages=messages, stream=True, **at)
    print("".join(part.choices[0].delta.content or "" for part in parts))
print(len(litellm.embedding("openai/text-embedding-3-small", ["one"], **openai).data[0]["embedding"]))
"""


@pytest.mark.timeout(180)  # a busy machine imports it for most of a minute
def test_litellm_reads_both(server: OpenAIServer) -> None:
    """What litellm reads of either server, whole and streamed, is what was said; and vectors are whole."""
    with AnthropicServer(answers={"ping": "pong, then"}, think=0) as other:
        ran = subprocess.run(
            [sys.executable, "-c", _LITELLM, server.base_url, other.base_url],
            env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},  # or it fetches one
            capture_output=True,
            text=True,
            check=False,
        )
    assert ran.stdout.splitlines() == ["pong, then"] * 4 + ["1536"], ran.stderr


def test_langchain_reads_it(server: OpenAIServer) -> None:
    """What langchain-openai reads, whole and streamed, is what was said."""
    chat = ChatOpenAI(model="gpt-4.1-mini", base_url=server.base_url, api_key=SecretStr("k"), max_retries=0)
    try:
        assert chat.invoke("ping").content == "pong, then"
        assert "".join(str(part.content) for part in chat.stream("ping")) == "pong, then"
    finally:
        chat.root_client.close()


def test_pydantic_ai_calls_tools(server: OpenAIServer) -> None:
    """An agent of pydantic-ai calls the tool that is asked for, and takes the answer that comes next."""
    server.answers["ping"] = [Reply(tool_calls=[ToolCall("weather", '{"city": "Bern"}')]), "sunny"]
    asked = []

    async def run() -> str:
        async with AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
            agent = Agent(OpenAIChatModel("gpt-4.1-mini", provider=OpenAIProvider(openai_client=client)))

            @agent.tool_plain
            def weather(city: str) -> str:
                asked.append(city)
                return "sun"

            return (await agent.run("ping")).output

    assert asyncio.run(run()) == "sunny"
    assert asked == ["Bern"]
