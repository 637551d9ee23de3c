"""``cachepolicy completion``: what real shells complete."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cachepolicy.__main__ import main
from cachepolicy.cli import COMMANDS
from cachepolicy.cli.completion_shells import SHELLS
from cachepolicy.cli.completion_words import Wants, commands
from tests.support import explained
from tests.support.commands import environment

PRESENT = ["bash", *(shell for shell in ("zsh", "fish") if shutil.which(shell))]
START = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"], "fish": ["--no-config", "-i"]}
LOAD = {
    "bash": 'eval "$(cachepolicy completion bash)"',
    "zsh": "autoload -Uz compinit; compinit -D -u; source <(cachepolicy completion zsh)",
    "fish": "cachepolicy completion fish | source",
}
QUOTES = "''"
EACH = """
COMP_WORDS=(%s)
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_cachepolicy
echo "${COMPREPLY[@]}"
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Make a folder with a policy, another one, and a program called cachepolicy."""
    (tmp_path / "policies.yaml").write_text(explained.POLICY.format(url="memory://"))
    (tmp_path / "other.yaml").write_text("version: 1\nnamespaces: {else: {kind: temp}}\n")
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "cachepolicy"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cachepolicy "$@"\n')
    program.chmod(0o755)
    return tmp_path


def variables(here: Path) -> dict[str, str]:
    """Return the environment of a shell."""
    mine = environment(
        HOME=str(here), TERM="dumb", **({"FPATH": os.environ["FPATH"]} if "FPATH" in os.environ else {})
    )
    return mine | {"PATH": f"{here / 'bin'}:{mine['PATH']}"}


def completed(here: Path, *lines: str) -> list[str]:
    """Return what a real bash completes the last word of each line to, what is typed being ``_``."""
    scripts = [
        EACH % f"cachepolicy {line.removesuffix('_')}{QUOTES if line.endswith(' _') else ''}"
        for line in lines
    ]
    done = subprocess.run(
        ["bash", "--norc", "--noprofile", "-c", LOAD["bash"] + "".join(scripts)],
        cwd=here,
        env=variables(here),
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.timeout(180)  # each completion is a process
def test_bash_completes_commands_options_and_names(here: Path) -> None:
    """Commands, options, choices, files, and the namespaces and environments of the policy in use."""
    cases = {
        "in_": "init inspect invalidate",
        "explain --re_": "--reveal",
        "check --format _": "text json github",
        "explain se_": "sessions",
        "invalidate --namespace _": "llm own ratelimit analytics sessions temp",
        "explain --environment pr_": "production",
        "explain --policy oth_": "other.yaml",
        "explain --policy other.yaml _": "else",
        "explain --call _": "",
    }
    assert dict(zip(cases, completed(here, *cases), strict=True)) == cases


def test_a_policy_that_is_wrong_completes_nothing(here: Path) -> None:
    """Whoever types is not told what is wrong with the policy: names are missing, and nothing else."""
    (here / "policies.yaml").write_text("version: 2\nnamespaces: 7\n")
    assert completed(here, "explain _", "explain --js_") == ["", "--json"]


@pytest.mark.parametrize("shell", PRESENT)
def test_in_a_shell_as_people_have_it(shell: str, here: Path) -> None:
    """Typed into an interactive shell, a tab completes a command, an option, and a namespace."""
    master, terminal = pty.openpty()
    with subprocess.Popen(
        [shell, *START[shell]],
        cwd=here,
        env=variables(here),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    ) as process:
        try:
            _type(master, f"{LOAD[shell]}; echo lo''aded\n", "loaded")
            for typed, line in (
                ("cachepolicy insp", "inspect "),
                ("cachepolicy explain --rev", "--reveal "),
                ("cachepolicy explain sess", "sessions "),
            ):
                _type(master, f"{typed}\t", line)
                _type(master, "\x15echo cle''ared\n", "cleared")
        finally:
            process.kill()
    os.close(master)
    os.close(terminal)


def _type(master: int, keys: str, awaited: str) -> None:
    os.write(master, keys.encode())
    shown, until = "", time.monotonic() + 20
    while awaited not in shown:
        assert time.monotonic() < until, f"{awaited!r} was not shown after {keys!r}: {shown!r}"
        if select.select([master], [], [], 0.2)[0]:
            shown += os.read(master, 65536).decode(errors="replace")


def test_every_command_is_known() -> None:
    """What is completed comes from the commands' own parsers, whichever there are."""
    found = {command.name: command for command in commands()}
    assert list(found) == list(COMMANDS)
    for name, command in found.items():
        assert "--help" in [flag for taken in command.taken for flag in taken.flags], name
    of_explain = {flag: taken for taken in found["explain"].taken for flag in taken.flags}
    assert of_explain["--policy"].wants == (Wants.FILE,)
    assert of_explain["--environment"].wants == (Wants.ENVIRONMENT,)
    assert not of_explain["--reveal"].takes


@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_every_shell_has_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each shell's text names every command and option, and is the same each time."""
    said = []
    for _ in range(2):
        assert main(["completion", shell]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    for command in commands():
        assert command.name in said[0]
        for taken in command.taken:
            assert all(flag.lstrip("-") in said[0] for flag in taken.flags)


def test_names_for_other_programs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Namespaces and environments are printed one a line, for whoever completes in another way."""
    policy = ("--policy", str(here / "policies.yaml"))
    assert main(["completion", "environments", *policy]) == 0
    assert capsys.readouterr().out == "production\n"
    (here / "policies.yaml").write_text("version: 2")
    assert main(["completion", "namespaces", *policy]) == 1
    assert capsys.readouterr() == ("", "")
    with pytest.raises(SystemExit, match="2"):
        main(["completion", "tcsh"])
