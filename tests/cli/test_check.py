"""``cachepolicy check``: what it says, how, and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cachepolicy.__main__ import main
from tests.support.source import ROOT

WRONG = """version: 1
namespaces:
  llm:
    kind: cache
    scope: global
    compresion: {level: 3}
    ttl: soon
"""
ODD = """version: 1
namespaces:
  llm: {kind: cache, scope: global, jitter: 0%}
environments:
  production:
    redis: {url: "${REDIS_URL:?set it}"}
  quiet:
    namespaces: {llm: {jitter: 10%}}
  empty:
"""
TOLD_OF_WRONG = """\
policies.yaml:6:5: error invalid namespaces.llm.compresion: unknown key; did you mean 'compression'?
policies.yaml:7:10: error invalid namespaces.llm.ttl: expected a duration such as 30m, 7d, 100ms or 1h30m \
(a bare number is seconds)
policies.yaml: 2 errors, 0 warnings
"""
TOLD_OF_ODD = """\
policies.yaml:3:45: warning no-jitter namespaces.llm.jitter: entries that were made in one moment end in \
one, and are all computed anew then (to mend it: jitter: 10%) [in no environment, empty]
policies.yaml:5:3: info not-seen environments.production: not looked over here: ${REDIS_URL} is not set: \
set it (to mend it: check it with --environment production where they are set)
policies.yaml:9:3: info empty-environment environments.empty: says nothing: what holds without it holds in \
it (to mend it: say what differs, or take it away)
policies.yaml: 0 errors, 1 warning
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of its own, whose policies.yaml is the one that applies."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "policies.yaml"


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Run the command; return its exit code and what it wrote to stdout."""
    capsys.readouterr()
    code = main(["check", *words])
    return code, capsys.readouterr().out


def test_all_that_is_wrong_is_told_with_its_place(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each mistake is one line, in the order of the file; the exit code is 1."""
    here.write_text(WRONG)
    assert said(capsys) == (1, TOLD_OF_WRONG)


def test_every_environment_is_looked_over(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A finding says where it holds; one whose variables are not set here is told, and no error."""
    here.write_text(ODD)
    assert said(capsys) == (0, TOLD_OF_ODD)


def test_one_environment_is_checked_with_its_variables(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named, an environment must have its variables; and nothing is said of others."""
    here.write_text(ODD)
    code, out = said(capsys, "--environment", "production")
    assert code == 1
    assert out.startswith("policies.yaml:6:18: error invalid environments.production.redis.url: ${REDIS_URL}")
    monkeypatch.setenv("REDIS_URL", "memory://")
    assert said(capsys, "--environment", "production")[0] == 0
    assert said(capsys, "--environment", "quiet") == (0, "policies.yaml: fine (quiet)\n")


def test_the_shell_s_environment_does_not_matter(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All environments are checked, whichever the shell is in: a machine of production checks no less."""
    here.write_text(ODD)
    before = said(capsys)
    monkeypatch.setenv("CACHEPOLICY_ENV", "production")
    assert said(capsys) == before


def test_strict_makes_warnings_errors(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --strict, a warning ends with 1; what is only worth knowing does not."""
    here.write_text(ODD)
    assert said(capsys)[0] == 0
    assert said(capsys, "--strict")[0] == 1
    assert said(capsys, "--strict", "--environment", "quiet")[0] == 0


def test_machines_read_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON, each finding has its severity, code, place, path, message and remedy."""
    here.write_text(ODD)
    told: Any = json.loads(said(capsys, "--format", "json")[1])
    assert (told["policy"], told["errors"], told["warnings"]) == ("policies.yaml", 0, 1)
    assert told["environments"] == ["no environment", "quiet", "empty"]
    first = told["findings"][0]
    assert (first["severity"], first["code"], first["line"], first["column"]) == (
        "warning",
        "no-jitter",
        3,
        45,
    )
    assert (first["path"], first["remedy"]) == ("namespaces.llm.jitter", "jitter: 10%")
    assert first["environments"] == ["no environment", "empty"]


def test_github_shows_it_beside_the_lines(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As workflow commands, what has a meaning there is escaped: a message cannot become a command."""
    here.write_text(f"{WRONG}    jitter: 10\n'a%0A::error::b, c': 1\n")
    code, out = said(capsys, "--format", "github")
    lines = out.splitlines()
    assert code == 1
    assert lines[0] == (
        "::error file=policies.yaml,line=6,col=5,title=cachepolicy%3A invalid::"
        "namespaces.llm.compresion: unknown key; did you mean 'compression'?"
    )
    assert lines[-1].startswith(
        "::error file=policies.yaml,line=9,col=1,title=cachepolicy%3A invalid::a%250A::"
    )


def test_a_file_s_name_is_escaped_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file whose name has a meaning in a workflow command is named all the same."""
    here.with_name("a%,b:c.yaml").write_text("version: 2\n")
    out = said(capsys, "a%,b:c.yaml", "--format", "github")[1]
    assert out.startswith("::error file=a%25%2Cb%3Ac.yaml,line=1,col=10,title=")


def test_a_secret_is_never_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is secret, or stands where a secret should, is in no format."""
    redis = "{url: 'redis://ada:hunter2@host', password: hunter2, tls: {verify: false}}"
    here.write_text(f"version: 1\nredis: {redis}\n")
    for form in ("text", "json", "github"):
        code, out = said(capsys, "--format", form)
        assert code == 0
        assert "secret-in-file" in out
        assert "hunter2" not in out
        assert "ada" not in out


def test_a_dictionary_that_is_not_there_is_an_error(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files that the policy names are looked at too."""
    here.write_text(
        "version: 1\nnamespaces:\n  a: {kind: cache, scope: global, compression: {dictionary: no.dict}}\n"
    )
    code, out = said(capsys)
    assert code == 1
    assert out.startswith("policies.yaml:3:61: error invalid namespaces.a.compression.dictionary[0]: ")


@pytest.mark.parametrize(
    "words", [["a.yaml", "--policy", "a.yaml"], ["a", "b"], ["--format", "xml"], ["--what"]]
)
def test_a_wrong_command_line_is_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What the command line cannot mean ends with 2, with usage on stderr and nothing on stdout."""
    with pytest.raises(SystemExit) as left:
        main(["check", *words])
    assert left.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: cachepolicy check")


def test_a_file_that_is_not_there_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be read is one error, and no traceback."""
    code, out = said(capsys, "--policy", "nowhere.yaml")
    assert (code, out.splitlines()[0]) == (
        1,
        "nowhere.yaml:1:1: error invalid cannot be read: No such file or directory",
    )


def test_it_runs_as_a_program() -> None:
    """``python -m cachepolicy check`` tells of the shipped policy, in a shell that knows only ASCII."""
    done = subprocess.run(
        [sys.executable, "-m", "cachepolicy", "check", "policies.yaml"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        env={"PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b"policies.yaml: fine (no environment, test)\n")


@pytest.mark.parametrize("command", ["check", "schema"])
def test_whoever_stops_reading_is_no_traceback(command: str) -> None:
    """``| head -1``: when nobody reads, however much is to be said, the command ends, and says nothing."""
    reads, writes = os.pipe()
    os.close(reads)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "cachepolicy", command],
            cwd=ROOT,
            stdout=writes,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writes)
    assert (done.returncode, done.stderr) == (141, b"")


def test_only_what_is_needed_is_loaded() -> None:
    """Checking a file needs no Redis client: it is soon done, also in a commit hook."""
    code = (
        "import sys; from cachepolicy.__main__ import main; main(['check', 'policies.yaml']);"
        "sys.exit(any(name in sys.modules for name in ('redis', 'fakeredis', 'cachepolicy.tiers')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0
