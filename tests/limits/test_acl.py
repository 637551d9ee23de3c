"""What limits need of an ACL user, as the documentation lists it."""

from __future__ import annotations

from cachepolicy.keys.layout import limit_key
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.tiers import redis_sync
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.endpoint import Endpoint
from cachepolicy.tiers.limit_leases import enter, leave, stay
from cachepolicy.tiers.limit_overrides import override, overrides
from cachepolicy.tiers.limits import Algorithm, Limit, Part, Unit, charge, give_back, peek, reset, settle
from tests.invalidation.test_acl import documented
from tests.support.limit_store import Store
from tests.tiers.store_contract import PATIENCE
from tests.tiers.test_stores import Sync

LIMITS = (Limit(Unit.REQUESTS, Algorithm.GCRA, 10, 60_000, 10),)


def test_the_commands_that_limits_need_are_those_documented(own_redis: RedisServer) -> None:
    """A user with just the commands and keys of the guide counts, reserves, overrides and takes places."""
    user = ("app", "on", ">pass", "resetkeys", "~test:*", "resetchannels", "-@all")
    assert own_redis.command("ACL", "SETUSER", *user, *documented()).startswith(b"+OK")
    endpoint = Endpoint(
        own_redis.url, username="app", password="pass", deadline=PATIENCE, connect_timeout=PATIENCE
    )
    leaf = redis_sync.connect(Place(endpoint, 0))
    store, key = Store(Sync(leaf)), limit_key("test:limits:", "chat", "user-1")
    store.do(override(key, {LIMITS[0].name: (5, 5)}))
    store.do(overrides(key))
    part = [Part(key, LIMITS, (1,), overridden=True)]
    assert store.do(charge(part, reservation="r", held=60_000)).allowed
    assert store.do(settle(key, LIMITS, "r", (3,)))
    store.do(give_back(key, LIMITS, (1,)))
    assert store.do(peek(part)).rows[0].remaining == 3
    assert not store.do(enter(key, "b", 0, 60_000)).allowed
    assert store.do(enter(key, "a", 1, 60_000)).allowed
    assert not store.do(enter(key, "b", 1, 60_000)).allowed
    assert store.do(stay(key, "a", 60_000))
    assert store.do(leave(key, "a"))
    assert store.do(override(key, None))
    assert store.do(reset(key))
    leaf.close()
    assert own_redis.command("ACL", "LOG") == b"*0\r\n"
