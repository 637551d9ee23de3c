"""Layers of a policy: ``extends:`` below the file, ``environments.<name>`` above it.

Mappings merge key by key, lists and scalars replace, and ``~`` takes an inherited value away.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Final

from cachepolicy.errors import Problem
from cachepolicy.policy.load import read
from cachepolicy.policy.mapping import from_mapping
from cachepolicy.policy.tree import (
    ENVIRONMENTS,
    EXTENDS,
    FILE,
    UNKNOWN,
    Entry,
    ListNode,
    MapNode,
    Node,
    Provenance,
    ScalarNode,
    is_null,
    is_unknown,
    join,
    problem,
    without,
)
from cachepolicy.policy.words import did_you_mean, is_name

VARIABLE: Final = "CACHEPOLICY_ENV"
_MOST_VALUES: Final = 50_000  # each environment is checked whole
_TOO_MANY: Final = f"more than {_MOST_VALUES} values in all environments together: expected fewer of them"
_NOT_IN_ENVIRONMENT: Final = ("version", EXTENDS, ENVIRONMENTS)


@dataclass(frozen=True, slots=True)
class Layers:
    """A policy's text, read and stacked, before an environment is chosen.

    ``base`` is the file over what it extends; ``environments`` holds what each changes. ``complete`` is false
    when a layer below could not be read: what is missing may stand there.
    """

    base: MapNode
    environments: Mapping[str, MapNode]
    complete: bool

    def tree(self, environment: str | None) -> MapNode:
        """Return the policy's tree in an environment (None: in none)."""
        return self.base if environment is None else merge(self.base, self.environments[environment])


def read_layers(source: Path | Mapping[str, object], problems: list[Problem]) -> Layers | None:
    """Read a policy and all that it extends.

    Args:
        source: the file, or the tree itself as plain data.
        problems: receives all that is wrong with the text.

    Returns:
        The layers, or None when there is nothing to go on with.
    """
    root = read(source, FILE, problems) if isinstance(source, Path) else from_mapping(source, problems)
    if root is None:
        return None
    stack, complete = _with_bases(root, source if isinstance(source, Path) else None, problems)
    merged = reduce(merge, [_versioned(layer, problems) for layer in reversed(stack)])
    environments = _environments(merged.get(ENVIRONMENTS), problems)
    if _size(merged) * len(environments) > _MOST_VALUES:
        problems.append(problem(merged.entries[ENVIRONMENTS].key, ENVIRONMENTS, _TOO_MANY))
        return None
    return Layers(without(merged, (EXTENDS, ENVIRONMENTS)), environments, complete)


def choose(
    layers: Layers, asked: str | None, variables: Mapping[str, str], problems: list[Problem]
) -> str | None:
    """Say which environment applies: the one asked for, else the one ``CACHEPOLICY_ENV`` names, else none.

    A name that the policy does not declare is a problem; only a policy with no environments at all
    disregards the variable, so that one may be set for a whole machine.
    """
    name = asked if asked is not None else variables.get(VARIABLE) or None
    if name is None or name in layers.environments:
        return name
    if asked is None and not layers.environments:
        return None
    declared = ", ".join(layers.environments) or "none"
    if asked is None:  # its value came from outside: only the variable is named
        message = f"${VARIABLE} names an environment that is not declared (declared: {declared})"
    else:
        message = f"no environment is declared as {name!r} (declared: {declared})"
    message += did_you_mean(name, layers.environments)
    problems.append(problem(layers.base.at, ENVIRONMENTS, message))
    return None


def merge(base: MapNode, over: MapNode) -> MapNode:
    """Lay one mapping over another; neither changes."""
    entries = dict(base.entries)
    for key, entry in over.entries.items():
        below = entries.get(key)
        if below is None:
            entries[key] = entry
        elif isinstance(entry.node, MapNode) and isinstance(below.node, MapNode):
            entries[key] = Entry(entry.key, merge(below.node, entry.node))
        elif is_null(entry.node):
            del entries[key]
        else:
            entries[key] = entry
    return MapNode(entries, over.at)


def _with_bases(root: MapNode, file: Path | None, problems: list[Problem]) -> tuple[list[MapNode], bool]:
    """Follow ``extends:`` from file to file; return the trees, the nearest first, and whether none lacks."""
    stack, seen = [root], {_identity(file)} if file is not None else set()
    folder = file.parent if file is not None else Path()
    while (link := stack[-1].get(EXTENDS)) is not None and not is_null(link):
        target = _target(link, problems)
        if target is None:
            return stack, False
        path = folder / target
        if _identity(path) in seen:
            problems.append(problem(link.at, EXTENDS, "a circle: this file is already being read"))
            return stack, False
        seen.add(_identity(path))
        below = _read_base(path, link.at, problems)
        if below is None:
            return stack, False
        stack.append(below)
        folder = path.parent
    return stack, True


def _read_base(path: Path, link: Provenance, problems: list[Problem]) -> MapNode | None:
    found: list[Problem] = []
    root = read(path, EXTENDS, found)
    problems.extend(  # a file that was never opened has no line: point at who asked for it
        each if each.line else problem(link, EXTENDS, f"{path} {each.message}") for each in found
    )
    return root


def _size(node: Node) -> int:
    match node:
        case MapNode(entries=entries):
            return 1 + sum(_size(entry.node) for entry in entries.values())
        case ListNode(items=items):
            return 1 + sum(_size(item) for item in items)
        case ScalarNode():
            return 1


def _identity(path: Path) -> str:
    return os.path.realpath(path)


def _target(node: Node, problems: list[Problem]) -> str | None:
    if isinstance(node, ScalarNode):
        if node.value is UNKNOWN:
            return None
        if isinstance(node.value, str) and node.value and "${" not in node.value and "\0" not in node.value:
            return node.value
    problems.append(problem(node.at, EXTENDS, "expected one path as plain text, relative to this file"))
    return None


def _versioned(root: MapNode, problems: list[Problem]) -> MapNode:
    """Check ``version: 1``, which every file says for itself, and leave a valid one in its place."""
    entry = root.entries.get("version")
    if entry is None:
        problems.append(problem(root.at, "version", "required: expected version: 1 as the first line"))
        entry = Entry(root.at, ScalarNode(1, root.at))
    elif not (isinstance(entry.node, ScalarNode) and type(entry.node.value) is int and entry.node.value == 1):
        problems.append(
            problem(entry.node.at, "version", "expected 1, the only version of the format so far")
        )
    return MapNode({**root.entries, "version": Entry(entry.key, ScalarNode(1, entry.node.at))}, root.at)


def _environments(node: Node | None, problems: list[Problem]) -> dict[str, MapNode]:
    if node is None or is_null(node) or is_unknown(node):
        return {}
    if not isinstance(node, MapNode):
        problems.append(problem(node.at, ENVIRONMENTS, "expected a mapping of names to what each changes"))
        return {}
    environments: dict[str, MapNode] = {}
    for name, entry in node.entries.items():
        path = join(ENVIRONMENTS, name)
        if not is_name(name):
            problems.append(problem(entry.key, path, "expected a name such as production or eu-west_1"))
        elif isinstance(entry.node, MapNode):
            environments[name] = _environment(path, entry.node, problems)
        elif is_null(entry.node):
            environments[name] = MapNode({}, entry.key)  # declared, and changes nothing
        elif not is_unknown(entry.node):
            problems.append(problem(entry.node.at, path, "expected a mapping of what it changes"))
    return environments


def _environment(path: str, node: MapNode, problems: list[Problem]) -> MapNode:
    misplaced = [
        (join(path, key), node.entries[key].key) for key in _NOT_IN_ENVIRONMENT if key in node.entries
    ]
    message = "is the same in every environment: move it to the top"
    problems.extend(problem(at, where, message) for where, at in misplaced)
    return _through(without(node, _NOT_IN_ENVIRONMENT), path)


def _through(node: MapNode, via: str) -> MapNode:
    """Mark a subtree as belonging to an environment."""

    def marked(node: Node) -> Node:
        match node:
            case ScalarNode():
                return replace(node, at=replace(node.at, via=via))
            case ListNode(items=items):
                return ListNode(tuple(marked(item) for item in items), replace(node.at, via=via))
            case MapNode():
                return _through(node, via)

    entries = {
        key: Entry(replace(each.key, via=via), marked(each.node)) for key, each in node.entries.items()
    }
    return MapNode(entries, replace(node.at, via=via))
