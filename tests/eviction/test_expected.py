"""What the server evicts by is compared with what the policy counts on: told, or refused, as it says."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from cachepolicy import PolicyError
from cachepolicy.telemetry import faults
from cachepolicy.testing.redis_server import RedisServer
from tests.support.colour import Colour
from tests.support.keeping import User, keep, set_memory, spent

LIMIT = "100mb"


@pytest.fixture(autouse=True)
def _nothing_is_counted() -> None:
    faults.errors("kept").clear()


def _told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and "namespace kept:" in record.getMessage()
    ]


def test_a_cache_is_told_that_its_server_evicts_otherwise(
    colour: Colour, roomy: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """`eviction.redis` that is not so is one warning, with how to mend it, and the cache goes on."""
    set_memory(roomy, LIMIT, "noeviction")
    keep(roomy.url, "cache", "best_effort", eviction={"redis": "allkeys-lru"})
    assert User(colour, "cache").use(3) == ["key-1", "key-2", "key-3"]
    (told,) = _told(caplog)
    assert told == (
        "namespace kept: its Redis does not evict as the policy counts on when memory is full "
        "(maxmemory-policy noeviction): set maxmemory-policy allkeys-lru there, or eviction.redis to that"
    )
    assert faults.errors("kept") == {"evictable.other": 1}


def test_where_it_is_required_it_is_refused(colour: Colour, roomy: RedisServer) -> None:
    """`guarantee: required` beside `eviction.redis` refuses any other policy, and takes that one."""
    set_memory(roomy, LIMIT, "volatile-lru")
    keep(roomy.url, "cache", "required", eviction={"redis": "allkeys-lru"})
    (refused,) = User(colour, "cache").use()
    assert isinstance(refused, PolicyError)
    assert "set maxmemory-policy allkeys-lru there" in str(refused)
    set_memory(roomy, LIMIT, "allkeys-lru")
    keep(roomy.url, "cache", "required", eviction={"redis": "allkeys-lru"})
    assert User(colour, "cache").use(2) == ["key-1", "key-2"]


@pytest.mark.parametrize(("limit", "policy"), [("0", "noeviction"), (LIMIT, "allkeys-lfu")])
def test_as_expected_or_without_a_limit_nothing_is_told(
    colour: Colour, roomy: RedisServer, limit: str, policy: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A server as the policy has it is no news, nor is one that is never full; later calls ask nothing."""
    set_memory(roomy, limit, policy)
    roomy.command("CONFIG", "RESETSTAT")
    keep(roomy.url, "cache", "best_effort", eviction={"redis": "allkeys-lfu"})
    User(colour, "cache").use(20)
    assert spent(roomy)["info"] == 1
    assert _told(caplog) == []


SUITS = {
    "protected": {"noeviction", "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"},
    "dedicated": {"noeviction"},
    "server": {"noeviction"},
}


@pytest.mark.parametrize(
    "policy", [*sorted(SUITS["protected"]), "allkeys-lru", "allkeys-lfu", "allkeys-random"]
)
@pytest.mark.parametrize("mode", SUITS)
@pytest.mark.parametrize("kind", ["sessions", "ratelimit"])
def test_a_mode_is_had_on_servers_that_suit_it(roomy: RedisServer, kind: str, mode: str, policy: str) -> None:
    """S1: what must stay is served exactly where the server keeps it in that mode, and refused elsewhere."""
    set_memory(roomy, LIMIT, policy)
    keep(roomy.url, kind, "required", eviction={"mode": mode})
    (use,) = User(Colour(is_async=False), kind).use()
    assert isinstance(use, PolicyError) is (policy not in SUITS[mode])


@pytest.mark.parametrize(("policy", "suits"), [("volatile-ttl", True), ("volatile-lru", False)])
def test_a_band_needs_volatile_ttl(roomy: RedisServer, policy: str, suits: bool) -> None:
    """S1: a band is none under a policy that does not look at how long keys have left."""
    band: dict[str, Any] = {"anonymous": {"enabled": False}, "eviction": {"mode": "ttl_band"}}
    set_memory(roomy, LIMIT, policy)
    keep(roomy.url, "sessions", "required", **band)
    (use,) = User(Colour(is_async=False), "sessions").use()
    assert isinstance(use, PolicyError) is not suits
    assert suits or "set maxmemory-policy noeviction or volatile-ttl there" in str(use)
