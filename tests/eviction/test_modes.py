"""``eviction: {mode: …}``: what is refused when the policy is loaded, and what is said of what is not."""

from __future__ import annotations

from typing import Any

import pytest

from cachepolicy import policy
from cachepolicy.policy.evictions import Guaranteed, describe
from cachepolicy.policy.rules.sharing import servers_of
from tests.policy.helpers import said

HOUR_LONG: dict[str, Any] = {"kind": "cache", "scope": "global", "ttl": "1h"}
USERS: dict[str, Any] = {"kind": "sessions", "anonymous": {"enabled": False}}


def _two(first: dict[str, Any], second: dict[str, Any], url: str = "redis://one") -> dict[str, Any]:
    return {"version": 1, "app": "test", "redis": {"url": url}, "namespaces": {"llm": first, "kept": second}}


def _kept(mode: str, **rule: Any) -> dict[str, Any]:
    return {**USERS, "eviction": {"mode": mode}, **rule}


def _described(source: dict[str, Any], namespace: str = "kept") -> Guaranteed:
    return describe(policy.load(source, variables={}).policy, namespace)


@pytest.mark.parametrize(
    "url", ["redis://ONE:6379/0", "redis://user:word@one", "redis+cluster://two,one:6379", None]
)
def test_dedicated_is_refused_beside_others(url: str | None) -> None:
    """A Redis that another namespace names too, however it is spelled, is not dedicated."""
    rule = _kept("dedicated") if url is None else _kept("dedicated", url=url)
    assert said(_two(HOUR_LONG, rule)) == [
        "namespaces.kept.eviction.mode: expected a url: of its own: its Redis is also that of llm"
    ]


@pytest.mark.parametrize("url", ["redis://one:6380", "redis://two", "unix:///run/one", "local://one"])
def test_dedicated_is_taken_alone(url: str) -> None:
    """A Redis of its own is dedicated, by whichever kind of address."""
    assert said(_two(HOUR_LONG, _kept("dedicated", url=url))) == []


def test_memory_in_the_process_has_every_mode() -> None:
    """First runs and unit tests on ``memory://`` are not refused: it evicts nothing."""
    quota = {**HOUR_LONG, "eviction": {"mode": "quota", "max_bytes": "10MiB"}}
    assert said(_two(quota, _kept("dedicated"), "memory://")) == []
    assert _described(_two(quota, _kept("dedicated"), "memory://")).needs == ()


def test_bands_that_overlap_are_refused() -> None:
    """Sessions that may live shorter than answers would go before them: that is no band."""
    (told,) = said(_two({**HOUR_LONG, "ttl": "2d"}, _kept("ttl_band")))
    assert told.startswith(
        "namespaces.kept.eviction.mode: expected TTLs that do not overlap with those of llm"
    )
    assert said(_two({**HOUR_LONG, "stale": {"if_error": "1d"}}, _kept("ttl_band")))
    assert said(_two(HOUR_LONG, _kept("ttl_band", anonymous={"ttl": "30m"})))
    assert said(_two(HOUR_LONG, _kept("ttl_band"))) == []


def test_a_band_needs_something_to_go_before_it() -> None:
    """Where nothing has shorter TTLs a band protects nothing."""
    limits = {"kind": "ratelimit"}
    assert said(_two(limits, _kept("ttl_band"))) == [
        "namespaces.kept.eviction.mode: expected a namespace with shorter TTLs in the same Redis, to go first"
    ]


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *(("sessions", "quota"), ("ratelimit", "quota"), ("analytics", "quota"), ("temp", "quota")),
        *(("cache", "protected"), ("analytics", "protected"), ("temp", "protected")),
        *(("ratelimit", "ttl_band"), ("analytics", "ttl_band")),
    ],
)
def test_modes_belong_to_kinds(kind: str, mode: str) -> None:
    """Quotas are for what can be computed again, protection for what must stay, bands for known TTLs."""
    rule = {"kind": kind, "eviction": {"mode": mode}, **({"scope": "global"} if kind == "cache" else {})}
    assert any("eviction.mode: expected server" in each for each in said(_two(HOUR_LONG, rule)))


@pytest.mark.parametrize("word", ["allkeys-lru", "allkeys-lfu", "allkeys-random", "allkeys-lrm"])
def test_protected_is_refused_with_what_takes_all_keys(word: str) -> None:
    """A key without a TTL is safe from volatile-* alone."""
    (told,) = said(_two(HOUR_LONG, _kept("protected") | {"eviction": {"mode": "protected", "redis": word}}))
    assert told == (
        "namespaces.kept.eviction.redis: expected noeviction or volatile-…: "
        "others take keys without a TTL too"
    )


def test_what_must_stay_counts_on_nothing_that_evicts() -> None:
    """`guarantee: required` and an `eviction.redis` that takes its keys contradict each other."""
    rule = {**USERS, "guarantee": "required", "eviction": {"redis": "volatile-lru"}}
    (told,) = said(_two(HOUR_LONG, rule))
    assert told == (
        "namespaces.kept.eviction.redis: expected noeviction: "
        "guarantee: required cannot be had with volatile-lru"
    )


@pytest.mark.parametrize(
    ("eviction", "told"),
    [
        ({"mode": "quota"}, "namespaces.llm.eviction.max_bytes: required: how much a quota is"),
        ({"max_bytes": "1GiB"}, "namespaces.llm.eviction.max_bytes: expected mode: quota beside it"),
        (
            {"mode": "quota", "max_bytes": "1MiB"},
            "namespaces.llm.eviction.max_bytes: expected room for two values of admit.max_value, at least",
        ),
    ],
)
def test_a_quota_has_a_size(eviction: dict[str, str], told: str) -> None:
    """A quota says how much, nothing else does, and the largest value fits into it."""
    assert said(_two({**HOUR_LONG, "eviction": eviction}, USERS)) == [told]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({**HOUR_LONG, "eviction": {"mode": "quota", "max_bytes": "1GiB"}}, USERS),
        (HOUR_LONG, _kept("protected")),
    ],
)
def test_what_needs_one_server_is_refused_on_a_cluster(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Quotas and deadlines stand in one place: a cluster has none that all keys share."""
    (told,) = said(_two(first, second, "redis+cluster://a,b"))
    assert told.endswith("needs one server, and this is a cluster")


def test_what_is_guaranteed_is_said() -> None:
    """Each mode says what it guarantees, what that costs, and what the server must be."""
    quota = {**HOUR_LONG, "eviction": {"mode": "quota", "max_bytes": "1GiB"}}
    told = _described(_two(quota, USERS), "llm")
    assert (told.mode, told.needs) == ("quota", ())
    assert told.text.startswith("entries take 1GiB at most")
    told = _described(_two(HOUR_LONG, _kept("ttl_band")))
    assert told.needs == ("noeviction", "volatile-ttl")
    assert "more than 1h left to live stays while the server's samples have anything of llm" in told.text
    told = _described(_two(HOUR_LONG, _kept("protected")))
    assert {"noeviction", "volatile-lru"} <= set(told.needs)
    assert not [word for word in told.needs if word.startswith("allkeys")]
    assert _described(_two(HOUR_LONG, USERS)).needs == ("noeviction",)
    told = _described(_two(HOUR_LONG, {**HOUR_LONG, "eviction": {"redis": "allkeys-lfu"}}))
    assert told.needs == ("allkeys-lfu",)
    assert told.text == "the server evicts by allkeys-lfu, among all keys, to make room for keys of llm too"


def test_addresses_of_one_server_are_known() -> None:
    """Ports left out, letters' case, users and lists do not hide that addresses are of one server."""
    assert servers_of("rediss://u:p@HOST") == servers_of("redis://host:6379/3") == {"host:6379"}
    assert servers_of("redis+cluster://a:1,[::1]") == {"a:1", "::1:6379"}
    assert servers_of("redis+sentinel://a,b/main") == {"a:26379/main", "b:26379/main"}
    assert not servers_of("redis+sentinel://a/main") & servers_of("redis+sentinel://a/other")
    assert servers_of("unix:///run/a") != servers_of("unix:///run/b")
