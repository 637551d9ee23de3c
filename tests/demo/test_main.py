"""``python -m cachepolicy``: finding commands, and failing clearly."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Sequence
from types import ModuleType

import pytest

from cachepolicy.__main__ import main
from cachepolicy.cli import COMMANDS
from cachepolicy.errors import CachePolicyError
from tests.demo.conftest import ROOT


def _command(monkeypatch: pytest.MonkeyPatch, run: object) -> None:
    module = ModuleType("cachepolicy.cli.demo")
    module.__dict__["main"] = run
    monkeypatch.setitem(sys.modules, "cachepolicy.cli.demo", module)


def test_a_command_gets_its_own_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows the command's name is the command's, --help included; its exit code is the program's."""
    got: list[Sequence[str]] = []

    def run(argv: Sequence[str]) -> int:
        got.append(argv)
        return 7

    _command(monkeypatch, run)

    assert main(["demo", "--help", "--json", "x"]) == 7
    assert got == [["--help", "--json", "x"]]


def test_an_error_is_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An error of cachepolicy's own becomes a sentence on stderr and exit code 1."""

    def run(argv: Sequence[str]) -> int:
        raise CachePolicyError("the policy is wrong")

    _command(monkeypatch, run)

    assert main(["demo"]) == 1
    assert capsys.readouterr().err == "cachepolicy demo: the policy is wrong\n"


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends a command with the exit code that shells expect."""

    def run(argv: Sequence[str]) -> int:
        raise KeyboardInterrupt

    _command(monkeypatch, run)

    assert main(["demo"]) == 130


@pytest.mark.parametrize("package", ["openai", "rich", "opentelemetry.sdk"])
def test_a_missing_extra_is_a_sentence(package: str) -> None:
    """Without the packages of its extra, a command says how to install them."""
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from cachepolicy.__main__ import main; sys.exit(main(['demo']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )

    assert done.returncode == 1
    assert done.stderr.startswith(f"cachepolicy demo needs {package}")
    assert done.stderr.endswith(": pip install 'cachepolicy[demo]'\n")


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """--help names each command, without importing any."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])

    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in COMMANDS)


def test_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    """--version prints the version that is installed, or says that none is."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])

    assert ended.value.code == 0
    try:
        expected = importlib.metadata.version("cachepolicy")
    except importlib.metadata.PackageNotFoundError:
        expected = "not installed"
    assert expected in capsys.readouterr().out


@pytest.mark.parametrize("argv", [[], ["dance"]], ids=["none", "unknown"])
def test_an_unknown_command_is_a_usage_error(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """No command, or one that does not exist, is refused with the usage and exit code 2."""
    with pytest.raises(SystemExit) as ended:
        main(argv)

    assert ended.value.code == 2
    assert "usage: cachepolicy" in capsys.readouterr().err
