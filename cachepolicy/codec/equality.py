"""Would a value come back as it was? Equality that also compares types, at every depth."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import functools
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar

_IMMUTABLE: Final = frozenset({
    str, bytes, int, float, complex, bool, type(None), decimal.Decimal, uuid.UUID,
    datetime.datetime, datetime.date, datetime.time, datetime.timedelta,
})  # fmt: skip
_COMPARED_AS_TEXT: Final = frozenset({float, complex, decimal.Decimal})


def same(left: Any, right: Any) -> bool:  # noqa: C901 - one flat table
    """Tell whether two values are equal and of equal types all the way down.

    ``1`` is not ``1.0``, ``0.0`` not ``-0.0``, a tuple not a list; NaN is itself. The order in which a dict
    was filled does not matter. A generic model with type variables for parameters is the bare one.
    """
    kind = type(left)
    if kind is not type(right) and bare(kind) is not bare(type(right)):
        return False
    if kind in _COMPARED_AS_TEXT:
        return repr(left) == repr(right)  # tells -0.0 from 0.0 and 1.0 from 1.00
    if issubclass(kind, collections.deque):
        return left.maxlen == right.maxlen and same(list(left), list(right))
    if issubclass(kind, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if issubclass(kind, collections.OrderedDict):
        return same(list(left.items()), list(right.items()))
    if issubclass(kind, collections.defaultdict) and left.default_factory is not right.default_factory:
        return False
    if issubclass(kind, dict):
        return _same_keys(left, right) and all(same(item, right[key]) for key, item in left.items())
    if issubclass(kind, set | frozenset):
        return _same_keys(dict.fromkeys(left), dict.fromkeys(right))
    if issubclass(kind, datetime.datetime | datetime.time):
        return bool(left == right) and left.fold == right.fold and _zone(left.tzinfo) == _zone(right.tzinfo)
    if hasattr(kind, "model_fields") and hasattr(kind, "__pydantic_core_schema__"):
        return same(_model_state(left), _model_state(right))
    if dataclasses.is_dataclass(kind):
        return same(_dataclass_state(left), _dataclass_state(right))
    return bool(left == right)


def bare(kind: type[Any]) -> type[Any]:
    """Return the generic model that a class with only type variables for parameters is; else the class."""
    generic = getattr(kind, "__pydantic_generic_metadata__", None)
    if not generic or not generic["args"] or not all(isinstance(each, TypeVar) for each in generic["args"]):
        return kind
    origin: type[Any] = generic["origin"]
    return origin


def is_immutable(value: object) -> bool:
    """Tell whether one object may be lent to every caller."""
    kind = type(value)
    if kind in _IMMUTABLE or issubclass(kind, enum.Enum):
        return True
    return kind in {tuple, frozenset} and all(map(is_immutable, value))  # type: ignore[call-overload] # its exact type was asked


def passes_once(value: Any) -> bool:
    """Tell whether a value is, or holds, an iterator: reading it for the cache would use it up."""
    kind = type(value)
    if kind in _IMMUTABLE:
        return False
    if issubclass(kind, dict):
        return any(map(passes_once, value.values()))
    if issubclass(kind, list | tuple | set | frozenset | collections.deque):
        return any(map(passes_once, value))
    if hasattr(kind, "model_fields") and hasattr(kind, "__pydantic_core_schema__"):
        return any(part is not None and passes_once(part) for part in _model_state(value))
    if dataclasses.is_dataclass(kind):
        return passes_once(_dataclass_state(value))
    return issubclass(kind, Iterator)


def _same_keys(left: Mapping[Any, object], right: Mapping[Any, object]) -> bool:
    twins = {key: key for key in right}
    return len(left) == len(right) and all(key in twins and same(key, twins[key]) for key in left)


def _zone(zone: datetime.tzinfo | None) -> object:
    """Describe a zone as far as an offset can: one with summer time or a name of its own differs."""
    if zone is None:
        return None
    return zone.utcoffset(None), (zone.tzname(None) or "").removeprefix("UTC")


def _model_state(model: Any) -> list[object]:
    """All that the model holds; what was computed of it, and the order of assignments, is no part of it."""
    state = vars(model)
    fields = {name: state[name] for name in type(model).model_fields if name in state}
    beyond = ("__pydantic_extra__", "__pydantic_private__")  # not set in a model built without validation
    return [fields, *(getattr(model, name, None) for name in beyond)]


def _dataclass_state(value: Any) -> dict[str, object]:
    kind = type(value)
    attributes = {
        name: item
        for name, item in getattr(value, "__dict__", {}).items()
        if not isinstance(getattr(kind, name, None), functools.cached_property)
    }
    return attributes | {field.name: getattr(value, field.name) for field in dataclasses.fields(kind)}
