"""A policy between its text and its rules: plain nodes that remember where they stand.

Every stage (read, overlay, interpolate, validate) takes such a tree and returns another;
nothing here changes in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, TypeAlias

from cachepolicy.errors import Problem

DEEPEST: Final = 20
MOST_NODES: Final = 10_000

FILE: Final = "file"
EXTENDS: Final = "extends"
ENVIRONMENTS: Final = "environments"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where an effective value comes from.

    ``via`` is the layer: ``default``, ``extends``, ``file`` or ``environments.<name>``.
    ``line`` and ``column`` count from 1; both are 0 where there is no text (a mapping, a built-in default).
    ``variables`` names what was put in for ``${…}``: ``REDIS_URL``, ``file:/run/secrets/redis``.
    """

    file: str
    line: int
    column: int
    via: str
    variables: tuple[str, ...] = ()


BUILT_IN: Final = Provenance("", 0, 0, "default")


class Unknown(Enum):
    """A value that cannot be known: what is wrong with it is already reported, or is not asked now."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN


class Resolved(str):
    """Text that came out of ``${…}``: the field that receives it decides whether it is a number or a flag."""

    __slots__ = ()


Scalar: TypeAlias = str | int | float | bool | Literal[Unknown.UNKNOWN] | None


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """One value; its place is where it begins."""

    value: Scalar
    at: Provenance


@dataclass(frozen=True, slots=True)
class ListNode:
    """Values in order."""

    items: tuple[Node, ...]
    at: Provenance


@dataclass(frozen=True, slots=True)
class MapNode:
    """Values by name; its place is the key that introduces it."""

    entries: Mapping[str, Entry]
    at: Provenance

    def get(self, key: str) -> Node | None:
        """Return the value under ``key``, or None."""
        entry = self.entries.get(key)
        return None if entry is None else entry.node


@dataclass(frozen=True, slots=True)
class Entry:
    """A value and the place of the key that names it."""

    key: Provenance
    node: Node


Node: TypeAlias = ScalarNode | ListNode | MapNode


def problem(at: Provenance, path: str, message: str) -> Problem:
    """Make the report of what is wrong at a place; ``path`` is the path within its layer."""
    return Problem(at.file, at.line, at.column, layered(at, path), message)


def layered(at: Provenance, path: str) -> str:
    """Spell a path as the file has it: values of an environment stand below ``environments.<name>``."""
    return join(at.via, path) if at.via.startswith(f"{ENVIRONMENTS}.") else path


def join(path: str, step: str | int) -> str:
    """Extend a path: ``namespaces`` and ``llm`` make ``namespaces.llm``, a list's element is ``[0]``."""
    if isinstance(step, int):
        return f"{path}[{step}]"
    return f"{path}.{step}" if path and step else path or step


def is_text(value: str) -> bool:
    """Tell whether a string is text that UTF-8 can hold: half a surrogate pair is none."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def is_null(node: Node) -> bool:
    """Tell whether a node is ``~``."""
    return isinstance(node, ScalarNode) and node.value is None


def is_unknown(node: Node | None) -> bool:
    """Tell whether a node's value cannot be known."""
    return isinstance(node, ScalarNode) and node.value is UNKNOWN


def without(node: MapNode, keys: Iterable[str]) -> MapNode:
    """Return the mapping without some of its keys."""
    dropped = frozenset(keys)
    return MapNode({key: entry for key, entry in node.entries.items() if key not in dropped}, node.at)


def plain(node: Node) -> object:
    """Turn a tree into dicts, tuples and scalars, for validation."""
    match node:
        case ScalarNode(value=value):
            return value
        case ListNode(items=items):
            return tuple(plain(item) for item in items)
        case MapNode(entries=entries):
            return {key: plain(entry.node) for key, entry in entries.items()}
