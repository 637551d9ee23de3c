"""Which sessions a user has, and how they are ended: one, the others, all."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from cachepolicy import NewSession, TooManySessions, configure
from cachepolicy.testing.redis_server import RedisServer
from tests.sessions.conftest import Opened
from tests.support.colour import Colour
from tests.support.sessions import DAY, Hands, Sessions, sessions_policy


def _alive(sessions: Sessions, *created: NewSession) -> list[bool]:
    return [sessions.get_session(one.token) is not None for one in created]


def test_a_user_s_sessions_are_listed(opened: Opened) -> None:
    """S1: each with its id, device and times, the newest last; no token, and nobody else's."""
    sessions = opened()
    made = [sessions.create_session("u1", device=device) for device in ("phone", "", "laptop")]
    sessions.create_session("u2")
    sessions.create_anonymous()
    listed = sessions.list_sessions("u1")
    assert [info.device for info in listed] == ["phone", "", "laptop"]
    assert [(info.id, info.created, info.last_seen, info.expires_at) for info in listed] == [
        (one.session.id, one.session.created, one.session.last_seen, one.session.expires_at) for one in made
    ]
    assert all(info.id in one.token and info.id != one.token for info, one in zip(listed, made, strict=True))
    assert sessions.list_sessions("nobody") == []


def test_one_session_is_revoked_by_its_id(opened: Opened) -> None:
    """S1: it ends at once, the others stay; an id of another user, or one that is none, ends nothing."""
    sessions = opened()
    one, two = sessions.create_session("u1"), sessions.create_session("u1")
    other = sessions.create_session("u2")
    assert not sessions.revoke_session("u1", other.session.id)
    for wrong in ("", "*", "x" * 16, other.token, "}:" * 8, None):
        assert not sessions.revoke_session("u1", wrong)
    assert sessions.revoke_session("u1", one.session.id)
    assert not sessions.revoke_session("u1", one.session.id)
    assert _alive(sessions, one, two, other) == [False, True, True]
    assert [info.id for info in sessions.list_sessions("u1")] == [two.session.id]


def test_the_others_are_revoked(opened: Opened) -> None:
    """S1: "sign out everywhere else" leaves the session that asked for it, and other users'."""
    sessions = opened()
    one, two, three = [sessions.create_session("u1") for _ in range(3)]
    other, anonymous = sessions.create_session("u2"), sessions.create_anonymous()
    assert sessions.revoke_others(two.token)
    assert _alive(sessions, one, two, three, other, anonymous) == [False, True, False, True, True]
    assert [info.id for info in sessions.list_sessions("u1")] == [two.session.id]
    assert sessions.revoke_others(anonymous.token)
    assert sessions.get_session(anonymous.token) is not None


def test_all_are_revoked(opened: Opened) -> None:
    """S1: all of a user's sessions are over at once, for every verb; the next login makes one."""
    sessions = opened()
    made = [sessions.create_session("u1") for _ in range(3)]
    other = sessions.create_session("u2")
    sessions.revoke_all("u1")
    assert sessions.list_sessions("u1") == []
    for one in made:
        assert sessions.update_session(one.token, {"a": 1}) is None
        assert sessions.rotate(one.token) is None
        assert not sessions.update_activity(one.token)
        assert not sessions.revoke_session("u1", one.session.id)
    assert _alive(sessions, *made, other) == [False, False, False, True]
    again = sessions.create_session("u1")
    assert _alive(sessions, *made, again) == [False, False, False, True]


def test_revoking_all_is_one_command_however_many_there_are(own_redis: RedisServer, colour: Colour) -> None:
    """S1: revoking all, or all others, takes as many commands for a thousand sessions as for two."""
    configure(sessions_policy(own_redis.url, max_per_user=10_000))
    sessions = Sessions(colour)
    counts = []
    with redis.Redis.from_url(own_redis.url) as client:
        for many in (2, 1000):
            created = [sessions.manager.create_session.sync("u1") for _ in range(many)][-1]
            assert len(sessions.list_sessions("u1")) >= many
            client.config_resetstat()
            assert sessions.revoke_others(created.token)
            sessions.revoke_all("u1")
            stats: Any = client.info("commandstats")
            counts.append({name: stat["calls"] for name, stat in stats.items() if "unlink" in name})
            assert sessions.get_session(created.token) is None
    assert counts == [{"cmdstat_unlink": 2}] * 2


def test_what_a_revoked_session_held_goes(on_redis: Opened, hands: Hands) -> None:
    """S1: asked for once more, a revoked session is removed; else it goes with its idle time."""
    sessions = on_redis(ttl="1h")
    created = sessions.create_session("u1", {"a": 1})
    sessions.revoke_all("u1")
    assert 0 < hands.client.ttl(hands.key(created)) <= 3600
    assert sessions.peek_session(created.token) is None
    assert hands.names() == []


def test_a_user_has_no_more_sessions_than_may_be(opened: Opened) -> None:
    """S1: ``max_per_user`` ends the oldest, by when it was made."""
    sessions = opened(max_per_user=3)
    made = [sessions.create_session("u1") for _ in range(3)]
    sessions.update_activity(made[0].token)
    made += [sessions.create_session("u1") for _ in range(2)]
    assert _alive(sessions, *made) == [False, False, True, True, True]
    assert len(sessions.list_sessions("u1")) == 3


def test_one_more_may_be_refused(opened: Opened) -> None:
    """S1: ``when_full: refuse`` lets the sessions be that there are, until one of them ends."""
    sessions = opened(max_per_user=2, when_full="refuse")
    one, two = sessions.create_session("u1"), sessions.create_session("u1")
    with pytest.raises(TooManySessions) as refused:
        sessions.create_session("u1", {"a": "canary"})
    assert "u1" not in str(refused.value)
    assert _alive(sessions, one, two) == [True, True]
    assert sessions.create_session("u2")
    sessions.end_session(one.token)
    assert sessions.create_session("u1")


def test_sessions_that_are_over_take_nobody_s_place(on_redis: Opened, hands: Hands) -> None:
    """S1: what nobody uses any more neither counts, nor is listed, nor stays listed."""
    sessions = on_redis(max_per_user=2, when_full="refuse", ttl="1h", absolute="30d")
    over = [sessions.create_session("u1") for _ in range(2)]
    (listed,) = (key for key in hands.names() if "user_sessions" in key)
    for one in over:
        entry = hands.client.hget(listed, one.session.id)
        earlier = [int(entry[16:29]) - DAY, int(entry[29:42]) - DAY]
        hands.client.hset(listed, one.session.id, entry[:16] + b"%013d%013d" % tuple(earlier))
        hands.client.unlink(hands.key(one))
    assert sessions.list_sessions("u1") == []
    new = sessions.create_session("u1")
    assert [info.id for info in sessions.list_sessions("u1")] == [new.session.id]
    assert hands.client.hkeys(listed) == [new.session.id.encode()]


def test_a_smaller_maximum_ends_what_is_too_many(on_redis: Opened) -> None:
    """S1: a policy that lets a user have fewer sessions ends the oldest with the next login."""
    sessions = on_redis(max_per_user=5)
    made = [sessions.create_session("u1") for _ in range(5)]
    sessions = on_redis(max_per_user=2)
    made.append(sessions.create_session("u1"))
    assert _alive(sessions, *made) == [False] * 4 + [True] * 2
