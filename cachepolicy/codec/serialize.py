"""Values as payload bytes and back, led by the return annotation of the decorated function.

Without an annotation, and for plain ones (``str``, ``bytes``, ``dict[str, int]``…): text, bytes, or
MessagePack of JSON's types. With any other: JSON through a pydantic ``TypeAdapter``, so that models,
dataclasses, dates and the like come back as what they were. Every payload is read back and compared before
it is let out: a value that would return different is refused, never approximated.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import ormsgpack
from pydantic import TypeAdapter

from cachepolicy.codec import parts
from cachepolicy.codec.envelope import NO_SCHEMA
from cachepolicy.codec.equality import passes_once, same
from cachepolicy.codec.lenient import Part, alike
from cachepolicy.codec.model_state import dump_state, keeps_more, load_state
from cachepolicy.errors import Corruption, CorruptValue, UnserializableValue


class Form(enum.IntEnum):
    """How a payload is written; stored in the envelope: never renumber, only append."""

    __hash__ = int.__hash__  # found by the number that was stored

    TEXT = 1
    BYTES = 2
    MSGPACK = 3
    JSON = 4
    ERROR = 5
    VECTOR = 6
    STREAM = 7


INCOMPRESSIBLE: Final = frozenset({int(Form.VECTOR)})
"""Forms whose payloads hardly shrink: zlib takes 7 % off the floats of an embedding."""


class Serialized(NamedTuple):
    """A payload, and the function that makes a fresh value of it."""

    form: int
    payload: bytes
    load: Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class Serializer:
    """How one function's results are written: ``dump`` verifies, ``loaders`` read what ``schema`` says."""

    schema: bytes
    dump: Callable[[object], Serialized]
    loaders: Mapping[int, Callable[[bytes], object]]


PLAIN_OPTIONS: Final = (
    ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_SUBCLASS
    | ormsgpack.OPT_PASSTHROUGH_TUPLE
    | ormsgpack.OPT_PASSTHROUGH_UUID
)
"""MessagePack of JSON's types alone: whatever else there is, is refused."""
_PLAIN: Final = (str, bytes, int, float, bool, type(None), list, dict, Any, object)


def _load_text(payload: bytes) -> str:
    return payload.decode()


def _load_bytes(payload: bytes) -> bytes:
    return payload


_PLAIN_LOADERS: Final[Mapping[int, Callable[[bytes], object]]] = {
    Form.TEXT: _load_text,
    Form.BYTES: _load_bytes,
    Form.MSGPACK: ormsgpack.unpackb,
}

ABSENT: Final = object()
"""Stands for a missing annotation, since ``None`` is one."""


def serializer_for(annotation: object) -> Serializer:
    """Choose how results annotated so are written.

    Raises:
        UnserializableValue: no byte form is known for the annotation.
    """
    if annotation is ABSENT:
        return Serializer(NO_SCHEMA, _dump_plain, _PLAIN_LOADERS)
    if _is_plain(annotation):
        return Serializer(fingerprint_of(repr(annotation)), _dump_plain, _PLAIN_LOADERS)
    if parts.concerns(annotation):
        return _lenient(annotation)
    return _typed(annotation)


def load(serializer: Serializer, form: int, payload: bytes) -> Serialized:
    """Pair a stored payload with its loader.

    Raises:
        CorruptValue: this function's results are not written in that form.
    """
    loader = serializer.loaders.get(form)
    if loader is None:
        raise CorruptValue(Corruption.SCHEMA)
    return Serialized(form, payload, loader)


def read(serialized: Serialized) -> object:
    """Make a fresh value of a payload.

    Raises:
        CorruptValue: the bytes do not decode to one.
    """
    try:
        return serialized.load(serialized.payload)
    except CorruptValue:
        raise
    except Exception:  # noqa: BLE001 - validators and __eq__ are user code; the caller counts
        raise CorruptValue(Corruption.PAYLOAD) from None


def _dump_plain(value: object) -> Serialized:
    kind = type(value)
    if kind is str:
        text: str = value  # type: ignore[assignment] # its exact type was asked
        try:
            return Serialized(Form.TEXT, text.encode(), _load_text)
        except UnicodeEncodeError:
            raise UnserializableValue("text with lone surrogates is not Unicode") from None
    if kind is bytes:
        return Serialized(Form.BYTES, value, _load_bytes)  # type: ignore[arg-type] # the same
    try:
        payload = ormsgpack.packb(value, None, PLAIN_OPTIONS)
    except TypeError:  # ormsgpack.MsgpackEncodeError is one
        raise UnserializableValue(_advice(value)) from None
    return _verified(Serialized(Form.MSGPACK, payload, ormsgpack.unpackb), value)


def _typed(annotation: Any, *, keeps_unset: bool = False) -> Serializer:
    """Write by pydantic; ``keeps_unset``: fields of models that nobody set stay so, where that works."""
    try:
        adapter: TypeAdapter[object] = TypeAdapter(annotation)
        schema = fingerprint_of(repr(sorted(adapter.json_schema().items())))
    except Exception as error:  # a type's own schema hooks are user code
        message = (
            f"results annotated {annotation!r} have no byte form; return plain data, a dataclass or a model"
        )
        raise UnserializableValue(message) from error

    def load_json(payload: bytes) -> object:
        try:
            return adapter.validate_json(payload, by_name=True, by_alias=False)
        except Exception:  # noqa: BLE001 - validators are user code, and may change their mind
            raise CorruptValue(Corruption.PAYLOAD) from None

    def dump_json(value: object) -> Serialized:
        try:
            if passes_once(value):
                raise UnserializableValue(_advice(value))
            for exclude_unset in (True, False) if keeps_unset else (False,):
                payload = adapter.dump_json(
                    value, by_alias=False, round_trip=True, warnings="error", exclude_unset=exclude_unset
                )
                serialized = Serialized(Form.JSON, payload, load_json)
                if _returns(serialized, value, same):
                    return serialized
        except UnserializableValue:
            raise
        except Exception:  # noqa: BLE001 - serializers are user code; the caller counts
            raise UnserializableValue(_advice(value)) from None
        raise UnserializableValue(_advice(value))

    typed = Serializer(schema, dump_json, {Form.JSON: load_json})
    return _standing(typed, annotation) if keeps_more(annotation) else typed


def _standing(typed: Serializer, annotation: type[Any]) -> Serializer:
    """Write as ``typed`` does, and what would not come back so, as it stands."""

    def load_whole(payload: bytes) -> object:
        return load_state(payload, annotation)

    def dump(value: object) -> Serialized:
        try:
            return typed.dump(value)
        except UnserializableValue as refused:
            try:
                payload = dump_state(value, annotation)
            except Exception:  # noqa: BLE001 - it holds itself, or what is no data; the caller counts
                raise refused from None
        return _verified(Serialized(Form.MSGPACK, payload, load_whole), value)

    return Serializer(typed.schema, dump, {**typed.loaders, Form.MSGPACK: load_whole})


def _lenient(annotation: object) -> Serializer:
    part = parts.part_of(annotation, _leaf)

    def load(payload: bytes) -> object:
        try:
            return part.load(ormsgpack.unpackb(payload))
        except Exception:  # noqa: BLE001 - an SDK's construct may change its mind
            raise CorruptValue(Corruption.PAYLOAD) from None

    def dump(value: object) -> Serialized:
        if not part.fits(value):
            raise UnserializableValue(f"{_advice(value)}; {annotation!r} is no annotation for it")
        try:
            payload = ormsgpack.packb(part.dump(value), None, PLAIN_OPTIONS)
        except UnserializableValue:
            raise
        except Exception:  # noqa: BLE001 - serializers are user code; the caller counts
            raise UnserializableValue(_advice(value)) from None
        return _verified(Serialized(Form.MSGPACK, payload, load), value, alike)

    return Serializer(fingerprint_of(f"as its SDK builds it: {part.name}"), dump, {Form.MSGPACK: load})


def _leaf(annotation: object) -> Part:
    """Choose how what no SDK makes is written within what one does."""
    plain = annotation is None or _is_plain(annotation)
    serializer = serializer_for(annotation) if plain else _typed(annotation, keeps_unset=True)

    def fits(value: object) -> bool:
        with contextlib.suppress(UnserializableValue):
            return bool(serializer.dump(value))
        return False

    def dump(value: object) -> list[object]:
        form, payload, _ = serializer.dump(value)
        return [int(form), payload]

    return Part(serializer.schema.hex(), fits, dump, lambda dumped: serializer.loaders[dumped[0]](dumped[1]))


def _verified(
    serialized: Serialized, value: object, equal: Callable[[object, object], bool] = same
) -> Serialized:
    if not _returns(serialized, value, equal):
        raise UnserializableValue(_advice(value))
    return serialized


def _returns(serialized: Serialized, value: object, equal: Callable[[object, object], bool]) -> bool:
    try:
        return equal(value, serialized.load(serialized.payload))
    except Exception:  # noqa: BLE001 - validators and __eq__ are user code; the caller counts
        return False


def _is_plain(annotation: object) -> bool:
    """Tell whether MessagePack has every type that the annotation allows."""
    if any(annotation is plain for plain in _PLAIN):  # an annotation need not be hashable
        return True
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is dict:
        return not arguments or (arguments[0] is str and all(map(_is_plain, arguments)))
    return origin in {list, typing.Union, types.UnionType} and all(map(_is_plain, arguments))


def fingerprint_of(description: str) -> bytes:
    """Return the eight bytes that a stored value says its type by."""
    return hashlib.sha256(description.encode()).digest()[:8]


def _advice(value: object) -> str:
    kind = type(value)
    return (
        f"a {kind.__module__}.{kind.__qualname__} would not come back as it was; "
        "annotate the function's return type, or return str, bytes, or JSON's types"
    )
