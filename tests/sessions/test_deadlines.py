"""How long sessions and tokens live, by the server's clock: what stands in Redis is turned back."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from cachepolicy import NewSession, aclose, configure
from tests.sessions.conftest import Opened
from tests.support.colour import Colour
from tests.support.sessions import DAY, Hands, Sessions, sessions_policy

HOUR = 3_600_000


def _ttls(hands: Hands, created: NewSession) -> tuple[float, float]:
    """Return for how many seconds Redis keeps a session, and the list of its user."""
    (listed,) = (key for key in hands.names() if "user_sessions" in key)
    return hands.client.pttl(hands.key(created)) / 1000, hands.client.pttl(listed) / 1000


def test_redis_forgets_by_itself(on_redis: Opened, hands: Hands) -> None:
    """S1: every key has an end of its own: the session its idle time, the list the absolute one."""
    created = on_redis(ttl="1h", absolute="7d").create_session("u1")
    session, listed = _ttls(hands, created)
    assert session == pytest.approx(3600, abs=20)
    assert listed == pytest.approx(7 * 86_400, abs=20)
    assert all(hands.client.pttl(key) > 0 for key in hands.names())


def test_an_unused_session_is_over(on_redis: Opened, hands: Hands) -> None:
    """S1: the idle deadline is held by the script too, should Redis have kept the key; and nothing stays."""
    sessions = on_redis(ttl="1h")
    created = sessions.create_anonymous()
    hands.turn(created, HOUR)
    assert sessions.update_session(created.token, {"a": 1}) is None
    for verb in ("get_session", "peek_session", "update_activity", "rotate", "end_session", "revoke_others"):
        created = sessions.create_session("u1")
        hands.turn(created, HOUR - 60_000)
        assert sessions.peek_session(created.token) is not None
        hands.turn(created, 60_000)
        hands.client.persist(hands.key(created))
        assert not getattr(sessions, verb)(created.token)
        assert not [key for key in hands.names() if created.session.id in key]
    assert hands.names() == []


def test_no_use_outlives_the_absolute_deadline(on_redis: Opened, hands: Hands) -> None:
    """S1: however much it is used, a session ends when its longest life is over, new token or not."""
    sessions = on_redis(ttl="1h", absolute="2h")
    created = sessions.create_session("u1")
    hands.turn(created, 30 * 60_000)
    assert sessions.get_session(created.token).expires_at == pytest.approx(
        created.session.created + 3600, abs=20
    )
    hands.turn(created, HOUR)
    hands.client.hset(hands.key(created), "h", _used_now(hands, created))
    token, rotated = sessions.rotate(created.token)
    assert rotated.expires_at == pytest.approx(created.session.created + 1800, abs=20)
    assert _ttls(hands, created)[0] == pytest.approx(1800, abs=20)
    hands.turn(created, HOUR)
    assert sessions.get_session(token) is None


def _used_now(hands: Hands, created: NewSession) -> bytes:
    head: bytes = hands.client.hget(hands.key(created), "h")
    seconds, micros = hands.client.time()
    return head[:13] + b"%013d" % (seconds * 1000 + micros // 1000) + head[26:]


def test_a_use_renews_a_session_when_it_gains_enough(on_redis: Opened, hands: Hands) -> None:
    """S1: uses in quick succession stay reads; one that gains a tenth of the idle time renews it."""
    sessions = on_redis(ttl="1h", touch="10%")
    created = sessions.create_session("u1")
    hands.turn(created, 5 * 60_000)
    hands.client.pexpire(hands.key(created), 55 * 60_000)
    before = hands.dump()
    found = sessions.get_session(created.token)
    assert hands.dump() == before
    assert found.last_seen < found.created + 1
    assert sessions.peek_session(created.token) == found
    hands.turn(created, 5 * 60_000)
    assert sessions.peek_session(created.token).last_seen == found.last_seen - 300
    found = sessions.get_session(created.token)
    assert found.last_seen == pytest.approx(found.created + 600, abs=20)
    assert _ttls(hands, created)[0] == pytest.approx(3600, abs=20)
    (info,) = sessions.list_sessions("u1")
    assert (info.last_seen, info.expires_at) == (found.last_seen, found.expires_at)


def test_update_activity_renews_at_once(on_redis: Opened, hands: Hands) -> None:
    """S1: the seed's verb renews a session however short ago the last use was."""
    sessions = on_redis(ttl="1h")
    created = sessions.create_session("u1")
    hands.turn(created, 60_000)  # of which a use would renew nothing
    assert sessions.update_activity(created.token)
    found = sessions.peek_session(created.token)
    assert found.last_seen - found.created == pytest.approx(60, abs=20)
    assert sessions.list_sessions("u1")[0].last_seen == found.last_seen


def test_every_use_renews_without_a_throttle(on_redis: Opened, hands: Hands) -> None:
    """``touch: 0%`` writes each use down."""
    sessions = on_redis(ttl="1h", touch="0%")
    created = sessions.create_session("u1")
    hands.turn(created, 1)
    found = sessions.get_session(created.token)
    assert found.last_seen > found.created


def test_an_anonymous_session_has_its_own_deadline(on_redis: Opened, hands: Hands) -> None:
    """S1: ``anonymous: {ttl}`` says how long one lives without use; using it renews it."""
    sessions = on_redis(ttl="1h", anonymous={"ttl": "10m"})
    created = sessions.create_anonymous()
    hands.turn(created, 9 * 60_000)
    found = sessions.get_session(created.token)
    assert found.is_anonymous
    assert found.expires_at - found.last_seen == 600
    hands.turn(created, 10 * 60_000)
    assert sessions.get_session(created.token) is None


def test_the_old_token_has_a_grace(on_redis: Opened, hands: Hands) -> None:
    """S1: after a rotation both tokens work, until the grace of the old one is over; then it is nothing."""
    sessions = on_redis(rotate={"grace": "5m"})
    created = sessions.create_session("u1", {"a": 1})
    token, session = sessions.rotate(created.token)
    assert token != created.token
    assert (session.id, session.data) == (created.session.id, {"a": 1})
    for each in (token, created.token):
        assert sessions.get_session(each).id == session.id
        assert sessions.update_session(each, {"a": 2}).data == {"a": 2}
    hands.grace(created, 4 * 60_000)
    assert sessions.get_session(created.token) is not None
    hands.grace(created, 60_000)
    assert sessions.get_session(created.token) is None
    assert not sessions.end_session(created.token)
    assert sessions.get_session(token) is not None


def test_without_grace_the_old_token_is_dead_at_once(on_redis: Opened, hands: Hands) -> None:
    """S1: ``grace: 0`` leaves one token at any time."""
    sessions = on_redis(rotate={"grace": 0})
    created = sessions.create_session("u1")
    token, _ = sessions.rotate(created.token)
    assert sessions.get_session(created.token) is None
    assert sessions.get_session(token) is not None


def test_an_old_token_gets_no_new_one(on_redis: Opened, hands: Hands) -> None:
    """S1: who has stolen a token that was changed cannot make it last."""
    sessions = on_redis()
    created = sessions.create_session("u1")
    token, _ = sessions.rotate(created.token)
    assert sessions.rotate(created.token) is None
    assert sessions.get_session(token) is not None
    newest, _ = sessions.rotate(token)
    assert sessions.get_session(created.token) is None
    assert sessions.get_session(newest) is not None


def test_requests_side_by_side_rotate_once(on_redis: Opened, hands: Hands) -> None:
    """S1: of eight requests that rotate at once, one gets a token, and all go on with the session."""
    sessions = on_redis()
    created = sessions.create_session("u1")

    async def main() -> None:
        manager = sessions.manager
        told = await asyncio.gather(*[manager.rotate(created.token) for _ in range(8)])
        (new,) = [one for one in told if one is not None]
        assert await manager.get_session(created.token) is not None
        assert await manager.get_session(new.token) is not None
        await aclose()

    asyncio.run(main())


def test_a_token_that_is_due_says_so(on_redis: Opened, hands: Hands) -> None:
    """S1: ``rotate: {every}`` marks sessions whose token is that old; a new one is not."""
    sessions = on_redis(ttl="1d", rotate={"every": "1h"})
    created = sessions.create_session("u1")
    assert not sessions.get_session(created.token).due
    hands.turn(created, HOUR)
    assert sessions.get_session(created.token).due
    token, session = sessions.rotate(created.token)
    assert not session.due
    assert not sessions.get_session(created.token).due
    assert not sessions.get_session(token).due


def test_a_clock_that_jumps_back_ends_nothing(on_redis: Opened, hands: Hands) -> None:
    """S1: where the server's clock was set back, sessions of its future go on."""
    sessions = on_redis(ttl="1h", touch="0%")
    created = sessions.create_session("u1")
    hands.turn(created, -HOUR // 2)
    found = sessions.get_session(created.token)
    assert found is not None
    assert found.last_seen == found.created
    token, _ = sessions.rotate(created.token)
    assert sessions.get_session(token) is not None


def test_a_clock_that_jumps_ahead_ends_what_is_over(on_redis: Opened, hands: Hands) -> None:
    """S1: where the server's clock was set ahead by a week, no session is left."""
    sessions = on_redis(ttl="1d")
    created = sessions.create_session("u1")
    hands.turn(created, 7 * DAY)
    assert sessions.get_session(created.token) is None


def test_a_policy_that_changes_binds_new_sessions(redis_url: str, colour: Colour, hands: Hands) -> None:
    """A session keeps the idle time that it was made with."""
    configure(sessions_policy(redis_url, ttl="1h"))
    created = Sessions(colour).create_session("u1")
    configure(sessions_policy(redis_url, ttl="1m", touch="0%"))
    hands.turn(created, 10 * 60_000)
    found = Sessions(colour).get_session(created.token)
    assert found.expires_at - found.last_seen == 3600


def test_a_session_in_use_ends_at_its_longest_life(on_redis: Opened, hands: Hands) -> None:
    """S1: one that was used this very moment is over when its longest life is, though it is kept."""
    sessions = on_redis(ttl="1h", absolute="2h")
    created = sessions.create_session("u1")
    hands.turn(created, 2 * HOUR)
    hands.client.hset(hands.key(created), "h", _used_now(hands, created))
    hands.client.persist(hands.key(created))
    assert sessions.get_session(created.token) is None


def test_an_old_token_dies_with_its_session(on_redis: Opened) -> None:
    """S1: the grace of an old token ends when the session does, by logout or by the next login."""
    sessions = on_redis()
    login = partial(sessions.login, user_id="u1")
    for begin, ending in (
        (partial(sessions.create_session, "u1"), sessions.end_session),
        (partial(sessions.create_session, "u1"), login),
        (sessions.create_anonymous, login),
    ):
        created = begin()
        token, _ = sessions.rotate(created.token)
        assert sessions.get_session(created.token) is not None
        ending(token)
        assert sessions.get_session(created.token) is None
        assert sessions.get_session(token) is None
