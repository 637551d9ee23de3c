"""``cachepolicy init`` and ``cachepolicy schema``: the files of a new project."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest

from cachepolicy import policy
from cachepolicy.__main__ import main
from cachepolicy.cli.init_text import NAMESPACES
from cachepolicy.policy.schema import shipped_schema
from tests.policy.helpers import NOTHING
from tests.policy.test_schema import complaints
from tests.policy.test_shipped import VARIABLES
from tests.support.written_policies import as_written

FILES = ["policies.yaml", "policies.schema.json", ".env.example"]
CHOICES = [
    chosen for many in range(len(NAMESPACES) + 1) for chosen in itertools.combinations(NAMESPACES, many)
]


@pytest.mark.parametrize("chosen", CHOICES, ids="+".join)
def test_a_new_project_is_fine(
    chosen: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whichever namespaces are asked for are there, the policy is fine, as its schema wants it."""
    folder = tmp_path / "My Chat"
    assert main(["init", str(folder), *(f"--{name}" for name in chosen)]) == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    path = folder / "policies.yaml"
    loaded = policy.load(path, variables=NOTHING).policy
    assert (loaded.app, list(loaded.namespaces)) == ("my-chat", list(chosen or NAMESPACES))
    assert complaints(as_written(path.read_text(encoding="utf-8"))) == []
    capsys.readouterr()
    assert main(["check", "--strict", str(path)]) == 0


def test_editors_find_the_schema(tmp_path: Path) -> None:
    """The policy's first line names the schema beside it, which is the one of this release."""
    main(["init", str(tmp_path)])
    first = (tmp_path / "policies.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=policies.schema.json"
    assert (tmp_path / "policies.schema.json").read_bytes() == shipped_schema().read_bytes()


def test_variables_are_listed(tmp_path: Path) -> None:
    """Each variable that the policy reads is listed, with the value that holds without it."""
    main(["init", str(tmp_path)])
    lines = (tmp_path / ".env.example").read_text(encoding="utf-8").splitlines()
    listed = dict(re.findall(r"(?m)^# ([A-Z_]+)=(.*)$", "\n".join(lines)))
    assert set(listed) == set(VARIABLES)
    assert (listed["REDIS_URL"], listed["LLM_CACHE_TTL"], listed["REDIS_PASSWORD"]) == ("memory://", "7d", "")
    assert all(line.startswith("#") or not line for line in lines)


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_replaced(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One file that is there, and nothing is written: it is told, with exit code 1."""
    (tmp_path / name).write_text("mine")
    assert main(["init", str(tmp_path)]) == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{name}: there already, and not replaced; nothing was written" in err


def test_a_folder_that_cannot_be_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file in the folder's place is one sentence, and no traceback."""
    (tmp_path / "file").write_text("")
    assert main(["init", str(tmp_path / "file")]) == 1
    assert "cannot be written to" in capsys.readouterr().err


def test_a_name_cannot_become_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no application's name is refused with 2, and nothing is written."""
    with pytest.raises(SystemExit) as left:
        main(["init", str(tmp_path / "new"), "--app", "x\nredis: {}"])
    assert left.value.code == 2
    assert not (tmp_path / "new").exists()
    assert main(["init", str(tmp_path / "new"), "--app", "shop.v2"]) == 0
    assert policy.load(tmp_path / "new" / "policies.yaml", variables=NOTHING).policy.app == "shop.v2"


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """``cachepolicy schema`` prints the schema that is shipped, and nothing else."""
    assert main(["schema"]) == 0
    out = capsys.readouterr().out
    assert out == shipped_schema().read_text(encoding="utf-8")
    assert json.loads(out)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
