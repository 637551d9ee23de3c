"""JSON's types as bytes and back, with no schema: what sessions and the like hold, value by value."""

from __future__ import annotations

from typing import Any, Final

import ormsgpack

from cachepolicy.codec.equality import same
from cachepolicy.codec.serialize import PLAIN_OPTIONS
from cachepolicy.errors import Corruption, CorruptValue, UnserializableValue

_unpack: Final = ormsgpack.unpackb


def dump(value: object) -> bytes:
    """Return the bytes of a value.

    Raises:
        UnserializableValue: it, or something inside it, would not come back as it was.
    """
    try:
        payload = ormsgpack.packb(value, None, PLAIN_OPTIONS)
        if same(value, ormsgpack.unpackb(payload)):
            return payload
    except (TypeError, ValueError, RecursionError):  # ormsgpack's own errors are of the first two
        pass
    kind = type(value)
    raise UnserializableValue(
        f"a {kind.__module__}.{kind.__qualname__} would not come back as it was; keep JSON's types: "
        "text, numbers, true and false, None, lists, and dicts whose keys are texts"
    )


def load(payload: bytes) -> Any:
    """Return a fresh value.

    Raises:
        CorruptValue: the bytes are none.
    """
    try:
        return _unpack(payload)
    except ValueError:
        raise CorruptValue(Corruption.PAYLOAD) from None
