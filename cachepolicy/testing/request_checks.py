"""What a provider checks of the JSON it is sent: the mistakes of a client that its code has to handle."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from cachepolicy.testing.replies import WireError

_JSON_NAMES: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    type(None): "null",
}


def read_object(body: bytes) -> dict[str, Any]:
    """Read a body that must be a JSON object.

    Raises:
        WireError: a 400; it is none.
    """
    try:
        data: object = json.loads(body)
    except (ValueError, RecursionError):
        message = "We could not parse the JSON body of your request: what was sent was not valid JSON."
        raise WireError(400, message) from None
    if not is_object(data):
        raise WireError(400, f"Invalid body: expected an object, but got {_JSON_NAMES[type(data)]} instead.")
    return data


def model_of(data: Mapping[str, Any]) -> str:
    """Read which model is asked."""
    model: object = data.get("model")
    if not model:
        raise WireError(400, "you must provide a model parameter")
    if not isinstance(model, str):
        raise wrong_type("model", "a string", model)
    return model


def read_messages(data: Mapping[str, Any], roles: Sequence[str], name: str) -> Iterator[tuple[str, str]]:
    """Yield the role and the text of each message in ``data[name]``."""
    messages = data.get(name)
    if messages is None:
        raise missing(name)
    if not is_array(messages):
        raise wrong_type(name, "an array of objects", messages)
    if not messages:
        text = f"Invalid '{name}': expected an array with minimum length 1, but got an empty array."
        raise WireError(400, text, param=name, code="empty_array")
    for index, message in enumerate(messages):
        where = f"{name}[{index}]"
        if not is_object(message):
            raise wrong_type(where, "an object", message)
        role = message.get("role")
        if role is None:
            raise missing(f"{where}.role")
        if role not in roles:
            text = f"Invalid value: {role!r}. Supported values are: {', '.join(map(repr, roles))}."
            raise WireError(400, text, param=f"{where}.role", code="invalid_value")
        yield role, read_text(message.get("content"), f"{where}.content", optional=role == "assistant")


def read_text(content: object, where: str, *, optional: bool) -> str:
    """Read a message's content: a string, or the text parts of a list; only an assistant may leave it out."""
    if isinstance(content, str):
        return content
    if is_array(content):
        return "".join(str(part.get("text", "")) for part in content if is_object(part))
    if content is None and optional:
        return ""
    raise (
        missing(where) if content is None else wrong_type(where, "a string or an array of objects", content)
    )


def last_question(messages: Sequence[tuple[str, str]]) -> str:
    """Pick the question: the text of the user's last message that has one."""
    return next((text.strip() for role, text in reversed(messages) if role == "user" and text.strip()), "")


def check_number(data: Mapping[str, Any], name: str, low: int, high: int, *, whole: bool = False) -> None:
    """Refuse a number that is of the wrong type or out of bounds; absent and ``null`` mean the default."""
    value = data.get(name)
    if value is None:
        return
    kind = "integer" if whole else "decimal"
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise wrong_type(name, f"an {kind}" if whole else f"a {kind}", value)
    for wrong, side, sign, bound in (
        (value < low, "below_min", ">=", low),
        (value > high, "above_max", "<=", high),
    ):
        if wrong:
            text = f"Invalid '{name}': expected a value {sign} {bound}, but got {value} instead."
            raise WireError(400, text, param=name, code=f"{kind}_{side}_value")


def read_flag(data: Mapping[str, Any], name: str) -> bool:
    """Read a boolean; absent and ``null`` mean no."""
    value: object = data.get(name)
    if not isinstance(value, bool | None):
        raise wrong_type(name, "a boolean", value)
    return bool(value)


def read_section(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Read an object inside the request; absent and ``null`` mean an empty one."""
    value: object = data.get(name)
    if value is None:
        return {}
    if not is_object(value):
        raise wrong_type(name, "an object", value)
    return value


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Tell whether it is a JSON object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Tell whether it is a JSON array."""
    return isinstance(value, list)


def missing(param: str) -> WireError:
    """Make the refusal of a request that lacks a parameter."""
    return WireError(
        400, f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter"
    )


def wrong_type(param: str, expected: str, value: object) -> WireError:
    """Make the refusal of a value of the wrong type."""
    text = f"Invalid type for '{param}': expected {expected}, but got {_JSON_NAMES[type(value)]} instead."
    return WireError(400, text, param=param, code="invalid_type")
