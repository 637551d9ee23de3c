"""``eviction: {mode: protected}``: no key has a TTL in Redis, none is evicted, and what is over is over."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from cachepolicy import RateLimiter, SessionManager, TokenBlacklist, close, configure
from cachepolicy.errors import StoreError
from cachepolicy.flow import protecting
from cachepolicy.flow.drive import run
from cachepolicy.runtime import current
from cachepolicy.testing.redis_server import RedisServer
from tests.support.colour import Colour
from tests.support.filling import Filled, LoggedIn
from tests.support.policies import PATIENT
from tests.support.sessions import Hands
from tests.support.sessions_policy import do
from tests.support.trips import Trips
from tests.support.waiting import until

USERS = 300
SESSIONS = "test:~deadlines:{sessions}"
LIMITS = "test:~deadlines:{limits}"
SWEEPER = f"{SESSIONS}:sweeper"


def _policy(url: str, mode: str = "protected", **sessions: Any) -> dict[str, Any]:
    """Return a policy of sessions and limits, nothing of which is remembered in the process."""
    eviction = {"eviction": {"mode": mode}}
    rules = {
        "chat": {"by": "user_id", "requests": "3/hour", "algorithm": "window"},
        "daily": {"by": "user_id", "requests": "3/day", "algorithm": "calendar"},
        "smooth": {"by": "user_id", "requests": "3/hour"},
    }
    return {
        "version": 1,
        "app": "test",
        "redis": {"url": url, **PATIENT},
        "namespaces": {
            "sessions": {"kind": "sessions", "blacklist": {"remembered": 0}, **eviction, **sessions},
            "limits": {"kind": "ratelimit", "denied": 0, "rules": rules, **eviction},
        },
    }


def _use_all(colour: Colour) -> Any:
    """Write a key of each kind that sessions and limits have; return a session."""
    sessions, blacklist = SessionManager(), TokenBlacklist()
    made = do(colour, sessions.create_session, "u1", {"a": 1})
    do(colour, sessions.update_session, made.token, {"b": 2})
    do(colour, sessions.create_anonymous)
    do(colour, blacklist.revoke_token, "secret")
    do(colour, blacklist.revoke_user, "u2")
    refresh = do(colour, blacklist.begin_family, "u3")
    do(colour, blacklist.use_refresh, refresh.family, refresh.jti)
    limiter = RateLimiter("limits")
    for rule in ("chat", "daily", "smooth"):
        do(colour, limiter.check, rule, "u1")
    return made


@pytest.fixture
def hands(roomy: RedisServer) -> Iterator[Hands]:
    """Give hands in the server."""
    hands = Hands(roomy.url)
    yield hands
    hands.close()


@pytest.fixture
def _swept_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protecting, "EVERY", 0.02)


def _ends(hands: Hands, *where: str) -> dict[str, int]:
    """Return when each deadline is, by key, but those of counts of sessions: they come when they come."""
    listed = [
        pair
        for each in where or (SESSIONS, LIMITS)
        for pair in hands.client.zrange(each, 0, -1, withscores=True)
    ]
    return {key.decode(): int(at) for key, at in listed if b":active:" not in key}


@pytest.mark.parametrize("policy", ["volatile-lru", "volatile-ttl", "volatile-random"])
def test_s1_nobody_is_evicted(
    colour: Colour, roomy: RedisServer, filled: Callable[[str], Filled], policy: str
) -> None:
    """S1, S2: answers that fill the server push each other out, and no session, limit or revoked token."""
    memory = filled(policy)
    configure(_policy(roomy.url))
    users = LoggedIn(colour, USERS)
    blacklist, limiter = TokenBlacklist(), RateLimiter("limits")
    do(colour, blacklist.revoke_token, "secret")
    for _ in range(3):
        assert do(colour, limiter.check, "chat", "u1").allowed
    assert memory.write(60_000, 86_400) == 0
    assert memory.info("evicted_keys") > 1000
    assert users.there() == USERS
    assert do(colour, blacklist.is_revoked, "secret")
    assert not do(colour, limiter.check, "chat", "u1").allowed


def test_when_nothing_else_is_left_writes_fail(
    colour: Colour, roomy: RedisServer, filled: Callable[[str], Filled]
) -> None:
    """It ends where protected keys fill the server: logins fail loudly, and nobody is logged out."""
    memory = filled("volatile-lru")
    configure(_policy(roomy.url))
    users = LoggedIn(colour, USERS)

    def is_refused() -> bool:
        memory.fill_for_good()
        try:
            do(colour, SessionManager().create_session, "one more")
        except StoreError:
            return True
        return False

    until(is_refused, "a server without room for one more")
    assert users.there() == USERS


def test_deadlines_are_what_ttls_would_be(colour: Colour, roomy: RedisServer, hands: Hands) -> None:
    """Every key that has a TTL otherwise has none, and a deadline at the same moment."""
    configure(_policy(roomy.url, mode="server"))
    _use_all(colour)
    seconds, _ = hands.client.time()
    ttls = sorted(hands.client.pttl(key) for key in hands.names() if ":active:" not in key)
    roomy.command("FLUSHALL")
    configure(_policy(roomy.url))
    _use_all(colour)
    names = [key for key in hands.names() if ":active:" not in key and "~deadlines" not in key]
    assert {hands.client.pttl(key) for key in names} == {-1}
    ends = _ends(hands)
    assert set(ends) == set(names)
    assert sorted(at - seconds * 1000 for at in ends.values()) == pytest.approx(ttls, abs=20_000)


def test_what_is_over_is_never_seen(colour: Colour, roomy: RedisServer, hands: Hands) -> None:
    """S1, Q2: though nobody has swept it, a key that is over is none, and goes with its first use."""
    configure(_policy(roomy.url))
    made = _use_all(colour)
    limiter, blacklist = RateLimiter("limits"), TokenBlacklist()
    for _ in range(3):
        do(colour, limiter.check, "chat", "u1")
    hands.client.set(SWEEPER, "another", px=60_000)
    hands.client.set(f"{LIMITS}:sweeper", "another", px=60_000)
    for key in (SESSIONS, LIMITS):
        hands.client.zadd(key, {name: 1000 for name, _ in hands.client.zrange(key, 0, -1, withscores=True)})
    assert do(colour, SessionManager().get_session, made.token) is None
    assert do(colour, blacklist.is_revoked, "secret") is False
    assert do(colour, limiter.check, "chat", "u1").allowed
    left = hands.names()
    assert not [key for key in left if made.session.id in key or ":blacklist:" in key]


def test_a_session_that_is_over_by_itself_needs_no_deadline(
    colour: Colour, roomy: RedisServer, hands: Hands
) -> None:
    """S1: should the deadlines be lost, what a session says of its own end still holds."""
    configure(_policy(roomy.url, ttl="1h"))
    made = do(colour, SessionManager().create_session, "u1")
    hands.client.delete(SESSIONS)
    hands.turn(made, 3_600_000)
    assert do(colour, SessionManager().get_session, made.token) is None


@pytest.mark.usefixtures("_swept_often")
def test_a_sweeper_removes_what_nobody_asks_for(colour: Colour, roomy: RedisServer, hands: Hands) -> None:
    """Keys that are over go behind callers' backs, and it is told how late, how many, and what is left."""
    configure(_policy(roomy.url))
    made = do(colour, SessionManager().create_session, "u1")
    other = do(colour, SessionManager().create_session, "u1")
    hands.client.zadd(SESSIONS, {hands.key(made): 1000})
    until(lambda: not [key for key in hands.names() if made.session.id in key], "a sweep")
    assert do(colour, SessionManager().get_session, other.token) is not None
    sweeper = current.current().protections.of("sessions", _rule())
    assert sweeper is not None
    until(lambda: sweeper.removed, "its reply")
    until(lambda: sweeper.last is not None and sweeper.last.late == 0, "another sweep")
    assert sweeper.removed == 1
    assert sweeper.last is not None
    assert sweeper.last.left >= 2  # the other, and the list of both


def _rule() -> Any:
    return current.current().loaded.policy.namespaces["sessions"]


@pytest.mark.usefixtures("_swept_often")
def test_a_bug_in_one_sweep_is_not_the_end_of_all(
    roomy: RedisServer, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody has foreseen ends one sweep, is told by its thread, and the next one comes all the same."""
    told, bugs = [], [ZeroDivisionError]
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_type))

    def run_or_fail(*args: Any) -> Any:
        if bugs:
            raise bugs.pop()
        return run(*args)

    monkeypatch.setattr(protecting, "run", run_or_fail)
    configure(_policy(roomy.url))
    key = hands.key(SessionManager().create_session.sync("u1"))
    hands.client.zadd(SESSIONS, {key: 1000})
    until(lambda: not hands.client.exists(key), "a sweep")
    until(lambda: told == [ZeroDivisionError], "the thread to tell")


@pytest.mark.usefixtures("_swept_often")
def test_many_go_in_bounded_steps(roomy: RedisServer, hands: Hands) -> None:
    """A day's worth of ends at once goes a few hundred at a time: no step holds the server for long."""
    configure(_policy(roomy.url))
    do(Colour(is_async=False), SessionManager().create_session, "u1")
    for first in range(0, 4000, 1000):
        names = [f"test:sessions:{number}" for number in range(first, first + 1000)]
        hands.client.mset(dict.fromkeys(names, "x"))
        hands.client.zadd(SESSIONS, dict.fromkeys(names, 1000))
    until(lambda: len(_ends(hands, SESSIONS)) == 2, "all sweeps")
    assert len(hands.client.keys("test:sessions:[0-9]*")) == 0
    assert int(hands.client.info("commandstats")["cmdstat_evalsha"]["calls"]) > 8


@pytest.mark.usefixtures("_swept_often")
def test_one_sweeps_and_another_goes_on(roomy: RedisServer, hands: Hands) -> None:
    """While one process sweeps no other does; when it is gone another goes on, with every deadline."""
    sync = Colour(is_async=False)
    configure(_policy(roomy.url))
    made = do(sync, SessionManager().create_session, "u1")
    close()  # as after a crash: what it would have swept stands as it was
    hands.client.set(SWEEPER, "another")
    hands.client.zadd(SESSIONS, {hands.key(made): 1000})
    configure(_policy(roomy.url))
    do(sync, SessionManager().create_session, "u2")
    sweeper = current.current().protections.of("sessions", _rule())
    assert sweeper is not None
    begin = sweeper._later
    rests: list[float] = []

    def later(seconds: float) -> None:
        rests.append(seconds)
        begin(min(seconds, 0.02))  # sooner than a lease

    sweeper._later = later  # type: ignore[method-assign] # it would rest for five seconds
    until(lambda: len(rests) > 2, "sweeps that find another at it")
    assert len(_ends(hands, SESSIONS)) == 4
    assert max(rests) > 1
    hands.client.delete(SWEEPER)  # its lease has ended
    until(lambda: len(_ends(hands, SESSIONS)) == 3, "a sweep")


def test_each_verb_is_one_round_trip(
    colour: Colour, roomy: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deadlines are written by the script that writes the key: no verb asks Redis twice."""
    monkeypatch.setattr(protecting, "EVERY", 3600.0)  # sweeps ask, too
    trips = Trips()
    trips.watch(monkeypatch)
    configure(_policy(roomy.url))
    made = _use_all(colour)
    for _ in range(2):  # the first time scripts are brought along
        trips.take()
        do(colour, SessionManager().get_session, made.token)
        do(colour, RateLimiter("limits").check, "chat", "u7")
        do(colour, TokenBlacklist().is_revoked, "secret")
    assert trips.take() == [["EVALSHA"]] * 3


def test_what_had_a_ttl_loses_it_with_its_next_use(colour: Colour, roomy: RedisServer, hands: Hands) -> None:
    """Sessions from before the policy said `protected` are protected once they are renewed."""
    configure(_policy(roomy.url, mode="server", touch="0%"))
    made = do(colour, SessionManager().create_session, "u1")
    assert hands.client.pttl(hands.key(made)) > 0
    configure(_policy(roomy.url, touch="0%"))
    assert do(colour, SessionManager().get_session, made.token) is not None
    assert hands.client.pttl(hands.key(made)) == -1
    assert hands.key(made) in _ends(hands)


def test_it_is_the_same_on_valkey(colour: Colour, valkey_server: RedisServer) -> None:
    """Valkey runs the same scripts: keys without a TTL, each with its deadline."""
    valkey_server.command("FLUSHALL")
    hands = Hands(valkey_server.url)
    configure(_policy(valkey_server.url))
    made = _use_all(colour)
    names = [key for key in hands.names() if ":active:" not in key and "~deadlines" not in key]
    assert {hands.client.pttl(key) for key in names} == {-1}
    assert set(_ends(hands)) == set(names)
    assert do(colour, SessionManager().end_session, made.token)
    assert made.session.id not in " ".join(_ends(hands))
    hands.close()


def test_memory_in_the_process_needs_no_protection(colour: Colour) -> None:
    """``memory://`` evicts nothing: sessions there are as they are without the mode, and nothing sweeps."""
    configure(_policy("memory://"))
    made = _use_all(colour)
    assert do(colour, SessionManager().get_session, made.token) is not None
    assert current.current().protections.of("sessions", _rule()) is None


@pytest.mark.usefixtures("_swept_often")
def test_a_forked_process_sweeps_by_itself(
    roomy: RedisServer, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was forked from a process that sweeps goes on with it, when that one ends."""
    monkeypatch.setattr(protecting, "_LEASE", 0.05)
    configure(_policy(roomy.url))
    made = SessionManager().create_session.sync("u1")
    until(lambda: hands.client.exists(SWEEPER), "a sweep by the parent")
    key = hands.key(made)
    child = os.fork()
    if child == 0:
        outcome = 1
        try:
            SessionManager().create_session.sync("u2")
            client = redis.Redis.from_url(roomy.url)
            client.zadd(SESSIONS, {key: 1000})
            until(lambda: not client.exists(key), "a sweep by the child")
            outcome = 0
        finally:
            os._exit(outcome)
    current.current().protections.close()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
