"""Refresh tokens: each is used once, and one that comes back gives its thief away."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from cachepolicy import TokenBlacklist, TokenReused, configure
from cachepolicy.managers.revoking import RefreshToken
from tests.support.colour import Colour
from tests.support.sessions_policy import do, sessions_policy


@pytest.fixture
def blacklist(any_url: str) -> TokenBlacklist:
    """Configure an empty store of each kind."""
    configure(sessions_policy(any_url))
    return TokenBlacklist()


def test_s2_a_refresh_token_is_used_once(colour: Colour, blacklist: TokenBlacklist) -> None:
    """S2: each use gives the next token; one used twice revokes the family, its newest token included."""
    first: RefreshToken = do(colour, blacklist.begin_family, "u")
    second: RefreshToken = do(colour, blacklist.use_refresh, first.family, first.jti)
    third: RefreshToken = do(colour, blacklist.use_refresh, second.family, second.jti)
    assert first.family == second.family == third.family
    assert len({first.jti, second.jti, third.jti}) == 3
    assert third.expires_at == pytest.approx(time.time() + 30 * 86_400, abs=60)
    access = {"jti": "access", "sub": "u", "iat": time.time() + 5, "family": first.family}
    assert not do(colour, blacklist.is_revoked, access)
    with pytest.raises(TokenReused) as reused:
        do(colour, blacklist.use_refresh, first.family, first.jti)
    assert first.jti not in str(reused.value)
    assert do(colour, blacklist.use_refresh, third.family, third.jti) is None
    assert do(colour, blacklist.is_revoked, access)
    assert do(colour, blacklist.is_revoked, "opaque", family=first.family)
    with pytest.raises(TokenReused):
        do(colour, blacklist.use_refresh, second.family, second.jti)


def test_s2_of_many_at_once_one_wins(blacklist: TokenBlacklist) -> None:
    """S2: threads that use one token at the same moment: one gets the next, the others revoke the family."""
    first = blacklist.begin_family.sync("u")
    begin = threading.Barrier(8)

    def use(_: int) -> Any:
        begin.wait()
        try:
            return blacklist.use_refresh.sync(first.family, first.jti)
        except TokenReused as reused:
            return reused

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(use, range(8)))
    (won,) = (outcome for outcome in outcomes if isinstance(outcome, RefreshToken))
    assert sum(isinstance(outcome, TokenReused) for outcome in outcomes) == 7
    assert blacklist.use_refresh.sync(won.family, won.jti) is None


@pytest.mark.parametrize(
    "bad", ["", "x", "A" * 43, "A" * 42 + "B", "ä" * 43, "A" * 1_000_000, None, 5], ids=str
)
def test_s2_what_is_forged_is_nothing(colour: Colour, blacklist: TokenBlacklist, bad: Any) -> None:
    """S2: who does not hold a token of the family can neither use it nor have it revoked."""
    first = do(colour, blacklist.begin_family, "u")
    other = do(colour, blacklist.begin_family, "u")
    assert do(colour, blacklist.use_refresh, first.family, bad) is None
    assert do(colour, blacklist.use_refresh, bad, first.jti) is None
    assert do(colour, blacklist.use_refresh, first.family, other.jti) is None
    assert do(colour, blacklist.revoke_family, bad) is False
    assert do(colour, blacklist.use_refresh, first.family, first.jti) is not None


def test_s2_a_family_that_nobody_knows_is_revoked(colour: Colour, redis_url: str) -> None:
    """S2: families outlive their tokens, so one that Redis lost, or that was made up, is not alive."""
    configure(sessions_policy(redis_url, blacklist={"remembered": 0}))
    blacklist = TokenBlacklist()
    first = do(colour, blacklist.begin_family, "u")
    assert not do(colour, blacklist.is_revoked, "opaque", family=first.family)
    assert do(colour, blacklist.is_revoked, "opaque", family="made up")
    assert not do(colour, blacklist.is_revoked, {"jti": "x", "family": "no id of ours"})
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    assert do(colour, blacklist.is_revoked, {"jti": "x", "family": first.family})
    assert do(colour, blacklist.is_revoked, "opaque", family=first.family)
    assert do(colour, blacklist.use_refresh, first.family, first.jti) is None


def test_s2_a_family_can_be_revoked(colour: Colour, blacklist: TokenBlacklist) -> None:
    """S2: a logout ends one family; the user's others go on."""
    first = do(colour, blacklist.begin_family, "u")
    other = do(colour, blacklist.begin_family, "u")
    assert do(colour, blacklist.revoke_family, first.family)
    assert do(colour, blacklist.use_refresh, first.family, first.jti) is None
    assert do(colour, blacklist.is_revoked, "x", family=first.family)
    assert do(colour, blacklist.use_refresh, other.family, other.jti) is not None


def test_s2_revoking_a_user_ends_families(colour: Colour, blacklist: TokenBlacklist) -> None:
    """S2: a refresh that races a revocation gets no token around it: families begun before it are dead."""
    first = do(colour, blacklist.begin_family, 7)
    second = do(colour, blacklist.use_refresh, first.family, first.jti)
    moment = do(colour, blacklist.revoke_user, "7")
    assert do(colour, blacklist.use_refresh, second.family, second.jti) is None
    late = {"jti": "x", "sub": "7", "iat": moment + 60, "family": first.family}
    assert do(colour, blacklist.is_revoked, late)
    assert do(colour, blacklist.is_revoked, "opaque", family=first.family)
    while (new := do(colour, blacklist.begin_family, 7)).expires_at <= moment + 30 * 86_400:
        pass  # the same millisecond counts as before
    assert not do(colour, blacklist.is_revoked, {**late, "family": new.family})
    assert do(colour, blacklist.use_refresh, new.family, new.jti) is not None
    assert do(colour, blacklist.use_refresh, first.family, second.jti) is None


def test_s2_families_live_as_long_as_their_tokens(colour: Colour, redis_url: str) -> None:
    """S2: a family is kept for the longest life of its latest token, revoked or not; keys are digests."""
    configure(sessions_policy(redis_url, blacklist={"longest": "1h", "leeway": "0s"}))
    blacklist = TokenBlacklist()
    first = do(colour, blacklist.begin_family, "canary")
    with redis.Redis.from_url(redis_url) as client:
        (key,) = client.keys()
        stored = b"".join([key, *client.hgetall(key).values()])
        assert all(secret.encode() not in stored for secret in (first.jti, first.jti[:21], "canary"))
        steps: list[tuple[Any, tuple[str, ...]]] = [
            (blacklist.use_refresh, (first.family, first.jti)),
            (blacklist.revoke_family, (first.family,)),
        ]
        for verb, words in steps:
            client.pexpire(key, 60_000)
            do(colour, verb, *words)
            assert 3_590_000 < client.pttl(key) <= 3_600_000
        client.hdel(key, "revoked")
        client.hset(key, "turned", int(time.time() - 3601) * 1000)
    assert do(colour, blacklist.use_refresh, first.family, first.jti) is None  # as the policy says by now
    assert "canary" not in repr(first)
    assert first.jti not in repr(first)
    assert first.family not in repr(first)
