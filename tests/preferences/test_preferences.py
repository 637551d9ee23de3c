"""What users prefer: changed path by path, whoever changes what at the same time."""

from __future__ import annotations

import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import redis

from cachepolicy import (
    Conflict,
    PolicyError,
    Preferences,
    TooLarge,
    UnkeyableArgument,
    UnserializableValue,
    configure,
)
from cachepolicy.errors import UnknownNamespace
from tests.support.colour import Colour
from tests.support.hammered import hammered
from tests.support.sessions_policy import HOSTILE_USERS, do, sessions_policy
from tests.support.trips import Trips

USERS = (*HOSTILE_USERS, 1, "1")
DEFAULTS = {"ui.theme": "dark", "ui.font.size": 12, "beta": False}
PREFERENCES = Preferences()


@pytest.fixture
def do_it(colour: Colour, any_url: str) -> Any:
    """Do verbs in each colour, on each kind of store."""
    configure(sessions_policy(any_url, preferences={"defaults": DEFAULTS}))
    return partial(do, colour)


def test_what_is_set_is_read_over_the_defaults(do_it: Any) -> None:
    """What a user chose holds, and the policy's defaults for all else; each reader has a copy of its own."""
    assert do_it(PREFERENCES.get, "u") == {"ui": {"theme": "dark", "font": {"size": 12}}, "beta": False}
    do_it(PREFERENCES.set, "u", {"ui.theme": "light", "mail": {"weekly": True, "hours": [8, {"to": None}]}})
    read = do_it(PREFERENCES.get, "u")
    assert read == {
        "ui": {"theme": "light", "font": {"size": 12}},
        "beta": False,
        "mail": {"weekly": True, "hours": [8, {"to": None}]},
    }
    read["ui"]["theme"] = "changed"
    assert do_it(PREFERENCES.get_path, "u", "ui.theme") == "light"
    assert do_it(PREFERENCES.get_path, "u", "ui.font") == {"size": 12}
    assert do_it(PREFERENCES.get_path, "u", "ui.theme.none", 5) == 5
    assert do_it(PREFERENCES.get_path, "u", "none") is None
    assert do_it(PREFERENCES.get, "other") == {"ui": {"theme": "dark", "font": {"size": 12}}, "beta": False}


def test_what_is_removed_falls_back(do_it: Any) -> None:
    """A path that is removed has its default again, with all below it; reset removes all."""
    do_it(PREFERENCES.set, "u", {"ui": {"theme": "light", "font.size": 9}, "uix": 1, "beta": True})
    do_it(PREFERENCES.set, "u", {"beta": None}, remove=["ui", "none"])
    assert do_it(PREFERENCES.get, "u") == {
        "ui": {"theme": "dark", "font": {"size": 12}},
        "uix": 1,
        "beta": None,
    }
    do_it(PREFERENCES.set, "u", {"mail.weekly": 1})
    do_it(PREFERENCES.set, "u", {"mail": "now a value"}, remove="mail")
    assert do_it(PREFERENCES.get_path, "u", "mail") == "now a value"
    assert do_it(PREFERENCES.reset, "u") is True
    assert do_it(PREFERENCES.reset, "u") is False
    assert do_it(PREFERENCES.get_path, "u", "mail") is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1,
        1.5,
        -0.0,
        10**30,
        "",
        "Grüße",
        "\ud800",
        "x" * 2000,
        [],
        [[]],
        [{"a b": [1, 1.0, True]}],
    ],
    ids=lambda value: repr(value)[:12],
)
def test_a_value_comes_back_as_it_was(do_it: Any, value: Any) -> None:
    """A value is the same when it is read, of the same type."""
    do_it(PREFERENCES.set, "u", {"x": value})
    assert repr(do_it(PREFERENCES.get_path, "u", "x", "nothing")) == repr(value)


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), (1,), {1}, b"x", [(1,)], [{1: 2}], object(), 10**5000, [[float("nan")]]],
    ids=lambda value: repr(value)[:12] if not isinstance(value, int) else "huge",
)
def test_what_would_not_come_back_is_refused(do_it: Any, value: Any) -> None:
    """What JSON would change, or cannot hold, is an error, and nothing of the call is kept."""
    with pytest.raises(UnserializableValue):
        do_it(PREFERENCES.set, "u", {"good": 1, "x": value})
    assert do_it(PREFERENCES.read, "u").version == 0
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(UnserializableValue):
        do_it(PREFERENCES.set, "u", {"x": deep})


def test_no_user_is_another(do_it: Any) -> None:
    """Whatever ids are made of, each user has preferences of their own; 1 is not "1"."""
    for number, user in enumerate(USERS):
        do_it(PREFERENCES.set, user, {"n": number})
    assert [do_it(PREFERENCES.get_path, user, "n") for user in USERS] == list(range(len(USERS)))
    nobodies: list[Any] = [None, "", "\n", True, 1.5, b"canary", ("canary",)]
    for user in nobodies:
        with pytest.raises(UnkeyableArgument) as refused:
            do_it(PREFERENCES.get, user)
        assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"": 1},
        {"a..b": 1},
        {"a.": 1},
        {":version": 1},
        {"a b": 1},
        {"a\n": 1},
        {"1": 1},
        {"a" * 257: 1},
        {"ä": 1},
        {5: 1},
        {"a": {5: 1}},
        {"a": {"b": {}}},
        {"a": {"b": 1}, "a.b": 2},
        {"a": 1, "a.b": 2},
        {"ui": 1},
        {"ui.theme.canary": 1},
        {"kept.canary": 1},
        {"branch": 1},
    ],
    ids=lambda changes: repr(changes)[:30],
)
def test_what_is_no_path_is_refused(do_it: Any, changes: Any) -> None:
    """A path that is none, or would have a value and others below it, is refused; nothing is changed."""
    do_it(PREFERENCES.set, "u", {"kept": 1, "branch.below": 2})
    before = do_it(PREFERENCES.read, "u")
    with pytest.raises(PolicyError) as refused:
        do_it(PREFERENCES.set, "u", {"good": 1, **changes})
    assert "canary" not in str(refused.value)
    after = do_it(PREFERENCES.read, "u")
    assert (after.values, after.version) == (before.values, before.version)


def test_a_mapping_that_holds_itself_is_refused(do_it: Any) -> None:
    """A mapping without end is an error at once."""
    loop: dict[str, Any] = {}
    loop["a"] = loop
    with pytest.raises(PolicyError):
        do_it(PREFERENCES.set, "u", loop)


def test_a_default_never_tears_what_was_chosen(colour: Colour, redis_url: str) -> None:
    """Where a new policy says something above or below a chosen path, the user's choice holds."""
    configure(sessions_policy(redis_url))
    do(colour, PREFERENCES.set, "u", {"a": 1, "b.c": 2})
    configure(sessions_policy(redis_url, preferences={"defaults": {"a.x.y": 5, "b": 6, "d.e": 7}}))
    assert do(colour, PREFERENCES.get, "u") == {"a": 1, "b": {"c": 2}, "d": {"e": 7}}


def test_what_is_too_much_changes_nothing(colour: Colour, any_url: str) -> None:
    """No user keeps more paths or bytes than the policy says; who has more may still take some away."""
    caps = {"max_fields": 3, "max_bytes": "2KiB"}
    configure(sessions_policy(any_url, preferences=caps, compression={"enabled": False}))
    do(colour, PREFERENCES.set, "u", {"a": 1, "b": 2})
    tests: list[dict[str, Any]] = [
        {"c": 3, "d": 4},
        dict.fromkeys("cdefg", 1),
        {"c": "x" * 2048},  # though it takes little when it is compressed
        {"c": secrets.token_hex(1022)},
        {"a": secrets.token_hex(1000), "b": secrets.token_hex(1000), "c": secrets.token_hex(1000)},
        {"c": secrets.token_hex(1010)},  # too much together with what is there
    ]
    for changes in tests:
        with pytest.raises(TooLarge):
            do(colour, PREFERENCES.set, "u", changes)
    assert do(colour, PREFERENCES.get, "u") == {"a": 1, "b": 2}
    do(colour, PREFERENCES.set, "u", {"c": 3})
    do(colour, PREFERENCES.set, "u", {"d": 4}, remove=["c"])
    with pytest.raises(TooLarge):
        do(colour, PREFERENCES.increment, "u", "e")


def test_less_is_let_in_where_there_is_too_much(colour: Colour, redis_url: str) -> None:
    """After a policy that allows less, a user's preferences can shrink and change, and not grow."""
    configure(sessions_policy(redis_url))
    do(colour, PREFERENCES.set, "u", dict.fromkeys("abcd", 1))
    configure(sessions_policy(redis_url, preferences={"max_fields": 2}))
    do(colour, PREFERENCES.set, "u", {"a": 2})
    with pytest.raises(TooLarge):
        do(colour, PREFERENCES.set, "u", {"e": 2})
    do(colour, PREFERENCES.set, "u", {"e": 2}, remove=["a", "b"])
    assert do(colour, PREFERENCES.get, "u") == {"c": 1, "d": 1, "e": 2}


def test_a_change_can_be_made_of_what_was_read_only(do_it: Any) -> None:
    """``if_version``: a change that somebody else's has overtaken is a Conflict, and changes nothing."""
    assert do_it(PREFERENCES.read, "u").version == 0
    first = do_it(PREFERENCES.set, "u", {"a": 1}, if_version=0)
    with pytest.raises(Conflict):
        do_it(PREFERENCES.set, "u", {"a": 2}, if_version=0)
    assert do_it(PREFERENCES.read, "u").version == first
    second = do_it(PREFERENCES.set, "u", {"b": 1}, if_version=first)
    assert second > first
    for stale in (0, first):
        with pytest.raises(Conflict):
            do_it(PREFERENCES.set, "u", {"a": 3}, if_version=stale)
    assert do_it(PREFERENCES.get_path, "u", "a") == 1
    wrong: list[Any] = [-1, "1", True, 1.0]
    for version in wrong:
        with pytest.raises(PolicyError):
            do_it(PREFERENCES.set, "u", {"a": 3}, if_version=version)


def test_no_version_comes_back(do_it: Any) -> None:
    """What was read before all was forgotten and chosen again is no longer what is there."""
    first = do_it(PREFERENCES.set, "u", {"a": 1})
    assert do_it(PREFERENCES.set, "u", remove=["a"]) == 0
    do_it(PREFERENCES.set, "u", {"a": 1})
    with pytest.raises(Conflict):
        do_it(PREFERENCES.set, "u", {"a": 2}, if_version=first)
    do_it(PREFERENCES.reset, "u")
    assert do_it(PREFERENCES.set, "u", {"a": 1}) > first


def test_numbers_are_counted(do_it: Any) -> None:
    """A count begins at the default, or at nothing, and is exact; what is no number is refused."""
    assert do_it(PREFERENCES.increment, "u", "ui.font.size") == 13
    assert do_it(PREFERENCES.increment, "u", "n", 2**60) == 2**60
    assert do_it(PREFERENCES.increment, "u", "n") == 2**60 + 1
    assert do_it(PREFERENCES.increment, "u", "f", -0.5) == -0.5
    do_it(PREFERENCES.set, "u", {"text": "canary", "huge": 10**400})
    for path, by in (("text", 1), ("beta", 1), ("huge", 0.5)):
        with pytest.raises(PolicyError) as refused:
            do_it(PREFERENCES.increment, "u", path, by)
        assert "canary" not in str(refused.value)
    amounts: list[Any] = [True, "1", float("nan"), None]
    for by in amounts:
        with pytest.raises(PolicyError):
            do_it(PREFERENCES.increment, "u", "n", by)


def test_changes_of_different_paths_are_all_kept(any_url: str) -> None:
    """Threads that change a user's paths and count together lose nothing."""
    configure(sessions_policy(any_url))

    def change(number: int) -> None:
        for step in range(20):
            PREFERENCES.set.sync("u", {f"t{number}.n{step}": step})
            PREFERENCES.increment.sync("u", "count")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(change, range(8)))
    whole = {f"t{number}": {f"n{step}": step for step in range(20)} for number in range(8)}
    assert PREFERENCES.get.sync("u") == {**whole, "count": 160}


def test_changes_of_eight_processes_are_all_kept(redis_url: str) -> None:
    """Processes that change a user's paths and count together lose nothing."""
    policy = sessions_policy(redis_url)
    hammered(policy, *[("prefer", f"p{number}", "25") for number in range(8)])
    configure(policy)
    whole = {f"p{number}": {f"n{step}": step for step in range(25)} for number in range(8)}
    assert PREFERENCES.get.sync("u") == {**whole, "count": 200}


def test_they_are_kept_while_their_user_comes(colour: Colour, redis_url: str) -> None:
    """``ttl`` runs from the last use, most uses write nothing; without it they stay for ever."""
    key = "test:sessions:user_prefs:u"
    with redis.Redis.from_url(redis_url) as client:
        configure(sessions_policy(redis_url))
        do(colour, PREFERENCES.set, "u", {"a": 1})
        assert client.pttl(key) == -1
        configure(sessions_policy(redis_url, preferences={"ttl": "1h"}))
        assert do(colour, PREFERENCES.get, "u") == {"a": 1}
        assert 3_590_000 < client.pttl(key) <= 3_600_000
        for left, after in ((3_300_000, 3_300_000), (1_000_000, 3_600_000)):
            client.pexpire(key, left)
            assert do(colour, PREFERENCES.get, "u") == {"a": 1}
            assert after - 10_000 < client.pttl(key) <= after
        client.pexpire(key, 1_000_000)
        do(colour, PREFERENCES.increment, "u", "n")
        assert 3_590_000 < client.pttl(key) <= 3_600_000
        assert do(colour, PREFERENCES.get, "nobody") == {}
        assert client.dbsize() == 1
        configure(sessions_policy(redis_url))
        do(colour, PREFERENCES.set, "u", {"a": 2})
        assert client.pttl(key) == -1


def test_one_round_trip(colour: Colour, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading and changing ask Redis once each; counting asks twice where nobody is in the way."""
    trips = Trips()
    trips.watch(monkeypatch)
    configure(sessions_policy(redis_url))
    do(colour, PREFERENCES.set, "u", {"a": 1})
    trips.take()
    do(colour, PREFERENCES.set, "u", {"a": 1, "b": 2}, remove=["c"])
    do(colour, PREFERENCES.get, "u")
    do(colour, PREFERENCES.increment, "u", "n")
    assert trips.take() == [["EVALSHA"], ["HGETALL"], ["HGETALL"], ["EVALSHA"]]


def test_a_namespace_of_another_kind_is_refused(colour: Colour) -> None:
    """Preferences belong to a namespace of sessions."""
    policy = sessions_policy()
    policy["namespaces"]["temp"] = {"kind": "temp", "db": 1}
    configure(policy)
    with pytest.raises(PolicyError, match="kind sessions"):
        do(colour, Preferences("temp").get, "u")
    with pytest.raises(UnknownNamespace):
        do(colour, Preferences("none").get, "u")


def test_versions_go_on_where_the_clock_stands(redis_url: str) -> None:
    """Two changes in one microsecond have two versions: each is greater than the one before."""
    configure(sessions_policy(redis_url))
    PREFERENCES.set.sync("u", {"a": 1})
    far = int((time.time() + 10_000) * 1_000_000)
    with redis.Redis.from_url(redis_url) as client:
        client.hset("test:sessions:user_prefs:u", ":version", far)
    assert PREFERENCES.set.sync("u", {"a": 2}) == far + 1
