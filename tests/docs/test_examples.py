from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cachepolicy.policy import load

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def _blocks(page: Path, language: str) -> list[str]:
    return [body for kind, body in _BLOCK.findall(page.read_text()) if kind == language]


def _pages_with(language: str) -> list[Path]:
    return [page for page in PAGES if _blocks(page, language)]


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", _pages_with("python"), ids=_name)
def test_examples_run_as_they_stand(page: Path, tmp_path: Path) -> None:
    """The Python blocks of a page, pasted one after another into a file, run without a word of warning."""
    script = tmp_path / "example.py"
    script.write_text("\n\n".join(_blocks(page, "python")))
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", _pages_with("yaml"), ids=_name)
def test_policies_in_the_pages_are_policies(page: Path, tmp_path: Path) -> None:
    """Every policy that a page shows loads, in each of its environments."""
    for number, text in enumerate(_blocks(page, "yaml")):
        file = tmp_path / f"{number}.yaml"
        file.write_text(text)
        variables = {"REDIS_URL": "rediss://redis.example:6380"}
        load(file, variables=variables)
        for environment in ("production", "test"):
            if f"\n  {environment}:" in text:
                assert load(file, environment=environment, variables=variables).environment == environment


def test_the_first_example_is_what_the_readme_says(tmp_path: Path) -> None:
    """README's example prints a miss and then a hit from L1, as the block beneath it shows."""
    script = tmp_path / "example.py"
    script.write_text(_blocks(ROOT / "README.md", "python")[0])
    command = [sys.executable, str(script)]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    shown = _blocks(ROOT / "README.md", "text")[0]
    assert [line.split()[:3] for line in printed.stdout.splitlines()] == [
        line.split()[:3] for line in shown.splitlines()
    ]
