"""Usage is read from whatever a function returned, by its shape alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from anthropic.types import Message, RawMessageDeltaEvent, RawMessageStartEvent
from langchain_core.messages import AIMessage, AIMessageChunk
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

from cachepolicy.llm.usage import usage_of, usage_of_stream
from cachepolicy.telemetry.usage import Usage, facts, usage_in

CHAT: dict[str, Any] = {
    "model": "gpt-4o-2024-08-06",
    "usage": {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 12},
    },
}
RESPONSES = {
    "model": "gpt-4o",
    "usage": {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 64},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 12},
        "total_tokens": 120,
    },
}
MESSAGE: dict[str, Any] = {
    "model": "claude",
    "usage": {
        "input_tokens": 30,
        "output_tokens": 20,
        "cache_read_input_tokens": 60,
        "cache_creation_input_tokens": 10,
    },
}
EMBEDDINGS = {"model": "embed", "usage": {"prompt_tokens": 8, "total_tokens": 8}}

SHAPES: dict[str, tuple[dict[str, Any], Any, Usage]] = {
    "chat": (CHAT, ChatCompletion, Usage("gpt-4o-2024-08-06", 100, 20, 64)),
    "responses": (RESPONSES, Response, Usage("gpt-4o", 100, 20, 64)),
    "message": (MESSAGE, Message, Usage("claude", 100, 20, 60, 10)),
    "embeddings": (EMBEDDINGS, CreateEmbeddingResponse, Usage("embed", 8)),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_m6_usage_is_read_from_objects_and_dicts(shape: str) -> None:
    """M6: an SDK's object and a dict say the same, in one set of terms: input holds what was cached."""
    plain, kind, expected = SHAPES[shape]
    assert usage_of(plain) == expected
    assert usage_of(kind.construct(**plain)) == expected


def test_m6_langchain_says_what_it_took() -> None:
    """M6: an AIMessage of LangChain says its tokens, those of the provider's cache, and its model."""
    message = AIMessage(
        "yes",
        usage_metadata={
            "input_tokens": 100,
            "output_tokens": 20,
            "total_tokens": 120,
            "input_token_details": {"cache_read": 60, "cache_creation": 10},
        },
        response_metadata={"model_name": "gpt-4o"},
    )
    assert usage_of(message) == Usage("gpt-4o", 100, 20, 60, 10)


def test_m6_pydantic_ai_says_what_it_took() -> None:
    """M6: the result of a pydantic-ai agent says its tokens and its model."""
    from pydantic_ai import Agent
    from pydantic_ai.models.test import TestModel

    result = asyncio.run(Agent(TestModel(custom_output_text="yes")).run("why?"))
    found = usage_of(result)
    assert found is not None
    assert found.model == "test"
    assert (found.input, found.output) == (result.usage.input_tokens, result.usage.output_tokens)


@pytest.mark.parametrize(
    ("result", "model", "expected"),
    [
        ("just text", "gpt-4o", Usage("gpt-4o")),
        ("just text", "", None),
        (None, "", None),
        ({"usage": {"prompt_tokens": -5}}, "", None),
        ({"usage": {"prompt_tokens": True}}, "", None),
        ({"usage": {"prompt_tokens": "5"}}, "", None),
        ({"usage": {"prompt_tokens": 5, "completion_tokens": None}}, "m", Usage("m", 5)),
        (
            {"usage": {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}}},
            "m",
            Usage("m", 5, 0, 5),
        ),
        ({"model": "said", "usage": {"total_tokens": 7}}, "asked", Usage("said", 7)),
    ],
)
def test_m6_nothing_is_made_up(result: Any, model: str, expected: Usage | None) -> None:
    """M6: what is no count is none; the model that the call named stands in where the result names none."""
    assert usage_of(result, model) == expected


def test_m6_a_chat_stream_says_what_it_took_at_its_end() -> None:
    """M6: the last chunk of a chat stream has the usage of all."""
    chunks = [
        ChatCompletionChunk.construct(model="gpt-4o", usage=None, choices=[]),
        ChatCompletionChunk.construct(**CHAT, choices=[]),
    ]
    assert usage_of_stream(chunks) == Usage("gpt-4o-2024-08-06", 100, 20, 64)
    assert usage_of_stream(chunks[:1], "asked") == Usage("gpt-4o")


def test_m6_a_responses_stream_says_what_it_took_at_its_end() -> None:
    """M6: the event response.completed has the usage of all."""
    events = [
        {"type": "response.created", "response": {"model": "gpt-4o", "usage": None}},
        {"type": "response.output_text.delta", "delta": "y"},
        {"type": "response.completed", "response": RESPONSES},
    ]
    assert usage_of_stream(events) == Usage("gpt-4o", 100, 20, 64)


def test_m6_an_anthropic_stream_says_what_it_took_at_both_ends() -> None:
    """M6: message_start has the input, message_delta the output, which replaces what was said before."""
    events = [
        RawMessageStartEvent.construct(
            type="message_start",
            message={**MESSAGE, "usage": {**MESSAGE["usage"], "output_tokens": 1}},
        ),
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "y"}},
        RawMessageDeltaEvent.construct(type="message_delta", usage={"output_tokens": 20}),
    ]
    assert usage_of_stream(events) == Usage("claude", 100, 20, 60, 10)


def test_m6_the_parts_of_a_langchain_stream_add_up() -> None:
    """M6: each chunk of LangChain has its own share."""
    chunks = [
        AIMessageChunk(
            content="a", usage_metadata={"input_tokens": 9, "output_tokens": 0, "total_tokens": 9}
        ),
        AIMessageChunk(
            content="b", usage_metadata={"input_tokens": 0, "output_tokens": 4, "total_tokens": 4}
        ),
    ]
    assert usage_of_stream(chunks, "m") == Usage("m", 9, 4)


def test_usage_survives_as_small_facts() -> None:
    """What lies beside a stored value comes back as it was, and what is no usage is none."""
    usage = Usage("gpt-4o", 100, 20, 60, 10)
    assert usage_in(facts(usage)) == usage
    assert usage_in(facts(None)) is None
    for wrong in (["m", 1], ["m", 1, 2, 3, -4], [1, 2, 3, 4, 5], "m"):
        assert usage_in({"usage": wrong}) is None
