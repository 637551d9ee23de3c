"""Tokens: random bits that nobody but their holder has; whatever else comes as one is nobody's session."""

from __future__ import annotations

import base64
import hashlib
import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepolicy import configure
from cachepolicy.errors import StoreError
from cachepolicy.keys import tokens
from cachepolicy.testing.scripted import Scripted
from tests.sessions.conftest import Opened
from tests.support.colour import Colour
from tests.support.sessions import Hands, Sessions, sessions_policy

ALPHABET = string.ascii_letters + string.digits + "-_"
MALFORMED = [
    None,
    "",
    "x",
    "x" * 83,
    "x" * 85,
    "x" * 83 + "=",
    "x" * 83 + "\n",
    "x" * 83 + "ü",
    "x" * 83 + "\x00",
    "*" * 84,
    "{}" * 42,
    "../" * 28,
    "x" * 100_000,
    b"x" * 84,
    17,
    ["x" * 84],
]


def _verbs(sessions: Sessions, token: object) -> list[object]:
    """Return what each verb that takes a token makes of it."""
    return [
        sessions.get_session(token),
        sessions.peek_session(token),
        sessions.update_activity(token),
        sessions.update_session(token, {"a": 1}),
        sessions.set_permissions(token, ["admin"]),
        sessions.rotate(token),
        sessions.end_session(token),
        sessions.revoke_others(token),
    ]


NOTHING = [None, None, False, None, None, None, False, False]


def test_a_token_is_256_bits_that_redis_does_not_have(on_redis: Opened, hands: Hands) -> None:
    """S1: no two tokens share a secret, and what Redis holds is a hash from which nobody makes a token."""
    sessions = on_redis(max_per_user=100)
    made = [sessions.create_session("u1") for _ in range(50)]
    secrets = {base64.urlsafe_b64decode(one.token)[30:] for one in made}
    assert len(secrets) == 50
    assert {len(secret) for secret in secrets} == {33}
    dump = hands.dump()
    for one in made:
        assert one.token.encode() not in dump
        assert one.token[40:].encode() not in dump
        assert base64.urlsafe_b64decode(one.token)[30:] not in dump
        assert hashlib.sha256(one.token.encode()).digest() in dump
    bits = [f"{byte:08b}" for secret in secrets for byte in secret]
    share = "".join(bits).count("1") / len(bits) / 8
    assert 0.45 < share < 0.55


@pytest.mark.parametrize("token", MALFORMED, ids=lambda token: repr(token)[:20])
def test_what_cannot_be_a_token_asks_redis_nothing(colour: Colour, token: object) -> None:
    """S1: malformed tokens are nobody's session, though no Redis is there to say so."""
    configure(sessions_policy("redis://127.0.0.1:1"))
    assert _verbs(Sessions(colour), token) == NOTHING


def test_a_forged_token_is_nobody_s(on_redis: Opened, hands: Hands) -> None:
    """S1: a token with any character altered is nobody's, and nothing is written by it."""
    sessions = on_redis()
    created = sessions.create_session("u1", {"a": 1})
    before = hands.dump()
    dice = random.Random(7)
    for at in (0, 23, 24, 39, 40, 83, *dice.sample(range(84), 10)):
        other = dice.choice(ALPHABET.replace(created.token[at], ""))
        assert _verbs(sessions, created.token[:at] + other + created.token[at + 1 :]) == NOTHING
    assert _verbs(sessions, created.token.swapcase()) == NOTHING
    assert hands.dump() == before
    assert sessions.get_session(created.token).data == {"a": 1}


def test_an_id_of_the_client_s_choice_is_never_adopted(on_redis: Opened, hands: Hands) -> None:
    """S1: a session that a client names is not made, whatever is done with the name; login gives another."""
    sessions = on_redis()
    tag = tokens.user_tag("test:sessions:", "victim")
    fixed, _ = tokens.renew(tag, "A" * 16)
    assert _verbs(sessions, fixed) == NOTHING
    assert hands.names() == []
    token, session = sessions.login(fixed, "victim")
    assert token != fixed
    assert session.id != "A" * 16
    assert sessions.get_session(fixed) is None


def test_a_token_is_good_in_its_namespace_alone(redis_url: str, colour: Colour) -> None:
    """S1: another namespace, or another app, in the same database takes no token of this one's."""
    policy = sessions_policy(redis_url)
    policy["namespaces"]["others"] = {"kind": "sessions", "db": 0}
    configure(policy)
    created = Sessions(colour).create_session("u1")
    assert _verbs(Sessions(colour, "others"), created.token) == NOTHING
    configure({**sessions_policy(redis_url), "app": "other"})
    assert _verbs(Sessions(colour), created.token) == NOTHING
    configure(sessions_policy(redis_url))
    assert Sessions(colour).get_session(created.token) is not None


def test_a_secret_is_good_for_its_session_alone(on_redis: Opened) -> None:
    """S1: the secret of one session opens no other, not even of the same user."""
    sessions = on_redis()
    one, two = sessions.create_session("u1"), sessions.create_session("u1")
    assert _verbs(sessions, one.token[:40] + two.token[40:]) == NOTHING
    assert _verbs(sessions, one.token[:24] + two.token[24:40] + one.token[40:]) == NOTHING


def test_a_hash_is_no_token(on_redis: Opened, hands: Hands) -> None:
    """S1: who reads Redis can make no token of what is there."""
    sessions = on_redis()
    created = sessions.create_session("u1")
    stored = hands.client.hget(hands.key(created), "s")
    for secret in (base64.urlsafe_b64encode(stored).decode()[:44], stored.hex()[:44]):
        assert _verbs(sessions, created.token[:40] + secret) == NOTHING


@given(st.text(max_size=100))
def test_no_text_makes_the_reader_fail(text: str) -> None:
    """Whatever stands in a cookie is read as a token or as none."""
    name = tokens.read(text)
    assert name is None or len(text) == 84


def test_a_token_tells_its_parts_and_shows_none() -> None:
    """The parts of a token come back, and what holds them shows nothing in a log."""
    token, name = tokens.mint(tokens.user_tag("app:sessions:", "u1"))
    assert tokens.read(token) == name
    assert name.tag == token[:24]
    assert name.id == token[24:40]
    assert repr(name) == "Name()"
    assert len(token) == 84
    assert set(token) <= set(ALPHABET)


def test_users_do_not_share_a_tag() -> None:
    """A tag is a hash of the namespace and the user: users that look alike have tags of their own."""
    users: list[str | int] = ["1", 1, "u", "U", "u ", "ü", "u\x00", "a:b", "a", -1]
    tags = {tokens.user_tag(prefix, user) for prefix in ("a:b:", "a:c:") for user in users}
    assert len(tags) == 2 * len(users)
    assert {len(tag) for tag in tags} == {24}
    assert all(set(tag) <= set(ALPHABET) for tag in tags)


def test_a_server_that_answers_nonsense_is_a_fault(colour: Colour) -> None:
    """S1: a reply that is none to the question is a fault, never "no session"."""
    token, _ = tokens.mint(tokens.random_tag())
    for reply in (b"+OK\r\n", b":7\r\n", b"*1\r\n:1\r\n", b"-ERR no\r\n", b"-NOPERM no\r\n", b"*0\r\n"):
        with Scripted({"EVALSHA": reply, "EVAL": reply}) as server:
            configure(sessions_policy(server.url))
            sessions = Sessions(colour)
            with pytest.raises(StoreError):
                sessions.get_session(token)
            with pytest.raises(StoreError):
                sessions.list_sessions("u1")
