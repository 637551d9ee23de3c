"""``reload()``: what is right takes the policy's place, what is wrong or forbidden changes nothing."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from cachepolicy import PolicyError, cached, configure, reload
from cachepolicy.runtime import current
from tests.support.colour import Colour
from tests.support.reloaded import POLICY


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A policy that is in use, in a file."""
    file = tmp_path / "policies.yaml"
    file.write_text(POLICY)
    configure(file)
    return file


def _edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def _answer() -> Any:
    @cached("answers")
    def answer(question: str) -> str:
        return question

    return answer


def test_a_right_edit_is_in_force_at_once(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """``reload()`` puts the file's policy in force, returns what differs and its effect, and tells of it."""
    answer = _answer()
    assert answer.policy.ttl == 3600
    _edit(file, "ttl: 1h", "ttl: 2h")
    with caplog.at_level(logging.INFO, "cachepolicy.reload"):
        (change,) = reload()
    assert (change.path, change.before, change.after) == ("namespaces.answers.ttl.default", "1h", "2h")
    assert change.effect == "live"
    assert answer.policy.ttl == 7200
    assert "namespaces.answers.ttl.default: 1h → 2h (live)" in caplog.text


def test_nothing_is_replaced_where_nothing_differs(file: Path) -> None:
    """A file that says the same in other words is no change: the runtime in use stays."""
    before = current.current()
    _edit(file, "ttl: 1h", "ttl: 60m")
    file.write_text(file.read_text() + "# an hour\n")
    assert reload() == ()
    assert current.current() is before


@pytest.mark.parametrize(
    ("was", "becomes", "why"),
    [
        ("ttl: 1h", "ttl: soon", "namespaces.answers.ttl"),
        ("ttl: 1h", "ttl: {", "not YAML"),
        ("scope: user", "scope: global", "answers for one user would be shared"),
        ("kind: cache, db: 1, scope: user, ttl: 1h, jitter: 0%", "kind: temp, db: 1", "another kind"),
    ],
    ids=["wrong", "broken", "forbidden", "another kind"],
)
def test_a_wrong_edit_changes_nothing_and_says_why(
    file: Path, was: str, becomes: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What is wrong, or forbidden in a running process, raises with its place; the old stays in use."""
    before = current.current()
    _edit(file, was, becomes)
    for _ in range(2):
        with pytest.raises(PolicyError, match=why) as refused:
            reload()
        assert all(problem.file == str(file) and problem.line for problem in refused.value.problems)
    assert current.current() is before
    assert _answer().policy.ttl == 3600
    told = [record.levelname for record in caplog.records if record.name == "cachepolicy.reload"]
    assert told == ["ERROR"]  # once for the same mistake
    assert why in caplog.text


def test_a_file_that_is_gone_changes_nothing(file: Path) -> None:
    """Without its file a process goes on with the policy that it has."""
    before = current.current()
    file.unlink()
    with pytest.raises(PolicyError, match="cannot be read"):
        reload()
    assert current.current() is before
    file.write_text(POLICY.replace("1h", "3h"))
    reload()
    assert _answer().policy.ttl == 10800


def test_the_same_file_is_read_again_from_anywhere(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy named by a relative path is read from the same file after the working directory changed."""
    monkeypatch.chdir(file.parent)
    configure(file.name)
    monkeypatch.chdir("/")
    _edit(file, "ttl: 1h", "ttl: 2h")
    assert len(reload()) == 1


def test_a_mapping_is_read_again(colour: Colour) -> None:
    """A policy that was given as a mapping is what the mapping holds now."""
    rule: dict[str, object] = {"kind": "cache", "db": 1, "scope": "global", "ttl": "1h"}
    configure({"version": 1, "redis": {"url": "memory://"}, "namespaces": {"answers": rule}})

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    assert colour.run(lambda: answer("why?")) == "why?"
    rule["ttl"] = "2h"
    assert [change.after for change in reload()] == ["2h"]
    assert answer.policy.ttl == 7200


def test_secrets_are_told_by_no_event(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A password that changes is a change, and stands neither in it nor in a log."""
    file = tmp_path / "policies.yaml"
    file.write_text(POLICY.replace('"memory://"', '"redis://user:canary-one@127.0.0.1:1"'))
    configure(file)
    _edit(file, "canary-one", "canary-two")
    with caplog.at_level(logging.DEBUG):
        changes = reload()
    assert len(changes) == 1
    assert "canary" not in repr(changes) + caplog.text
