"""``cachepolicy acl``: what it writes, that a server takes it, and what it never shows."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from cachepolicy.__main__ import main
from cachepolicy.testing.redis_server import RedisServer
from tests.support import chores
from tests.support.source import ROOT

SECRET = "correct horse"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of its own, with a policy of one namespace of each kind."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "policies.yaml"
    file.write_text(json.dumps(chores.policy("redis://redis:6379")), encoding="utf-8")  # JSON is YAML
    return file


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run the command; return its exit code, and what it wrote."""
    code = main(["acl", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_guide_has_its_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the guide says that a user needs is what the command writes."""
    _, out, _ = said(capsys)
    page = (ROOT / "docs/guide/topologies.md").read_text(encoding="utf-8")
    assert out in page, out


def test_a_server_takes_it(here: Path, redis_server: RedisServer) -> None:
    """The commands go to a server as they stand, and its list shows the users with just these rules."""
    done = subprocess.run(
        [sys.executable, "-m", "cachepolicy", "acl", "--each"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "", "PYTHONPATH": str(ROOT)},
    )
    lines = done.stdout.splitlines()
    assert [line.split()[2] for line in lines] == [f"app-{name}" for name in chores.RULES]
    for line in lines:
        try:
            assert redis_server.command(*line.split()) == b"+OK\r\n"
            allowed = redis_server.command("ACL", "GETUSER", line.split()[2]).decode()
            assert f"~app:{line.split()[2].removeprefix('app-')}:*" in allowed
            assert "-@all" in allowed
        finally:
            redis_server.command("ACL", "DELUSER", line.split()[2])
    assert "write a password in place of PASSWORD" in done.stderr


def test_a_server_begins_with_the_file(here: Path, redis_binary: str, tmp_path: Path) -> None:
    """Lines of an ACL file are read by a server at its start."""
    file = tmp_path / "users.acl"
    done = subprocess.run(
        [sys.executable, "-m", "cachepolicy", "acl", "--format", "file"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "", "PYTHONPATH": str(ROOT)},
    )
    file.write_text(f"user default on nopass ~* &* +@all\n{done.stdout}", encoding="utf-8")
    with RedisServer("--aclfile", str(file)) as server:
        assert b"+client|tracking" in server.command("ACL", "GETUSER", "app")


def test_no_password_is_shown(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The password of a policy is not written, and with --hash as its SHA-256."""
    rule = {"username": "shop", "password": SECRET}
    here.write_text(json.dumps(chores.policy("redis://redis:6379", **rule)), encoding="utf-8")
    out = ""
    for words in ((), ("--format", "file"), ("--format", "json"), ("--hash",)):
        code, out, err = said(capsys, *words)
        assert code == 0
        assert SECRET not in out + err
    assert f"ACL SETUSER shop reset on #{hashlib.sha256(SECRET.encode()).hexdigest()} ~app:*" in out


def test_there_is_a_user_for_each_server(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Namespaces with a Redis of their own have a user there, with what they need alone."""
    policy = chores.policy("redis://:pw@one:6379")
    policy["namespaces"]["temp"]["url"] = "redis+sentinel://s1,s2/files"
    here.write_text(json.dumps(policy), encoding="utf-8")
    code, out, err = said(capsys)
    first, second = out.splitlines()
    assert code == 0
    assert "+hincrby" in first
    assert "+hincrby" not in second
    assert "app is for one:6379: llm, sessions, ratelimit, analytics\n" in err
    assert "app is for files: temp\n" in err
    assert "+sentinel|get-master-addr-by-name" in err
    assert "pw" not in out + err


def test_json_is_for_programs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON, a user's rules are apart."""
    _, out, err = said(capsys, "--namespace", "temp", "--user", "files", "--format", "json")
    (user,) = json.loads(out)["users"]
    assert (user["user"], user["keys"], user["channels"]) == ("files", ["app:temp:*"], [])
    assert "zadd" in user["commands"]
    assert err == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--namespace", "tmep"), "did you mean 'temp'?"),
        (("--each", "--user", "x"), "--user names one user"),
        (("--hash",), "it has none"),
        (("--policy", "missing.yaml"), "missing.yaml"),
    ],
    ids=["namespace", "user", "hash", "file"],
)
def test_a_mistake_is_told(
    here: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    """What cannot be done is said on stderr, with exit code 1."""
    code, out, err = said(capsys, *words)
    assert (code, out) == (1, "")
    assert told in err


def test_a_name_with_spaces_is_none(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that would add rules is a mistake of the command line: exit code 2."""
    with pytest.raises(SystemExit) as ended:
        main(["acl", "--user", "x +@all"])
    assert ended.value.code == 2
