"""What the tests of the policy share: text in, a policy or its complaints out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cachepolicy import policy
from cachepolicy.errors import PolicyError, Problem
from cachepolicy.policy.load import parse
from cachepolicy.policy.rules import CacheRule
from cachepolicy.policy.tree import FILE, plain

NOTHING: Mapping[str, str] = {}


def complaints(
    source: Path | Mapping[str, object],
    *,
    environment: str | None = None,
    variables: Mapping[str, str] = NOTHING,
) -> list[str]:
    """Load a policy; return what is wrong with it, one line each, without the folder of the file."""
    try:
        policy.load(source, environment=environment, variables=variables)
    except PolicyError as error:
        folder = f"{source.parent}/" if isinstance(source, Path) else ""
        return [str(problem).replace(folder, "") if folder else str(problem) for problem in error.problems]
    return []


def said(source: Mapping[str, object], *, variables: Mapping[str, str] = NOTHING) -> list[str]:
    """Return what is wrong with a policy given as a mapping, without its place."""
    return [line.removeprefix("<mapping>:0:0: ") for line in complaints(source, variables=variables)]


def write(folder: Path, text: str, name: str = "policies.yaml") -> Path:
    """Write a policy file."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def cache(**fields: object) -> dict[str, object]:
    """Return a policy with one namespace of kind cache."""
    return {"version": 1, "namespaces": {"llm": {"kind": "cache", "scope": "global", **fields}}}


def namespace(kind: str, **fields: object) -> dict[str, object]:
    """Return a policy with one namespace of a kind."""
    return {"version": 1, "namespaces": {"it": {"kind": kind, **fields}}}


def cache_rule(source: Mapping[str, object], *, variables: Mapping[str, str] = NOTHING) -> CacheRule:
    """Load a policy and return its cache namespace."""
    rule = policy.load(source, variables=variables).policy.namespaces["llm"]
    assert isinstance(rule, CacheRule)
    return rule


def read_value(text: str) -> Any:
    """Return what a YAML value means, as ``value: <text>``."""
    problems: list[Problem] = []
    root = parse(f"value: {text}\n", "file", FILE, problems)
    assert not problems
    assert root is not None
    node = root.get("value")
    assert node is not None
    return plain(node)
