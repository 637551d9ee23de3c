"""Would a value come back as it was? Equality that also compares types, at every depth."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import uuid
from typing import Final

_IMMUTABLE: Final = frozenset({
    str, bytes, int, float, complex, bool, type(None), decimal.Decimal, uuid.UUID,
    datetime.datetime, datetime.date, datetime.time, datetime.timedelta,
})  # fmt: skip


def same(left: object, right: object) -> bool:
    """Tell whether two values are equal and of equal types all the way down.

    ``1`` is not ``1.0``, a tuple is not a list, NaN is itself.
    """
    kind = type(left)
    if kind is not type(right):
        return False
    if isinstance(left, dict) and isinstance(right, dict):
        return len(left) == len(right) and all(
            same(a, b) for a, b in zip(left.items(), right.items(), strict=True)
        )
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and isinstance(right, float):
        return left.hex() == right.hex()  # tells -0.0 from 0.0
    if hasattr(kind, "__pydantic_core_schema__") and hasattr(left, "__dict__"):
        return same(_pydantic_state(left), _pydantic_state(right))
    if dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind)]
        return all(same(getattr(left, name), getattr(right, name)) for name in names)
    return bool(left == right)


def is_immutable(value: object) -> bool:
    """Tell whether one object may be lent to every caller."""
    kind = type(value)
    if kind in _IMMUTABLE or isinstance(value, enum.Enum):
        return True
    return kind in {tuple, frozenset} and all(map(is_immutable, value))  # type: ignore[call-overload]


def _pydantic_state(model: object) -> dict[str, object]:
    """All that the model holds, its fields in one order: assignment order is no part of a model."""
    fields = getattr(type(model), "model_fields", None)
    state = vars(model)
    kept = {name: state[name] for name in fields if name in state} if fields is not None else state
    return kept | {"extra": getattr(model, "__pydantic_extra__", None)}
