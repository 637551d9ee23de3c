"""The files of a new project, made of the policy that comes with the library: its comments explain them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from cachepolicy import policy
from cachepolicy.errors import Problem
from cachepolicy.policy.load import parse
from cachepolicy.policy.schema import FILE_NAME
from cachepolicy.policy.tree import FILE, ListNode, MapNode, Node, ScalarNode, join

NAMESPACES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sessions": "who is logged in",
        "llm": "answers of language models",
        "ratelimit": "how much each subject may do",
        "analytics": "counters over time",
        "temp": "exports and uploads",
    }
)
"""The namespaces of the shipped policy, and what each is for."""

_SCHEMA: Final = re.compile(r"(?m)^# yaml-language-server: \$schema=.*$")
_APP: Final = re.compile(r"(?m)^app: \S+")
_NAMED: Final = re.compile(r"(?m)^  ([a-z]+):$")
_VARIABLE: Final = re.compile(r"\$\{([A-Z][A-Z_]*)(?::([-?])([^}]*))?\}")
_HEAD: Final = (
    "# What policies.yaml reads from the environment. Each has the value that holds without it;\n"
    "# set what differs, in the environment of the program.\n"
)


def policy_text(app: str, namespaces: Sequence[str]) -> str:
    """Write a policy for a new project.

    Args:
        app: the first segment of every key.
        namespaces: of :data:`NAMESPACES`, those that it needs.
    """
    text = policy.shipped().read_text(encoding="utf-8")
    text = _SCHEMA.sub(f"# yaml-language-server: $schema={FILE_NAME}", text, count=1)
    text = _APP.sub(f"app: {app}", text, count=1)
    head, title, rest = text.partition("\nnamespaces:\n")
    kept = [part for part in rest.split("\n\n") if _is_kept(part, namespaces)]
    return head + title + "\n\n".join(kept)


def _is_kept(paragraph: str, namespaces: Sequence[str]) -> bool:
    found = _NAMED.search(paragraph)
    return found is None or found[1] not in NAMESPACES or found[1] in namespaces


def variables_text(text: str) -> str:
    """Write the variables that a policy reads, each with the settings that it sets."""
    problems: list[Problem] = []
    root = parse(text, "", FILE, problems)
    said: dict[str, list[str]] = {}
    values: dict[str, str] = {}
    for path, value in _scalars(root, "") if root is not None else ():
        for name, operator, word in _VARIABLE.findall(value):
            said.setdefault(name, []).append(f"{path} ({word})" if operator == "?" else path)
            values.setdefault(name, word if operator == "-" else "")
    parts = [f"# {', '.join(said[name])}\n# {name}={values[name]}\n" for name in said]
    return "\n".join([_HEAD, *parts])


def _scalars(node: Node, path: str) -> Iterator[tuple[str, str]]:
    match node:
        case MapNode(entries=entries):
            for name, entry in entries.items():
                yield from _scalars(entry.node, join(path, name))
        case ListNode(items=items):
            for number, item in enumerate(items):
                yield from _scalars(item, join(path, number))
        case ScalarNode(value=str(value)):
            yield path, value
        case ScalarNode():
            pass
