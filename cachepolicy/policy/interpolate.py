"""``${…}`` in a policy's values, put in after parsing: what comes in is text, never structure.

==========================  ==========================================================
``${NAME}``                 the variable; an error when it is not set
``${NAME:-default}``        the variable, or the default when it is not set or empty
``${NAME:?message}``        the variable, or an error that says the message
``${file:/run/secrets/x}``  what the file holds, without the line end it closes with
``$${``                     a literal ``${``
==========================  ==========================================================

What a variable or a file holds is never told: messages name the variable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from cachepolicy.errors import Problem
from cachepolicy.policy import files
from cachepolicy.policy.tree import (
    UNKNOWN,
    Entry,
    ListNode,
    MapNode,
    Node,
    Resolved,
    ScalarNode,
    is_text,
    join,
    problem,
)

_TOKEN: Final = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")
_VARIABLE: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::([-?])(.*))?", re.DOTALL)
_FORMS: Final = "expected ${NAME}, ${NAME:-default}, ${NAME:?message} or ${file:/run/secrets/name}"
_LARGEST_SECRET: Final = 65_536


def resolve(root: MapNode, variables: Mapping[str, str], problems: list[Problem]) -> MapNode:
    """Put variables and files into every scalar of a tree.

    Args:
        root: the tree to fill.
        variables: what ``${NAME}`` may name, usually ``os.environ``.
        problems: receives what cannot be resolved; its value becomes unknown.
    """
    return _map(root, "", _Reader(variables, problems))


def leave_open(root: MapNode, problems: list[Problem]) -> MapNode:
    """Make every interpolated scalar unknown, reading neither variable nor file; only its form is checked."""
    return _map(root, "", _Reader(None, problems))


class _ReferenceError(ValueError):
    """Why a reference has no value."""


@dataclass(frozen=True, slots=True)
class _Reader:
    """What references are looked up in (None: not at all), and where complaints go."""

    variables: Mapping[str, str] | None
    problems: list[Problem]

    def fill(self, node: ScalarNode, path: str) -> ScalarNode:
        if not isinstance(node.value, str) or "${" not in node.value:
            return node
        text = _Text()
        try:
            for token in _tokens(node.value):
                self._append(text, token)
        except _ReferenceError as wrong:
            self.problems.append(problem(node.at, path, str(wrong)))
            return replace(node, value=UNKNOWN)
        if not text.references:
            return replace(node, value="".join(text.parts))
        if self.variables is None:
            return replace(node, value=UNKNOWN)
        at = replace(node.at, variables=tuple(dict.fromkeys(text.used)))
        return ScalarNode(Resolved("".join(text.parts)), at)

    def _append(self, text: _Text, token: str | _Reference) -> None:
        if isinstance(token, str):
            text.parts.append(token)
            return
        text.references += 1
        if self.variables is None:
            return
        value, used = _read_file(token.name) if token.is_file else _read_variable(token, self.variables)
        text.parts.append(value)
        text.used.extend(used)


@dataclass(slots=True)
class _Text:
    """A scalar on its way: its pieces so far, and what they came from."""

    parts: list[str] = field(default_factory=list)
    used: list[str] = field(default_factory=list)
    references: int = 0


@dataclass(frozen=True, slots=True)
class _Reference:
    """One ``${…}``; ``operator`` is ``-``, ``?`` or empty, and ``word`` what follows it."""

    name: str
    operator: str = ""
    word: str = ""
    is_file: bool = False


def _map(node: MapNode, path: str, reader: _Reader) -> MapNode:
    entries = {
        key: Entry(entry.key, _node(entry.node, join(path, key), reader))
        for key, entry in node.entries.items()
    }
    return MapNode(entries, node.at)


def _node(node: Node, path: str, reader: _Reader) -> Node:
    match node:
        case ScalarNode():
            return reader.fill(node, path)
        case ListNode(items=items, at=at):
            return ListNode(tuple(_node(item, join(path, i), reader) for i, item in enumerate(items)), at)
        case MapNode():
            return _map(node, path, reader)


def _tokens(text: str) -> list[str | _Reference]:
    tokens: list[str | _Reference] = []
    position = 0
    for found in _TOKEN.finditer(text):
        tokens.append(text[position : found.start()])
        tokens.append("${" if found[0] == "$${" else _reference(found[1]))
        position = found.end()
    tokens.append(text[position:])
    return tokens


def _reference(body: str | None) -> _Reference:
    if body is None:
        raise _ReferenceError(f"a ${{ is never closed: {_FORMS}, or $${{ for the characters themselves")
    if (found := _VARIABLE.fullmatch(body)) is not None:
        name, operator, word = found[1], found[2] or "", found[3] or ""
        if "${" in word:
            raise _ReferenceError(
                f"${{{name}:{operator}…}} holds another ${{…}}: one cannot stand in another"
            )
        return _Reference(name, operator, word)
    kind, _, path = body.partition(":")
    if kind != "file":
        raise _ReferenceError(_FORMS)
    if not Path(path).is_absolute():
        raise _ReferenceError("expected an absolute path after ${file:, such as ${file:/run/secrets/name}")
    return _Reference(path, is_file=True)


def _read_variable(reference: _Reference, variables: Mapping[str, str]) -> tuple[str, list[str]]:
    name, value = reference.name, variables.get(reference.name)
    if value is None or (reference.operator and not value):
        if reference.operator == "-":
            return reference.word, []
        what = f"${{{name}}} is not set" if value is None else f"${{{name}}} is empty"
        if reference.operator == "?":
            raise _ReferenceError(f"{what}: {reference.word}" if reference.word else what)
        raise _ReferenceError(f"{what}: set it, or write ${{{name}:-default}}")
    _refuse_control(value, f"${{{name}}}")
    return value, [name]


def _read_file(path: str) -> tuple[str, list[str]]:
    name = f"${{file:{path}}}"
    files.note(Path(path))
    try:
        if not Path(path).is_file():
            raise _ReferenceError(f"{name}: there is no such file")
        with Path(path).open("rb") as file:
            raw = file.read(_LARGEST_SECRET + 1)
        if len(raw) > _LARGEST_SECRET:
            raise _ReferenceError(f"{name} is larger than 64KiB")
        text = raw.decode("utf-8")
    except OSError as wrong:
        raise _ReferenceError(f"{name} cannot be read: {wrong.strerror}") from None
    except UnicodeDecodeError:
        raise _ReferenceError(f"{name} is not UTF-8 text") from None
    text = text.removesuffix("\n").removesuffix("\r")
    _refuse_control(text, name)
    return text, [f"file:{path}"]


def _refuse_control(value: str, name: str) -> None:
    """A value is one line of real text: a line end in it is a mistake or an attempt to write policy."""
    if any(character in value for character in "\n\r\0"):
        raise _ReferenceError(f"{name} holds a line end or a NUL: expected one line")
    if not is_text(value):
        raise _ReferenceError(f"{name} is not UTF-8 text")
