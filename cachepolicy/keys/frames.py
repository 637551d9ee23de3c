"""How a value is framed that MessagePack has no form for: as an extension holding its type and content.

Types are asked with ``type()``, never with ``isinstance``: a proxy says what class it has, and may lie.
Content is read with the builtin's own methods: a subclass may print itself as ``***``.
"""

from __future__ import annotations

import builtins
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import json
import pathlib
import re
import types
import uuid
from collections.abc import Callable, Collection
from typing import Any, Final

import ormsgpack

from cachepolicy.keys import clients

Encode = Callable[[object], bytes]


class Tag(enum.IntEnum):
    """Extension codes. Part of every key ever stored: never renumber, only append."""

    TUPLE = 1
    BIG_INT = 2
    SET = 3
    FROZENSET = 4
    MAPPING = 5
    DATETIME = 6
    DATE = 7
    TIME = 8
    TIMEDELTA = 9
    UUID = 10
    DECIMAL = 11
    FRACTION = 12
    COMPLEX = 13
    ENUM = 14
    DATACLASS = 15
    MODEL = 16
    CLASS = 17
    NAMED_TUPLE = 18
    SUBCLASS = 19
    TEXT = 20
    PATH = 21
    PATTERN = 22
    ARRAY = 23
    RANGE = 24
    ABSENT = 25
    CLIENT = 26


_NOT_PASSED: Final = ormsgpack.Ext(Tag.ABSENT, b"")


class Unencodable(Exception):
    """Carries the type that has no exact encoding, and what is known of the reason."""

    def __init__(self, kind: type, reason: str = "has no exact encoding, so no key is made of it") -> None:
        self.kind = kind
        self.reason = reason
        super().__init__(kind.__qualname__)


def frame(value: Any, encode: Encode) -> ormsgpack.Ext:  # noqa: C901, PLR0912 - one flat table
    """Frame a value of any type but MessagePack's own; what it holds is encoded with ``encode``.

    Raises:
        Unencodable: its type has no exact encoding.
    """
    kind = type(value)
    if kind is tuple:
        return ormsgpack.Ext(Tag.TUPLE, encode(list(value)))
    if kind is int:
        return ormsgpack.Ext(Tag.BIG_INT, f"{value:x}".encode())
    if clients.is_absent(value):
        return _NOT_PASSED
    if kind is set or kind is frozenset:
        tag = Tag.SET if kind is set else Tag.FROZENSET
        return ormsgpack.Ext(tag, encode(sorted(map(encode, value))))
    if issubclass(kind, enum.Enum):
        return ormsgpack.Ext(Tag.ENUM, encode([name_of(kind), *_member(value, encode)]))
    if kind.__module__ == "numpy":
        return ormsgpack.Ext(Tag.ARRAY, encode([name_of(kind), *_array(value)]))
    if issubclass(kind, datetime.datetime):
        moment = [value.isoformat(), value.fold, _zone(value.tzinfo)]
        return _dated(Tag.DATETIME, datetime.datetime, value, moment, encode)
    if issubclass(kind, datetime.date):
        return _dated(Tag.DATE, datetime.date, value, [value.isoformat()], encode)
    if issubclass(kind, datetime.time):
        moment = [value.isoformat(), value.fold, _zone(value.tzinfo)]
        return _dated(Tag.TIME, datetime.time, value, moment, encode)
    if issubclass(kind, datetime.timedelta):
        span = [value.days, value.seconds, value.microseconds]
        return _dated(Tag.TIMEDELTA, datetime.timedelta, value, span, encode)
    if kind is uuid.UUID:
        return ormsgpack.Ext(Tag.UUID, value.bytes)
    if kind is decimal.Decimal:
        return ormsgpack.Ext(Tag.DECIMAL, str(value).encode())
    if kind is fractions.Fraction:
        return ormsgpack.Ext(Tag.FRACTION, str(value).encode())
    if kind is complex:
        return ormsgpack.Ext(Tag.COMPLEX, encode([value.real, value.imag]))
    if kind is range:
        return ormsgpack.Ext(Tag.RANGE, encode([value.start, value.stop, value.step]))
    if kind.__module__.partition(".")[0] == "pathlib" and issubclass(kind, pathlib.PurePath):
        return ormsgpack.Ext(Tag.PATH, encode([name_of(kind), str(value)]))
    if kind is re.Pattern:
        return ormsgpack.Ext(Tag.PATTERN, encode([value.pattern, value.flags]))
    if (client := clients.endpoint(value)) is not None:
        return ormsgpack.Ext(Tag.CLIENT, encode(client))
    if issubclass(kind, type):
        return ormsgpack.Ext(Tag.CLASS, encode([name_of(value), _schema(value)]))
    if hasattr(kind, "__pydantic_core_schema__") and hasattr(kind, "model_fields"):
        return ormsgpack.Ext(Tag.MODEL, encode([name_of(kind), *_model(value)]))
    for base, content in _CONTENT.items():
        if issubclass(kind, base):
            return _subclass(value, content(value), encode)
    if dataclasses.is_dataclass(kind):
        fields = {field.name: getattr(value, field.name) for field in _set_fields(value)}
        return ormsgpack.Ext(Tag.DATACLASS, encode([name_of(kind), fields, _state(value, fields)]))
    raise Unencodable(kind)


def name_of(kind: type) -> str:
    """Return ``module:qualname`` of a class; the main script is ``__main__`` in a spawned process too."""
    module = "__main__" if kind.__module__ == "__mp_main__" else kind.__module__
    return f"{module}:{kind.__qualname__}"


_CONTENT: Final[dict[type, Callable[[Any], object]]] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
    list: list.copy,
    tuple: lambda value: list(tuple.__iter__(value)),
    collections.OrderedDict: lambda value: [list(item) for item in dict.items(value)],  # order is identity
    dict: dict.copy,
    set: lambda value: set(set.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
}
"""Builtins that people inherit from, and how to read their part of an instance."""


def _subclass(value: Any, content: object, encode: Encode) -> ormsgpack.Ext:
    """Frame a subclass of a builtin by its class, its content and all it holds besides."""
    kind = type(value)
    fields: tuple[str, ...] | None = getattr(kind, "_fields", None)
    if issubclass(kind, tuple) and fields is not None:
        whole = [name_of(kind), list(fields), content, _state(value, ())]
        return ormsgpack.Ext(Tag.NAMED_TUPLE, encode(whole))
    return ormsgpack.Ext(Tag.SUBCLASS, encode([name_of(kind), content, _state(value, ())]))


def _dated(tag: Tag, base: Any, value: Any, content: list[object], encode: Encode) -> ormsgpack.Ext:
    """Frame a date, a time or a duration; a subclass with what both it and its base say, and its state."""
    kind = type(value)
    if kind is not base:
        content += [base.__str__(value), _state(value, ())]
    return ormsgpack.Ext(tag, encode([name_of(kind), *content]))


def _zone(zone: datetime.tzinfo | None) -> object:
    """Describe a time zone by its class and name; one that has none would be known by its address."""
    if zone is None:
        return None
    kind = type(zone)
    if kind.__str__ is object.__str__ and kind.__repr__ in {object.__repr__, datetime.tzinfo.__repr__}:
        raise Unencodable(kind)
    return [name_of(kind), str(zone)]


def _member(member: enum.Enum, encode: Encode) -> list[object]:
    """Describe an enum's member by name and value: an edited value is another request.

    A value without an encoding (``object()``) means nothing outside of its process: the name stands alone.
    """
    try:
        return [member.name, encode(member._value_)]  # `value` may be overridden
    except Unencodable:
        return [member.name]


def _array(value: Any) -> list[object]:
    """Describe a numpy array or scalar by type, shape and bytes; object arrays hold pointers, not values."""
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is None or shape is None or dtype.hasobject:
        raise Unencodable(type(value))
    return [dtype.name, str(dtype.descr), list(shape), value.tobytes()]


def _schema(kind: Any) -> object:
    """Describe a pydantic class (a response format) by its schema: an edited schema is another request.

    The schema goes in as text: the order of its fields shapes what a model answers. A builtin is its name.
    """
    if getattr(builtins, kind.__name__, None) is kind:
        return None
    if not hasattr(kind, "model_json_schema"):
        raise Unencodable(type(kind))
    return json.dumps(kind.model_json_schema())


def _model(value: Any) -> list[object]:
    """Describe a pydantic model by all that its own equality compares."""
    state = vars(value)
    fields = {name: state[name] for name in type(value).model_fields if name in state}
    beyond = ("__pydantic_extra__", "__pydantic_private__")  # not set in a model built without validation
    return [fields, *(getattr(value, name, None) for name in beyond)]


def _set_fields(value: Any) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(value) if hasattr(value, field.name)]


def _state(value: object, known: Collection[str]) -> dict[str, object]:
    """Return instance attributes beyond ``known``: state that is part of the value's identity."""
    slots, derived = _attributes(type(value))  # type: ignore[arg-type] # a class is hashable
    state = {
        name: item
        for name, item in getattr(value, "__dict__", {}).items()
        if name not in known and name not in derived
    }
    held = [name for name in slots if name not in known and hasattr(value, name)]
    return state | {name: getattr(value, name) for name in held}


@functools.lru_cache(maxsize=512)
def _attributes(kind: type) -> tuple[frozenset[str], frozenset[str]]:
    """Name a class's slots, and its cached properties: what was computed of a value adds nothing to it."""
    members = [(name, member) for base in kind.__mro__ for name, member in vars(base).items()]
    slots = frozenset(name for name, member in members if isinstance(member, types.MemberDescriptorType))
    return slots, frozenset(name for name, member in members if isinstance(member, functools.cached_property))
