"""Preferences at rest, and when Redis is out: nobody reads along, nothing altered is read."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import pytest
import redis

from cachepolicy import CallDenied, Conflict, CorruptValue, Preferences, StoreError, close, configure
from cachepolicy.errors import Corruption
from cachepolicy.flow.resilience import Guard
from cachepolicy.policy.rules import SessionsRule
from cachepolicy.runtime import current
from cachepolicy.testing.conversation import ask
from cachepolicy.testing.fault_proxy import FaultProxy, Fin, HalfReply, Reset
from cachepolicy.testing.scripted import Scripted
from cachepolicy.testing.topologies import RedisCluster
from cachepolicy.tiers import preferences as tiers
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.preferences import Changed
from tests.support.colour import Colour
from tests.support.exported import exported_spans
from tests.support.limiting import Asked
from tests.support.sessions_policy import do, sessions_policy

NOBODY = "redis://127.0.0.1:1"
NEW, OLD = bytes(range(32)).hex(), bytes(range(1, 33)).hex()
KEY = "test:sessions:user_prefs:u"
PREFERENCES = Preferences()


def _encrypted(url: str, *keys: str) -> None:
    configure(sessions_policy(url, encryption={"enabled": True, "keys": list(keys)}))


def test_nobody_reads_what_is_encrypted(colour: Colour, redis_url: str) -> None:
    """With ``encryption`` no value is in Redis in plain, a count included; keys are rotated as for caches."""
    _encrypted(redis_url, OLD)
    do(colour, PREFERENCES.set, "u", {"mail.address": "canary@example.com", "list": ["canary"]})
    do(colour, PREFERENCES.increment, "u", "count", 424242)
    with redis.Redis.from_url(redis_url) as client:
        stored = b"".join(client.hgetall(KEY).values())
    assert b"canary" not in stored
    assert b"424242" not in stored
    _encrypted(redis_url, NEW, OLD)
    assert do(colour, PREFERENCES.increment, "u", "count", 1) == 424243
    assert do(colour, PREFERENCES.get_path, "u", "list") == ["canary"]
    _encrypted(redis_url, NEW)
    with pytest.raises(CorruptValue) as locked:
        do(colour, PREFERENCES.get, "u")
    assert locked.value.reason is Corruption.LOCKED
    configure(sessions_policy(redis_url))
    with pytest.raises(CorruptValue):
        do(colour, PREFERENCES.get, "u")


@pytest.mark.parametrize("keys", [(), (NEW,)], ids=["plain", "encrypted"])
def test_what_was_moved_or_altered_is_not_read(colour: Colour, redis_url: str, keys: tuple[str, ...]) -> None:
    """A value belongs to its user and its path: what was put elsewhere, or altered, is a counted error."""
    if keys:
        _encrypted(redis_url, *keys)
    else:
        configure(sessions_policy(redis_url))
    do(colour, PREFERENCES.set, "u", {"a": "mine", "b": "other"})
    do(colour, PREFERENCES.set, "v", {"a": "theirs"})
    with redis.Redis.from_url(redis_url) as client:
        whole = client.hget(KEY, "a")
        planted = [
            client.hget(KEY, "b"),
            client.hget("test:sessions:user_prefs:v", "a"),
            whole[:-1],
            whole[:-1] + bytes([whole[-1] ^ 1]),
            b"1",
            b"",
        ]
        errors = current.current().archive.records("sessions", SessionsRule, "a test").counters.errors
        before = errors.total()
        for value in planted:
            client.hset(KEY, "a", value)
            with pytest.raises(CorruptValue):
                do(colour, PREFERENCES.get, "u")
        assert errors.total() == before + len(planted)
    do(colour, PREFERENCES.set, "u", {"a": "again"})
    assert do(colour, PREFERENCES.get, "u") == {"a": "again", "b": "other"}


def test_a_fault_is_told(colour: Colour) -> None:
    """Where Redis is out no verb has an answer: the fault is raised, or the call denied."""
    for on_fault, error in (("raise", StoreError), ("deny", CallDenied)):
        configure(sessions_policy(NOBODY, redis={"deadline": "200ms"}, on_fault=on_fault))
        for verb, words in (
            (PREFERENCES.get, ()),
            (PREFERENCES.read, ()),
            (PREFERENCES.get_path, ("a",)),
            (PREFERENCES.set, ({"a": 1},)),
            (PREFERENCES.increment, ("a",)),
            (PREFERENCES.reset, ()),
        ):
            with pytest.raises(error):
                do(colour, verb, "u", *words)


@pytest.mark.parametrize(
    "reply", [b"+OK\r\n", b":0\r\n", b"*1\r\n$1\r\na\r\n", b"*2\r\n:1\r\n:2\r\n"], ids=str
)
def test_nonsense_is_a_fault(colour: Colour, reply: bytes) -> None:
    """What is no answer to the question is neither a preference nor a success."""
    with Scripted({"HGETALL": reply, "EVALSHA": reply}) as server:
        configure(sessions_policy(server.url))
        for verb, words in ((PREFERENCES.get, ()), (PREFERENCES.set, ({"a": 1},))):
            if reply != b"*2\r\n:1\r\n:2\r\n" or verb is PREFERENCES.get:
                with pytest.raises(StoreError):
                    do(colour, verb, "u", *words)
        close()


@pytest.mark.parametrize(
    "fault", [Fin(), Reset(), HalfReply(then_close=True)], ids=lambda fault: type(fault).__name__
)
def test_a_lost_reply_counts_once(
    colour: Colour, redis_url: str, fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A count or a conditional change whose reply is lost is an error, made once, and never made again."""
    with FaultProxy(redis_url) as proxy:
        configure(sessions_policy(proxy.url))
        asked = Asked(colour)
        do(colour, PREFERENCES.increment, "u", "n")  # the script is known

        def change(*args: Any, **kwargs: Any) -> Command[Changed]:
            proxy.fault = fault
            return real(*args, **kwargs)

        def grants_retry(_: Guard) -> bool:
            proxy.fault = None  # whatever is sent again arrives
            return True

        monkeypatch.setattr(Guard, "grants_retry", grants_retry)
        real = tiers.change
        monkeypatch.setattr(tiers, "change", change)
        warm = partial(asked.begun, PREFERENCES.get, "u")
        for call in (
            partial(asked.begun, PREFERENCES.increment, "u", "n"),
            partial(asked.begun, PREFERENCES.set, "v", {"a": 1}, if_version=0),
        ):
            with pytest.raises(StoreError):
                asked.all(warm, call)
            proxy.fault = None
            close()
        monkeypatch.undo()
        assert do(colour, PREFERENCES.get_path, "u", "n") == 2
        with pytest.raises(Conflict):
            do(colour, PREFERENCES.set, "v", {"a": 2}, if_version=0)
        assert do(colour, PREFERENCES.get_path, "v", "a") == 1
        close()


def test_on_a_cluster(colour: Colour, redis_cluster: RedisCluster) -> None:
    """A user's preferences are in one slot, whatever the id is made of."""
    for node in redis_cluster.masters():
        ask(node, "FLUSHALL")
    configure(sessions_policy(redis_cluster.url, preferences={"ttl": "1h"}))
    for user in ("a", "{b}", "}{", "a:b", 7, "7", "x" * 10_000):
        version = do(colour, PREFERENCES.set, user, {"a.b": repr(user)})
        assert do(colour, PREFERENCES.increment, user, "n") == 1
        with pytest.raises(Conflict):
            do(colour, PREFERENCES.set, user, {"a.b": 1}, if_version=version)
        assert do(colour, PREFERENCES.get, user) == {"a": {"b": repr(user)}, "n": 1}
        assert do(colour, PREFERENCES.reset, user)


def test_nothing_is_told(
    colour: Colour, redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No user, path or value is in a log, a span, an error or a repr."""
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    with exported_spans(monkeypatch) as exported:
        for url in (redis_url, NOBODY):
            redis_fields = {"deadline": "200ms"} if url == NOBODY else {}
            configure(sessions_policy(url, redis=redis_fields, preferences={"max_fields": 3}))
            verbs: list[tuple[Any, tuple[Any, ...]]] = [
                (PREFERENCES.set, ({"canary": "canary", "canary2": 1},)),
                (PREFERENCES.read, ()),
                (PREFERENCES.increment, ("canary",)),
                (PREFERENCES.increment, ("canary2",)),
                (PREFERENCES.set, ({"canary.x": 1},)),
                (PREFERENCES.set, ({"canary!": 1},)),
                (PREFERENCES.set, ({"a": {"canary"}},)),
                (PREFERENCES.set, (dict.fromkeys("abcd", "canary"),)),
                (PREFERENCES.reset, ()),
            ]
            for verb, words in verbs:
                try:
                    told.append(repr(do(colour, verb, "canary", *words)))
                except Exception as error:  # noqa: BLE001 - whatever it says
                    told += [repr(error), str(error), repr(error.__cause__)]
        spans = exported.get_finished_spans()
    told += [f"{span.name} {dict(span.attributes or {})}" for span in spans]
    assert {"session.set_preferences sessions", "session.get_preferences sessions"} <= {s.name for s in spans}
    assert not [line for line in [*told, caplog.text] if "canary" in line]
