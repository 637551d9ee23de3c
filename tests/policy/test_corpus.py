"""Broken files, as people, editors, templates and attackers make them: each is told where it is wrong, soon.

``corpus/expected.txt`` has the first line that ``cachepolicy check`` says of each file in ``corpus``.
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cachepolicy.__main__ import main
from tests.policy.test_schema import SCHEMA
from tests.support.source import ROOT
from tests.support.written_policies import as_written

CORPUS = Path(__file__).with_name("corpus")
FILES = sorted(path.name for path in CORPUS.glob("*.yaml"))
EXPECTED = dict(
    line.split(": ", 1) for line in (CORPUS / "expected.txt").read_text(encoding="utf-8").splitlines()
)
LOCATED = re.compile(r"\S+:[1-9]\d*:[1-9]\d*: (error|warning|info) [a-z-]+ \S")
MEBIBYTE = 2**20
MOST_MEMORY = 100 * MEBIBYTE
MOST_SECONDS = 2.0

# What a schema cannot see in these: other files, variables, the form of a name, two settings at once.
UNSEEN = re.compile(
    r"(cycle|extends|inject|directory)-.*|.*-(name|value|escape)|date|float-.*|infinite|environment-kind|"
    r"huge-duration|url-port|version-float|zero-ttl"
)


def check(path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Run the command on a file that is wrong; return what it says, its last line left out."""
    capsys.readouterr()
    assert main(["check", str(path)]) == 1
    said = capsys.readouterr()
    assert said.err == ""
    return said.out.splitlines()[:-1]


@pytest.mark.parametrize("name", FILES)
def test_each_broken_file_is_told_of(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that is wrong has a place; the first is what is expected; no control characters, no secret."""
    monkeypatch.chdir(CORPUS)
    said = check(Path(name), capsys)
    place, _, rest = said[0].partition(": error invalid ")
    assert f"{place.split(':', 1)[1]} {rest}" == EXPECTED[name]
    assert all(LOCATED.match(line) for line in said)
    assert "".join(said).isprintable()
    assert "hunter2" not in "".join(said)


def test_the_corpus_is_whole() -> None:
    """Each file has its expectation, and each expectation its file."""
    assert sorted(EXPECTED) == FILES


@pytest.mark.parametrize("name", [name for name in FILES if not UNSEEN.fullmatch(name.removesuffix(".yaml"))])
def test_the_schema_sees_it_too(name: str) -> None:
    """What is YAML, and wrong by itself, is wrong for an editor as well."""
    try:
        written = as_written((CORPUS / name).read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError:
        return
    assert written is None or not SCHEMA.is_valid(written)


MEASURED = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stderr=subprocess.STDOUT)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
unit = 1 if sys.platform == "darwin" else 1024
print(done.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss * unit, file=sys.stderr)
"""


class Cost(NamedTuple):
    """What a run of the command took."""

    code: int
    said: list[str]
    seconds: float
    memory: int


def run(path: Path) -> Cost:
    """Run the command on a file, in a process whose parent is small: memory is inherited until it begins."""
    words = [sys.executable, "-c", MEASURED, sys.executable, "-m", "cachepolicy", "check", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    code, seconds, memory = done.stderr.split()
    return Cost(int(code), done.stdout.splitlines(), float(seconds), int(memory))


LARGE = {
    "one word": "version: 1\napp: " + "a" * 900_000,
    "one quoted line": 'version: 1\napp: "' + "a " * 450_000 + '"',
    "escapes": 'version: 1\napp: "' + "\\u0041" * 150_000 + '"',
    "one comment": "version: 2 #" + "a" * 900_000,
    "blank lines": "version: 2" + "\n" * 900_000,
    "keys": "version: 1\n" + "".join(f"k{number}: 1\n" for number in range(70_000)),
    "one key": "version: 1\n" + "k" * 900_000 + ": 1",
    "items": "version: 1\napp: [" + "1," * 450_000,
    "brackets": "version: 1\napp: " + "[" * 900_000,
    "braces": "version: 1\napp: " + "{" * 900_000,
    "question marks": "version: 1\napp: " + "? " * 450_000,
    "dashes": "version: 1\napp:\n" + "- " * 450_000,
    "anchors": "version: 1\n" + "".join(f"k{number}: &a{number} 1\n" for number in range(40_000)),
    "aliases": "a: &a 1\n" + "b: [" + "*a," * 300_000,
    "references": "version: 1\napp: " + "${A:-}" * 150_000,
    "open references": "version: 1\napp: " + "${" * 450_000,
    "tags": "version: 1\napp: " + "!a" * 450_000,
    "directives": "%A b\n" * 180_000 + "---\nversion: 2",
    "more than a megabyte": "version: 1\n" + "#" * 2_000_000,
    "environments": "version: 1\napps: x\nenvironments:\n"
    + "".join(f"  e{number}: {{app: a}}\n" for number in range(4_000)),
    "namespaces and environments": "version: 1\napps: x\nnamespaces:\n"
    + "".join(f"  n{number}: {{kind: temp, db: 1}}\n" for number in range(1_500))
    + "environments:\n"
    + "".join(f"  e{number}: {{app: a}}\n" for number in range(1_500)),
    "block scalar": "version: 1\napp: |\n" + " a\n" * 300_000,
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_file_costs_little(name: str, tmp_path: Path) -> None:
    """Whatever fills a megabyte, it is told of within 2 seconds and 100 MB, without a traceback."""
    path = tmp_path / "policies.yaml"
    path.write_text(LARGE[name], encoding="utf-8")
    cost = run(path)
    assert cost.code == 1
    assert all(LOCATED.match(line) for line in cost.said[:-1])
    assert cost.seconds < MOST_SECONDS
    assert cost.memory < MOST_MEMORY


@pytest.mark.parametrize("name", ["billion-laughs.yaml", "deep-open.yaml", "binary.yaml"])
def test_a_bomb_costs_little(name: str) -> None:
    """A small file that would be a large one is told of within 2 seconds and 100 MB."""
    cost = run(CORPUS / name)
    assert (cost.code, "Traceback" in "".join(cost.said)) == (1, False)
    assert cost.seconds < MOST_SECONDS
    assert cost.memory < MOST_MEMORY


SHIPPED = (ROOT / "policies.yaml").read_bytes()
PIECES = [
    *(bytes([each]) for each in range(256)),
    *(
        b"\t",
        b"- ",
        b": ",
        b"{",
        b"}",
        b"[",
        b"]",
        b"&a ",
        b"*a",
        b"!x ",
        b"${",
        b"}",
        b"<<: ",
        b"? ",
        b"|",
        b"\n",
    ),
    *(
        "\ufeff\u202e\u2028🦊\x85".encode(),
        b'"',
        b"'",
        b"#",
        b"---\n",
        b"\\U00110000",
        b"~",
        b".inf",
        b"1e999",
    ),
]


@given(seed=st.integers(0, 2**32), times=st.integers(1, 8))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_policy_is_told_of(
    seed: int, times: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """However a valid file is damaged, it is fine still, or told of with a place: never a traceback."""
    chance = random.Random(seed)
    text = bytearray(SHIPPED)
    for _ in range(times):
        at = chance.randrange(len(text))
        match chance.randrange(4):
            case 0:
                text[at:at] = chance.choice(PIECES)
            case 1:
                del text[at : at + chance.randrange(1, 40)]
            case 2:
                text[at : at + 1] = chance.choice(PIECES)
            case _:
                start = chance.randrange(len(text))
                text[at:at] = text[start : start + chance.randrange(200)]
    path = tmp_path / "policies.yaml"
    path.write_bytes(text)
    capsys.readouterr()
    code = main(["check", str(path)])
    said = capsys.readouterr()
    assert code in {0, 1}
    assert said.err == ""
    assert all(LOCATED.match(line) for line in said.out.splitlines()[:-1])
