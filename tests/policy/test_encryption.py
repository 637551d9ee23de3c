"""``encryption:`` — which keys are taken, how they are inherited, and that none is ever shown."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from cachepolicy import policy
from cachepolicy.errors import PolicyError
from tests.policy.helpers import NOTHING, cache, cache_rule, complaints, said, write
from tests.policy.test_secrets import words_of

KEY = bytes(range(200, 232))
OLD = bytes(range(32))
BASE64 = base64.b64encode(KEY).decode()
EXPECTED = "expected a key of 32 bytes as base64 or hex, as `openssl rand -base64 32` makes one"

FORMS = {
    "base64": BASE64,
    "base64 without padding": BASE64.rstrip("="),
    "base64 of URLs": base64.urlsafe_b64encode(KEY).decode(),
    "hex": KEY.hex(),
    "HEX": KEY.hex().upper(),
    "a line end": f"{BASE64}\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_key_is_base64_or_hex(form: str) -> None:
    """Each way in which tools print 32 bytes is taken for the same key."""
    assert cache_rule(cache(encryption={"keys": [FORMS[form]]})).encryption.key_bytes() == [KEY]


@pytest.mark.parametrize("line_end", ["", "\n", "\r\n"])
def test_a_key_may_be_a_file_as_openssl_prints_it(tmp_path: Path, line_end: str) -> None:
    """The output of `openssl rand -base64 32`, put into a file, is a key; the policy names the file."""
    file = tmp_path / "cache.key"
    file.write_bytes(f"{BASE64}{line_end}".encode())
    source = cache(encryption={"keys": [f"${{file:{file}}}", "${OLD_KEY}"]})
    loaded = policy.load(source, variables={"OLD_KEY": OLD.hex()})
    assert cache_rule(source, variables={"OLD_KEY": OLD.hex()}).encryption.key_bytes() == [KEY, OLD]
    assert loaded.provenance["namespaces.llm.encryption.keys[0]"].variables == (f"file:{file}",)
    shown = [
        repr(loaded),
        str(loaded.policy),
        loaded.policy.model_dump_json(),
        repr(loaded.policy.model_dump()),
    ]
    assert not [text for text in shown if BASE64 in text or OLD.hex() in text or repr(KEY)[2:-1] in text]


def test_one_key_needs_no_list() -> None:
    """``keys: ${KEY}`` is short for a list of one."""
    found = cache_rule(cache(encryption={"keys": "${KEY}"}), variables={"KEY": BASE64})
    assert (found.encryption.enabled, found.encryption.key_bytes()) == (True, [KEY])


WRONG = {
    "empty": "",
    "31 bytes": base64.b64encode(KEY[:31]).decode(),
    "33 bytes": base64.b64encode(KEY + b"x").decode(),
    "16 bytes": KEY[:16].hex(),
    "a passphrase": "correct horse battery staple",
    "both alphabets": f"-/{BASE64[2:]}",
    "two lines": f"{BASE64[:20]}\n{BASE64[20:]}",
    "hex and more": f"{KEY.hex()}0",
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("from_outside", [False, True], ids=["written", "variable"])
def test_what_is_no_key_is_refused_and_not_shown(case: str, from_outside: bool) -> None:
    """Anything else is an error at its place, which names the variable and never repeats what it holds."""
    text = WRONG[case]
    source = cache(encryption={"keys": [OLD.hex(), "${KEY}" if from_outside else text]})
    with pytest.raises(PolicyError) as refused:
        policy.load(source, variables={"KEY": text})
    (problem,) = refused.value.problems
    assert problem.path == "namespaces.llm.encryption.keys[1]"
    if not (from_outside and "\n" in text):
        assert problem.message.startswith(EXPECTED)
    assert ("${KEY}" in problem.message) == from_outside
    words = words_of(refused.value)
    assert not text or text not in words
    assert OLD.hex() not in words


def test_a_wrong_key_is_located(tmp_path: Path) -> None:
    """In a file the error points at the line and the column."""
    text = "version: 1\ndefaults:\n  encryption:\n    keys: [hunter2]\n"
    (found,) = complaints(write(tmp_path, text))
    assert found.startswith(f"policies.yaml:4:12: defaults.encryption.keys[0]: {EXPECTED}")


def test_a_key_is_named_once() -> None:
    """The same key twice, in whatever form, is a mistake: the old one was to stay."""
    (found,) = said(cache(encryption={"keys": [KEY.hex(), BASE64]}))
    assert found == "namespaces.llm.encryption.keys: expected each key once"


def test_encryption_needs_a_key() -> None:
    """Encryption that is asked for without a key is refused, never taken for off."""
    message = "namespaces.llm.encryption: required: keys, without which nothing can be encrypted"
    assert said(cache(encryption={"enabled": True})) == [message]
    assert said(cache(encryption={"keys": []})) == [message]


def test_encryption_is_off_unless_asked_for() -> None:
    """Without the section, or switched off, nothing is encrypted."""
    assert not cache_rule(cache()).encryption.enabled
    assert not cache_rule(cache(encryption={"enabled": False, "keys": [BASE64]})).encryption.enabled
    off = cache_rule(
        cache(encryption={"enabled": "${ENCRYPT}", "keys": [BASE64]}), variables={"ENCRYPT": "no"}
    )
    assert not off.encryption.enabled


def test_encryption_is_inherited_from_defaults() -> None:
    """Keys in ``defaults`` are those of every cache that does not name its own or opt out; lists replace."""
    caches: dict[str, dict[str, object]] = {
        "inherits": {},
        "own": {"encryption": {"keys": [OLD.hex()]}},
        "out": {"encryption": {"enabled": False}},
    }
    source = {
        "version": 1,
        "defaults": {"encryption": {"keys": [BASE64]}},
        "namespaces": {
            **{name: {"kind": "cache", "scope": "global", **rule} for name, rule in caches.items()},
            "kept": {"kind": "temp"},
        },
    }
    found = policy.load(source, variables=NOTHING).policy.namespaces
    told = {
        name: (rule.encryption.enabled, rule.encryption.key_bytes())
        for name, rule in found.items()
        if rule.kind == "cache"
    }
    assert told == {"inherits": (True, [KEY]), "own": (True, [OLD]), "out": (False, [KEY])}


def test_an_environment_may_bring_the_keys() -> None:
    """Where only production encrypts, or brings the keys, the other environments are no problem."""
    source = cache(encryption={"enabled": True})
    source["environments"] = {"production": {"defaults": {"encryption": {"keys": ["${KEY}"]}}}}
    loaded = policy.load(source, environment="production", variables={"KEY": BASE64})
    rule = loaded.policy.namespaces["llm"]
    assert rule.kind == "cache"
    assert rule.encryption.key_bytes() == [KEY]
