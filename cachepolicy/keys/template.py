"""Readable keys: ``key="model_info:{provider}:{model}"``.

A field is a parameter or an attribute of one (``{user.id}``). Each value becomes one segment that can hold
no separator, and fields are set apart by at least one ``:``, so different values never share a name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Final

from cachepolicy.errors import DecorationError, UnkeyableArgument
from cachepolicy.keys.canonical import encode

_FIELD: Final = re.compile(r"\{([^\W\d]\w*(?:\.[^\W\d]\w*)*)\}")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.@+=/,-]{1,120}")
_LITERAL: Final = re.compile(r"[A-Za-z0-9_.:@+=/,-]*")
_LOOKS_TYPED: Final = re.compile(r"[+-]?\d.*|~.*|true|false|none", re.DOTALL)


def compile_template(template: str, names: Sequence[str], function: str) -> Callable[[Sequence[object]], str]:
    """Return a function from argument values (in the order of ``names``) to the key's readable part.

    Raises:
        DecorationError: the template names no parameter, an unknown one, or joins two without a ``:``.
    """
    pieces = _FIELD.split(template)  # literal, field, literal, field, …, literal
    literals, fields = pieces[::2], pieces[1::2]
    if not fields:
        raise DecorationError(
            f"{function}(): key={template!r} names no parameter; write key='user:{{user_id}}'"
        )
    for literal in literals:
        if not _LITERAL.fullmatch(literal):
            message = (
                f"{function}(): key={template!r}: outside {{fields}} use letters, digits and _.:@+=/,- only"
            )
            raise DecorationError(message)
    if any(":" not in literal for literal in literals[1:-1]):
        raise DecorationError(
            f"{function}(): key={template!r}: put a ':' between two fields, so that they cannot run together"
        )
    if any(literal and not literal.startswith(":") for literal in literals[1:]) or (
        literals[0] and not literals[0].endswith(":")
    ):
        raise DecorationError(
            f"{function}(): key={template!r}: a field is a segment of its own; put ':' on each side"
        )
    getters = [_getter(field, names, template, function) for field in fields]

    def render(values: Sequence[object]) -> str:
        parts = [literals[0]]
        for field, getter, literal in zip(fields, getters, literals[1:], strict=True):
            try:
                parts += (segment(getter(values)), literal)
            except UnkeyableArgument as error:
                raise UnkeyableArgument(f"{{{field}}}: {error}") from None
            except Exception as error:  # noqa: BLE001 - a property may raise anything
                message = f"{{{field}}} cannot be read: {type(error).__name__}"
                raise UnkeyableArgument(message) from None
        return "".join(parts)

    return render


def segment(value: object) -> str:
    """Return one key segment, different for every different value of every type.

    Short plain text and whole numbers stay readable; all else is a tagged digest.
    """
    if type(value) is int:
        return str(value) if abs(value) < 10**18 else _digest(value)
    if type(value) is str:
        if not _PLAIN.fullmatch(value):
            return _digest(value)
        return f"~{value}" if _LOOKS_TYPED.fullmatch(value) else value
    if value is None or type(value) is bool:
        return str(value).lower()
    return _digest(value)


def _digest(value: object) -> str:
    return f"~~{hashlib.sha256(encode(value)).hexdigest()}"


def _getter(
    field: str, names: Sequence[str], template: str, function: str
) -> Callable[[Sequence[object]], object]:
    parameter, _, attributes = field.partition(".")
    if parameter not in names:
        known = ", ".join(names) or "none"
        raise DecorationError(
            f"{function}(): key={template!r}: no parameter {parameter!r}; there are: {known}"
        )
    index = names.index(parameter)
    if not attributes:
        return lambda values: values[index]
    get = attrgetter(attributes)
    return lambda values: get(values[index])
