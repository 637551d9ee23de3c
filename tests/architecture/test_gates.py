"""Negative controls: each gate of ``make check`` is shown a planted fault, and must find it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.source import PACKAGE, ROOT

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def tool(name: str, module: str) -> str:
    """Find a tool of ``make check``; where only ``make test`` was set up, skip, but never in CI."""
    if importlib.util.find_spec(module) is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} comes with `make check`")
    return str(Path(sys.executable).parent / name)


def run(*command: str, cwd: Path = ROOT, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a tool and keep what it says."""
    return subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Copy the package and its configuration, to plant faults in."""
    shutil.copytree(PACKAGE, tmp_path / "cachepolicy", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint_imports(copy: Path) -> subprocess.CompletedProcess[str]:
    """Check the layers of a copy."""
    return run(tool("lint-imports", "importlinter"), "--no-cache", "--no-logo", cwd=copy)


def plant(path: Path, text: str) -> None:
    """Add lines to a file, or make it."""
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.write(f"\n{text}\n")


def test_the_layers_hold(copy: Path) -> None:
    """The package as it is keeps its layers: the faults below are found for their own sake."""
    assert lint_imports(copy).returncode == 0


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("errors.py", "import cachepolicy.runtime"),
        ("keys/planted.py", "def later():\n    from cachepolicy import flow"),
        ("tiers/planted.py", "import cachepolicy.policy"),
        ("attic/__init__.py", ""),
    ],
    ids=["upward", "upward and lazy", "sibling", "room without a place"],
)
def test_a_broken_layer_is_found(copy: Path, where: str, what: str) -> None:
    """An import upward or sideways is found, lazy or not; so is a room that was given no place."""
    plant(copy / "cachepolicy" / where, what)
    checked = lint_imports(copy)
    assert checked.returncode == 1
    assert "BROKEN" in checked.stdout


def test_a_circle_within_a_room_is_found(copy: Path) -> None:
    """Two files of one room that import each other are found."""
    plant(copy / "cachepolicy/keys/one.py", "import cachepolicy.keys.two")
    plant(copy / "cachepolicy/keys/two.py", "import cachepolicy.keys.one")
    assert lint_imports(copy).returncode == 1


@pytest.mark.parametrize(
    ("path", "line", "rule"),
    [
        ("cachepolicy/decorators/planted.py", "import redis", "TID251"),
        ("cachepolicy/runtime/current.py", "from opentelemetry import trace", "TID251"),
        ("cachepolicy/flow/planted.py", "import pickle", "TID251"),
        ("cachepolicy/flow/planted.py", "try:\n    f()\nexcept Exception:\n    pass", "BLE001"),
        ("tests/keys/test_planted.py", "def test_it() -> None:\n    assert 1", "D103"),
        ("tests/keys/test_planted.py", "import os", "F401"),
        ("cachepolicy/__init__.py", '__all__ = ["b", "a"]', "RUF022"),
    ],
)
def test_ruff_finds(path: str, line: str, rule: str) -> None:
    """Ruff finds what it is trusted to find: strangers, swallowed errors, silent tests, unsorted names."""
    checked = run(tool("ruff", "ruff"), "check", "--stdin-filename", path, "-", stdin=line)
    assert checked.returncode == 1
    assert rule in checked.stdout


def test_ruff_finds_a_file_out_of_format() -> None:
    """A file that is not formatted is found."""
    checked = run(
        tool("ruff", "ruff"),
        "format",
        "--check",
        "--stdin-filename",
        "tests/planted.py",
        "-",
        stdin="x  =  1",
    )
    assert checked.returncode == 1


@pytest.mark.parametrize(
    ("path", "text", "rule"),
    [
        ("cachepolicy/planted.py", "def f(x): return x", "no-untyped-def"),
        ("cachepolicy/planted.py", "def f(x: list) -> None: ...", "type-arg"),
        ("tests/planted.py", "def f(x): return x", "no-untyped-def"),
        ("tests/planted.py", "x: int = 1  # type: ignore[misc]", "unused-ignore"),
        ("tests/planted.py", "class C: ...\ndef f(c: C) -> bool:\n    return not c", "truthy-bool"),
    ],
)
def test_mypy_finds(copy: Path, path: str, text: str, rule: str) -> None:
    """Mypy runs strict: a missing type, a bare generic, a stale ignore, an odd truth value are found."""
    plant(copy / path, text)
    checked = run(tool("mypy", "mypy"), "--no-incremental", path, cwd=copy)
    assert checked.returncode == 1
    assert f"[{rule}]" in checked.stdout


@pytest.mark.timeout(180)  # it reads the whole package anew
def test_pyright_finds(copy: Path) -> None:
    """Pyright reads strictly what users see: a parameter whose type is unknown is found."""
    plant(copy / "cachepolicy/testing/planted.py", "def f(x): return x")
    checked = run(tool("pyright", "pyright"), "--pythonpath", sys.executable, cwd=copy)
    assert checked.returncode == 1
    assert "reportUnknownParameterType" in checked.stdout or "reportMissingParameterType" in checked.stdout
