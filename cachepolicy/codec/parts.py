"""Annotations that hold classes of provider SDKs: unions, containers, and dataclasses of them."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cachepolicy.codec.lenient import Leaf, Part, is_lenient, node, unwrapped
from cachepolicy.errors import UnserializableValue

_UNIONS: Final = (typing.Union, types.UnionType)


def concerns(annotation: object, known: frozenset[object] = frozenset()) -> bool:
    """Tell whether there is such a class in an annotation: in a union, a container, a dataclass's field."""
    annotation = unwrapped(annotation)
    if is_lenient(annotation):
        return True
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation) and annotation not in known:
        try:
            hints = _fields(annotation)
        except (NameError, TypeError, AttributeError):  # imported for checkers only; pydantic may know better
            return False
        return any(concerns(hint, known | {annotation}) for hint in hints.values())
    return any(concerns(argument, known) for argument in typing.get_args(annotation))


def part_of(annotation: object, leaf: Leaf, within: frozenset[object] = frozenset()) -> Part:
    """Choose how values annotated so are written; ``leaf`` does, where there is no such class.

    Raises:
        UnserializableValue: no form is known.
    """
    annotation = unwrapped(annotation)
    if not concerns(annotation):
        return leaf(annotation)
    if isinstance(annotation, type) and is_lenient(annotation):
        return node(annotation, leaf)
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        if annotation in within:
            raise UnserializableValue(f"{annotation.__qualname__} holds itself, and objects of an SDK")
        return _dataclass(annotation, leaf, within | {annotation})
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is tuple and arguments[1:] != (...,):
        return _row([part_of(argument, leaf, within) for argument in arguments])
    if origin in _UNIONS:
        return _union([part_of(argument, leaf, within) for argument in arguments])
    item = part_of(arguments[1 if origin in {dict, Mapping} else 0], leaf, within)
    if origin in {list, tuple, Sequence}:
        return _many(tuple if origin is tuple else list, item)
    if origin in {dict, Mapping} and arguments[0] is str:
        return Part(
            f"dict[{item.name}]",
            lambda value: type(value) is dict and all(map(item.fits, value.values())),
            lambda value: {key: item.dump(held) for key, held in value.items()},
            lambda data: {key: item.load(held) for key, held in data.items()},
        )
    return leaf(annotation)


def _union(parts: Sequence[Part]) -> Part:
    def dump(value: object) -> object:
        number = next(number for number, part in enumerate(parts) if part.fits(value))
        return [number, parts[number].dump(value)]

    return Part(
        " | ".join(part.name for part in parts),
        lambda value: any(part.fits(value) for part in parts),
        dump,
        lambda data: parts[data[0]].load(data[1]),
    )


def _row(parts: Sequence[Part]) -> Part:
    """A tuple of so many."""
    return Part(
        f"tuple[{', '.join(part.name for part in parts)}]",
        lambda value: (
            type(value) is tuple
            and len(value) == len(parts)
            and all(part.fits(held) for part, held in zip(parts, value, strict=True))
        ),
        lambda value: [part.dump(held) for part, held in zip(parts, value, strict=True)],
        lambda data: tuple(part.load(held) for part, held in zip(parts, data, strict=True)),
    )


def _many(kind: type[list[Any] | tuple[Any, ...]], item: Part) -> Part:
    return Part(
        f"{kind.__name__}[{item.name}]",
        lambda value: type(value) is kind and all(map(item.fits, value)),
        lambda value: list(map(item.dump, value)),
        lambda data: kind(map(item.load, data)),
    )


def _dataclass(kind: type[Any], leaf: Leaf, within: frozenset[object]) -> Part:
    parts = {name: part_of(hint, leaf, within) for name, hint in _fields(kind).items()}
    names = ", ".join(f"{name}: {part.name}" for name, part in parts.items())
    return Part(
        f"{kind.__module__}.{kind.__qualname__}[{names}]",
        lambda value: (
            type(value) is kind and all(part.fits(getattr(value, name)) for name, part in parts.items())
        ),
        lambda value: {name: part.dump(getattr(value, name)) for name, part in parts.items()},
        lambda data: kind(**{name: part.load(data[name]) for name, part in parts.items()}),
    )


def _fields(kind: type[Any]) -> dict[str, object]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return {each.name: hints[each.name] for each in dataclasses.fields(kind)}
