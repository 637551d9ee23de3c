"""A policy that is at hand as plain data: dicts, lists and scalars in, a tree out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cachepolicy.errors import Problem
from cachepolicy.policy.tree import (
    DEEPEST,
    FILE,
    MOST_NODES,
    UNKNOWN,
    Entry,
    ListNode,
    MapNode,
    Node,
    Provenance,
    Scalar,
    ScalarNode,
    is_text,
    join,
    problem,
)

NAME: Final = "<mapping>"


def from_mapping(source: Mapping[str, object], problems: list[Problem]) -> MapNode | None:
    """Make a tree of plain data, as ``yaml`` or ``json`` would give it.

    Args:
        source: the policy.
        problems: receives what no policy can hold.

    Returns:
        The tree, or None when there is nothing to go on with.
    """
    builder = _Builder(problems)
    try:
        return builder.mapping(source, "", 1)
    except _TooLargeError:
        message = f"deeper than {DEEPEST} levels or more than {MOST_NODES} values: expected a policy"
        problems.append(problem(_place(), "", message))
        return None


def _place() -> Provenance:
    """Make a place, one for each node: problems are told apart by it."""
    return Provenance(NAME, 0, 0, FILE)


class _TooLargeError(Exception):
    """Plain data that is too deep (a circle is), or too much."""


@dataclass(slots=True)
class _Builder:
    problems: list[Problem]
    nodes: int = 0

    def node(self, value: object, path: str, depth: int) -> Node:
        self.nodes += 1
        if depth > DEEPEST or self.nodes > MOST_NODES:
            raise _TooLargeError
        if isinstance(value, Mapping):
            return self.mapping(value, path, depth)
        if isinstance(value, list | tuple):
            items = (self.node(item, join(path, i), depth + 1) for i, item in enumerate(value))
            return ListNode(tuple(items), _place())
        return self.scalar(value, path)

    def mapping(
        self, value: Mapping[object, object] | Mapping[str, object], path: str, depth: int
    ) -> MapNode:
        entries: dict[str, Entry] = {}
        for key, item in value.items():
            if isinstance(key, str) and is_text(key):
                name = str.__str__(key)
                entries[name] = Entry(_place(), self.node(item, join(path, name), depth + 1))
            else:
                self.problems.append(problem(_place(), path, "a key that is no text: expected names"))
        return MapNode(entries, _place())

    def scalar(self, value: object, path: str) -> ScalarNode:
        at = _place()
        plain = _plain(value)
        if plain is UNKNOWN:
            message = "expected text, a number, true, false, a list or a mapping"
            self.problems.append(problem(at, path, message))
        return ScalarNode(plain, at)


def _plain(value: object) -> Scalar:
    """Take a scalar as it is; a subclass (an enum's member) counts as the plain value it carries."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and is_text(value):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    return UNKNOWN
