"""OpenAI's chat-completions wire format: the bytes of a request in, the JSON of an answer or of an error out.

Pure: no socket, no clock. It checks what a client can get wrong in ways its code has to handle.
Fields that only tune a real model (``top_p``, ``seed``, ``tools``, …) are accepted and change nothing.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

ROLES = ("system", "assistant", "user", "function", "tool", "developer")
# Roughly what a byte-pair tokenizer makes of English: a token for four letters, one for each sign.
_TOKEN = re.compile(r"\w{1,4}|[^\w\s]")
_TOKENS_AROUND_MESSAGE = 4  # its role and its separators
_TOKENS_BEFORE_REPLY = 3
_JSON_NAMES: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    type(None): "null",
}


class WireError(Exception):
    """A refusal as the wire carries it: a status, the four fields of ``error``, perhaps a ``retry-after``."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        self.body: dict[str, Any] = {
            "error": {"message": message, "type": kind, "param": param, "code": code}
        }


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """The part of a request that shapes a stand-in's answer."""

    model: str
    texts: tuple[str, ...]
    question: str
    choices: int
    max_tokens: int | None


def parse(body: bytes) -> ChatRequest:
    """Read a request as strictly as the provider does.

    Raises:
        WireError: where the provider would refuse it, with the provider's status, param and code.
    """
    try:
        data: object = json.loads(body)
    except (ValueError, RecursionError):
        message = "We could not parse the JSON body of your request: what was sent was not valid JSON."
        raise WireError(400, message) from None
    if not _is_object(data):
        raise WireError(400, f"Invalid body: expected an object, but got {_JSON_NAMES[type(data)]} instead.")
    if not data.get("model"):
        raise WireError(400, "you must provide a model parameter")
    if not isinstance(data["model"], str):
        raise _wrong_type("model", "a string", data["model"])
    if data.get("stream"):
        message = (
            "Unsupported value: 'stream' does not support true with this local server, which cannot stream."
        )
        raise WireError(400, message, param="stream", code="unsupported_value")
    messages = list(_messages(data))
    _check_number(data, "temperature", 0, 2)
    for name, high in (("n", 128), ("max_tokens", 1 << 31), ("max_completion_tokens", 1 << 31)):
        _check_number(data, name, 1, high, whole=True)
    return ChatRequest(
        model=data["model"],
        texts=tuple(text for _, text in messages),
        question=next((text.strip() for role, text in reversed(messages) if role == "user"), ""),
        choices=data.get("n") or 1,
        max_tokens=data.get("max_completion_tokens") or data.get("max_tokens"),
    )


def completion(request: ChatRequest, text: str, *, identity: str, model: str, created: int) -> dict[str, Any]:
    """Build the ``chat.completion`` that answers ``request`` with ``text``, cut to the tokens it allows."""
    tokens = list(_TOKEN.finditer(text))
    cut = request.max_tokens is not None and len(tokens) > request.max_tokens
    if cut:
        tokens = tokens[: request.max_tokens]
        text = text[: tokens[-1].end()]
    prompt = sum(count_tokens(each) + _TOKENS_AROUND_MESSAGE for each in request.texts) + _TOKENS_BEFORE_REPLY
    reply = len(tokens) * request.choices
    return {
        "id": identity,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [
            {
                "index": index,
                "message": {"role": "assistant", "content": text, "refusal": None, "annotations": []},
                "logprobs": None,
                "finish_reason": "length" if cut else "stop",
            }
            for index in range(request.choices)
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": reply,
            "total_tokens": prompt + reply,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "default",
        "system_fingerprint": f"fp_{zlib.crc32(model.encode()):010x}",
    }


def count_tokens(text: str) -> int:
    """How many tokens ``text`` counts for: the same text always counts the same."""
    return len(_TOKEN.findall(text))


def _messages(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the role and the text of each message."""
    messages = data.get("messages")
    if messages is None:
        raise _missing("messages")
    if not _is_array(messages):
        raise _wrong_type("messages", "an array of objects", messages)
    if not messages:
        text = "Invalid 'messages': expected an array with minimum length 1, but got an empty array."
        raise WireError(400, text, param="messages", code="empty_array")
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if not _is_object(message):
            raise _wrong_type(where, "an object", message)
        role = message.get("role")
        if role is None:
            raise _missing(f"{where}.role")
        if role not in ROLES:
            text = f"Invalid value: {role!r}. Supported values are: {', '.join(map(repr, ROLES))}."
            raise WireError(400, text, param=f"{where}.role", code="invalid_value")
        yield role, _text(message.get("content"), f"{where}.content", optional=role == "assistant")


def _text(content: object, where: str, *, optional: bool) -> str:
    """Read a message's content: a string, or the text parts of a list; only an assistant may leave it out."""
    if isinstance(content, str):
        return content
    if _is_array(content):
        return "".join(str(part.get("text", "")) for part in content if _is_object(part))
    if content is None and optional:
        return ""
    raise (
        _missing(where) if content is None else _wrong_type(where, "a string or an array of objects", content)
    )


def _check_number(data: Mapping[str, Any], name: str, low: int, high: int, *, whole: bool = False) -> None:
    """Refuse a number that is of the wrong type or out of bounds; absent and ``null`` mean the default."""
    value = data.get(name)
    if value is None:
        return
    kind = "integer" if whole else "decimal"
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise _wrong_type(name, f"an {kind}" if whole else f"a {kind}", value)
    for wrong, side, sign, bound in (
        (value < low, "below_min", ">=", low),
        (value > high, "above_max", "<=", high),
    ):
        if wrong:
            text = f"Invalid '{name}': expected a value {sign} {bound}, but got {value} instead."
            raise WireError(400, text, param=name, code=f"{kind}_{side}_value")


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_array(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _missing(param: str) -> WireError:
    return WireError(
        400, f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter"
    )


def _wrong_type(param: str, expected: str, value: object) -> WireError:
    text = f"Invalid type for '{param}': expected {expected}, but got {_JSON_NAMES[type(value)]} instead."
    return WireError(400, text, param=param, code="invalid_type")
