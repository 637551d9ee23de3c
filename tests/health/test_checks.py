"""What is judged of a server by what it told: each threshold, and what is not told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest

from cachepolicy import HealthState
from cachepolicy.errors import Fault
from cachepolicy.flow.health import Look
from cachepolicy.flow.health_checks import judged
from cachepolicy.flow.health_past import Past, Terms
from cachepolicy.policy.rules.observing import HealthRule
from cachepolicy.tiers.health import Info
from tests.support.health import states

_GOOD: Final = HealthState.HEALTHY
_DEGRADED: Final = HealthState.DEGRADED
_BAD: Final = HealthState.UNHEALTHY
_MIB: Final = 1024 * 1024
_CACHE: Final = Terms(HealthRule(), "here:6379", caches=("llm",), evicting=frozenset({"allkeys-lru"}))
_KEPT: Final = {"sessions": ("noeviction",)}
_SESSIONS: Final = Terms(HealthRule(), "here:6379", protected=("sessions",), keepers=_KEPT)


def _look(told: Mapping[str, Any] | None, **more: Any) -> Look:
    info = None if told is None else Info({name: str(value) for name, value in told.items()})
    return Look("", None, None, 0.001, 0.0, info, at=more.pop("at", 20.0), **more)


def _state(
    name: str, told: Mapping[str, Any], before: Mapping[str, Any] | None = None, terms: Terms = _CACHE
) -> HealthState:
    past = Past(at=10.0, answered=True, ping=0.001)
    if before is not None:
        past.info = Info({name: str(value) for name, value in before.items()})
    return states(judged(_look(told), past, terms))[name]


@pytest.mark.parametrize(
    ("name", "told", "expected"),
    [
        ("memory", {"used_memory": 79, "maxmemory": 100}, _GOOD),
        ("memory", {"used_memory": 80, "maxmemory": 100}, _DEGRADED),
        ("memory", {"used_memory": 95, "maxmemory": 100}, _BAD),
        ("memory", {"used_memory": 10, "maxmemory": 0, "total_system_memory": 100}, _GOOD),
        ("memory", {"used_memory": 96, "maxmemory": 0, "total_system_memory": 100}, _BAD),
        ("memory", {"used_memory": 99, "maxmemory": 100, "maxmemory_policy": "allkeys-lru"}, _DEGRADED),
        ("policy", {"maxmemory": 100, "maxmemory_policy": "allkeys-lru"}, _GOOD),
        ("policy", {"maxmemory": 100, "maxmemory_policy": "noeviction"}, _DEGRADED),
        ("policy", {"maxmemory": 0, "maxmemory_policy": "noeviction"}, _GOOD),
        ("clients", {"connected_clients": 79, "maxclients": 100}, _GOOD),
        ("clients", {"connected_clients": 80, "maxclients": 100}, _DEGRADED),
        ("clients", {"connected_clients": 95, "maxclients": 100}, _BAD),
        (
            "fragmentation",
            {
                "mem_fragmentation_ratio": 3,
                "allocator_frag_ratio": 1.1,
                "allocator_frag_bytes": 900 * _MIB,
            },
            _GOOD,
        ),
        ("fragmentation", {"mem_fragmentation_ratio": 1.6, "mem_fragmentation_bytes": 99 * _MIB}, _GOOD),
        ("fragmentation", {"mem_fragmentation_ratio": 1.6, "mem_fragmentation_bytes": 101 * _MIB}, _DEGRADED),
        (
            "fragmentation",
            {
                "mem_fragmentation_ratio": 0.8,
                "mem_fragmentation_bytes": -200 * _MIB,
                "used_memory": 1000 * _MIB,
                "used_memory_rss": 800 * _MIB,
            },
            _BAD,
        ),
        ("persistence", {"rdb_last_bgsave_status": "ok", "aof_last_write_status": "ok"}, _GOOD),
        ("persistence", {"rdb_last_bgsave_status": "err"}, _DEGRADED),
        ("persistence", {"rdb_last_bgsave_status": "ok", "aof_last_write_status": "err"}, _DEGRADED),
        ("persistence", {"rdb_last_bgsave_status": "ok", "latest_fork_usec": 600_000}, _DEGRADED),
        ("replication", {"role": "master", "connected_slaves": 0}, _GOOD),
        (
            "replication",
            {"role": "master", "connected_slaves": 1, "slave0": "ip=a,port=1,state=online,offset=9,lag=1"},
            _GOOD,
        ),
        (
            "replication",
            {"role": "master", "connected_slaves": 1, "slave0": "ip=a,port=1,state=online,offset=9,lag=11"},
            _DEGRADED,
        ),
        ("replication", {"role": "slave", "master_link_status": "down"}, _BAD),
        (
            "replication",
            {"role": "slave", "master_link_status": "up", "master_last_io_seconds_ago": 11},
            _DEGRADED,
        ),
        ("expiry", {"expired_stale_perc": "9.9"}, _GOOD),
        ("expiry", {"expired_stale_perc": "10.0"}, _DEGRADED),
        ("expiry", {"expired_stale_perc": "25.0"}, _BAD),
        ("scripts", {"number_of_cached_scripts": 499}, _GOOD),
        ("scripts", {"number_of_cached_scripts": 500}, _DEGRADED),
    ],
    ids=lambda part: str(part)[:60],
)
def test_thresholds(name: str, told: Mapping[str, Any], expected: HealthState) -> None:
    """A figure is judged by the thresholds of the policy, at them and below them."""
    assert _state(name, told) is expected


@pytest.mark.parametrize(
    ("name", "before", "told", "terms", "expected"),
    [
        ("eviction", {"evicted_keys": 5}, {"evicted_keys": 5}, _SESSIONS, _GOOD),
        ("eviction", {"evicted_keys": 5}, {"evicted_keys": 6}, _SESSIONS, _BAD),
        ("eviction", {"evicted_keys": 5}, {"evicted_keys": 6}, _CACHE, _GOOD),
        (
            "eviction",
            {"evicted_keys": 5},
            {"evicted_keys": 6, "current_eviction_exceeded_time": 1500},
            _CACHE,
            _DEGRADED,
        ),
        (
            "clients",
            {"rejected_connections": 1},
            {"rejected_connections": 2, "connected_clients": 1, "maxclients": 9},
            _CACHE,
            _DEGRADED,
        ),
        ("errors", {"total_error_replies": 0}, {"total_error_replies": 99}, _CACHE, _GOOD),
        ("errors", {"total_error_replies": 0}, {"total_error_replies": 101}, _CACHE, _DEGRADED),
        (
            "errors",
            {"total_error_replies": 0},
            {"total_error_replies": 1, "errorstat_OOM": "count=1"},
            _CACHE,
            _DEGRADED,
        ),
        (
            "errors",
            {"total_error_replies": 0, "errorstat_OOM": "count=1"},
            {"total_error_replies": 1, "errorstat_OOM": "count=1", "errorstat_NOSCRIPT": "count=1"},
            _CACHE,
            _GOOD,
        ),
        (
            "errors",
            {"total_error_replies": 0, "acl_access_denied_cmd": 0},
            {"total_error_replies": 1, "acl_access_denied_cmd": 1},
            _CACHE,
            _DEGRADED,
        ),
        (
            "persistence",
            {"aof_delayed_fsync": 1},
            {"rdb_last_bgsave_status": "ok", "aof_delayed_fsync": 2},
            _CACHE,
            _DEGRADED,
        ),
        (
            "replication",
            {"connected_slaves": 2},
            {"role": "master", "connected_slaves": 1, "slave0": "lag=0"},
            _CACHE,
            _DEGRADED,
        ),
        (
            "scripts",
            {"evicted_scripts": 0},
            {"number_of_cached_scripts": 3, "evicted_scripts": 1},
            _CACHE,
            _DEGRADED,
        ),
    ],
    ids=lambda part: "" if isinstance(part, Terms) else str(part)[:40],
)
def test_growth(
    name: str, before: Mapping[str, Any], told: Mapping[str, Any], terms: Terms, expected: HealthState
) -> None:
    """A counter is judged by what it has grown since the last look, not by what it is."""
    assert _state(name, {"run_id": "a", **told}, {"run_id": "a", **before}, terms) is expected


@pytest.mark.parametrize("marks", [({"run_id": "a"}, {"run_id": "b"}), ({}, {})], ids=["run_id", "uptime"])
def test_a_restart_is_no_shrinking(marks: tuple[dict[str, str], dict[str, str]]) -> None:
    """After a restart counters began anew: what they are is what they have grown by."""
    before = {"evicted_keys": 100, "uptime_in_seconds": 500, **marks[0]}
    told = {"evicted_keys": 3, "uptime_in_seconds": 2, **marks[1]}
    assert _state("eviction", told, before, _SESSIONS) is _BAD
    assert _state("eviction", {**told, "evicted_keys": 0}, before, _SESSIONS) is _GOOD


def test_what_is_not_told_is_unknown() -> None:
    """A server that tells nothing of itself has none healthy but what was tried, and none bad."""
    found = states(judged(_look(None), Past(answered=True, ping=0.001), _CACHE))
    tried = {"reachable", "writable", "clock"}
    assert {name for name, state in found.items() if state is _GOOD} == tried
    assert {found[name] for name in found.keys() - tried} == {HealthState.UNKNOWN}


@pytest.mark.parametrize("field", ["used_memory", "maxclients", "expired_stale_perc", "role"])
@pytest.mark.parametrize("text", ["", "many", "-", "0x10", "1e400", "nan", "\udcff"])
def test_what_is_told_wrong_is_unknown(field: str, text: str) -> None:
    """A field that is no number, or no word, is neither an error nor healthy."""
    found = states(judged(_look({field: text, "maxmemory": 100}), Past(answered=True, ping=0.001), _CACHE))
    name = {"used_memory": "memory", "maxclients": "clients", "expired_stale_perc": "expiry"}.get(field)
    if name is not None:
        assert found[name] is HealthState.UNKNOWN


def test_what_must_not_be_evicted() -> None:
    """Where a server may evict what must be kept it is degraded; unhealthy where that is required."""
    told = {"maxmemory": 100, "maxmemory_policy": "volatile-lru"}
    required = Terms(
        HealthRule(), "here:6379", protected=("sessions",), required=("sessions",), keepers=_KEPT
    )
    assert _state("policy", told, terms=_SESSIONS) is _DEGRADED
    assert _state("policy", told, terms=required) is _BAD
    assert _state("policy", {**told, "maxmemory_policy": "noeviction"}, terms=required) is _GOOD


def test_keys_without_a_ttl_are_not_at_risk_among_those_that_have_one() -> None:
    """Where a namespace is protected, a server that evicts among keys with a TTL takes none of its keys."""
    told = {"maxmemory": 100, "maxmemory_policy": "volatile-lru", "evicted_keys": 9}
    kept = {"sessions": ("noeviction", "volatile-lru")}
    protected = Terms(HealthRule(), "here:6379", protected=("sessions",), keepers=kept)
    assert _state("policy", told, terms=protected) is _GOOD
    assert _state("eviction", told, {"evicted_keys": 5}, protected) is _GOOD
    taken = {**told, "maxmemory_policy": "allkeys-lru"}
    assert _state("policy", taken, terms=protected) is _DEGRADED
    assert _state("eviction", taken, {"evicted_keys": 5}, protected) is _BAD


@pytest.mark.parametrize(
    ("skew", "expected"), [(0.2, _GOOD), (-0.3, _DEGRADED), (0.3, _DEGRADED), (-2.1, _BAD), (2.1, _BAD)]
)
def test_clocks(skew: float, expected: HealthState) -> None:
    """A clock that is ahead is as bad as one that is behind."""
    look = Look("", None, None, 0.001, skew, None)
    assert states(judged(look, Past(answered=True, ping=0.001), _CACHE))["clock"] is expected


@pytest.mark.parametrize(("ping", "expected"), [(0.004, _GOOD), (0.006, _DEGRADED), (0.06, _BAD)])
def test_slowness(ping: float, expected: HealthState) -> None:
    """A server is as quick as its average PING."""
    assert states(judged(_look({}), Past(answered=True, ping=ping), _CACHE))["reachable"] is expected


def test_one_slow_answer_is_averaged() -> None:
    """One slow answer among quick ones makes no server unhealthy; several do."""
    past = Past()
    for _ in range(5):
        past.note(_look({}))
    slow = Look("", None, None, 0.1)
    past.note(slow)
    assert states(judged(slow, past, _CACHE))["reachable"] is _DEGRADED
    for _ in range(5):
        past.note(slow)
    assert states(judged(slow, past, _CACHE))["reachable"] is _BAD


def test_an_acl_that_forbids_the_canary_alone() -> None:
    """Where no cache lies SET may be forbidden without harm: it is unknown; else it is unhealthy."""
    look = Look("", None, Fault.FORBIDDEN, 0.001)
    past = Past(answered=True, ping=0.001)
    assert states(judged(look, past, _SESSIONS))["writable"] is HealthState.UNKNOWN
    assert states(judged(look, past, _CACHE))["writable"] is _BAD


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"cluster_state": "ok"}, _GOOD),
        ({"cluster_state": "ok", "cluster_slots_pfail": "1"}, _DEGRADED),
        ({"cluster_state": "ok", "cluster_slots_fail": "1"}, _BAD),
        ({"cluster_state": "fail"}, _BAD),
        ({}, HealthState.UNKNOWN),
    ],
    ids=str,
)
def test_clusters(told: Mapping[str, str], expected: HealthState) -> None:
    """A cluster is as good as its slots."""
    look = Look("here:1", None, None, 0.001, 0.0, None, Info(told))
    assert states(judged(look, Past(answered=True, ping=0.001), _CACHE))["cluster"] is expected
