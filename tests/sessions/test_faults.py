"""When Redis is out, nobody is logged out, and nobody is let in: a fault is a fault."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from cachepolicy import CallDenied, CorruptValue, StoreError, close, configure
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.resilience import ask
from cachepolicy.keys import tokens
from cachepolicy.runtime.records import Records
from cachepolicy.testing.fault_proxy import FaultProxy, Fin, HalfReply, Reset
from cachepolicy.testing.redis_server import RedisServer
from tests.sessions.conftest import Opened
from tests.support.colour import SYNC, Colour
from tests.support.sessions import Hands, Sessions, sessions_policy
from tests.support.waiting import at_last

NOBODY = "redis://127.0.0.1:1"
FAULTS = pytest.mark.parametrize(
    "fault", [Fin(), Reset(), HalfReply(then_close=True)], ids=lambda fault: type(fault).__name__
)


@pytest.fixture
def proxy(redis_url: str) -> Iterator[FaultProxy]:
    """Give a network that can be made bad."""
    with FaultProxy(redis_url) as proxy:
        yield proxy
        close()


def _all(sessions: Sessions, token: str | None) -> list[Callable[[], Any]]:
    """Return a call of each verb."""
    return [
        partial(sessions.create_session, "u1"),
        partial(sessions.create_anonymous),
        partial(sessions.get_session, token),
        partial(sessions.peek_session, token),
        partial(sessions.update_activity, token),
        partial(sessions.update_session, token, {"a": 2}),
        partial(sessions.set_permissions, token, ["admin"]),
        partial(sessions.rotate, token),
        partial(sessions.login, token, "u1"),
        partial(sessions.end_session, token),
        partial(sessions.list_sessions, "u1"),
        partial(sessions.revoke_session, "u1", "x" * 16),
        partial(sessions.revoke_others, token),
        partial(sessions.revoke_all, "u1"),
    ]


@pytest.mark.parametrize(("on_fault", "error"), [("raise", StoreError), ("deny", CallDenied)])
def test_a_fault_is_never_no_session(colour: Colour, on_fault: str, error: type[Exception]) -> None:
    """S1: while Redis is out every verb raises: nobody is told "no session", and nothing is told as done."""
    configure(sessions_policy(NOBODY, on_fault=on_fault))
    sessions = Sessions(colour)
    token, _ = tokens.mint(tokens.random_tag())
    for call in _all(sessions, token):
        with pytest.raises(error) as raised:
            call()
        assert "u1" not in str(raised.value)
        assert token[40:] not in f"{raised.value!r}{raised.value.__cause__!r}"


def test_a_session_outlives_redis_being_out(colour: Colour, proxy: FaultProxy) -> None:
    """S1: who was logged in before is so afterwards."""
    breaker = {"failures": 1, "window": "1s", "open_for": "10ms"}
    configure(sessions_policy(proxy.url, redis={"breaker": breaker}))
    sessions = Sessions(colour)
    token, _ = sessions.create_session("u1", {"a": 1})
    proxy.fault = Fin()
    with pytest.raises(StoreError):
        sessions.get_session(token)
    proxy.fault = None
    assert at_last(partial(sessions.get_session, token)).data == {"a": 1}


@FAULTS
def test_a_lost_reply_is_told_as_a_fault(colour: Colour, proxy: FaultProxy, fault: Any, hands: Hands) -> None:
    """S1: whose reply was lost gets the fault; the session is there, and changed whole or not at all."""
    configure(sessions_policy(proxy.url))
    sessions, before = Sessions(colour), Sessions(SYNC)
    token, _ = before.create_session("u1", {"a": 1})

    def network(state: Any) -> None:
        proxy.fault = state

    with pytest.raises(StoreError):
        sessions.asked.all(
            partial(sessions.asked.begun, sessions.manager.get_session, token),
            partial(network, fault),
            partial(sessions.asked.begun, sessions.manager.update_session, token, {"a": 2, "b": 2}),
        )
    proxy.fault = None
    found = at_last(partial(sessions.get_session, token))
    assert found.data in ({"a": 1}, {"a": 2, "b": 2})


def test_what_is_done_again_is_done_once(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """S1: each step may be repeated: where every reply is lost once, all comes to the same."""

    def twice(records: Records[Any], command: Any) -> Flow[Any]:
        yield from ask(records.site.guard, command, records.budget())
        return (yield from ask(records.site.guard, command, records.budget()))

    monkeypatch.setattr(Records, "ask", twice)
    for layout in ("hash", "blob"):
        sessions = opened(layout=layout, max_per_user=2, when_full="refuse")
        sessions.revoke_all("u1")
        token, made = sessions.create_session("u1", {"a": 1})
        assert [info.id for info in sessions.list_sessions("u1")] == [made.id]
        assert sessions.get_session(token) == made
        assert sessions.update_session(token, {"b": 2}, remove=["a"]).data == {"b": 2}
        assert sessions.set_permissions(token, ["read"]).permissions == {"read"}
        newer, rotated = sessions.rotate(token)
        assert rotated.data == {"b": 2}
        assert sessions.get_session(newer) is not None
        assert sessions.rotate(token) is None
        anonymous, _ = sessions.create_anonymous({"cart": [1]})
        newest, session = sessions.login(anonymous, "u1")
        assert session.data == {"cart": [1]}
        assert len(sessions.list_sessions("u1")) == 2
        assert sessions.revoke_others(newest)
        assert [info.id for info in sessions.list_sessions("u1")] == [session.id]
        sessions.end_session(newest)
        assert sessions.get_session(newest) is None


def test_redis_restarts_under_way(redis_binary: str, colour: Colour) -> None:
    """S1: a server that is killed and comes back logs nobody out: calls are answered rightly, or fail."""
    with RedisServer("--appendonly", "yes", "--appendfsync", "always") as server:
        breaker = {"failures": 1000, "window": "1s", "open_for": "10ms"}
        configure(sessions_policy(server.url, redis={"breaker": breaker}))
        sessions = Sessions(colour)
        token, _ = sessions.create_session("u1", {"n": 0})
        last = 0
        for turn in range(1, 4):
            killer = threading.Thread(target=server.kill)
            killer.start()
            faults = 0
            while not faults:
                try:
                    found = sessions.update_session(token, {"n": last + 1})
                except StoreError:
                    faults += 1
                else:
                    last += 1
                    assert found.data == {"n": last}
            killer.join()
            server.restart()
            found = at_last(partial(sessions.get_session, token))
            assert found.data["n"] in {last, last + 1}, turn
            last = found.data["n"]
        close()


def test_a_full_server_takes_no_half_session(redis_binary: str, colour: Colour) -> None:
    """S1: out of memory, a login or a change is a fault; what there is can be read, and nothing was begun."""
    with RedisServer("--maxmemory-policy", "noeviction") as server:
        configure(sessions_policy(server.url, max_per_user=1))
        sessions = Sessions(colour)
        token, _ = sessions.create_session("u1", {"a": 1})
        sessions.update_session(token, {})
        server.command("CONFIG", "SET", "maxmemory", "1")
        for call in (
            partial(sessions.create_session, "u1"),
            partial(sessions.update_session, token, {"a": 2}),
            partial(sessions.rotate, token),
        ):
            with pytest.raises(StoreError):
                call()
        assert sessions.get_session(token).data == {"a": 1}
        assert sessions.end_session(token)
        close()


def test_what_was_altered_in_redis_is_an_error(on_redis: Opened, hands: Hands) -> None:
    """S1: bytes that were altered, moved from elsewhere, or taken away, are never told as data."""
    sessions = on_redis()
    one, two = sessions.create_session("u1", {"a": 1, "b": 2}), sessions.create_session("u1", {"a": 3})
    key = hands.key(one)
    whole = hands.client.hgetall(key)
    other = hands.client.hgetall(hands.key(two))
    for field, value in (
        (b".a", other[b".a"]),
        (b".a", whole[b".b"]),
        (b".a", whole[b".a"][:-1]),
        (b".a", b""),
        (b"w", other[b"w"]),
        (b"w", whole[b".a"]),
        (b".c", b"anything"),
    ):
        hands.client.hset(key, field, value)
        with pytest.raises(CorruptValue):
            sessions.get_session(one.token)
        hands.client.delete(key)
        hands.client.hset(key, mapping=whole)
    hands.client.hdel(key, "w")
    with pytest.raises(CorruptValue):
        sessions.get_session(one.token)
    assert sessions.get_session(two.token).data == {"a": 3}


def test_what_cannot_be_read_fails_no_login(redis_url: str, colour: Colour, hands: Hands) -> None:
    """S1: a session that nobody can read any more ends with the login, which goes on without it."""
    configure(sessions_policy(redis_url))
    sessions = Sessions(colour)
    created = sessions.create_anonymous({"cart": [1]})
    hands.client.hset(hands.key(created), ".cart", b"anything")
    token, session = sessions.login(created.token, "u1", {"a": 1})
    assert session.data == {"a": 1}
    assert sessions.get_session(token) == session
    assert sessions.get_session(created.token) is None
