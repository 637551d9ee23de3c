"""Models that hold more than validation gives back: private attributes, or fields that nobody declared.

litellm's answers are such: their constructor fills in, and notes beside the fields what the call took. They
are written as they stand, and made again without their constructor. Every class is looked up by its name in
the module of the annotated one, which is loaded: nothing is imported because stored bytes say so.
"""

from __future__ import annotations

import functools
import sys
from typing import Any, Final

import ormsgpack
from pydantic import BaseModel

from cachepolicy.errors import Corruption, CorruptValue, UnserializableValue

_AS_IS: Final = frozenset({str, int, float, bool, bytes, type(None)})
_MODEL: Final = 1  # an extension: a class's name, fields, which were set, extras, private attributes


def keeps_more(annotation: object) -> bool:
    """Tell whether objects of a class hold more than its fields say."""
    return (
        isinstance(annotation, type)
        and issubclass(annotation, BaseModel)
        and (annotation.__init__ is not BaseModel.__init__ or bool(annotation.__private_attributes__))
    )


def dump_state(value: object, annotation: type[Any]) -> bytes:
    """Write a model as it stands.

    Raises:
        UnserializableValue: it is none of the class, or holds what has no such form.
    """
    if type(value) is not annotation:
        raise UnserializableValue(f"a {type(value).__qualname__} is no {annotation.__qualname__}")
    return ormsgpack.packb(_data(value, annotation.__module__))


def load_state(payload: bytes, annotation: type[Any]) -> object:
    """Make a model anew of what ``dump_state`` wrote.

    Raises:
        CorruptValue: it is none of the class, or of classes that its module does not have.
    """
    value: object = ormsgpack.unpackb(payload, ext_hook=functools.partial(_model, annotation.__module__))
    if type(value) is not annotation:
        raise CorruptValue(Corruption.SCHEMA)
    return value


def _data(value: Any, module: str) -> object:
    kind = type(value)
    if kind in _AS_IS:
        return value
    if kind is list:
        return [_data(held, module) for held in value]
    if kind is dict and all(type(key) is str for key in value):
        return {key: _data(held, module) for key, held in value.items()}
    if isinstance(value, BaseModel) and _class(module, kind.__qualname__) is kind:
        state = value.__getstate__()
        parts = [
            state["__dict__"],
            sorted(state["__pydantic_fields_set__"]),
            state["__pydantic_extra__"],
            state["__pydantic_private__"],
        ]
        return ormsgpack.Ext(
            _MODEL, ormsgpack.packb([kind.__qualname__, *(_data(each, module) for each in parts)])
        )
    raise UnserializableValue(f"a model that holds a {kind.__module__}.{kind.__qualname__} has no byte form")


def _model(module: str, _: int, content: bytes) -> BaseModel:
    name, fields, chosen, extra, private = ormsgpack.unpackb(
        content, ext_hook=functools.partial(_model, module)
    )
    kind = _class(module, name)
    if kind is None:
        raise CorruptValue(Corruption.SCHEMA)
    value = kind.__new__(kind)
    value.__setstate__(
        {
            "__dict__": fields,
            "__pydantic_fields_set__": set(chosen),
            "__pydantic_extra__": extra,
            "__pydantic_private__": private,
        }
    )
    return value


def _class(module: str, name: object) -> type[BaseModel] | None:
    found = getattr(sys.modules.get(module), name, None) if isinstance(name, str) else None
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None
