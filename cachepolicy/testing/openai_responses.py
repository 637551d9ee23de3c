"""OpenAI's responses wire format: a request in, a response or the events of a stream out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cachepolicy.testing.openai_wire import ROLES, token_logprobs
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
    is_array,
    is_object,
    last_question,
    missing,
    model_of,
    read_flag,
    read_messages,
    wrong_type,
)
from cachepolicy.testing.wire import Stamp, Wire, named_events

# How a reply ends that is not complete, by the word of its `finish`.
_INCOMPLETE = {"length": "max_output_tokens", "max_output_tokens": "max_output_tokens"}
_LOGPROBS = "message.output_text.logprobs"


@dataclass(frozen=True, slots=True)
class ResponseRequest:
    """The part of a request that shapes a stand-in's response; ``echoed`` is what the response says again."""

    model: str
    texts: tuple[str, ...]
    question: str
    max_tokens: int | None
    stream: bool
    logprobs: int | None
    echoed: Mapping[str, Any]


def parse(data: Mapping[str, Any]) -> ResponseRequest:
    """Read a request as strictly as the provider does.

    Raises:
        WireError: where the provider would refuse it, with the provider's status, param and code.
    """
    model = model_of(data)
    conversation = list(_conversation(data))
    check_number(data, "temperature", 0, 2)
    check_number(data, "max_output_tokens", 1, 1 << 31, whole=True)
    check_number(data, "top_logprobs", 0, 20, whole=True)
    logprobs = _LOGPROBS in (data.get("include") or ())
    defaults: dict[str, Any] = {
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
    }
    given = {name: data[name] for name in defaults if data.get(name) is not None}
    return ResponseRequest(
        model=model,
        texts=(*filter(None, [data.get("instructions")]), *(text for _, text in conversation)),
        question=last_question(conversation),
        max_tokens=data.get("max_output_tokens"),
        stream=read_flag(data, "stream"),
        logprobs=(data.get("top_logprobs") or 0) if logprobs else None,
        echoed={**defaults, **given},
    )


def response(request: ResponseRequest, reply: Reply, stamp: Stamp) -> dict[str, Any]:
    """Build the ``response`` that answers ``request`` with ``reply``, cut to the tokens it allows."""
    reply = shortened(reply, request.max_tokens, "max_output_tokens")
    reason = _INCOMPLETE.get(reply.finish or "", reply.finish if reply.finish == "content_filter" else None)
    failed = reply.finish == "failed"
    status = "failed" if failed else "completed" if reason is None else "incomplete"
    error = {"code": "server_error", "message": "The server was told to fail."} if failed else None
    prompt, said = prompt_tokens(request.texts), reply_tokens(reply)
    return {
        "id": stamp.identity,
        "object": "response",
        "created_at": stamp.created,
        "status": status,
        "background": False,
        "error": error,
        "incomplete_details": None if reason is None else {"reason": reason},
        "model": stamp.model,
        "output": [] if failed else list(_items(request, reply, stamp.identity, status)),
        "service_tier": "default",
        "truncation": "disabled",
        "usage": {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": reply.cached_tokens, "cache_write_tokens": 0},
            "output_tokens": said,
            "output_tokens_details": {"reasoning_tokens": count_tokens(reply.reasoning or "")},
            "total_tokens": prompt + said,
        },
        **request.echoed,
    }


def events(request: ResponseRequest, reply: Reply, stamp: Stamp) -> Iterator[bytes]:
    """Say the same as ``response`` in server-sent events, numbered from 0."""
    whole = response(request, reply, stamp)
    numbered = enumerate(_events(whole, reply.chunks))
    return named_events(
        {"type": each["type"], "sequence_number": number, **each} for number, each in numbered
    )


def _conversation(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the role and the text of each item of the input; what a tool returned has the role ``tool``."""
    given: object = data.get("input")
    if given is None:
        raise missing("input")
    if isinstance(given, str):
        yield "user", given
        return
    if not is_array(given):
        raise wrong_type("input", "a string or an array of objects", given)
    for index, item in enumerate(given):
        if is_object(item) and "role" not in item and item.get("type") not in (None, "message"):
            output = item.get("output")
            yield "tool", output if isinstance(output, str) else ""
        else:
            yield from read_messages({f"input[{index}]": [item]}, ROLES, f"input[{index}]")


def _items(request: ResponseRequest, reply: Reply, identity: str, status: str) -> Iterator[dict[str, Any]]:
    tail = identity.rpartition("_")[2]
    if reply.reasoning is not None:
        summary = [{"type": "summary_text", "text": reply.reasoning}]
        yield {"id": f"rs_{tail}", "type": "reasoning", "summary": summary}
    if reply.refusal is not None:
        yield _message(tail, status, {"type": "refusal", "refusal": reply.refusal})
    elif reply.text or not reply.tool_calls:
        logprobs = [] if request.logprobs is None else token_logprobs(reply.text, request.logprobs)
        part = {"type": "output_text", "annotations": [], "logprobs": logprobs, "text": reply.text}
        yield _message(tail, status, part)
    for index, call in enumerate(reply.tool_calls):
        yield {
            "id": f"fc_{index}{tail}",
            "type": "function_call",
            "status": status,
            "call_id": call.identity or f"call_{index}{tail}",
            "name": call.name,
            "arguments": call.arguments,
        }


def _message(tail: str, status: str, part: dict[str, Any]) -> dict[str, Any]:
    return {"id": f"msg_{tail}", "type": "message", "status": status, "role": "assistant", "content": [part]}


def _events(whole: dict[str, Any], chunks: int | None) -> Iterator[dict[str, Any]]:
    blank: dict[str, Any] = {
        "status": "in_progress",
        "output": [],
        "usage": None,
        "error": None,
        "incomplete_details": None,
    }
    for step in ("created", "in_progress"):
        yield {"type": f"response.{step}", "response": {**whole, **blank}}
    for index, item in enumerate(whole["output"]):
        status = {"status": "in_progress"} if "status" in item else {}
        place = {"item_id": item["id"], "output_index": index}
        empty = {name: type(item[name])() for name in ("content", "summary", "arguments") if name in item}
        yield {
            "type": "response.output_item.added",
            "output_index": index,
            "item": {**item, **status, **empty},
        }
        if item["type"] == "function_call":
            yield from _text_events("function_call_arguments", "arguments", item, place, chunks)
        elif item["type"] == "reasoning":
            yield from _part_events("reasoning_summary", item["summary"][0], place, chunks)
        else:
            yield from _part_events("content", item["content"][0], place, chunks)
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": f"response.{whole['status']}", "response": whole}


def _part_events(
    kind: str, part: dict[str, Any], place: dict[str, Any], chunks: int | None
) -> Iterator[dict[str, Any]]:
    """Open a part of an item, say its text, close it."""
    name = "refusal" if part["type"] == "refusal" else "text"
    place = {**place, "content_index" if kind == "content" else "summary_index": 0}
    says = {"refusal": "refusal", "output_text": "output_text", "summary_text": "reasoning_summary_text"}
    yield {"type": f"response.{kind}_part.added", **place, "part": {**part, name: "", **_logprobs(part, "")}}
    yield from _text_events(says[part["type"]], name, part, place, chunks)
    yield {"type": f"response.{kind}_part.done", **place, "part": part}


def _text_events(
    says: str, name: str, said: dict[str, Any], place: dict[str, Any], chunks: int | None
) -> Iterator[dict[str, Any]]:
    """Say the text ``said[name]`` in deltas, then whole."""
    for piece in pieces(said[name], chunks):
        yield {"type": f"response.{says}.delta", **place, "delta": piece, **_logprobs(said, piece)}
    yield {"type": f"response.{says}.done", **place, name: said[name], **_logprobs(said, said[name])}


def _logprobs(part: dict[str, Any], text: str) -> dict[str, Any]:
    """Give the log-probabilities of a piece of a part that has room for them."""
    if "logprobs" not in part:
        return {}
    known = part["logprobs"]
    return {"logprobs": token_logprobs(text, len(known[0]["top_logprobs"])) if known else []}


RESPONSES = Wire("resp_", parse, response, events)
