"""Vectors as bytes: single precision where that is exact, double otherwise, half where it is asked for.

::

    offset  size  field (little-endian)
         0     1  how the numbers are written
         1     1  what the vector was given as
         2     2  m: length of what stood beside it
         4     4  n: how many numbers
         8  n × s  the numbers; MessagePack where they are not all floats
              m  what stood beside it, MessagePack

Neither numpy nor an SDK is imported here: an array is made by the class that the annotation names.
"""

from __future__ import annotations

import base64
import binascii
import enum
import struct
import sys
from array import array
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

import ormsgpack

from cachepolicy.codec.equality import same
from cachepolicy.codec.serialize import PLAIN_OPTIONS, Form, Serialized, Serializer, fingerprint_of
from cachepolicy.errors import Corruption, CorruptValue, UnserializableValue

Precision = Literal["exact", "float16"]

_HEAD: Final = struct.Struct("<BBHI")
_BEGIN: Final = _HEAD.size
_SWAPPED: Final = sys.byteorder == "big"
_MOST_BESIDE: Final = 2**16 - 1


class Numbers(enum.IntEnum):
    """How the numbers of a vector are written; stored: never renumber, only append."""

    SINGLE = 1
    DOUBLE = 2
    HALF = 3
    WHOLE = 4  # of an array of integers, as wide as its type says
    MESSAGEPACK = 5


class Given(enum.IntEnum):
    """What a vector was; stored: never renumber, only append."""

    LIST = 1
    BASE64 = 2  # of little-endian floats of single precision, as providers send them
    ARRAY_SINGLE = 3
    ARRAY_DOUBLE = 4
    F2 = 5
    F4 = 6
    F8 = 7
    I1 = 8
    U1 = 9
    I2 = 10
    U2 = 11
    I4 = 12
    U4 = 13
    I8 = 14
    U8 = 15


_COUNT: Final = struct.Struct("<I")
_PLAIN_LIST: Final = bytes((Numbers.SINGLE, Given.LIST, 0, 0))
_SINGLE: Final = int(Numbers.SINGLE)  # an enum's member is slow to name and to compare
_HALF: Final = int(Numbers.HALF)
_LIST: Final = int(Given.LIST)
_FLOATS: Final = {Numbers.SINGLE: "f", Numbers.DOUBLE: "d", Numbers.HALF: "e"}
_DTYPES: Final = {
    "<f2": Given.F2, "<f4": Given.F4, "<f8": Given.F8, "|i1": Given.I1, "|u1": Given.U1, "<i2": Given.I2,
    "<u2": Given.U2, "<i4": Given.I4, "<u4": Given.U4, "<i8": Given.I8, "<u8": Given.U8,
}  # fmt: skip
_NAMES: Final = {int(given): dtype for dtype, given in _DTYPES.items()}
_OWN: Final = {Given.F2: Numbers.HALF, Given.F4: Numbers.SINGLE}


class Embedded(NamedTuple):
    """A vector out of a provider's response, and what stood beside it there; plain data."""

    vector: object
    beside: dict[str, object]


def serializer_of(
    kind: Literal["list", "array", "ndarray", "embedded"],
    precision: Precision = "exact",
    *,
    made_by: Any = None,
    about: str = "",
) -> Serializer:
    """Return what writes and reads the vectors of one function.

    Args:
        kind: what each of them is: ``embedded`` is an ``Embedded``.
        precision: ``float16`` keeps half precision, which is not what was given.
        made_by: the class of numpy arrays.
        about: what else a stored vector must have been written for.
    """
    load = _LOADERS.get(kind) or _arrays(made_by)

    def dump(value: Any) -> Serialized:
        return Serialized(Form.VECTOR, _laid_out(value, kind, precision), load)

    return Serializer(fingerprint_of(f"vector {kind} {precision} {about}"), dump, {Form.VECTOR: load})


def _laid_out(value: Any, kind: str, precision: Precision) -> bytes:
    """Return the payload of a vector.

    Raises:
        UnserializableValue: it is not of its kind, or would not come back as it was.
    """
    beside = b""
    if kind == "embedded":
        vector, facts = value
        beside = _packed(facts)
        if len(beside) > _MOST_BESIDE:
            raise UnserializableValue("what stands beside an embedding takes more than 64 KiB")
        if type(vector) is str:
            numbers = _from_base64(vector)
            return _HEAD.pack(_SINGLE, Given.BASE64, len(beside), len(numbers) // 4) + numbers + beside
    else:
        vector = value
    if kind == "ndarray":
        written, given, numbers = _of_ndarray(vector, precision)
    elif kind == "array":
        written, given, numbers = _of_array(vector, precision)
    elif type(vector) is list:
        given = Given.LIST
        if {float}.issuperset(map(type, vector)):
            written, numbers = _of_floats(vector, precision)
        else:  # whole numbers among them: JSON of some providers writes 0 for 0.0
            written, numbers = Numbers.MESSAGEPACK, _packed(vector)
    else:
        raise _strange(vector)
    return _HEAD.pack(written, given, len(beside), len(vector)) + numbers + beside


def _of_floats(values: list[float], precision: Precision) -> tuple[Numbers, bytes]:
    if precision == "float16":
        try:
            return Numbers.HALF, struct.pack(f"<{len(values)}e", *values)
        except OverflowError:  # beyond 65504
            pass
    single = array("f", values)
    if single.tolist() == values:
        return Numbers.SINGLE, _little(single).tobytes()
    return Numbers.DOUBLE, _little(array("d", values)).tobytes()


def _of_array(vector: Any, precision: Precision) -> tuple[Numbers, Given, bytes]:
    if type(vector) is not array or vector.typecode not in "fd":
        raise _strange(vector)
    given = Given.ARRAY_SINGLE if vector.typecode == "f" else Given.ARRAY_DOUBLE
    if given is Given.ARRAY_SINGLE and precision == "exact":
        return Numbers.SINGLE, given, _little(vector[:]).tobytes()
    written, numbers = _of_floats(vector.tolist(), precision)
    return written, given, numbers


def _of_ndarray(vector: Any, precision: Precision) -> tuple[Numbers, Given, bytes]:
    given = _DTYPES.get(getattr(getattr(vector, "dtype", None), "str", ""))
    if given is None or vector.ndim != 1:
        raise _strange(vector)
    if given not in {Given.F2, Given.F4, Given.F8}:
        return Numbers.WHOLE, given, vector.tobytes()
    if given is Given.F2 or (given is Given.F4 and precision == "exact"):
        return _OWN[given], given, vector.tobytes()
    written, numbers = _of_floats(vector.tolist(), precision)
    return written, given, numbers


def _from_base64(text: str) -> bytes:
    try:
        numbers = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        numbers = b""
    if not numbers or len(numbers) % 4 or base64.b64encode(numbers).decode() != text:
        raise UnserializableValue("an embedding in base64 is no sequence of floats of single precision")
    return numbers


def _packed(value: object) -> bytes:
    try:
        packed = ormsgpack.packb(value, None, PLAIN_OPTIONS)
        unchanged = same(value, ormsgpack.unpackb(packed))
    except (TypeError, ValueError):  # ormsgpack's errors are both
        unchanged, packed = False, b""
    if not unchanged:
        raise UnserializableValue(
            "what a vector holds, or what stands beside it, is not made of JSON's types"
        )
    return packed


def _strange(vector: object) -> UnserializableValue:
    kind = type(vector)
    return UnserializableValue(f"a {kind.__module__}.{kind.__qualname__} is no vector that can be kept")


def _little(numbers: array[float]) -> array[float]:
    if _SWAPPED:
        numbers.byteswap()
    return numbers


def _opened(payload: bytes) -> tuple[int, int, int, int]:
    """Return how a vector is written, what it was, how many numbers it has, and where they end.

    Raises:
        CorruptValue: the payload is not as long as it says.
    """
    if len(payload) < _BEGIN:
        raise CorruptValue(Corruption.PAYLOAD)
    written, given, beside, count = _HEAD.unpack_from(payload)
    end = len(payload) - beside
    code = _FLOATS.get(written)
    if code is not None and end != _BEGIN + count * struct.calcsize(f"<{code}"):
        raise CorruptValue(Corruption.PAYLOAD)
    return written, given, count, end


def _floats(payload: bytes, written: int, count: int, end: int) -> array[float] | tuple[float, ...]:
    if written == _HALF:
        return struct.unpack_from(f"<{count}e", payload, _BEGIN)
    numbers = array("f" if written == _SINGLE else "d")
    numbers.frombytes(memoryview(payload)[_BEGIN:end])
    return _little(numbers)


def _list(payload: bytes, written: int, count: int, end: int) -> list[Any]:
    if written == Numbers.MESSAGEPACK:
        packed = payload[_BEGIN:end]
        numbers: list[Any] = ormsgpack.unpackb(packed)
        if len(numbers) != count or ormsgpack.packb(numbers, None, PLAIN_OPTIONS) != packed:
            raise CorruptValue(Corruption.PAYLOAD)
        return numbers
    floats = _floats(payload, written, count, end)
    return floats.tolist() if isinstance(floats, array) else list(floats)


def _load_list(payload: bytes) -> list[Any]:
    if payload[:4] == _PLAIN_LIST and not _SWAPPED:  # nearly all: written out, for a batch has hundreds
        singles = array("f")
        singles.frombytes(memoryview(payload)[_BEGIN:])
        if _COUNT.unpack_from(payload, 4)[0] == len(singles):
            return singles.tolist()
    written, given, count, end = _opened(payload)
    if given != _LIST:
        raise CorruptValue(Corruption.PAYLOAD)
    return _list(payload, written, count, end)


def _load_array(payload: bytes) -> array[float]:
    written, given, count, end = _opened(payload)
    code = "f" if given == Given.ARRAY_SINGLE else "d"
    numbers = _floats(payload, written, count, end)
    return numbers if isinstance(numbers, array) and numbers.typecode == code else array(code, numbers)


def _load_embedded(payload: bytes) -> Embedded:
    written, given, count, end = _opened(payload)
    if given == Given.BASE64:
        vector: object = base64.b64encode(payload[_BEGIN:end]).decode()
    else:
        vector = _list(payload, written, count, end)
    return Embedded(vector, ormsgpack.unpackb(memoryview(payload)[end:]))


_LOADERS: Final[dict[str, Callable[[bytes], object]]] = {
    "list": _load_list,
    "array": _load_array,
    "embedded": _load_embedded,
}


def _arrays(made_by: Any) -> Callable[[bytes], object]:
    """Return what makes numpy arrays: each caller's own, and writable."""
    dtypes = {int(written): f"<{code}{size}" for written, code, size in (
        (Numbers.SINGLE, "f", 4), (Numbers.DOUBLE, "f", 8), (Numbers.HALF, "f", 2))}  # fmt: skip

    def load(payload: bytes) -> object:
        written, given, count, end = _opened(payload)
        dtype = _NAMES[given]
        stored = dtypes.get(written, dtype)
        if end != _BEGIN + count * int(stored[2]):
            raise CorruptValue(Corruption.PAYLOAD)
        numbers = made_by((count,), stored, payload, _BEGIN)
        return numbers.copy() if stored == dtype else numbers.astype(dtype)

    return load
