"""What is nobody's business: tokens, users and what sessions hold are in no log, span, error or repr."""

from __future__ import annotations

import base64
import logging
import os

import pytest

from cachepolicy import CachePolicyError, configure
from tests.sessions.conftest import Opened
from tests.support.colour import Colour
from tests.support.exported import exported_spans
from tests.support.sessions import Hands, Sessions, sessions_policy

CANARY = "canary-7f3a"
USER = f"user-{CANARY}"
DATA = {f"name-{CANARY}": CANARY, "nested": [{"deep": CANARY}], "long": CANARY * 300}
LAYOUTS = pytest.mark.parametrize("layout", ["hash", "blob"])


def _key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


@LAYOUTS
def test_encrypted_sessions_show_nothing(on_redis: Opened, hands: Hands, layout: str) -> None:
    """S1: under ``encryption`` no user, device, permission, name or value can be read in Redis."""
    sessions = on_redis(layout=layout, encryption={"enabled": True, "keys": [_key()]})
    values = {"a": CANARY, CANARY: 1, "nested": [{"deep": CANARY}], "long": CANARY * 300}
    token, made = sessions.create_session(USER, values, device=CANARY, permissions=[CANARY])
    sessions.update_session(token, {"b": CANARY, f"{CANARY}-2": 2, f"{CANARY}-3": 3})
    sessions.update_session(token, remove=[f"{CANARY}-2"])
    sessions.set_permissions(token, [CANARY, "more"])
    sessions.create_anonymous({"a": CANARY}, device=CANARY)
    dump = hands.dump()
    assert CANARY.encode() not in dump
    assert token.encode() not in dump
    found = sessions.get_session(token)
    assert (found.user_id, found.data) == (USER, {**values, "b": CANARY, f"{CANARY}-3": 3})
    assert (found.permissions, found.device) == ({CANARY, "more"}, CANARY)
    assert [info.device for info in sessions.list_sessions(USER)] == [CANARY]
    assert made.id == found.id


def test_keys_can_be_changed(redis_url: str, colour: Colour) -> None:
    """A key that was replaced still reads; without it, or without encryption, nothing is read."""
    old, new = _key(), _key()
    configure(sessions_policy(redis_url, encryption={"enabled": True, "keys": [old]}))
    token, _ = Sessions(colour).create_session(USER, {"a": 1})
    configure(sessions_policy(redis_url, encryption={"enabled": True, "keys": [new, old]}))
    assert Sessions(colour).get_session(token).data == {"a": 1}
    assert Sessions(colour).update_session(token, {"a": 2}).data == {"a": 2}
    for encryption in ({"enabled": True, "keys": [new]}, {"enabled": False}):
        configure(sessions_policy(redis_url, encryption=encryption))
        with pytest.raises(CachePolicyError):
            Sessions(colour).get_session(token)


def test_no_key_holds_a_user_s_id(on_redis: Opened, hands: Hands) -> None:
    """S1: whoever sees the names of keys sees hashes and random ids, encryption or not."""
    sessions = on_redis()
    sessions.create_session(USER, DATA)
    sessions.create_anonymous(DATA)
    assert [key for key in hands.names() if CANARY in key] == []
    assert len(hands.names()) == 3


@LAYOUTS
def test_nothing_is_told_of_a_session(
    on_redis: Opened,
    hands: Hands,
    layout: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """S1: logs, spans, errors and reprs of every verb hold no token, user, name or value."""
    told = []
    with exported_spans(monkeypatch) as exported, caplog.at_level(logging.DEBUG):
        life = {"default": "1h", "min": "10m"}
        sessions = on_redis(layout=layout, ttl=life, max_bytes="8KiB", max_per_user=1, when_full="refuse")
        anonymous = sessions.create_anonymous(DATA, device=CANARY)
        created = sessions.login(anonymous.token, USER, DATA, device=CANARY, permissions=[CANARY], ttl="1s")
        told += [anonymous, created, created.session, sessions.get_session(created.token)]
        told += [sessions.list_sessions(USER), sessions.manager, sessions.update_session(created.token, DATA)]
        rotated = sessions.rotate(created.token)
        told.append(rotated)
        for verb, *args in (
            (sessions.create_session, USER, DATA),
            (sessions.create_session, USER, {CANARY: object()}),
            (sessions.update_session, created.token, {CANARY: os.urandom(10_000).hex()}),
            (sessions.create_session, "", DATA),
        ):
            with pytest.raises(CachePolicyError) as raised:
                verb(*args)
            told.append(f"{raised.value!r} {raised.value}")
        hands.client.hset(hands.key(created), "w", CANARY)
        with pytest.raises(CachePolicyError) as raised:
            sessions.get_session(created.token)
        told.append(f"{raised.value!r} {raised.value}")
        sessions.revoke_session(USER, created.session.id)
        sessions.revoke_all(USER)
        spans = exported.get_finished_spans()
    text = "\n".join([*map(repr, told), caplog.text, *(span.to_json() for span in spans)])
    assert CANARY not in text
    for token in (anonymous.token, created.token, rotated.token):
        assert token[40:] not in text
        assert token[:24] not in text
    names = {span.name for span in spans}
    assert {"session.get sessions", "session.login sessions", "session.revoke_all sessions"} <= names
