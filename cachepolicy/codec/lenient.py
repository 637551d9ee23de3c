"""Objects of provider SDKs, built as their own SDK does it: without validation, which vendors fail.

Such a class is a pydantic model with a ``construct`` of its own, which makes nested objects too. What it has
is written as the wire has it: what was not set stays away, what nobody declared stays in. The class is that
of the annotation, never of the stored bytes. A generic one's parameters, ``Plan`` in
``ParsedChatCompletion[Plan]``, are written by rules of their own.
"""

from __future__ import annotations

import dataclasses
import datetime
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Final, NamedTuple, TypeVar

from pydantic import BaseModel

from cachepolicy.codec.equality import bare, same
from cachepolicy.errors import UnserializableValue

_AS_IS: Final = frozenset({str, int, float, bool, type(None)})


class Part(NamedTuple):
    """How values of one annotation are written.

    Attributes:
        name: what tells it from others; not what it consists of, so that an SDK may be upgraded.
        fits: whether a value is such a one.
        dump: a value as MessagePack's types.
        load: a value made of them, anew.
    """

    name: str
    fits: Callable[[Any], bool]
    dump: Callable[[Any], object]
    load: Callable[[Any], object]


Leaf = Callable[[object], Part]
"""Chooses how values are written that no SDK makes."""


def is_lenient(kind: object) -> bool:
    """Tell whether a class builds its objects by a ``construct`` of its own, and not by its ``__init__``."""
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return False
    return (
        kind.__init__ is BaseModel.__init__
        and next(owner for owner in kind.__mro__ if "construct" in vars(owner)) is not BaseModel
    )


def alike(left: Any, right: Any) -> bool:
    """Tell whether two values are the same, down to which fields of such objects were set."""
    kind = type(left)
    if is_lenient(kind):
        return (
            bare(kind) is bare(type(right))
            and left.model_fields_set == right.model_fields_set
            and alike(vars(left), vars(right))
            and alike(left.__pydantic_extra__, right.__pydantic_extra__)
            and same(left.__pydantic_private__, right.__pydantic_private__)
        )
    if kind is not type(right):
        return False
    if kind is dict:
        return left.keys() == right.keys() and all(alike(held, right[key]) for key, held in left.items())
    if kind is list or kind is tuple:
        return len(left) == len(right) and all(map(alike, left, right))
    if dataclasses.is_dataclass(kind):
        pairs = [(getattr(left, each.name), getattr(right, each.name)) for each in dataclasses.fields(kind)]
        return same(left, right) and all(alike(*pair) for pair in pairs)
    return same(left, right)


def node(kind: type[Any], leaf: Leaf) -> Part:
    """One such class, and its bare form: of ``Parsed[Plan]`` SDKs return ``Parsed[~T]``, which is that."""
    plain = kind.__pydantic_generic_metadata__["origin"] or kind
    kinds = (plain,) if plain is bare(kind) else (plain, kind)
    parameters = list(dict.fromkeys(_classes(kind.__pydantic_generic_metadata__["args"])))
    leaves = [leaf(parameter) for parameter in parameters]
    numbers = {parameter: number for number, parameter in enumerate(parameters)}

    def dump(value: Any) -> object:
        holes: list[object] = []

        def stand_in(held: object, path: list[object]) -> None:
            number = numbers.get(type(held))
            if number is None:
                raise UnserializableValue(_advice(plain, type(held)))
            holes.append([path, number, leaves[number].dump(held)])

        data = _data(value, [], stand_in)
        beyond = {name: held for name, held in vars(value).items() if name not in kind.model_fields}
        return [kinds.index(bare(type(value))), data, beyond, holes] if beyond or holes or kinds[1:] else data

    construct: Callable[..., object] = plain.construct

    def load(data: Any) -> object:
        if type(data) is dict:
            return construct(**data)
        number, fields, beyond, holes = data
        for path, leaf_number, dumped in holes:
            _put(fields, path, leaves[leaf_number].load(dumped))
        value = kinds[number].construct(**fields)
        value.__dict__.update(beyond)
        return value

    name = f"{kind.__module__}.{kind.__qualname__}[{', '.join(each.name for each in leaves)}]"
    return Part(name, lambda value: bare(type(value)) in kinds, dump, load)


def _data(value: Any, path: list[object], stand_in: Callable[[object, list[object]], None]) -> object:
    """Return a value as the wire had it; ``stand_in`` takes what is no part of that, with the way to it."""
    kind = type(value)
    if kind in _AS_IS:
        return value
    if kind is list:
        return [_data(held, [*path, index], stand_in) for index, held in enumerate(value)]
    if kind is dict:
        return {key: _data(held, [*path, key], stand_in) for key, held in value.items()}
    if is_lenient(kind):
        fields, chosen = kind.model_fields, value.model_fields_set
        wire = {
            fields[name].alias or name: held
            for name, held in vars(value).items()
            if name in fields and name in chosen
        }
        return _data(wire | (value.__pydantic_extra__ or {}), path, stand_in)
    if kind is datetime.datetime or kind is datetime.date:
        return value.isoformat()
    stand_in(value, path)
    return None


def _advice(kind: type[object], held: type[object]) -> str:
    generic = getattr(kind, "__parameters__", ())
    how = f"; annotate the function's return type {kind.__name__}[{held.__name__}]" if generic else ""
    return f"a {kind.__name__} that holds a {held.__module__}.{held.__qualname__} would not come back{how}"


def _put(data: Any, path: Sequence[Any], value: object) -> None:
    for step in path[:-1]:
        data = data[step]
    data[path[-1]] = value


def _classes(arguments: Sequence[object]) -> Iterator[type]:
    """Find the classes in a generic class's parameters that the wire knows nothing of."""
    for argument in map(unwrapped, arguments):
        if isinstance(argument, type) and argument not in _AS_IS and not typing.get_args(argument):
            yield argument
        yield from _classes(typing.get_args(argument))


def unwrapped(annotation: object) -> object:
    """Return what an alias or an annotation with remarks means."""
    while True:
        if typing.get_origin(annotation) is Annotated:
            annotation = typing.get_args(annotation)[0]
        elif hasattr(annotation, "__value__") and not isinstance(annotation, type | TypeVar):
            annotation = getattr(annotation, "__value__")  # noqa: B009 - of a class that Python 3.12 brings
        else:
            return annotation
