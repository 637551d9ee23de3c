"""Requests that a key must tell apart, and requests that it must not."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from pydantic import create_model

Request = dict[str, Any]

MESSAGES: Final[list[Request]] = [
    {"role": "system", "content": "Answer in one word."},
    {"role": "user", "content": "What is the capital of France?"},
]
TOOL: Final[Request] = {
    "type": "function",
    "function": {
        "name": "look_up",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
BASE: Final[Request] = {"model": "gpt-4o", "messages": MESSAGES, "temperature": 0, "max_tokens": 100}


class Pair(NamedTuple):
    """Two requests that differ in ``what``."""

    what: str
    left: Request
    right: Request


def _with(**changes: Any) -> Request:
    return {**BASE, **changes}


def _asked(content: object, system: str = "Answer in one word.") -> list[Request]:
    return [{"role": "system", "content": system}, {"role": "user", "content": content}]


def _schema(*fields: str) -> Request:
    properties = {name: {"type": "string"} for name in fields}
    return {
        "type": "json_schema",
        "json_schema": {"name": "city", "schema": {"type": "object", "properties": properties}},
    }


def _shaping(name: str, left: object, right: object) -> Pair:
    return Pair(name, _with(**{name: left}), _with(**{name: right}))


DIFFERENT: Final = (
    Pair("model", BASE, _with(model="gpt-4o-mini")),
    Pair("an earlier turn", BASE, _with(messages=[MESSAGES[0], *_asked("Hello")[1:], MESSAGES[1]])),
    Pair("the question", BASE, _with(messages=_asked("What is the capital of Spain?"))),
    Pair(
        "the system prompt",
        BASE,
        _with(messages=_asked(MESSAGES[1]["content"], "Answer at length.")),
    ),
    Pair("tools", BASE, _with(tools=[TOOL])),
    Pair(
        "tool_choice",
        _with(tools=[TOOL]),
        _with(tools=[TOOL], tool_choice="required"),
    ),
    _shaping("temperature", 0, 0.5),
    _shaping("top_p", 0.5, 0.9),
    _shaping("seed", 1, 2),
    _shaping("max_tokens", 100, 200),
    _shaping("stop", ["a"], ["b"]),
    _shaping("n", 1, 2),
    _shaping("presence_penalty", 0.5, 1.5),
    _shaping("frequency_penalty", 0.5, 1.5),
    _shaping("logit_bias", {"1": 1}, {"1": 2}),
    _shaping("max_completion_tokens", 10, 20),
    _shaping("verbosity", "low", "high"),
    _shaping("modalities", ["text"], ["text", "audio"]),
    _shaping("reasoning_effort", "low", "high"),
    Pair(
        "the schema",
        _with(response_format=_schema("name")),
        _with(response_format=_schema("name", "country")),
    ),
    Pair(
        "extra_body",
        _with(extra_body={"min_p": 0.1}),
        _with(extra_body={"min_p": 0.5}),
    ),
    Pair(
        "top_k in extra_body",
        _with(extra_body={"top_k": 1}),
        _with(extra_body={"top_k": 50}),
    ),
    Pair("stream", BASE, _with(stream=True)),
    Pair(
        "the fields of a pydantic class",
        _with(response_format=create_model("City", name=(str, ...))),
        _with(response_format=create_model("City", name=(str, ...), country=(str, ...))),
    ),
    Pair(
        '`stop="a", user="b"` and `stop="auser: b"`',
        _with(stop="a", user="b"),
        _with(stop="auser: b"),
    ),
)

SAME: Final = (
    Pair("order of arguments", BASE, dict(reversed(BASE.items()))),
    Pair(
        "order in a message",
        BASE,
        _with(messages=[dict(reversed(message.items())) for message in MESSAGES]),
    ),
    Pair("0 and 0.0 as temperature", BASE, _with(temperature=0.0)),
    Pair("user", BASE, _with(user="u1")),
    Pair("timeout", BASE, _with(timeout=10)),
    Pair("metadata", BASE, _with(metadata={"trace": "1"})),
    Pair("extra_headers", BASE, _with(extra_headers={"X-Trace": "1"})),
    Pair("store", BASE, _with(store=True)),
    Pair("service_tier", BASE, _with(service_tier="flex")),
    Pair("safety_identifier", BASE, _with(safety_identifier="a")),
    Pair("prompt_cache_key", BASE, _with(prompt_cache_key="a")),
)
