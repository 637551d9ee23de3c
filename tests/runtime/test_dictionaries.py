from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cachepolicy import PolicyError, Tier, cached, configure
from cachepolicy.codec import dictionary
from cachepolicy.runtime import current
from tests.golden.make import HERE
from tests.support.answers import completion, reference
from tests.support.asking import ask_each
from tests.support.colour import Colour
from tests.support.policies import cache_policy

RAW = (HERE / "answers.dict").read_bytes()
POLICY = """
version: 1
app: test
{more}
namespaces:
  answers:
    kind: cache
    scope: global
    compression: {{dictionary: {named}}}
"""


def _policy(folder: Path, named: str, more: str = "") -> Path:
    file = folder / "policies.yaml"
    file.write_text(POLICY.format(named=named, more=more))
    return file


def _problems(file: Path | dict[str, Any]) -> list[tuple[int, str, str]]:
    with pytest.raises(PolicyError) as wrong:
        configure(file)
    return [(each.line, each.path, each.message) for each in wrong.value.problems]


def _told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was said of dictionaries."""
    return [message for message in caplog.messages if "(dictionary)" in message]


def _errors() -> Counter[str]:
    """Add up what the functions of the runtime in use have counted."""
    return sum((plan.counters.errors for plan in current.current()._plans), Counter[str]())


def test_a_dictionary_stands_beside_the_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path is seen from the folder of the file that it is written in, not from the working directory."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "answers.dict").write_bytes(RAW)
    _policy(tmp_path / "shared", "answers.dict").rename(tmp_path / "shared" / "base.yaml")
    (tmp_path / "policies.yaml").write_text("version: 1\nextends: shared/base.yaml\n")
    monkeypatch.chdir(Path(__file__).parent)
    configure(tmp_path / "policies.yaml")
    known = current.current()._dictionaries["answers"]
    assert list(known.known) == [dictionary.load(RAW, 3).id]
    assert known.writes is not None


def test_a_missing_or_broken_dictionary_is_told_where_it_is_named(tmp_path: Path) -> None:
    """``configure`` names line and path of each file that cannot be used, and the old policy stays."""
    configure(cache_policy())
    before = current.current()
    (tmp_path / "broken.dict").write_bytes(RAW[:100])
    (tmp_path / "whole.dict").write_bytes(RAW)
    file = _policy(tmp_path, "[whole.dict, missing.dict, broken.dict]")
    where = "namespaces.answers.compression.dictionary"
    assert _problems(file) == [
        (
            9,
            f"{where}[1]",
            "cannot be read: No such file or directory; a path is seen from the folder of this file",
        ),
        (9, f"{where}[2]", "not a zstd dictionary, or a damaged one"),
    ]
    assert current.current() is before


def test_what_namespaces_inherit_is_told_once(tmp_path: Path) -> None:
    """A dictionary that two caches inherit, and that is not there, is one problem at its own line."""
    file = tmp_path / "policies.yaml"
    rules = "".join(f"  {name}: {{kind: cache, scope: global}}\n" for name in ("one", "two"))
    file.write_text(
        f"version: 1\ndefaults: {{compression: {{dictionary: missing.dict}}}}\nnamespaces:\n{rules}"
    )
    ((line, _, message),) = _problems(file)
    assert line == 2
    assert message.startswith("cannot be read")


def test_a_rolling_deployment_is_misses_and_no_errors(
    colour: Colour, redis_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A process without the dictionary asks the function for what one with it has stored, and says so once.

    What it stores instead is read by the other.
    """
    (tmp_path / "new.dict").write_bytes(RAW)
    with_it = cache_policy(
        redis_url, local={"enabled": False}, compression={"dictionary": str(tmp_path / "new.dict")}
    )
    without = cache_policy(redis_url, local={"enabled": False})
    questions = reference()[:3]

    @colour.decorate(cached("answers"))
    def answer(question: str) -> dict[str, Any]:
        return completion(question)

    def ask(policy: dict[str, Any]) -> list[Tier]:
        configure(policy)
        found, tiers = ask_each(colour, answer, questions)
        assert found == [completion(question) for question in questions]
        return tiers

    with caplog.at_level(logging.WARNING, logger="cachepolicy"):
        assert ask(with_it) == [Tier.ORIGIN] * 3
        assert ask(with_it) == [Tier.L2] * 3
        assert _told(caplog) == []
        assert ask(without) == [Tier.ORIGIN] * 3
        assert _errors() == {"corrupt.dictionary": 3}
        assert ask(without) == ask(with_it) == [Tier.L2] * 3
    assert len(_told(caplog)) == 1


def test_compression_that_is_off_writes_with_no_dictionary(tmp_path: Path) -> None:
    """``enabled: false`` and ``codec: none`` read with the dictionaries, and write with none."""
    (tmp_path / "answers.dict").write_bytes(RAW)
    for off in ({"enabled": False}, {"codec": "none"}):
        compression = {"dictionary": str(tmp_path / "answers.dict"), **off}
        configure(cache_policy(compression=compression))
        found = current.current()._dictionaries["answers"]
        assert (found.writes, len(found.known)) == (None, 1)
