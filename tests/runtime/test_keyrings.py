"""Keys that cannot be used are told when the policy is taken into use, not at the first call."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cachepolicy import PolicyError, configure
from cachepolicy.codec.encrypt import key_id
from cachepolicy.runtime import current
from tests.support.policies import cache_policy

TEXT = """\
version: 1
redis: {url: "memory://"}
defaults:
  encryption: {keys: [KEY]}
namespaces:
  answers: {kind: cache, scope: global}
  open: {kind: cache, scope: global, encryption: {enabled: false}}
"""
KEY = bytes(range(32)).hex()


@pytest.fixture
def without_cryptography(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have ``cryptography`` not installed."""
    for name in [name for name in sys.modules if name.split(".")[0] == "cryptography"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "cachepolicy.codec.encrypt", raising=False)


def test_a_missing_package_is_told_at_configure(without_cryptography: None, tmp_path: Path) -> None:
    """A policy that encrypts is refused where it cannot be done, with the place and what to install."""
    file = tmp_path / "policies.yaml"
    file.write_text(TEXT.replace("KEY", KEY))
    configure({"version": 1})
    before = current.current()
    with pytest.raises(PolicyError) as refused:
        configure(file)
    (problem,) = refused.value.problems
    assert (problem.line, problem.path) == (4, "namespaces.answers.encryption")
    assert "pip install 'cachepolicy[encryption]'" in problem.message
    assert KEY not in str(refused.value)
    assert current.current() is before


def test_nobody_else_needs_the_package(without_cryptography: None) -> None:
    """A policy that does not encrypt is used without it, also where keys are named."""
    configure(cache_policy())
    configure(cache_policy(encryption={"enabled": False, "keys": [KEY]}))


def test_two_keys_of_one_id_are_told_at_configure() -> None:
    """Keys that stored values could not tell apart are refused at load, and not shown."""
    seen: dict[bytes, bytes] = {}
    keys = (number.to_bytes(32, "big") for number in range(10**7))
    first, second = next(
        (seen[key_id(key)], key) for key in keys if seen.setdefault(key_id(key), key) is not key
    )
    with pytest.raises(PolicyError, match="same id") as refused:
        configure(cache_policy(encryption={"keys": [first.hex(), second.hex()]}))
    assert refused.value.problems[0].path == "namespaces.answers.encryption"
    assert first.hex() not in str(refused.value)
