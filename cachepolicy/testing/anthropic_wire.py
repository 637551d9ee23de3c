"""Anthropic's messages wire format: a request in, a message or the events of a stream out. Pure."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cachepolicy.testing.replies import Reply, pieces, prompt_tokens, reply_tokens, shortened
from cachepolicy.testing.request_checks import (
    check_number,
    is_object,
    last_question,
    missing,
    model_of,
    read_flag,
    read_messages,
    read_text,
)
from cachepolicy.testing.wire import Stamp, Wire, named_events

_ROLES = ("user", "assistant")
# How each kind of block comes in deltas: the field that grows, the kind of delta, the field of the delta.
_GROWS = {
    "thinking": ("thinking", "thinking_delta", "thinking"),
    "text": ("text", "text_delta", "text"),
    "tool_use": ("input", "input_json_delta", "partial_json"),
}


@dataclass(frozen=True, slots=True)
class MessageRequest:
    """The part of a request that shapes a stand-in's answer."""

    model: str
    texts: tuple[str, ...]
    question: str
    max_tokens: int
    stream: bool


def parse(data: Mapping[str, Any]) -> MessageRequest:
    """Read a request as strictly as the provider does.

    Raises:
        WireError: where the provider would refuse it, with the provider's status.
    """
    model = model_of(data)
    messages = list(read_messages(data, _ROLES, "messages"))
    if data.get("max_tokens") is None:
        raise missing("max_tokens")
    check_number(data, "max_tokens", 1, 1 << 31, whole=True)
    check_number(data, "temperature", 0, 1)
    system = read_text(data.get("system"), "system", optional=True)
    return MessageRequest(
        model=model,
        texts=(*filter(None, [system]), *(text for _, text in messages)),
        question=last_question(messages),
        max_tokens=data["max_tokens"],
        stream=read_flag(data, "stream"),
    )


def message(request: MessageRequest, reply: Reply, stamp: Stamp) -> dict[str, Any]:
    """Build the ``message`` that answers ``request`` with ``reply``, cut to the tokens it allows."""
    reply = shortened(reply, request.max_tokens, "max_tokens")
    explained = {"type": "refusal", "category": None, "explanation": reply.refusal}
    return {
        "id": stamp.identity,
        "type": "message",
        "role": "assistant",
        "model": stamp.model,
        "content": [_closed(block) for block in _blocks(reply, stamp.identity)],
        "stop_reason": _stop_reason(reply),
        "stop_sequence": None,
        "stop_details": None if reply.refusal is None else explained,
        "usage": {
            "input_tokens": max(prompt_tokens(request.texts) - reply.cached_tokens, 0),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": reply.cached_tokens,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "output_tokens": reply_tokens(reply),
            "service_tier": "standard",
        },
    }


def events(request: MessageRequest, reply: Reply, stamp: Stamp) -> Iterator[bytes]:
    """Say the same as ``message`` in server-sent events."""
    whole = message(request, reply, stamp)
    reply = shortened(reply, request.max_tokens, "max_tokens")
    return named_events(_events(whole, list(_blocks(reply, stamp.identity)), reply.chunks))


def _blocks(reply: Reply, identity: str) -> Iterator[dict[str, Any]]:
    """Yield the blocks of a message; the input of a tool is still text."""
    if reply.reasoning is not None:
        signature = f"{zlib.crc32(reply.reasoning.encode()):08x}"
        yield {"type": "thinking", "thinking": reply.reasoning, "signature": signature}
    if reply.text:
        yield {"type": "text", "text": reply.text}
    for index, call in enumerate(reply.tool_calls):
        name = call.identity or f"toolu_{index}{identity[-22:]}"
        yield {"type": "tool_use", "id": name, "name": call.name, "input": call.arguments}


def _closed(block: dict[str, Any]) -> dict[str, Any]:
    """Finish a block: the input of a tool is read as JSON; what was cut in the middle is an empty object."""
    if block["type"] != "tool_use":
        return block
    try:
        given: object = json.loads(block["input"])
    except ValueError:
        given = {}
    return {**block, "input": given if is_object(given) else {}}


def _stop_reason(reply: Reply) -> str:
    fitting = "refusal" if reply.refusal is not None else "tool_use" if reply.tool_calls else "end_turn"
    return reply.finish or fitting


def _events(
    whole: dict[str, Any], blocks: list[dict[str, Any]], chunks: int | None
) -> Iterator[dict[str, Any]]:
    blank: dict[str, Any] = {"content": [], "stop_reason": None, "stop_details": None}
    usage = {**whole["usage"], "output_tokens": 1}
    yield {"type": "message_start", "message": {**whole, **blank, "usage": usage}}
    if not blocks:
        yield {"type": "ping"}
    for index, block in enumerate(blocks):
        grows, kind, field = _GROWS[block["type"]]
        empty: dict[str, Any] = {grows: {} if block["type"] == "tool_use" else ""}
        if block["type"] == "thinking":
            empty["signature"] = ""
        yield {"type": "content_block_start", "index": index, "content_block": {**block, **empty}}
        if index == 0:
            yield {"type": "ping"}
        deltas = [{"type": kind, field: piece} for piece in pieces(block[grows], chunks)]
        if block["type"] == "thinking":
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ended = {name: whole[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    counted = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
    yield {"type": "message_delta", "delta": ended, "usage": {name: whole["usage"][name] for name in counted}}
    yield {"type": "message_stop"}


MESSAGES = Wire("msg_", parse, message, events)
