"""The blacklist when Redis is out, loses replies, comes back: whatever happens, nothing revoked passes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from cachepolicy import CallDenied, StoreError, TokenBlacklist, close, configure
from cachepolicy.errors import TokenReused
from cachepolicy.flow.resilience import Guard
from cachepolicy.managers.revoking import opened
from cachepolicy.runtime import current
from cachepolicy.testing.conversation import ask
from cachepolicy.testing.fault_proxy import (
    BlackHole,
    Drop,
    FaultProxy,
    Fin,
    Garbage,
    HalfReply,
    Refuse,
    Reset,
)
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.testing.scripted import Scripted
from cachepolicy.testing.topologies import RedisCluster
from tests.support.colour import Colour
from tests.support.exported import exported_spans
from tests.support.hammered import hammered
from tests.support.jwts import jwt
from tests.support.limiting import Asked
from tests.support.sessions_policy import do, sessions_policy

NOBODY = "redis://127.0.0.1:1"
NO_MEMORY = {"blacklist": {"remembered": 0}}
FAULTS = [Fin(), Reset(), HalfReply(then_close=True), Garbage(), Garbage(b"+OK\r\n"), Garbage(b":0\r\n")]
OUTAGES = [*FAULTS, BlackHole(), Refuse(), Drop()]


def _name(fault: Any) -> str:
    return f"{type(fault).__name__}{getattr(fault, 'instead', b'')!r}"


@pytest.mark.parametrize(
    "token", ["opaque", {"jti": "x"}, {"jti": "x", "sub": "u", "iat": 5, "family": "A" * 43}], ids=str
)
def test_s2_nobody_passes_while_redis_is_out(colour: Colour, token: Any) -> None:
    """S2: where Redis cannot be asked the fault is raised, or the call denied; never False."""
    configure(sessions_policy(NOBODY))
    for _ in range(30):  # the breaker opens meanwhile
        with pytest.raises(StoreError):
            do(colour, TokenBlacklist().is_revoked, token)
    configure(sessions_policy(NOBODY, on_fault="deny"))
    for _ in range(30):
        with pytest.raises(CallDenied):
            do(colour, TokenBlacklist().is_revoked, token)


def test_every_verb_tells_of_a_fault(colour: Colour) -> None:
    """S2: a revocation that was not heard of is an error, not a promise."""
    configure(sessions_policy(NOBODY))
    blacklist = TokenBlacklist()
    verbs: list[tuple[Any, tuple[str, ...]]] = [
        (blacklist.revoke_token, ("x",)),
        (blacklist.revoke_user, ("u",)),
        (blacklist.begin_family, ("u",)),
        (blacklist.use_refresh, ("A" * 43, "A" * 43)),
        (blacklist.revoke_family, ("A" * 43,)),
    ]
    for verb, words in verbs:
        with pytest.raises(StoreError):
            do(colour, verb, *words)


@pytest.mark.parametrize("fault", OUTAGES, ids=_name)
def test_s2_a_bad_network_fails_closed(colour: Colour, redis_url: str, fault: Any) -> None:
    """S2: a reply that is lost, cut, late or another's is an error; the next good one tells the truth."""
    with FaultProxy(redis_url) as proxy:
        patient: dict[str, Any] = {"breaker": {"failures": 1000}}
        configure(sessions_policy(proxy.url, redis=patient, **NO_MEMORY))
        blacklist = TokenBlacklist()
        token = {"jti": "x", "sub": "u", "iat": time.time() + 60}
        do(colour, blacklist.revoke_token, token)
        good = {**token, "jti": "good"}
        assert do(colour, blacklist.is_revoked, token)
        if isinstance(fault, BlackHole | Garbage):  # what is missing of a reply is waited for
            configure(sessions_policy(proxy.url, redis={**patient, "deadline": "400ms"}, **NO_MEMORY))
            _until_answered(lambda: do(colour, blacklist.is_revoked, token))
        proxy.fault = fault
        if isinstance(fault, Refuse | Drop):
            close()
            proxy.cut()
        for asked in (token, good):
            with pytest.raises(StoreError):
                do(colour, blacklist.is_revoked, asked)
        proxy.fault = None
        configure(sessions_policy(proxy.url, redis=patient, **NO_MEMORY))
        proxy.cut()
        _until_answered(lambda: do(colour, blacklist.is_revoked, token))
        assert do(colour, blacklist.is_revoked, token)
        assert not do(colour, blacklist.is_revoked, good)
        close()


def _until_answered(call: Callable[[], Any]) -> None:
    while True:
        try:
            call()
        except StoreError:
            continue
        return


@pytest.mark.parametrize(
    "reply", [b"+OK\r\n", b":0\r\n", b"$2\r\nno\r\n", b"*0\r\n", b"$0\r\n\r\n", b"-WRONGTYPE no\r\n"], ids=str
)
def test_s2_nonsense_is_no_not_revoked(colour: Colour, reply: bytes) -> None:
    """S2: what is no answer to the question is a fault, whatever it looks like."""
    with Scripted({"GET": reply, "HMGET": reply}) as server:
        configure(sessions_policy(server.url, **NO_MEMORY))
        for token in ("opaque", {"jti": "x", "sub": "u", "iat": 5, "family": "A" * 43}):
            with pytest.raises(StoreError):
                do(colour, TokenBlacklist().is_revoked, token)
        close()


def test_s2_one_part_that_cannot_be_told_is_a_fault_of_the_whole(colour: Colour) -> None:
    """S2: a token that is not revoked itself passes only where its user and its family are known too."""
    family = b"*2\r\n$1\r\n5\r\n$-1\r\n"
    token = {"jti": "x", "sub": "u", "iat": 5, "family": "A" * 43}
    error = b"-ERR no\r\n"
    for get, hmget in (([b"$-1\r\n", error], family), ([error, b"$-1\r\n"], family), ([b"$-1\r\n"], error)):
        with Scripted({"GET": get, "HMGET": hmget}) as server:
            configure(sessions_policy(server.url, **NO_MEMORY))
            with pytest.raises(StoreError):
                do(colour, TokenBlacklist().is_revoked, token)
            close()


def test_s2_a_restart_loses_nothing(colour: Colour, own_redis: RedisServer) -> None:
    """S2: while the server restarts the check fails, and afterwards what was revoked still is."""
    own_redis.command("CONFIG", "SET", "appendonly", "yes")
    own_redis.command("CONFIG", "SET", "appendfsync", "always")
    redis = {"breaker": {"open_for": "10ms"}}
    configure(sessions_policy(own_redis.url, redis=redis, **NO_MEMORY))
    blacklist = TokenBlacklist()
    for part in ("revoke_token", "revoke_user"):
        do(colour, getattr(blacklist, part), "x")
    _settled(own_redis)
    own_redis.kill()
    with pytest.raises(StoreError):
        do(colour, blacklist.is_revoked, "x")
    own_redis._extra = ("--appendonly", "yes")
    own_redis.start()
    _until_answered(lambda: do(colour, blacklist.is_revoked, "x"))
    assert do(colour, blacklist.is_revoked, "x")
    assert do(colour, blacklist.is_revoked, "other", "x")
    assert not do(colour, blacklist.is_revoked, "other")
    close()


def _settled(server: RedisServer) -> None:
    while b"aof_rewrite_in_progress:1" in server.command("INFO", "persistence"):
        pass


@pytest.mark.parametrize("fault", FAULTS[:3], ids=_name)
def test_s2_a_lost_reply_spends_nothing_twice(
    redis_url: str, colour: Colour, fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S2: a use whose reply is lost within the verb is repeated as the same use, and is no reuse."""
    with FaultProxy(redis_url) as proxy:
        configure(sessions_policy(proxy.url))
        blacklist, asked, lost = TokenBlacklist(), Asked(colour), []
        first = do(colour, blacklist.begin_family, "u")

        def grants_retry(_: Guard) -> bool:
            lost.append(proxy.fault)
            proxy.fault = None
            return True

        def network() -> None:
            proxy.fault = fault

        monkeypatch.setattr(Guard, "grants_retry", grants_retry)
        use = partial(asked.begun, blacklist.use_refresh, first.family)
        _, _, second = asked.all(partial(use, "A" * 43), network, partial(use, first.jti))
        assert lost == [fault]
        assert do(colour, blacklist.use_refresh, second.family, second.jti) is not None
        with pytest.raises(TokenReused):
            do(colour, blacklist.use_refresh, first.family, first.jti)
        close()


def test_s2_of_eight_processes_one_wins(redis_url: str) -> None:
    """S2: eight processes use one refresh token: one gets the next, and the family is dead."""
    policy = sessions_policy(redis_url)
    configure(policy)
    blacklist = TokenBlacklist()
    first = blacklist.begin_family.sync("u")
    outcomes = hammered(policy, *[("refresh", first.family, first.jti)] * 8)
    (won,) = (outcome for outcome in outcomes if outcome != "TokenReused")
    assert blacklist.use_refresh.sync(first.family, won) is None
    assert blacklist.is_revoked.sync("access", family=first.family)


def test_s2_on_a_cluster(colour: Colour, redis_cluster: RedisCluster) -> None:
    """S2: a token, its user and its family are on three servers, asked at once; each of them can revoke."""
    for node in redis_cluster.masters():
        ask(node, "FLUSHALL")
    configure(sessions_policy(redis_cluster.url, **NO_MEMORY))
    blacklist = TokenBlacklist()
    for number in range(12):  # over all servers
        user, name = f"u{number}{{}}", f"jti{number}"
        first = do(colour, blacklist.begin_family, user)
        token = {"jti": name, "sub": user, "iat": time.time() + 60, "family": first.family}
        assert not do(colour, blacklist.is_revoked, token)
        second = do(colour, blacklist.use_refresh, first.family, first.jti)
        do(colour, blacklist.revoke_token, token)
        assert do(colour, blacklist.is_revoked, token)
        token = {**token, "jti": "other"}
        assert not do(colour, blacklist.is_revoked, token)
        if number % 2:
            with pytest.raises(TokenReused):
                do(colour, blacklist.use_refresh, first.family, first.jti)
        else:
            do(colour, blacklist.revoke_user, user)
        assert do(colour, blacklist.is_revoked, token)
        assert do(colour, blacklist.use_refresh, second.family, second.jti) is None


def test_s2_one_server_of_a_cluster_is_enough_to_fail(colour: Colour) -> None:
    """S2: where the server of the user, of the family or of the token is gone, nobody is told False."""
    with RedisCluster(node_timeout=30.0) as cluster:
        redis: dict[str, Any] = {"breaker": {"failures": 1000}}
        configure(sessions_policy(cluster.url, redis=redis, **NO_MEMORY))
        blacklist = TokenBlacklist()
        token = {"jti": "x", "sub": "u", "iat": time.time() + 60}
        users = [f"u{number}" for number in range(12)]
        assert not any(do(colour, blacklist.is_revoked, {**token, "sub": user}) for user in users)
        configure(sessions_policy(cluster.url, redis={**redis, "deadline": "400ms"}, **NO_MEMORY))
        _until_answered(lambda: do(colour, blacklist.is_revoked, token))
        cluster.nodes[0].pause()
        outcomes = set()
        for user in users:
            try:
                outcomes.add(do(colour, blacklist.is_revoked, {**token, "jti": user, "sub": user}))
            except StoreError:
                outcomes.add("fault")
        assert "fault" in outcomes
        cluster.nodes[0].resume()
        close()


def test_no_token_is_told(
    colour: Colour, redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """S2: no token, user, family or jti is in a log, a span, an error or a repr."""
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    configure(sessions_policy(redis_url))
    first = do(colour, TokenBlacklist().begin_family, "canary")
    token = jwt({"jti": "canary", "sub": "canary", "iat": 5, "family": first.family})
    with exported_spans(monkeypatch) as exported:
        for url in (redis_url, NOBODY):
            configure(sessions_policy(url))
            blacklist = TokenBlacklist()
            verbs: list[tuple[Any, tuple[str, ...]]] = [
                (blacklist.revoke_token, (token,)),
                (blacklist.revoke_user, ("canary",)),
                (blacklist.is_revoked, ("canary opaque", "canary")),
                (blacklist.use_refresh, (first.family, first.jti)),
                (blacklist.revoke_family, (first.family,)),
                (blacklist.is_revoked, ("",)),
                (blacklist.revoke_user, ("",)),
            ]
            for verb, words in verbs:
                try:
                    told.append(repr(do(colour, verb, *words)))
                except Exception as error:  # noqa: BLE001 - whatever it says
                    told += [repr(error), str(error), repr(error.__cause__)]
        told += [f"{span.name} {dict(span.attributes or {})}" for span in exported.get_finished_spans()]
    told += [caplog.text, repr(opened(current.current(), "sessions", "").remembered)]
    names = {span.name for span in exported.get_finished_spans()}
    assert {"session.is_revoked sessions", "session.revoke_token sessions"} <= names
    for secret in ("canary", token, first.family, first.jti):
        assert not [line for line in told if secret in line]
