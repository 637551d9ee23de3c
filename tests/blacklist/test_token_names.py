"""What names a token: whatever it is made of, nobody gets around its revocation by spelling it otherwise."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepolicy.errors import UnreadableToken
from cachepolicy.managers.token_names import read_token
from tests.support.jwts import jwt

HUGE = 10**400
YEAR_9999 = 253_402_300_799


def test_s2_text_and_claims_name_the_same_token() -> None:
    """S2: what was revoked by its text is found by its claims, however the text is signed."""
    claims = {"jti": "one", "sub": "7"}
    names = {read_token(token, "").name for token in (claims, jwt(claims), jwt(claims, signature="x.y"[:1]))}
    names.add(read_token({"jti": "one", "exp": 5}, "").name)
    names.add(read_token(jwt({"jti": "one"}, header={"alg": "none"}), "").name)
    assert len(names) == 1
    assert read_token({"jti": "two"}, "").name not in names
    assert read_token({"jti": 1}, "").name == read_token({"jti": "1"}, "").name


@pytest.mark.parametrize("signature", ["c2ln", "c2lo", "c2ln=", "c!2 l\nn", "", "Grüße"])
def test_s2_a_signature_spelled_otherwise_is_the_same_token(signature: str) -> None:
    """S2: readers take a signature in several spellings: a JWT without jti is named by what is signed."""
    token = jwt({"sub": "7"})
    assert (
        read_token(f"{token.rpartition('.')[0]}.{signature}", "").name
        == read_token(token, "").name
        != read_token(jwt({"sub": "8"}), "").name
    )


def test_what_is_no_jwt_is_named_by_the_whole() -> None:
    """An opaque token is all of its text: no dot in it means anything."""
    texts = ["a", "a.b.c", "a.b.d", "a.b", "a.b.c.d", "..", jwt({"jti": "x"}) + ".more", "e30", " a", "a "]
    assert len({read_token(text, "").name for text in texts}) == len(texts)
    headers: list[Any] = [[], "text", 5, b"\xff", b"[" * 50_000]
    texts = [jwt({}, header=header) for header in headers]
    assert len({read_token(f"{text}{end}", "").name for text in texts for end in "ab"}) == 10


def test_kinds_of_names_are_apart() -> None:
    """A text is never taken for the jti that it spells."""
    assert read_token("one", "").name != read_token({"jti": "one"}, "").name


@pytest.mark.parametrize(
    ("exp", "ends", "is_sure"),
    [
        (1_700_000_000, 1_700_000_000, True),
        (1_700_000_000.5, 1_700_000_000.5, True),
        ("1700000000", 1_700_000_000, False),
        (-5, 0, True),
        (HUGE, YEAR_9999, True),
        (1e300, YEAR_9999, True),
        (float("inf"), YEAR_9999, True),
        (float("nan"), None, False),
        ("soon", None, False),
        ("9" * 5000, None, False),
        ("-1", None, False),
        (None, None, False),
        (True, None, False),
        ([1], None, False),
        (dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC), 1_700_000_000, True),
        (dt.datetime(2023, 11, 14, 22, 13, 20), 1_700_000_000, True),  # noqa: DTZ001 - as those who sign write it
    ],
    ids=lambda value: repr(value)[:20],
)
def test_s2_no_exp_shortens_what_is_remembered(exp: Any, ends: float | None, is_sure: bool) -> None:
    """S2: an exp that readers may take in two ways is never taken for the earlier one."""
    named = read_token({"jti": "x", "exp": exp}, "")
    assert (named.ends, named.is_sure) == (ends, is_sure)
    issued = read_token({"jti": "x", "iat": exp}, "").issued
    assert issued == (ends if is_sure and ends != YEAR_9999 else None)


def test_hostile_payloads_still_have_a_name() -> None:
    """S2: bombs, nonsense and a megabyte of text are named at once, and always alike."""
    payloads: list[Any] = [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"jti":' + b"9" * 5000 + b"}",
        b"\xff\xfe",
        b"",
        b"NaN",
        ["jti"],
        {"jti": ""},
        {"jti": None},
        {"jti": True},
        {"jti": {"a": 1}},
        {"jti": 1.5},
    ]
    names = {read_token(jwt(payload, signature=end), "").name for payload in payloads for end in "ab"}
    assert len(names) == len(payloads)
    large = "a" * 1_000_000
    assert read_token(large, "").name != read_token(large + "a", "").name
    assert read_token(jwt({"jti": large}), "").name == read_token({"jti": large}, "").name
    assert read_token(jwt({"jti": "\ud800"}), "").name != read_token(jwt({"jti": "\ud801"}), "").name
    assert read_token("\ud800", "").name != read_token("\ud801", "").name


@given(st.text(min_size=1).filter(lambda text: not text.isspace()))
def test_every_text_has_one_name(text: str) -> None:
    """Whatever comes as a token is named, and the name does not hold it."""
    named = read_token(text, "")
    assert named.name == read_token(text, "").name
    assert len(named.name) == 64
    assert text not in repr(named) or len(text) < 20


def test_a_subclass_of_text_is_text() -> None:
    """Text that a framework wraps is the same token as bare text."""

    class Safe(str):
        __slots__ = ()

    assert read_token(Safe("one"), "").name == read_token("one", "").name
    assert read_token({"jti": Safe("one")}, "").name == read_token({"jti": "one"}, "").name


@pytest.mark.parametrize(
    "token", ["", " \n", b"bytes", None, 5, {}, {"jti": ""}, {"jti": 1.5}, {"sub": "canary"}], ids=repr
)
def test_what_names_nothing_is_an_error(token: Any) -> None:
    """S2: where nothing names a token nobody is told that it is good; the error does not show it."""
    with pytest.raises(UnreadableToken) as refused:
        read_token(token, "who")
    assert "canary" not in str(refused.value)


def test_what_a_token_says_is_read_as_far_as_it_can_be() -> None:
    """Whose it is, when it was issued, of which family; what is none of these is nothing."""
    named = read_token(jwt({"jti": "x", "sub": 7, "iat": 5.5, "family": "f"}), "")
    assert (named.holder, named.issued, named.family) == ("7", 5.5, "f")
    named = read_token({"jti": "x", "sub": {"a": 1}, "iat": "5", "family": 5}, "")
    assert (named.holder, named.issued, named.family) == (None, None, None)
    assert read_token({"jti": "x", "sub": HUGE**20}, "").holder is not None
