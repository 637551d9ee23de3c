"""OWASP's list is answered line by line, and each test that the page names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support.source import ROOT

_PAGE = (ROOT / "docs/owasp-sessions.md").read_text(encoding="utf-8")
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_YOURS = "**yours**"


def _lines(page: str) -> list[list[str]]:
    """Return the lines of the tables, without their heads, each as its cells."""
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    return [row for row in rows if row[0] != "asked for"]


def _missing(page: str, root: Path) -> list[str]:
    """Return the tests that a page names and that there are not."""
    return [
        f"{file}::{name}"
        for file, name in _TEST.findall(page)
        if not (root / file).is_file()
        or not any(
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
            for node in ast.walk(ast.parse((root / file).read_text(encoding="utf-8")))
        )
    ]


def test_every_test_that_is_named_exists() -> None:
    """A test that is renamed or removed is missed by the page that names it."""
    assert _missing(_PAGE, ROOT) == []


@pytest.mark.parametrize("line", _lines(_PAGE), ids=lambda line: line[0])
def test_every_line_is_answered(line: list[str]) -> None:
    """Each demand has an answer, and a test that shows it unless it is the application's to do."""
    _asked, answer, shown = line
    assert answer
    assert _TEST.search(shown) or (shown == "–" and _YOURS in answer)


def test_the_gate_bites(tmp_path: Path) -> None:
    """A file that is not there is found, and so is a function; what is there is not."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_a.py").write_text("def test_b(): ...\n")
    page = "`tests/test_a.py::test_b` `tests/test_a.py::test_c` `tests/test_d.py::test_b`"
    assert _missing(page, tmp_path) == ["tests/test_a.py::test_c", "tests/test_d.py::test_b"]
