"""On a cluster: all that belongs to a subject shares a slot, whatever it is called."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from cachepolicy.errors import StoreError
from cachepolicy.keys.layout import limit_key, overrides_key, reservation_key, running_key
from cachepolicy.testing.conversation import ask
from cachepolicy.testing.topologies import RedisCluster
from cachepolicy.tiers import cluster_async, cluster_sync
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.endpoint import Endpoint
from cachepolicy.tiers.limit_leases import enter, leave, stay
from cachepolicy.tiers.limit_overrides import override
from cachepolicy.tiers.limits import Algorithm, Limit, Part, Unit, charge, give_back, peek, reset, settle
from tests.support.limit_store import Store
from tests.tiers.store_contract import PATIENCE
from tests.tiers.test_stores import Async, Sync

SUBJECTS = ["user-1", "}{", "a}b", "Grüße", "x" * 500, "", 17, ("user", "10.0.0.1"), "17", None]
LIMITS = (
    Limit(Unit.REQUESTS, Algorithm.GCRA, 10, 60_000, 10),
    Limit(Unit.TOKENS, Algorithm.WINDOW, 100, 60_000, buckets=6),
)


@pytest.fixture(params=["def", "async def"])
def store(request: pytest.FixtureRequest, redis_cluster: RedisCluster) -> Iterator[Store]:
    """Give a store over the shared cluster, emptied, of each colour."""
    for node in redis_cluster.masters():
        ask(node, "FLUSHALL")
    place = Place(Endpoint(redis_cluster.url, deadline=PATIENCE, connect_timeout=PATIENCE), 0)
    if request.param == "def":
        leaf = cluster_sync.connect(place)
        yield Store(Sync(leaf))
        leaf.close()
        return
    loop = asyncio.new_event_loop()
    later = cluster_async.connect(place, loop=loop)
    yield Store(Async(loop, later))
    loop.run_until_complete(later.aclose())
    loop.close()


@pytest.mark.parametrize("subject", SUBJECTS, ids=repr)
def test_a_subject_is_one_slot(store: Store, redis_cluster: RedisCluster, subject: object) -> None:
    """Every command about a subject works on a cluster, with reservation, overrides and places."""
    key = limit_key("app:limits:", "chat", subject)
    keys = [key, reservation_key(key, "r"), overrides_key(key), running_key(key)]
    assert len({redis_cluster.slot(name) for name in keys}) == 1
    store.do(override(key, {LIMITS[0].name: (5, 5)}))
    part = [Part(key, LIMITS, (1, 10), overridden=True)]
    charged = store.do(charge(part, most_wait=10, reservation="r", held=60_000))
    assert [(row.remaining, row.amount) for row in charged.rows] == [(4, 5), (90, 100)]
    assert store.do(settle(key, LIMITS, "r", (1, 5))) is True
    store.do(give_back(key, LIMITS, (0, 5)))
    assert [row.remaining for row in store.do(peek(part)).rows] == [4, 100]
    assert store.do(enter(key, "a", 1, 60_000)).allowed
    assert store.do(stay(key, "a", 60_000))
    assert store.do(leave(key, "a"))
    assert store.do(reset(key))


def test_subjects_are_all_different() -> None:
    """No two subjects share a key, whatever they are made of, and no rule shares another's."""
    keys = {limit_key("app:limits:", rule, subject) for rule in ("a", "b", "a:b") for subject in SUBJECTS}
    assert len(keys) == 3 * len(SUBJECTS)
    assert max(map(len, keys)) < 160


def test_subjects_of_several_slots_are_refused_whole(store: Store) -> None:
    """Two subjects in one call are an error on a cluster, and none of them is charged."""
    keys = [limit_key("app:limits:", "chat", subject) for subject in ("user-1", "user-2")]
    with pytest.raises(StoreError):
        store.do(charge([Part(key, LIMITS, (1, 1)) for key in keys]))
    assert [store.do(peek([Part(key, LIMITS, (0, 0))])).rows[0].remaining for key in keys] == [10, 10]
