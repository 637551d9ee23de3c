"""OpenAI's chat-completions wire format: a request in, the JSON of an answer or the events of a stream out.

Pure: no socket, no clock. It checks what a client can get wrong in ways its code has to handle.
Fields that only tune a real model (``top_p``, ``seed``, ``tools``, …) are accepted and change nothing.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cachepolicy.testing.replies import (
    Reply,
    count_tokens,
    pieces,
    prompt_tokens,
    reply_tokens,
    shortened,
)
from cachepolicy.testing.request_checks import (
    check_number,
    last_question,
    model_of,
    read_flag,
    read_messages,
    read_section,
)
from cachepolicy.testing.wire import Stamp, Wire, event

ROLES = ("system", "assistant", "user", "function", "tool", "developer")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """The part of a request that shapes a stand-in's answer; ``logprobs`` is how many alternatives."""

    model: str
    texts: tuple[str, ...]
    question: str
    choices: int
    max_tokens: int | None
    stream: bool = False
    stream_usage: bool = False
    logprobs: int | None = None


def parse(data: Mapping[str, Any]) -> ChatRequest:
    """Read a request as strictly as the provider does.

    Raises:
        WireError: where the provider would refuse it, with the provider's status, param and code.
    """
    model = model_of(data)
    messages = list(read_messages(data, ROLES, "messages"))
    check_number(data, "temperature", 0, 2)
    for name, high in (("n", 128), ("max_tokens", 1 << 31), ("max_completion_tokens", 1 << 31)):
        check_number(data, name, 1, high, whole=True)
    check_number(data, "top_logprobs", 0, 20, whole=True)
    return ChatRequest(
        model=model,
        texts=tuple(text for _, text in messages),
        question=last_question(messages),
        choices=data.get("n") or 1,
        max_tokens=data.get("max_completion_tokens") or data.get("max_tokens"),
        stream=read_flag(data, "stream"),
        stream_usage=read_flag(read_section(data, "stream_options"), "include_usage"),
        logprobs=(data.get("top_logprobs") or 0) if read_flag(data, "logprobs") else None,
    )


def completion(request: ChatRequest, reply: Reply, stamp: Stamp) -> dict[str, Any]:
    """Build the ``chat.completion`` that answers ``request`` with ``reply``, cut to the tokens it allows."""
    reply = shortened(reply, request.max_tokens, "length")
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if reply.refusal is not None or (reply.tool_calls and not reply.text) else reply.text,
        "refusal": reply.refusal,
        "annotations": [],
    }
    if reply.reasoning is not None:
        message["reasoning_content"] = reply.reasoning
    if reply.tool_calls:
        message["tool_calls"] = _tool_calls(reply, stamp.identity)
    choice = {
        "message": message,
        "logprobs": _logprobs(request, message["content"]),
        "finish_reason": _finish(reply),
    }
    head = _head("chat.completion", stamp)
    choices = [{"index": index, **choice} for index in range(request.choices)]
    return {**head, "choices": choices, "usage": _usage(request, reply)}


def chunks(request: ChatRequest, reply: Reply, stamp: Stamp) -> Iterator[bytes]:
    """Say the same as ``completion`` in server-sent events, ``[DONE]`` last; choices take turns."""
    reply = shortened(reply, request.max_tokens, "length")
    head = _head("chat.completion.chunk", stamp)
    rest = {"usage": None} if request.stream_usage else {}
    for delta, index in itertools.product(_deltas(reply, stamp.identity), range(request.choices)):
        choice = {
            "index": index,
            "delta": delta,
            "logprobs": _logprobs(request, delta.get("content") or None),
            "finish_reason": None if delta else _finish(reply),
        }
        yield event({**head, "choices": [choice], **rest})
    if request.stream_usage:
        yield event({**head, "choices": [], "usage": _usage(request, reply)})
    yield event("[DONE]")


def token_logprobs(text: str, alternatives: int) -> list[dict[str, Any]]:
    """Invent a log-probability for each token of ``text``: the same text has always the same."""
    return [
        {
            **_logprob(token, token),
            "top_logprobs": [_logprob(token, f"{token}{rank or ''}") for rank in range(alternatives)],
        }
        for token in pieces(text)
    ]


def _head(kind: str, stamp: Stamp) -> dict[str, Any]:
    return {
        "id": stamp.identity,
        "object": kind,
        "created": stamp.created,
        "model": stamp.model,
        "service_tier": "default",
        "system_fingerprint": f"fp_{zlib.crc32(stamp.model.encode()):010x}",
    }


def _deltas(reply: Reply, identity: str) -> Iterator[dict[str, Any]]:
    """Yield what each chunk adds: the role, thoughts, text or refusal, calls of tools; nothing at the end."""
    yield {"role": "assistant", "content": None if reply.tool_calls else "", "refusal": None}
    for name, text in (
        ("reasoning_content", reply.reasoning),
        ("refusal", reply.refusal),
        ("content", reply.text if reply.refusal is None else None),
    ):
        yield from ({name: piece} for piece in pieces(text or "", reply.chunks if text else None))
    for index, call in enumerate(_tool_calls(reply, identity)):
        function = call["function"]
        start = {**call, "function": {**function, "arguments": ""}}
        yield {"tool_calls": [{"index": index, **start}]}
        for piece in pieces(function["arguments"], reply.chunks):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
    yield {}


def _tool_calls(reply: Reply, identity: str) -> list[dict[str, Any]]:
    return [
        {
            "id": call.identity or f"call_{index}{identity[-24:]}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for index, call in enumerate(reply.tool_calls)
    ]


def _finish(reply: Reply) -> str:
    return reply.finish or ("tool_calls" if reply.tool_calls else "stop")


def _logprobs(request: ChatRequest, text: str | None) -> dict[str, Any] | None:
    if request.logprobs is None or text is None:
        return None
    return {"content": token_logprobs(text, request.logprobs), "refusal": None}


def _logprob(token: str, candidate: str) -> dict[str, Any]:
    share = zlib.crc32(candidate.encode()) / 0xFFFFFFFF
    loss = share if candidate == token else 1 + share  # what was said is what was likeliest
    return {"token": candidate, "bytes": list(candidate.encode()), "logprob": -loss}


def _usage(request: ChatRequest, reply: Reply) -> dict[str, Any]:
    prompt, said = prompt_tokens(request.texts), reply_tokens(reply) * request.choices
    return {
        "prompt_tokens": prompt,
        "completion_tokens": said,
        "total_tokens": prompt + said,
        "prompt_tokens_details": {"cached_tokens": reply.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": count_tokens(reply.reasoning or "") * request.choices,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


CHAT = Wire("chatcmpl-", parse, completion, chunks)
