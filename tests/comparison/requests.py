"""Requests that a key must tell apart, and requests that it must not."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

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
    """Two requests that differ in what the row of the table says."""

    row: str
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


def _sampled(name: str, left: object, right: object) -> Pair:
    return Pair(
        "temperature, top_p, seed, max_tokens, stop", name, _with(**{name: left}), _with(**{name: right})
    )


def _shaping(name: str, left: object, right: object) -> Pair:
    row = "n, penalties, logit_bias, max_completion_tokens, verbosity, modalities"
    return Pair(row, name, _with(**{name: left}), _with(**{name: right}))


DIFFERENT: Final = (
    Pair("model", "model", BASE, _with(model="gpt-4o-mini")),
    Pair(
        "messages", "an earlier turn", BASE, _with(messages=[MESSAGES[0], *_asked("Hello")[1:], MESSAGES[1]])
    ),
    Pair("messages", "the question", BASE, _with(messages=_asked("What is the capital of Spain?"))),
    Pair(
        "system",
        "the system prompt",
        BASE,
        _with(messages=_asked(MESSAGES[1]["content"], "Answer at length.")),
    ),
    Pair("tools and tool_choice", "tools", BASE, _with(tools=[TOOL])),
    Pair(
        "tools and tool_choice",
        "tool_choice",
        _with(tools=[TOOL]),
        _with(tools=[TOOL], tool_choice="required"),
    ),
    _sampled("temperature", 0, 0.5),
    _sampled("top_p", 0.5, 0.9),
    _sampled("seed", 1, 2),
    _sampled("max_tokens", 100, 200),
    _sampled("stop", ["a"], ["b"]),
    _shaping("n", 1, 2),
    _shaping("presence_penalty", 0.5, 1.5),
    _shaping("frequency_penalty", 0.5, 1.5),
    _shaping("logit_bias", {"1": 1}, {"1": 2}),
    _shaping("max_completion_tokens", 10, 20),
    _shaping("verbosity", "low", "high"),
    _shaping("modalities", ["text"], ["text", "audio"]),
    _shaping("reasoning_effort", "low", "high"),
    Pair(
        "response_format",
        "the schema",
        _with(response_format=_schema("name")),
        _with(response_format=_schema("name", "country")),
    ),
    Pair(
        "what the provider takes besides",
        "extra_body",
        _with(extra_body={"min_p": 0.1}),
        _with(extra_body={"min_p": 0.5}),
    ),
    Pair(
        "what the provider takes besides",
        "top_k in extra_body",
        _with(extra_body={"top_k": 1}),
        _with(extra_body={"top_k": 50}),
    ),
    Pair("stream", "stream", BASE, _with(stream=True)),
    Pair(
        "no separators",
        'user="a", prompt="x" and user="aprompt: x"',
        {"model": "gpt-4o", "messages": _asked("a"), "stop": "x"},
        {"model": "gpt-4o", "messages": _asked("a"), "stop": None, "seed": "xstop"},
    ),
)

SAME: Final = (
    Pair("canonical form", "order of arguments", BASE, dict(reversed(BASE.items()))),
    Pair(
        "canonical form",
        "order in a message",
        BASE,
        _with(messages=[dict(reversed(message.items())) for message in MESSAGES]),
    ),
    Pair("canonical form", "0 and 0.0 as temperature", BASE, _with(temperature=0.0)),
    Pair("user", "user", BASE, _with(user="u1")),
    Pair("volatile arguments", "timeout", BASE, _with(timeout=10)),
    Pair("volatile arguments", "metadata", BASE, _with(metadata={"trace": "1"})),
    Pair("volatile arguments", "extra_headers", BASE, _with(extra_headers={"X-Trace": "1"})),
    Pair("volatile arguments", "store", BASE, _with(store=True)),
    Pair("volatile arguments", "service_tier", BASE, _with(service_tier="flex")),
    Pair("volatile arguments", "safety_identifier", BASE, _with(safety_identifier="a")),
    Pair("volatile arguments", "prompt_cache_key", BASE, _with(prompt_cache_key="a")),
)
