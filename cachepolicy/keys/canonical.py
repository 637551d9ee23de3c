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

from collections.abc import Sequence
from typing import Final

import ormsgpack

from cachepolicy.errors import UnkeyableArgument
from cachepolicy.keys.frames import Tag, Unencodable, frame

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
"""``pack([…], extension, OPTIONS)``, which the hit path writes out, is ``encode`` in one native pass;
it raises TypeError for what ``encode`` tries again and explains."""

ATOMS: Final = frozenset({str, int, bool, bytes, type(None)})
"""Types whose values are told apart by equality and exact type alone (floats: only when not zero)."""

_NATIVE: Final = ATOMS | {float, bytearray, memoryview, ormsgpack.Ext}


def encode(value: object) -> bytes:
    """Return the canonical bytes of ``value``.

    Raises:
        UnkeyableArgument: the value, or something inside it, has no exact encoding.
    """
    try:
        return _encode(value)
    except Unencodable as refused:
        raise UnkeyableArgument(_advice(refused)) from None


def encode_arguments(names: tuple[str, ...], values: list[object], function: str) -> bytes:
    """Return the canonical bytes of a call's arguments; an error names the function and the parameter."""
    try:
        return _encode(values)
    except Unencodable as refused:
        whole = refused
    for name, value in zip(names, values, strict=True):
        try:
            _encode(value)
        except Unencodable as refused:
            raise UnkeyableArgument(f"{function}(): parameter {name!r}: {_advice(refused)}") from None
    raise UnkeyableArgument(f"{function}(): {_advice(whole)}")  # deep enough to fail only in the list


def encode_around(values: Sequence[object], at: int) -> tuple[bytes, bytes]:
    """Return what comes before and after one of several values in the encoding of them all.

    Args:
        values: of a list.
        at: which of them; what it is does not matter.

    Raises:
        UnkeyableArgument: another has no exact encoding.
    """
    count = len(values)
    begin = pack([None] * count)[:-count]  # nothing takes one byte
    before, after = (b"".join(map(encode, part)) for part in (values[:at], values[at + 1 :]))
    return begin + before, after


def is_atom(value: object) -> bool:
    """Tell whether ``(value, type(value))`` in a tuple is as exact a key as the encoding."""
    kind = type(value)
    return kind in ATOMS or (kind is float and bool(value) and value == value)  # noqa: PLR0124 - NaN


def is_plain_class(value: object) -> bool:
    """Tell whether a class is told apart by itself alone: its metaclass compares as ``type`` does."""
    kind = type(value)
    return isinstance(value, type) and kind.__eq__ is type.__eq__ and kind.__hash__ is type.__hash__


def extension(value: object) -> ormsgpack.Ext:
    """Frame a value that the native encoder passed through: its ``default`` hook."""
    return frame(value, _encode)


def _encode(value: object) -> bytes:
    try:
        return pack(value, extension, OPTIONS)
    except TypeError as refused:  # ormsgpack.MsgpackEncodeError is one
        if isinstance(refused.__cause__, Unencodable):
            raise refused.__cause__ from None
    try:
        return _exact(value)
    except Unencodable:
        raise
    except Exception:  # noqa: BLE001 - a value's own code (a property, a schema…) may raise anything
        reason = "cannot be encoded: it is nested too deeply, holds itself, or raises when it is read"
        raise Unencodable(type(value), reason) from None


def _exact(value: object) -> bytes:
    """Encode with everything the native encoder refuses already framed, at every depth.

    Never calls ``_encode``: a retry at each level would double the work with each level.
    """
    return pack(_framed(value), None, OPTIONS)


def _framed(value: object) -> object:
    kind = type(value)
    if kind is str:
        text: str = value  # type: ignore[assignment] # its exact type was asked
        try:
            text.encode()
        except UnicodeEncodeError:
            return ormsgpack.Ext(Tag.TEXT, text.encode("utf-8", "surrogatepass"))
        return text
    if kind is list:
        return [_framed(item) for item in value]  # type: ignore[attr-defined] # its exact type was asked
    if kind is dict:
        mapping: dict[object, object] = value  # type: ignore[assignment] # its exact type was asked
        if all(type(key) is str and type(_framed(key)) is str for key in mapping):
            return {key: _framed(item) for key, item in mapping.items()}
        items = sorted((_exact(key), _exact(item)) for key, item in mapping.items())
        return ormsgpack.Ext(Tag.MAPPING, _exact([list(item) for item in items]))
    if kind is int:
        number: int = value  # type: ignore[assignment] # its exact type was asked
        return number if -(2**63) <= number < 2**64 else frame(number, _exact)
    if kind in _NATIVE:
        return value
    return frame(value, _exact)


def _advice(refused: Unencodable) -> str:
    kind = refused.kind
    return (
        f"a {kind.__module__}.{kind.__qualname__} {refused.reason}; "
        "pass plain data (str, int, list, dict, dataclass, pydantic model…), "
        "say what identifies the call: key='…{parameter}…' or key=callable; "
        "or leave out what does not: ignore=('parameter',)"
    )
