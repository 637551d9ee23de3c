"""Answers of providers as they come over the wire, vendors' additions included."""

from __future__ import annotations

import os
import warnings
from typing import Any, Final

USAGE: Final = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "x_vendor_queue": 0.25}

CHAT: Final[dict[str, Any]] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_790_000_000,
    "model": "vendor/model-7b",
    "choices": [
        {
            "index": 0,
            "finish_reason": "eos_token",  # no literal of the SDK's: its own validation refuses it
            "message": {
                "role": "assistant",
                "content": "Four.",
                "refusal": None,
                "audio": None,
                "reasoning_content": "2 + 2",
                "tool_calls": None,
            },
            "logprobs": {
                "content": [
                    {"token": "Four", "bytes": [70, 111], "logprob": -0.25, "top_logprobs": []},
                    {"token": ".", "bytes": None, "logprob": -0.0, "top_logprobs": []},
                ],
            },
        },
        {
            "index": 1,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}},
                    {"id": "c2", "type": "custom", "custom": {"name": "sh", "input": "ls"}},
                    {"id": "c3", "type": "of a vendor", "anything": [1, 2.0, None, {"deep": True}]},
                ],
            },
        },
    ],
    "usage": USAGE,
    "x_vendor": {"region": "eu", "seeds": [1, 2]},
}

RESPONSE: Final[dict[str, Any]] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1_790_000_000,
    "status": "completed",
    "model": "gpt-5",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "parallel_tool_calls": True,
    "temperature": 1,
    "tool_choice": "auto",
    "tools": [{"type": "function", "name": "add", "parameters": {"type": "object"}, "strict": True}],
    "output": [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Adding."}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "add", "arguments": '{"a":2}'},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": '{"total": 4}', "annotations": [], "logprobs": []}],
        },
        {"type": "of a vendor", "id": "v_1", "anything": [1]},
    ],
    "usage": {
        "total_tokens": 12,
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 1},
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 0, "x_vendor": None},
    },
}

MESSAGE: Final[dict[str, Any]] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-5",
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "content": [
        {"type": "thinking", "thinking": "2 + 2", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "eHg="},
        {"type": "text", "text": '{"total": 4}', "citations": None},
        {
            "type": "tool_use",
            "id": "t1",
            "name": "add",
            "input": {"a": 2, "b": 2.0},
            "caller": {"type": "direct"},
        },
        {"type": "of a vendor", "anything": [1]},
    ],
    "usage": {"input_tokens": 9, "output_tokens": 3, "cache_read_input_tokens": None},
    "container": {"id": "box", "expires_at": "2026-11-25T12:00:00.5Z"},
}

EMBEDDINGS: Final[dict[str, Any]] = {
    "object": "list",
    "model": "text-embedding-3-small",
    "data": [
        {"object": "embedding", "index": 0, "embedding": [0.25, -0.0, 1e-7]},
        {"object": "embedding", "index": 1, "embedding": "AACAPgAAAIA="},
    ],
    "usage": {"prompt_tokens": 9, "total_tokens": 9},
}

COMPLETION: Final[dict[str, Any]] = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1_790_000_000,
    "model": "gpt-3.5-turbo-instruct",
    "choices": [{"index": 0, "text": "Four.", "logprobs": None, "finish_reason": "stop"}],
    "usage": USAGE,
}


def chat(content: object = "Four.", finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    """Return a chat completion with one choice."""
    choice = {
        "index": 0,
        "finish_reason": finish,
        "message": {"role": "assistant", "content": content, **message},
    }
    return {**CHAT, "choices": [choice]}


def litellm_answer(*arguments: Any) -> Any:
    """Return such a completion as litellm makes one."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or importing it asks the network for prices
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own
        from litellm import ModelResponse

        return ModelResponse(**chat(*arguments))
