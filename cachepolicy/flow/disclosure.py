"""What spans tell of a call's content, where the policy asks for it: JSON, the beginning of it.

Whatever has no JSON form is told by its type; arguments that carry credentials are withheld.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any, Final

from cachepolicy.flow import incidents
from cachepolicy.flow.answer import Answer
from cachepolicy.flow.plan import Call, Plan
from cachepolicy.flow.tee import LIVE
from cachepolicy.telemetry.names import ATTRIBUTE_INPUT, ATTRIBUTE_OUTPUT
from cachepolicy.telemetry.spans import Attribute

MOST: Final = 4096
"""Bytes of one attribute."""

_DEEPEST: Final = 32
_WITHHELD: Final = "withheld"
_SECRETS: Final = (
    "api_key",
    "apikey",
    "authorization",
    "cookie",
    "credential",
    "header",
    "password",
    "secret",
)
"""Names of arguments, or parts of them, whose values are nobody's business."""


def key_hash(key: str) -> str:
    """Return the first eight digits of a key's hash: by them calls for one entry are known from others."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def of_call(plan: Plan, call: Call, answer: Answer) -> dict[str, Attribute]:
    """Return the arguments and the result of a call; a stream has not been read yet."""
    try:
        told: dict[str, Attribute] = {ATTRIBUTE_INPUT: _json(_arguments(plan, call))}
        is_live = answer.serialized is not None and answer.serialized.form == LIVE
        if answer.error is None and not is_live:
            told[ATTRIBUTE_OUTPUT] = _json(answer.value)
    except Exception as error:  # noqa: BLE001 - values are the application's own: counted
        incidents.bug(plan, error)
        return {}
    return told


def of_batch(plan: Plan, calls: Sequence[Call], answers: Sequence[Answer]) -> dict[str, Attribute]:
    """Return the items that L1 did not hold, and their results."""
    try:
        items = [call.args[0] for call in calls]
        results = [None if answer.error is not None else answer.value for answer in answers]
        return {ATTRIBUTE_INPUT: _json(items), ATTRIBUTE_OUTPUT: _json(results)}
    except Exception as error:  # noqa: BLE001 - as above
        incidents.bug(plan, error)
        return {}


def _arguments(plan: Plan, call: Call) -> dict[str, object]:
    """Return the arguments by their names."""
    names = _names(plan.function)
    told = {names[at] if at < len(names) else str(at): value for at, value in enumerate(call.args)} | dict(
        call.kwargs
    )
    told.pop("self", None)
    told.pop("cls", None)
    return told


@lru_cache(256)
def _names(function: Callable[..., Any]) -> tuple[str, ...]:
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return tuple(each.name for each in parameters if each.kind in by_place)


def _is_secret(name: str) -> bool:
    lower = name.lower()
    return any(word in lower for word in _SECRETS)


def _json(value: object) -> str:
    """Return the first bytes of a value's JSON; what is beyond them is not even visited."""
    left = MOST
    pieces: list[str] = []
    for piece in json.JSONEncoder(ensure_ascii=False).iterencode(_plain(value, _Room(MOST), _DEEPEST)):
        pieces.append(piece)
        left -= len(piece)
        if left < 0:
            break
    return "".join(pieces).encode("utf-8", "replace")[:MOST].decode("utf-8", "ignore")


class _Room:
    """How much may still be told."""

    def __init__(self, left: int) -> None:
        self.left = left


def _plain(value: object, room: _Room, deep: int) -> object:
    """Return as much of a value as there is room for, in JSON's types."""
    room.left -= 1
    if value is None or type(value) in (bool, int, float):
        return value
    if isinstance(value, str):
        room.left -= len(value)
        return str(value[:MOST])
    if deep == 0:
        return _kind(value)
    if isinstance(value, Mapping):
        return _named_parts(value, room, deep)
    if isinstance(value, (list, tuple, AbstractSet)):
        return _parts(value, room, deep)
    dump = getattr(type(value), "model_dump", None)
    if dump is not None:
        return _plain(dump(value), room, deep - 1)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _named_parts(fields, room, deep)
    return _kind(value)


def _parts(value: Any, room: _Room, deep: int) -> list[object]:
    parts: list[object] = []
    for each in value:
        if room.left < 0:
            break
        parts.append(_plain(each, room, deep - 1))
    return parts


def _named_parts(value: Mapping[Any, object], room: _Room, deep: int) -> dict[str, object]:
    parts: dict[str, object] = {}
    for name, each in value.items():
        if room.left < 0:
            break
        told = str(name)[:MOST]
        room.left -= len(told)
        parts[told] = _WITHHELD if _is_secret(told) else _plain(each, room, deep - 1)
    return parts


def _kind(value: object) -> str:
    return f"<{type(value).__qualname__}>"
