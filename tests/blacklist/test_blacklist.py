"""Revoked tokens: one by one, by user, until each would have expired by itself."""

from __future__ import annotations

import datetime as dt
import time
from functools import partial
from typing import Any

import pytest
import redis

from cachepolicy import ManualClock, PolicyError, TokenBlacklist, UnkeyableArgument, configure
from cachepolicy.errors import UnknownNamespace, UnreadableToken
from cachepolicy.keys.layout import not_before_key, revoked_key
from cachepolicy.managers.revoking import opened
from cachepolicy.managers.token_names import read_token
from cachepolicy.runtime import current
from tests.support.colour import Colour
from tests.support.jwts import jwt
from tests.support.sessions_policy import HOSTILE_USERS, do, sessions_policy
from tests.support.trips import Trips

NO_MEMORY = {"blacklist": {"remembered": 0}}


@pytest.fixture
def revoked(colour: Colour, any_url: str) -> Any:
    """Ask in each colour, of each kind of store, with nothing remembered in the process."""
    configure(sessions_policy(any_url, **NO_MEMORY))
    return partial(do, colour, TokenBlacklist().is_revoked)


def test_s2_a_revoked_token_is_revoked(colour: Colour, revoked: Any) -> None:
    """S2: a token is revoked by its text or by its claims, and no other one is."""
    blacklist, soon = TokenBlacklist(), time.time() + 60
    for token in (
        "opaque",
        {"jti": "one", "exp": soon},
        jwt({"jti": "two", "exp": soon}),
        jwt({"exp": soon}),
    ):
        assert not revoked(token)
        assert do(colour, blacklist.revoke_token, token) is True
        assert revoked(token)
    assert revoked({"jti": "two"})
    assert revoked(jwt({"jti": "one"}, header={"alg": "none"}))
    assert not revoked({"jti": "three"})
    assert not revoked("opaque ")


def test_s2_it_stays_revoked_until_it_has_expired_and_no_longer(redis_url: str, colour: Colour) -> None:
    """S2: Redis forgets a token when its own exp has passed everywhere, whatever the policy's TTLs say."""
    policy = sessions_policy(redis_url, ttl="1s", absolute="2s", blacklist={"leeway": "30s", "longest": "1h"})
    configure(policy)
    now = time.time()
    tokens: list[tuple[Any, dict[str, Any], float]] = [
        ({"jti": "exp", "exp": now + 100}, {}, 130),
        ({"jti": "far", "exp": now + 10**7}, {}, 10**7 + 30),
        ({"jti": "none"}, {}, 3630),
        ({"jti": "text", "exp": "1"}, {}, 3630),
        ("opaque", {}, 3630),
        ("told", {"expires_at": now + 100}, 130),
        ("date", {"expires_at": dt.datetime.fromtimestamp(now + 100, dt.UTC)}, 130),
        ({"jti": "later", "exp": now + 100}, {"expires_at": now + 50}, 130),
        ({"jti": "past", "exp": now - 20}, {}, 10),
    ]
    with redis.Redis.from_url(redis_url) as client:
        for token, options, seconds in tokens:
            assert do(colour, TokenBlacklist().revoke_token, token, **options)
            key = revoked_key("test:sessions:", read_token(token, "").name)
            assert seconds - 5 <= client.pttl(key) / 1000 <= seconds + 1
        assert do(colour, TokenBlacklist().revoke_token, {"jti": "gone", "exp": now - 40}) is False
        assert do(colour, TokenBlacklist().revoke_token, {"jti": "minus", "exp": -1}) is False
        assert client.dbsize() == len(tokens)
        names = b" ".join(client.keys())
        assert b"jti" not in names
        assert b"opaque" not in names


def test_s2_revoking_again_never_shortens(redis_url: str, colour: Colour) -> None:
    """S2: whoever revokes a token again, with an earlier exp made up, lets nothing become good sooner."""
    configure(sessions_policy(redis_url, **NO_MEMORY))
    blacklist, now = TokenBlacklist(), time.time()
    key = revoked_key("test:sessions:", read_token({"jti": "x"}, "").name)
    with redis.Redis.from_url(redis_url) as client:
        for exp, seconds in ((1000, 1000), (5, 1000), (-500, 1000), (2000, 2000)):
            do(colour, blacklist.revoke_token, {"jti": "x", "exp": now + exp})
            assert seconds <= client.pttl(key) / 1000 <= seconds + 60
    assert do(colour, blacklist.is_revoked, {"jti": "x"})


@pytest.mark.parametrize("user", HOSTILE_USERS, ids=lambda user: repr(user)[:12])
def test_s2_all_of_a_users_tokens_can_be_revoked(colour: Colour, revoked: Any, user: Any) -> None:
    """S2: tokens issued until then are revoked, later ones and other users' are not; any id is a user."""
    moment = do(colour, TokenBlacklist().revoke_user, user)
    assert abs(moment - time.time()) < 60
    assert revoked({"jti": "x", "iat": moment - 5}, user)
    assert revoked({"jti": "x", "iat": moment - 5, "sub": user})
    assert not revoked({"jti": "x", "iat": moment + 1, "sub": user})
    for other in HOSTILE_USERS:
        assert revoked({"jti": "x", "iat": moment - 5}, other) is (other == user)


def test_s2_a_users_number_and_its_text_are_one(colour: Colour, revoked: Any) -> None:
    """S2: code that says 7 revokes the tokens whose sub says "7": a revocation is never in vain."""
    moment = do(colour, TokenBlacklist().revoke_user, 7)
    assert revoked({"jti": "x", "iat": moment - 1, "sub": "7"})
    do(colour, TokenBlacklist().revoke_user, "8")
    assert revoked({"jti": "x", "iat": moment - 1, "sub": 8})
    assert not revoked({"jti": "x", "iat": moment - 1, "sub": "07"})


def test_s2_the_equal_second_is_revoked(colour: Colour, revoked: Any) -> None:
    """S2: an iat in whole seconds may be from before, so that second is revoked; a fraction tells."""
    do(colour, TokenBlacklist().revoke_user, "u", 1_800_000_000.5)
    told = {
        iat: revoked({"jti": "x", "sub": "u", "iat": iat})
        for iat in (1_799_999_999, 1_800_000_000, 1_800_000_000.5, 1_800_000_000.501, 1_800_000_001)
    }
    assert list(told.values()) == [True, True, True, False, False]


@pytest.mark.parametrize(
    "iat", [None, "1900000000", True, float("nan"), float("inf"), 10**400, [], {}], ids=repr
)
def test_s2_a_token_that_does_not_say_when_is_revoked(colour: Colour, revoked: Any, iat: Any) -> None:
    """S2: where a user's tokens were revoked, one whose iat cannot be read is none of the later ones."""
    assert not revoked({"jti": "x", "sub": "u", "iat": iat})
    do(colour, TokenBlacklist().revoke_user, "u", 1_800_000_000)
    assert revoked({"jti": "x", "sub": "u", "iat": iat})
    assert revoked("opaque", "u")
    assert not revoked("opaque", "u", issued_at=1_900_000_000)
    assert not revoked("opaque", "u", issued_at=dt.datetime(2040, 1, 1, tzinfo=dt.UTC))


def test_s2_a_users_moment_never_goes_back(redis_url: str, colour: Colour) -> None:
    """S2: the latest moment holds, as long as a token of then may live, whatever the policy says now."""
    configure(sessions_policy(redis_url, blacklist={"remembered": 0, "longest": "1h", "leeway": "0s"}))
    later = time.time() + 1000
    assert do(colour, TokenBlacklist().revoke_user, "u", later) == pytest.approx(later, abs=0.01)
    assert do(colour, TokenBlacklist().revoke_user, "u") == pytest.approx(later, abs=0.01)
    configure(sessions_policy(redis_url, blacklist={"remembered": 0, "longest": "1m", "leeway": "0s"}))
    assert do(colour, TokenBlacklist().revoke_user, "u") == pytest.approx(later, abs=0.01)
    records = opened(current.current(), "sessions", "").records
    key = not_before_key(records.prefix, opened(current.current(), "sessions", "").tag("u"))
    with redis.Redis.from_url(redis_url) as client:
        assert 4500 < client.pttl(key) / 1000 <= 4601


def test_a_process_remembers_what_is_revoked(colour: Colour, redis_url: str) -> None:
    """S2: a revoked token is asked for once, until it has expired; what is good is asked for each time."""
    clock = ManualClock(now_wall=time.time())
    configure(sessions_policy(redis_url, blacklist={"remembered": 2, "leeway": "0s"}), clock=clock.clock)
    blacklist = TokenBlacklist()
    known = opened(current.current(), "sessions", "").remembered
    tokens = [{"jti": name, "exp": clock.now_wall + 600} for name in "abc"]
    for token in tokens:
        do(colour, blacklist.revoke_token, token)
    assert len(known) == 2  # the first made room
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        assert [do(colour, TokenBlacklist().is_revoked, token) for token in tokens] == [False, True, True]
        clock.advance(601)
        assert [do(colour, blacklist.is_revoked, token) for token in tokens] == [False] * 3
        assert len(known) == 0
        assert not do(colour, blacklist.is_revoked, "good")
        do(colour, blacklist.revoke_token, "good")
        configure(sessions_policy(redis_url, **NO_MEMORY))
        assert do(colour, blacklist.is_revoked, "good")
        client.flushall()
        assert not do(colour, blacklist.is_revoked, "good")


def test_nobody_can_have_another_token_remembered(colour: Colour, redis_url: str) -> None:
    """A forged text that borrows a jti and a revoked user's sub does not make the real token revoked."""
    configure(sessions_policy(redis_url))
    blacklist = TokenBlacklist()
    do(colour, blacklist.revoke_user, "revoked")
    assert do(colour, blacklist.is_revoked, jwt({"jti": "real", "sub": "revoked", "iat": 5}))
    assert not do(colour, blacklist.is_revoked, jwt({"jti": "real", "sub": "other", "iat": 5}))


def test_one_round_trip(colour: Colour, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much is asked of a token, Redis is asked once; of one known to be revoked, not at all."""
    trips = Trips()
    trips.watch(monkeypatch)
    configure(sessions_policy(redis_url))
    blacklist = TokenBlacklist()
    family = do(colour, blacklist.begin_family, "u").family
    token = {"jti": "x", "sub": "u", "iat": 5, "family": family}
    trips.take()
    assert not do(colour, blacklist.is_revoked, token)
    assert trips.take() == [["GET", "HMGET", "GET"]]
    assert not do(colour, blacklist.is_revoked, "opaque")
    assert trips.take() == [["GET"]]
    do(colour, blacklist.revoke_token, token)
    trips.take()
    assert do(colour, blacklist.is_revoked, token)
    assert do(colour, blacklist.is_revoked, "x", family="none of ours")
    assert do(colour, blacklist.use_refresh, family, "none of ours") is None
    assert trips.take() == []


def test_what_cannot_be_meant_is_an_error(colour: Colour) -> None:
    """Users, moments and tokens that are none are refused, and not shown."""
    configure(sessions_policy())
    blacklist = TokenBlacklist()
    users: list[Any] = [None, "", " ", True, 1.5, b"canary", ("canary",)]
    for user in users:
        calls: list[tuple[Any, tuple[Any, ...]]] = [
            (blacklist.revoke_user, (user,)),
            (blacklist.begin_family, (user,)),
            (blacklist.is_revoked, ("x", "" if user is None else user)),  # None: whose the token says
        ]
        for verb, words in calls:
            with pytest.raises(UnkeyableArgument) as refused:
                do(colour, verb, *words)
            assert "canary" not in str(refused.value)
    moments: list[Any] = ["canary", float("nan"), True, dt.datetime(2030, 1, 1)]  # noqa: DTZ001 - it is refused
    for moment in moments:
        told: list[tuple[Any, dict[str, Any]]] = [
            (blacklist.revoke_token, {"expires_at": moment}),
            (blacklist.is_revoked, {"issued_at": moment}),
            (blacklist.revoke_user, {"before": moment}),
        ]
        for verb, options in told:
            with pytest.raises(PolicyError) as wrong:
                do(colour, verb, "x", **options)
            assert "canary" not in str(wrong.value)
    with pytest.raises(UnreadableToken):
        do(colour, blacklist.is_revoked, {"sub": "u"})
    with pytest.raises(UnknownNamespace):
        do(colour, TokenBlacklist("none").is_revoked, "x")
    policy = sessions_policy()
    policy["namespaces"]["temp"] = {"kind": "temp", "db": 1}
    configure(policy)
    with pytest.raises(PolicyError, match="kind sessions"):
        do(colour, TokenBlacklist("temp").is_revoked, "x")
