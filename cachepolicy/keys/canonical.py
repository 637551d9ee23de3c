"""One canonical, typed byte form of the arguments of a call.

Two values have the same encoding exactly when they are the same value of the same type:
``1``, ``1.0``, ``True`` and ``"1"`` all differ, so do ``[1]``, ``(1,)`` and ``{1}``, ``0.0`` and ``-0.0``,
``None`` and ``""``; the order in which a dict was filled does not matter.
The one equivalence: ``bytes``, ``bytearray`` and ``memoryview`` of equal content are equal.

The form is MessagePack with sorted keys. What MessagePack would fold together (a tuple with a list, an
enum with its value…) is passed to ``extension`` by the encoder's pass-through options and framed as an
extension type; a mapping whose keys are not all strings, and text that is not Unicode, are framed too.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import pathlib
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Final

import ormsgpack

from cachepolicy.errors import UnkeyableArgument

OPTIONS: Final = (
    ormsgpack.OPT_SORT_KEYS
    | ormsgpack.OPT_PASSTHROUGH_BIG_INT
    | ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_SUBCLASS
    | ormsgpack.OPT_PASSTHROUGH_TUPLE
    | ormsgpack.OPT_PASSTHROUGH_UUID
)

pack: Final = ormsgpack.packb
"""``pack([…], extension, OPTIONS)``, which the hit path writes out, is ``encode`` in one native pass; it raises
TypeError for what ``encode`` tries again and explains."""

ATOMS: Final = frozenset({str, int, bool, bytes, type(None)})
"""Types whose values are told apart by equality and exact type alone (floats: only when not zero)."""

_NATIVE: Final = ATOMS | {float, bytearray, memoryview, ormsgpack.Ext}

_Encode = Callable[[object], bytes]


class _Tag(enum.IntEnum):
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
    MODEL_CLASS = 17
    NAMED_TUPLE = 18
    SUBCLASS = 19
    TEXT = 20
    PATH = 21
    PATTERN = 22
    ARRAY = 23
    RANGE = 24


class Unencodable(Exception):
    """Carries the type that has no exact encoding."""

    def __init__(self, kind: type) -> None:
        self.kind = kind
        super().__init__(kind.__qualname__)


def encode(value: object) -> bytes:
    """Return the canonical bytes of ``value``.

    Raises:
        UnkeyableArgument: the value, or something inside it, has no exact encoding.
    """
    try:
        return _encode(value)
    except Unencodable as refused:
        raise UnkeyableArgument(_advice(refused.kind)) from None


def encode_arguments(names: tuple[str, ...], values: list[object], function: str) -> bytes:
    """Return the canonical bytes of a call's arguments; an error names the function and the parameter."""
    try:
        return _encode(values)
    except Unencodable:
        for name, value in zip(names, values, strict=True):
            try:
                _encode(value)
            except Unencodable as refused:
                message = f"{function}(): parameter {name!r}: {_advice(refused.kind)}"
                raise UnkeyableArgument(message) from None
        raise  # pragma: no cover - the list fails only if an item does


def is_atom(value: object) -> bool:
    """Tell whether ``(value, type(value))`` in a tuple is as exact a key as the encoding."""
    kind = type(value)
    return kind in ATOMS or (kind is float and bool(value) and value == value)  # noqa: PLR0124 - NaN


def _encode(value: object) -> bytes:
    try:
        return pack(value, extension, OPTIONS)
    except TypeError as refused:  # ormsgpack.MsgpackEncodeError is one
        if isinstance(refused.__cause__, Unencodable):
            raise refused.__cause__ from None
    try:
        return _exact(value)
    except (TypeError, RecursionError):  # nested deeper than the encoder goes, or in itself
        raise Unencodable(type(value)) from None


def _exact(value: object) -> bytes:
    """Encode with everything the native encoder refuses already framed, at every depth.

    Never calls ``_encode``: a retry at each level would double the work with each level.
    """
    return pack(_framed(value), None, OPTIONS)


def _framed(value: object) -> object:
    kind = type(value)
    if kind is str:
        text: str = value  # type: ignore[assignment]
        try:
            text.encode()
        except UnicodeEncodeError:
            return ormsgpack.Ext(_Tag.TEXT, text.encode("utf-8", "surrogatepass"))
        return text
    if kind is list:
        return [_framed(item) for item in value]  # type: ignore[attr-defined]
    if kind is dict:
        mapping: dict[object, object] = value  # type: ignore[assignment]
        if all(type(key) is str and type(_framed(key)) is str for key in mapping):
            return {key: _framed(item) for key, item in mapping.items()}
        items = sorted((_exact(key), _exact(item)) for key, item in mapping.items())
        return _frame(_Tag.MAPPING, [list(item) for item in items], _exact)
    if kind is int:
        number: int = value  # type: ignore[assignment]
        return number if -(2**63) <= number < 2**64 else _extended(number, _exact)
    if kind in _NATIVE:
        return value
    return _extended(value, _exact)


def extension(value: object) -> ormsgpack.Ext:
    """Frame a value that the native encoder passed through: its ``default`` hook."""
    return _extended(value, _encode)


def _frame(tag: _Tag, content: object, inner: _Encode) -> ormsgpack.Ext:
    return ormsgpack.Ext(tag, inner(content))


def _extended(value: object, inner: _Encode) -> ormsgpack.Ext:  # noqa: C901, PLR0912 - one flat table
    kind = type(value)
    if kind is tuple:
        return _frame(_Tag.TUPLE, list(value), inner)  # type: ignore[call-overload]
    if kind is int:
        return ormsgpack.Ext(_Tag.BIG_INT, f"{value:x}".encode())
    if kind is set or kind is frozenset:
        tag = _Tag.SET if kind is set else _Tag.FROZENSET
        return _frame(tag, sorted(map(inner, value)), inner)  # type: ignore[call-overload]
    if isinstance(value, enum.Enum):
        return _frame(_Tag.ENUM, [_name(kind), _enum_name(value)], inner)
    if kind.__module__.partition(".")[0] == "numpy":
        return _array(value, inner)
    if isinstance(value, datetime.datetime):
        return _frame(_Tag.DATETIME, [_name(kind), value.isoformat(), value.fold, str(value.tzinfo)], inner)
    if isinstance(value, datetime.date):
        return _frame(_Tag.DATE, [_name(kind), value.isoformat()], inner)
    if isinstance(value, datetime.time):
        return _frame(_Tag.TIME, [_name(kind), value.isoformat(), value.fold, str(value.tzinfo)], inner)
    if isinstance(value, datetime.timedelta):
        return _frame(_Tag.TIMEDELTA, [_name(kind), value.days, value.seconds, value.microseconds], inner)
    if kind is uuid.UUID:
        return ormsgpack.Ext(_Tag.UUID, value.bytes)  # type: ignore[attr-defined]
    if kind is decimal.Decimal:
        return ormsgpack.Ext(_Tag.DECIMAL, str(value).encode())
    if kind is fractions.Fraction:
        return ormsgpack.Ext(_Tag.FRACTION, str(value).encode())
    if kind is complex:
        return _frame(_Tag.COMPLEX, [value.real, value.imag], inner)  # type: ignore[attr-defined]
    if kind is range:
        return _frame(_Tag.RANGE, [value.start, value.stop, value.step], inner)  # type: ignore[attr-defined]
    if isinstance(value, pathlib.PurePath):
        return _frame(_Tag.PATH, [_name(kind), str(value)], inner)
    if isinstance(value, re.Pattern):
        return _frame(_Tag.PATTERN, [value.pattern, value.flags], inner)
    if isinstance(value, type):
        return _class(value, inner)
    if hasattr(kind, "__pydantic_core_schema__") and hasattr(kind, "model_fields"):
        return _model(value, inner)
    if dataclasses.is_dataclass(kind):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(kind)}
        return _frame(_Tag.DATACLASS, [_name(kind), fields, _state_besides(value, fields)], inner)
    return _subclass(value, inner)


def _model(value: object, inner: _Encode) -> ormsgpack.Ext:
    """Frame a pydantic model: its class and all that its own equality compares."""
    kind = type(value)
    state = vars(value)
    fields = {name: state[name] for name in kind.model_fields}  # type: ignore[attr-defined]
    extra = getattr(value, "__pydantic_extra__", None)
    private = getattr(value, "__pydantic_private__", None)
    return _frame(_Tag.MODEL, [_name(kind), fields, extra, private], inner)


def _class(kind: type, inner: _Encode) -> ormsgpack.Ext:
    """Frame a pydantic class (a response format) by its schema: an edited schema is another request."""
    schema = getattr(kind, "model_json_schema", None)
    if schema is None:
        raise Unencodable(type(kind))
    return _frame(_Tag.MODEL_CLASS, [_name(kind), schema()], inner)


def _subclass(value: object, inner: _Encode) -> ormsgpack.Ext:
    """Frame a subclass of a builtin by its class and content, if it holds nothing besides."""
    kind = type(value)
    for base in (str, int, float, bytes, list, tuple, dict, set, frozenset):
        if not isinstance(value, base):
            continue
        if isinstance(value, tuple) and hasattr(kind, "_fields"):
            return _frame(_Tag.NAMED_TUPLE, [_name(kind), list(kind._fields), list(value)], inner)
        content = [_name(kind), base(value), _state_besides(value, {})]  # type: ignore[arg-type]
        if isinstance(value, dict) and kind.__eq__ is not dict.__eq__:
            content.append([[key, item] for key, item in value.items()])  # OrderedDict: order is identity
        return _frame(_Tag.SUBCLASS, content, inner)
    raise Unencodable(kind)


def _array(value: object, inner: _Encode) -> ormsgpack.Ext:
    """Frame a numpy array or scalar by type, shape and bytes; object arrays hold pointers, not values."""
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is None or shape is None or dtype.hasobject:
        raise Unencodable(type(value))
    content = [_name(type(value)), dtype.str, list(shape), value.tobytes()]  # type: ignore[attr-defined]
    return _frame(_Tag.ARRAY, content, inner)


def _state_besides(value: object, known: Mapping[str, object]) -> dict[str, object]:
    """Return instance attributes beyond ``known``: state that is part of the value's identity."""
    kind = type(value)
    slots = {
        name
        for base in kind.__mro__
        if base.__module__ != "builtins"
        for name in _slot_names(base)
        if name not in known and hasattr(value, name)
    }
    state = {name: item for name, item in getattr(value, "__dict__", {}).items() if name not in known}
    return state | {name: getattr(value, name) for name in slots}


def _slot_names(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple(name for name in names if name not in {"__dict__", "__weakref__"})


def _enum_name(value: enum.Enum) -> object:
    """Return the member's name; a combination of flags may have none, its number then stands for it."""
    name: str | None = value.name
    return name if name is not None else [value.value]


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _advice(kind: type) -> str:
    return (
        f"a {kind.__module__}.{kind.__qualname__} has no exact encoding, so no key can be made of it; "
        "pass plain data (str, int, list, dict, dataclass, pydantic model…), "
        "or say what identifies the call: key='…{parameter}…' or key=callable"
    )
