"""Every policy that stands in the tests and in the guide, as plain data: a schema is held to them."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cachepolicy.errors import Problem
from cachepolicy.policy.load import parse
from cachepolicy.policy.tree import FILE, plain
from tests.policy import helpers
from tests.support.source import ROOT

_FENCED = re.compile(r"^```(python|yaml)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_MAKERS: dict[str, Any] = {"cache": helpers.cache, "namespace": helpers.namespace}


def as_written(text: str) -> Any:
    """Read YAML as an editor does: plain data, with the meaning of YAML 1.2."""
    problems: list[Problem] = []
    root = parse(text, "file", FILE, problems)
    return None if root is None or problems else json.loads(json.dumps(plain(root)))


def written_policies() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Go through all of them, each with the place it stands in."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        yield from _in_python(path, path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "docs").rglob("*.md")):
        for kind, text in _FENCED.findall(path.read_text(encoding="utf-8")):
            if kind == "python":
                yield from _in_python(path, text)
            elif isinstance(found := as_written(text), dict):
                yield str(path), found


def _in_python(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for node in ast.walk(ast.parse(text)):
        try:
            found = _made(node)
        except (ValueError, TypeError):  # it is put together when the test runs
            continue
        if isinstance(found, dict) and found.get("version") == 1:
            yield f"{path}:{getattr(node, 'lineno', 0)}", json.loads(json.dumps(found))


def _made(node: ast.AST) -> object:
    if isinstance(node, ast.Dict):
        return ast.literal_eval(node)
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("version: 1"):
        return as_written(node.value)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _MAKERS:
        keywords = {each.arg: ast.literal_eval(each.value) for each in node.keywords if each.arg}
        return _MAKERS[node.func.id](*map(ast.literal_eval, node.args), **keywords)
    return None
