"""policies.yaml, read strictly: text in, a tree with places out. The only file that knows PyYAML.

PyYAML reads YAML 1.1 and forgives much. Its events are used and nothing else: scalars get the meaning
of YAML 1.2's core schema (``no`` is text, ``010`` is ten, ``1:30`` and ``2024-01-01`` are text), and what
lets one place of a file change another unseen (duplicate keys, anchors, aliases, merge keys, tags,
a second document) is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import yaml

from cachepolicy.errors import Problem
from cachepolicy.policy import files
from cachepolicy.policy.tree import (
    DEEPEST,
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

LARGEST: Final = 1_000_000

_A_POLICY: Final = "expected a mapping that begins with version: 1"
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})
_INT: Final = re.compile(r"[-+]?[0-9]{1,400}")
_OCTAL: Final = re.compile(r"0o[0-7]{1,400}")
_HEX: Final = re.compile(r"0x[0-9a-fA-F]{1,400}")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_QUOTED: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_HARMLESS: Final = re.compile(r".(<[\w ]+>|\\?.).")  # a kind of token, or one character


def read(path: Path, via: str, problems: list[Problem]) -> MapNode | None:
    """Read a file into a tree.

    Args:
        path: the file.
        via: the layer its values belong to.
        problems: receives all that is wrong with the file.

    Returns:
        The tree, or None when there is nothing to go on with.
    """
    top = Provenance(str(path), 0, 0, via)
    files.note(path)
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except (OSError, ValueError) as wrong:  # ValueError: a NUL in the path
        reason = wrong.strerror if isinstance(wrong, OSError) else "not a path"
        problems.append(problem(top, "", f"cannot be read: {reason}"))
        return None
    if len(raw) > LARGEST:
        problems.append(problem(top, "", "larger than 1 MB: expected a policy"))
        return None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        line = raw.count(b"\n", 0, wrong.start) + 1
        column = wrong.start - (raw.rfind(b"\n", 0, wrong.start) + 1) + 1
        at = Provenance(str(path), line, column, via)
        problems.append(problem(at, "", "not UTF-8: expected a text file in UTF-8"))
        return None
    return parse(text, str(path), via, problems)


def parse(text: str, file: str, via: str, problems: list[Problem]) -> MapNode | None:
    """Read text into a tree; like :func:`read`, for text that is at hand."""
    builder = _Builder(file, via, problems, _events(text))
    try:
        return builder.document()
    except _StopReading:
        return None
    except yaml.MarkedYAMLError as wrong:
        at = builder.at(wrong.problem_mark or wrong.context_mark)
        problems.append(problem(at, "", _syntax(wrong, text)))
    except yaml.reader.ReaderError as wrong:
        before = text[: wrong.position]
        at = Provenance(file, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1, via)
        problems.append(problem(at, "", "a control character: expected printable text"))
    except (OverflowError, ValueError):  # PyYAML hands any \\U escape to chr()
        problems.append(problem(builder.last, "", "an escape (\\U…) that names no character: expected text"))
    return None


def _events(text: str) -> Iterator[yaml.Event]:
    """Parse lazily, so that a file that is too deep or too large is left before it costs anything."""
    return iter(yaml.parse(text, Loader=yaml.BaseLoader))


class _Mark(Protocol):
    """A place in the text, counted from 0."""

    line: int
    column: int


class _StopReading(Exception):
    """What follows cannot be read any more; the problem is reported."""


@dataclass(slots=True)
class _Builder:
    """Turns the events of one document into nodes, and reports what a policy may not hold."""

    file: str
    via: str
    problems: list[Problem]
    events: Iterator[yaml.Event]
    last: Provenance = field(init=False)
    nodes: int = 0

    def __post_init__(self) -> None:
        self.last = self.at(None)

    def at(self, mark: _Mark | None) -> Provenance:
        if mark is None:
            return Provenance(self.file, 1, 1, self.via)
        return Provenance(self.file, mark.line + 1, mark.column + 1, self.via)

    def document(self) -> MapNode | None:
        root: MapNode | None = None
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self.report(event, "", "a second document: expected one policy per file")
                    return root
                first = next(self.events)
                at = self.at(first.start_mark)
                node = self.node(first, "", at, 1)
                if isinstance(node, MapNode):
                    root = node
                else:
                    self.problems.append(problem(at, "", _A_POLICY))
                    return None
        if root is None:
            self.problems.append(problem(self.at(None), "", f"the file is empty: {_A_POLICY}"))
        return root

    def node(self, event: yaml.Event, path: str, key: Provenance, depth: int) -> Node:
        self.count(event)
        if depth > DEEPEST:
            raise self.too_deep(event)
        if isinstance(event, yaml.AliasEvent):
            self.report(
                event, path, "an alias (*name): write the value out; text that begins with * needs quotes"
            )
            return ScalarNode(UNKNOWN, self.at(event.start_mark))
        broken = isinstance(event, yaml.NodeEvent) and self.decorated(event, path)
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(path, key, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(path, key, depth)
        assert isinstance(event, yaml.ScalarEvent)  # noqa: S101 - the parser has no other node
        broken = broken or self.broken(event, path)
        return ScalarNode(UNKNOWN if broken else _scalar(event), self.at(event.start_mark))

    def mapping(self, path: str, at: Provenance, depth: int) -> MapNode:
        entries: dict[str, Entry] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key_at = self.at(event.start_mark)
            key = self.key(event, path)
            value = self.node(next(self.events), join(path, key or ""), key_at, depth + 1)
            if key is None:
                continue
            if key in entries:
                first = entries[key].key.line
                self.problems.append(problem(key_at, join(path, key), f"set twice: first on line {first}"))
                continue
            entries[key] = Entry(key_at, value)
        return MapNode(entries, at)

    def key(self, event: yaml.Event, path: str) -> str | None:
        """Read a key as the text it is written as; None when it cannot be one."""
        if not isinstance(event, yaml.ScalarEvent):
            self.report(event, path, "a key that is no plain word: expected name: value")
            self.skip(event)
            return None
        if event.value == "<<" and event.style is None:
            self.report(event, path, "a merge key (<<): use extends: or environments: instead")
            return None
        return None if self.decorated(event, path) or self.broken(event, path) else event.value

    def sequence(self, path: str, at: Provenance, depth: int) -> ListNode:
        items: list[Node] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            item_at = self.at(event.start_mark)
            items.append(self.node(event, join(path, len(items)), item_at, depth + 1))
        return ListNode(tuple(items), at)

    def decorated(self, event: yaml.NodeEvent, path: str) -> bool:
        """Report an anchor or a tag; neither is quoted, for both may be a secret that lacks its quotes."""
        if event.anchor is not None:
            self.report(
                event, path, "an anchor (&name): write the value out; text that begins with & needs quotes"
            )
            return True
        if getattr(event, "tag", None) is not None:
            self.report(
                event, path, "a tag (!name): expected a plain value; text that begins with ! needs quotes"
            )
            return True
        return False

    def broken(self, event: yaml.ScalarEvent, path: str) -> bool:
        """Report half a surrogate pair: an escape can write it, but no UTF-8 can hold it."""
        if is_text(event.value):
            return False
        self.report(event, path, "an escape (\\u…) that names half a character: expected text")
        return True

    def skip(self, event: yaml.Event) -> None:
        """Leave out what the event opens."""
        depth = int(isinstance(event, yaml.CollectionStartEvent))
        while depth:
            event = next(self.events)
            self.count(event)
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise self.too_deep(event)

    def count(self, event: yaml.Event) -> None:
        self.nodes += 1
        self.last = self.at(event.start_mark)
        if self.nodes > MOST_NODES:
            raise self.stop(event, f"more than {MOST_NODES} values: expected a policy")

    def too_deep(self, event: yaml.Event) -> _StopReading:
        return self.stop(event, f"nested deeper than {DEEPEST} levels: expected a policy")

    def report(self, event: yaml.Event, path: str, message: str) -> None:
        self.problems.append(problem(self.at(event.start_mark), path, message))

    def stop(self, event: yaml.Event, message: str) -> _StopReading:
        self.report(event, "", message)
        return _StopReading()


def _scalar(event: yaml.ScalarEvent) -> Scalar:
    """Give a scalar the meaning of YAML 1.2's core schema; quoted and block scalars are text."""
    text = event.value
    if event.style is not None:
        return text
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    return _number(text)


def _number(text: str) -> Scalar:
    if _INT.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text):
        return int(text, 0)
    if _HEX.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INFINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def _syntax(wrong: yaml.MarkedYAMLError, text: str) -> str:
    """Say what PyYAML says, but without the file's own words: they may be a secret."""
    said = ", ".join(filter(None, (wrong.context, wrong.problem)))
    message = "not YAML: " + _QUOTED.sub(
        lambda found: found[0] if _HARMLESS.fullmatch(found[0]) else "…", said
    )
    mark = wrong.context_mark or wrong.problem_mark
    lines = text.splitlines()
    if mark is not None and mark.line < len(lines) and "${" in lines[mark.line]:
        message += "; inside { } or [ ] put ${…} in quotes"
    return message
