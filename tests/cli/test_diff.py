"""``cachepolicy diff``: what it says, how, and its exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cachepolicy.__main__ import main

POLICY = """version: 1
namespaces:
  llm: {kind: cache, scope: tenant, ttl: 1h}
environments:
  a: {namespaces: {llm: {ttl: 60m}}}
  b: {namespaces: {llm: {ttl: 2h, db: 3}}}
  wide: {namespaces: {llm: {scope: global}}}
  unset: {redis: {url: "${NOT_SET}"}}
"""
TOLD = """\
namespaces.llm.db: 0 → 3
  cold: what is kept stays where it was: here everything begins anew (policies.yaml:6:39)
namespaces.llm.ttl.default: 1h → 2h
  live: what is written from now on; entries keep theirs (policies.yaml:6:31)
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("policies.yaml").write_text(POLICY)
    Path("other.yaml").write_text(POLICY.replace("1h", "3h").replace("2h", "4h"))


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Run the command; return its exit code and what it wrote to stdout."""
    capsys.readouterr()
    code = main(["diff", *words])
    return code, capsys.readouterr().out


def test_two_environments_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    """Each setting that differs is told with both values, its effect, why, and its place."""
    assert said(capsys, "a", "b") == (1, TOLD)


def test_what_means_the_same_is_equal(capsys: pytest.CaptureFixture[str]) -> None:
    """An hour is sixty minutes: nothing is told, and the exit code is 0. A dash is no environment."""
    assert said(capsys, "a", "-") == (0, "")
    assert said(capsys, "policies.yaml", "policies.yaml") == (0, "")


def test_two_files_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    """Two files are compared as they are, or both in one of their environments."""
    code, out = said(capsys, "policies.yaml", "other.yaml")
    assert (code, out.splitlines()[0]) == (1, "namespaces.llm.ttl.default: 1h → 3h")
    code, out = said(capsys, "policies.yaml", "./other.yaml", "--environment", "b")
    assert (code, out.splitlines()[0]) == (1, "namespaces.llm.ttl.default: 2h → 4h")


def test_another_file_s_environments_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    """The policy can be named, as everywhere."""
    for words in (["other.yaml"], ["--policy", "other.yaml"]):
        assert said(capsys, "a", "b", *words)[1].endswith(
            "namespaces.llm.ttl.default: 1h → 4h\n"
            "  live: what is written from now on; entries keep theirs (other.yaml:6:31)\n"
        )


def test_a_forbidden_change_can_end_with_3(capsys: pytest.CaptureFixture[str]) -> None:
    """Asked for it, a pipeline is told by the exit code that a running process would refuse."""
    assert said(capsys, "-", "wide")[0] == 1
    assert said(capsys, "-", "wide", "--exit-forbidden")[0] == 3
    assert said(capsys, "a", "b", "--exit-forbidden")[0] == 1
    assert said(capsys, "a", "-", "--exit-forbidden")[0] == 0


def test_machines_read_json(capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON, each change has its path, values, effect, reason and place."""
    told: Any = json.loads(said(capsys, "-", "wide", "--format", "json")[1])
    assert (told["before"], told["after"]) == ("-", "wide")
    (change,) = told["changes"]
    assert (change["path"], change["before"], change["after"]) == ("namespaces.llm.scope", "tenant", "global")
    assert (change["effect"], change["file"], change["line"]) == ("forbidden", "policies.yaml", 7)
    assert "tenant" in change["why"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a", "other.yaml"], "expected two environments, or two files"),
        (["a", "nowhere"], "no environment is declared as 'nowhere'"),
        (["a", "unset"], "${NOT_SET} is not set"),
        (["policies.yaml", "nowhere.yaml"], "cannot be read"),
        (
            ["policies.yaml", "other.yaml", "policies.yaml"],
            "expected two environments of a file, or two files",
        ),
        (["a", "b", "--environment", "a"], "two environments are named already"),
        (["a"], "required"),
    ],
)
def test_what_cannot_be_compared_is_2(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As with diff(1), trouble is told apart from a difference: exit code 2, and the reason on stderr."""
    with pytest.raises(SystemExit) as left:
        main(["diff", *words])
    out, err = capsys.readouterr()
    assert (left.value.code, out) == (2, "")
    assert expected in err
