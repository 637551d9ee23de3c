"""``SessionManager`` on each kind of store: what it keeps comes back, and ends when it is ended."""

from __future__ import annotations

import pytest

from cachepolicy import (
    CachePolicyError,
    PolicyError,
    Session,
    SessionManager,
    TooLarge,
    UnkeyableArgument,
    UnknownNamespace,
    UnserializableValue,
    configure,
)
from tests.sessions.conftest import Opened
from tests.support.colour import Colour
from tests.support.sessions import Sessions, sessions_policy
from tests.support.sessions_policy import HOSTILE_USERS

DATA = {"cart": [1, {"sku": "a", "count": 2}], "": None, "naïve.key:{}*": "ü", "ratio": 0.5, "yes": True}
LAYOUTS = pytest.mark.parametrize("layout", ["hash", "blob"])


@LAYOUTS
def test_a_session_comes_back_as_it_was_made(opened: Opened, layout: str) -> None:
    """What a session was given is what its token brings back, types and all."""
    sessions = opened(layout=layout)
    token, made = sessions.create_session("u1", DATA, device="phone", permissions=["read", "write"])
    found: Session = sessions.get_session(token)
    assert found == made == sessions.peek_session(token)
    assert (found.user_id, found.device, found.data) == ("u1", "phone", DATA)
    assert found.permissions == {"read", "write"}
    assert found.may("read")
    assert not found.may("admin")
    assert not found.is_anonymous
    assert found.created == found.last_seen
    assert found.expires_at == pytest.approx(found.created + 86_400)


def test_the_data_is_the_callers_own(opened: Opened) -> None:
    """Changing what was returned, or what was given, changes no session."""
    sessions = opened()
    data = {"cart": [1]}
    token, made = sessions.create_session("u1", data)
    data["cart"].append(2)
    made.data["cart"].append(3)
    sessions.get_session(token).data["cart"].append(4)
    assert sessions.get_session(token).data == {"cart": [1]}


@LAYOUTS
def test_fields_change_one_by_one(opened: Opened, layout: str) -> None:
    """A patch changes and removes what it names, and returns all that there is then."""
    sessions = opened(layout=layout)
    token, _ = sessions.create_session("u1", {"a": 1, "b": 2, "c": 3}, permissions=["read"])
    patched = sessions.update_session(token, {"b": [2], "d": 4}, remove=["a", "never"])
    assert patched.data == {"b": [2], "c": 3, "d": 4}
    assert sessions.get_session(token).data == patched.data
    assert sessions.update_session(token, remove="c").data == {"b": [2], "d": 4}
    assert sessions.update_session(token).data == {"b": [2], "d": 4}
    assert sessions.get_session(token).permissions == {"read"}


@LAYOUTS
def test_permissions_change(opened: Opened, layout: str) -> None:
    """A session's permissions are those that it was given last; what it holds stays."""
    sessions = opened(layout=layout)
    token, _ = sessions.create_session("u1", {"a": 1}, permissions="read")
    assert sessions.set_permissions(token, ["admin"]).permissions == {"admin"}
    found = sessions.get_session(token)
    assert (found.permissions, found.data) == ({"admin"}, {"a": 1})
    sessions.set_permissions(token, ())
    assert sessions.get_session(token).permissions == frozenset()


@pytest.mark.parametrize(("before", "after"), [("hash", "blob"), ("blob", "hash")])
def test_a_policy_may_change_its_layout(on_redis: Opened, before: str, after: str) -> None:
    """Sessions written under the other layout are read, changed, and written under the new one."""
    token, _ = on_redis(layout=before).create_session("u1", {"a": 1, "b": 2})
    sessions = on_redis(layout=after)
    assert sessions.get_session(token).data == {"a": 1, "b": 2}
    assert sessions.update_session(token, {"c": 3}, remove=["a"]).data == {"b": 2, "c": 3}
    assert on_redis(layout=before).update_session(token, {"b": 4}).data == {"b": 4, "c": 3}


def test_a_session_ends(opened: Opened) -> None:
    """S1: after logout its token is nothing any more, to any verb; ending it again says so."""
    sessions = opened()
    token, _ = sessions.create_session("u1")
    other, _ = sessions.create_session("u1")
    assert sessions.end_session(token)
    assert sessions.get_session(token) is None
    assert sessions.peek_session(token) is None
    assert not sessions.update_activity(token)
    assert sessions.update_session(token, {"a": 1}) is None
    assert sessions.set_permissions(token, ["admin"]) is None
    assert sessions.rotate(token) is None
    assert not sessions.revoke_others(token)
    assert not sessions.end_session(token)
    assert sessions.get_session(other) is not None


def test_an_anonymous_session_becomes_its_user_s(opened: Opened) -> None:
    """S1: a login takes over what the anonymous session held; the old token is dead at once."""
    sessions = opened(anonymous={"ttl": "1m"})
    token, before = sessions.create_anonymous({"cart": [1], "lang": "de"})
    assert before.is_anonymous
    assert before.user_id is None
    assert before.expires_at == pytest.approx(before.created + 60)
    assert sessions.update_session(token, {"cart": [1, 2]}).data["cart"] == [1, 2]
    assert sessions.get_session(token).is_anonymous
    new, after = sessions.login(token, "u1", {"lang": "en"}, permissions=["read"])
    assert (after.user_id, after.data) == ("u1", {"cart": [1, 2], "lang": "en"})
    assert after.id != before.id
    assert sessions.get_session(token) is None
    assert sessions.update_session(token, {"a": 1}) is None
    assert sessions.get_session(new) == after
    assert [info.id for info in sessions.list_sessions("u1")] == [after.id]


def test_a_login_takes_over_nothing_of_another_user(opened: Opened) -> None:
    """S1: on a shared browser the session before ends, and nothing of it goes to who comes next."""
    sessions = opened()
    token, _ = sessions.create_session("u1", {"secret": 1}, permissions=["admin"])
    _, after = sessions.login(token, "u2")
    assert (after.user_id, after.data, after.permissions) == ("u2", {}, frozenset())
    assert sessions.get_session(token) is None
    assert sessions.list_sessions("u1") == []


def test_who_logs_in_again_keeps_what_was_held(opened: Opened) -> None:
    """S1: the same user's session is replaced by one with a new token, and counts once."""
    sessions = opened(max_per_user=1, when_full="refuse")
    token, _ = sessions.create_session("u1", {"cart": [1]}, permissions=["admin"])
    new, after = sessions.login(token, "u1")
    assert (after.data, after.permissions) == ({"cart": [1]}, frozenset())
    assert sessions.get_session(token) is None
    assert sessions.get_session(new) == after


def test_a_login_needs_no_session_before(opened: Opened) -> None:
    """S1: without a token, or with one that is none, a login makes a session under a token of its own."""
    sessions = opened()
    for token in (None, "", "x" * 84, "../../etc/passwd"):
        new, session = sessions.login(token, "u1", {"a": 1})
        assert new != token
        assert session.data == {"a": 1}


def test_a_policy_without_anonymous_sessions_has_none(opened: Opened) -> None:
    """``anonymous: {enabled: false}`` is told to who asks for one."""
    sessions = opened(anonymous={"enabled": False})
    with pytest.raises(PolicyError):
        sessions.create_anonymous()


def test_sessions_live_as_long_as_code_may_ask(opened: Opened) -> None:
    """``ttl=`` is kept within the namespace's range, and never lasts beyond ``absolute``."""
    sessions = opened(ttl={"default": "1h", "min": "10m", "max": "2h"}, absolute="90m")
    for asked, lives in ((None, 3600), ("30m", 1800), ("1m", 600), ("1d", 5400), (1200.0, 1200)):
        _, session = sessions.create_session("u1", ttl=asked)
        assert session.expires_at - session.created == pytest.approx(lives)
    with pytest.raises(PolicyError):
        sessions.create_session("u1", ttl="soon")


@LAYOUTS
def test_a_session_holds_no_more_than_it_may(opened: Opened, layout: str) -> None:
    """What is too large is refused before anything is written."""
    sessions = opened(layout=layout, max_bytes="1KiB", compression={"enabled": False})
    large = "x" * 2000
    with pytest.raises(TooLarge):
        sessions.create_session("u1", {"a": large})
    assert sessions.list_sessions("u1") == []
    token, _ = sessions.create_session("u1", {"a": "x" * 400})
    for changes in ({"b": large}, {"b": "x" * 400, "c": "x" * 400}):
        with pytest.raises(TooLarge) as refused:
            sessions.update_session(token, changes)
        assert "x" * 10 not in str(refused.value)
    assert sessions.get_session(token).data == {"a": "x" * 400}
    assert sessions.update_session(token, {"b": "x" * 700}, remove=["a"]).data == {"b": "x" * 700}


@LAYOUTS
def test_a_large_session_comes_back(opened: Opened, layout: str) -> None:
    """Where the policy lets sessions be large, one of a megabyte is kept and patched."""
    sessions = opened(layout=layout, max_bytes="4MiB", compression={"enabled": False})
    data = {str(number): "x" * 100_000 for number in range(10)}
    token, made = sessions.create_session("u1", data)
    assert made.data == data
    assert sessions.get_session(token).data == data
    assert sessions.update_session(token, {"0": 1}).data == {**data, "0": 1}


@pytest.mark.parametrize("value", [object(), {1: 2}, (1, 2), {"a": {1}}, float, "\ud800", 2**70])
def test_what_would_not_come_back_is_refused(on_redis: Opened, value: object) -> None:
    """Nothing is approximated: other types than JSON's are an error, before anything is written."""
    sessions = on_redis()
    with pytest.raises(UnserializableValue):
        sessions.create_session("u1", {"a": value})
    token, _ = sessions.create_session("u1")
    with pytest.raises(UnserializableValue):
        sessions.update_session(token, {"a": value})
    for names in ({1: 2}, {"\ud800": 1}):
        with pytest.raises(UnserializableValue):
            sessions.create_session("u1", names)
    with pytest.raises(UnserializableValue):
        sessions.update_session(token, remove=[1])
    assert sessions.get_session(token).data == {}


USERS = [*HOSTILE_USERS, "1", 1, "*", "u?[a-z]", "line\r\nbreak", -(2**63), 2**63, " x"]


def test_all_users_are_told_apart(opened: Opened) -> None:
    """User ids with separators, wildcards, line breaks or 10 KB have sessions of their own."""
    sessions = opened()
    made = {index: sessions.create_session(user, {"n": index}) for index, user in enumerate(USERS)}
    for index, user in enumerate(USERS):
        (info,) = sessions.list_sessions(user)
        assert info.id == made[index].session.id
        found = sessions.get_session(made[index].token)
        assert (found.user_id, type(found.user_id), found.data) == (user, type(user), {"n": index})
    sessions.revoke_all("*")
    assert [sessions.get_session(one.token) is None for one in made.values()] == [u == "*" for u in USERS]


@pytest.mark.parametrize("user", [None, "", "  ", True, 1.0, b"u", ("u",)])
def test_nobody_has_a_session_by_mistake(on_redis: Opened, user: object) -> None:
    """Whoever is not known has no user's session; the error names no user."""
    sessions = on_redis()
    for verb in (sessions.create_session, sessions.list_sessions, sessions.revoke_all):
        with pytest.raises(UnkeyableArgument):
            verb(user)
    with pytest.raises(UnkeyableArgument):
        sessions.login(None, user)
    with pytest.raises(UnkeyableArgument):
        sessions.revoke_session(user, "x")


def test_a_client_may_call_itself_anything(opened: Opened) -> None:
    """A device's name that is too long, or no Unicode, is cut or mended: no client can fail its own login."""
    sessions = opened()
    token, _ = sessions.create_session("u1", device="\ud800" + "x" * 10_000)
    assert sessions.get_session(token).device == "?" + "x" * 255
    assert [info.device for info in sessions.list_sessions("u1")] == ["?" + "x" * 255]


def test_a_namespace_must_be_one_of_sessions(colour: Colour) -> None:
    """A manager of what is no namespace of sessions says so, whatever the token."""
    policy = sessions_policy()
    policy["namespaces"]["answers"] = {"kind": "cache", "scope": "global"}
    configure(policy)
    for namespace, error in (("answers", PolicyError), ("none", UnknownNamespace)):
        with pytest.raises(error):
            Sessions(colour, namespace).get_session("x")
    assert issubclass(PolicyError, CachePolicyError)
    assert repr(SessionManager("answers")) == "SessionManager('answers')"
