"""The session cookie: every attribute that browsers must be told, and no header but the one that is meant."""

from __future__ import annotations

import base64
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepolicy import PolicyError, UnreadableToken, clear_session_cookie, session_cookie, session_token

TOKEN = base64.urlsafe_b64encode(bytes(range(63))).decode()  # not at random: it stands in names of tests


def _morsel(header: str, name: str = "__Host-session") -> Any:
    jar: SimpleCookie = SimpleCookie()
    jar.load(header)
    assert list(jar) == [name]
    return jar[name]


@pytest.mark.parametrize("same_site", ["Lax", "Strict", "None"])
def test_s1_the_cookie_is_for_one_host_over_tls_and_for_no_script(same_site: Any) -> None:
    """S1: `__Host-`, `Secure`, `HttpOnly`, `Path=/`, `SameSite`; no `Domain`, and unasked no age."""
    cookie = session_cookie(TOKEN, same_site=same_site)
    assert cookie == f"__Host-session={TOKEN}; Path=/; Secure; HttpOnly; SameSite={same_site}"
    found = _morsel(cookie)
    assert found.value == TOKEN
    assert (found["secure"], found["httponly"], found["path"]) == (True, True, "/")
    assert (found["domain"], found["max-age"], found["expires"]) == ("", "", "")


@pytest.mark.parametrize(
    ("age", "seconds"), [("8h", "28800"), (90, "90"), (0.2, "1"), (timedelta(minutes=1.5), "90")]
)
def test_an_age_is_whole_seconds(age: Any, seconds: str) -> None:
    """`Max-Age` is whole seconds, never zero: that would take the cookie away."""
    assert _morsel(session_cookie(TOKEN, max_age=age))["max-age"] == seconds


def test_s1_logout_takes_the_cookie_away() -> None:
    """S1: the cookie that clears has the same name and attributes, no value, and is over."""
    found = _morsel(clear_session_cookie())
    assert (found.value, found["max-age"], found["path"]) == ("", "0", "/")
    assert (found["secure"], found["httponly"], found["samesite"]) == (True, True, "Lax")
    assert found["expires"].endswith("1970 00:00:00 GMT")


def test_another_name() -> None:
    """A name of one's own has the prefix too, once."""
    assert session_cookie(TOKEN, name="sid").startswith("__Host-sid=")
    assert clear_session_cookie(name="__Host-sid").startswith("__Host-sid=;")


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a;b", "a\r\nX: y", "ä", "a" * 65])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    """No name can end the cookie, or the header."""
    with pytest.raises(PolicyError):
        session_cookie(TOKEN, name=name)
    with pytest.raises(PolicyError):
        clear_session_cookie(name=name)


@given(
    st.text()
    | st.just(f"{TOKEN}\r\nSet-Cookie: a=b")
    | st.just(f"{TOKEN}; Domain=evil.example")
    | st.just(f"{TOKEN}\n")
)
def test_what_is_no_token_is_no_cookie(text: str) -> None:
    """S1: text that is no token of ours never becomes a header, and no error shows it."""
    with pytest.raises(UnreadableToken) as refused:
        session_cookie(text)
    assert str(refused.value) == "session_cookie(): this is no token of a session"


@pytest.mark.parametrize(
    "wrong", [{"max_age": 0}, {"max_age": -1}, {"max_age": "soon"}, {"same_site": "lax"}]
)
def test_wrong_attributes_are_refused(wrong: dict[str, Any]) -> None:
    """An age that is none and a word that browsers do not know are errors, not cookies without them."""
    with pytest.raises(PolicyError):
        session_cookie(TOKEN, **wrong)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (f"__Host-session={TOKEN}", True),
        (f"a=b;  __Host-session={TOKEN} ; c", True),
        (f"__Host-session={TOKEN}; __Host-session={TOKEN}", True),
        (None, False),
        ("", False),
        (f"session={TOKEN}", False),
        (f"__host-session={TOKEN}", False),
        ("__Host-session=", False),
        (f"__Host-session={TOKEN}x", False),
        (f'__Host-session="{TOKEN}"', False),
        (f"__Host-session={TOKEN}; __Host-session={'A' * 84}", False),
    ],
)
def test_s1_a_token_is_taken_from_its_cookie_alone(header: str | None, found: bool) -> None:
    """S1: the token comes from the cookie of that name; where two say otherwise, neither is believed."""
    assert session_token(header) == (TOKEN if found else None)


@given(st.text())
def test_any_header_can_be_read(header: str) -> None:
    """Whatever a client sends as cookies is read without an error."""
    assert session_token(header) is None
