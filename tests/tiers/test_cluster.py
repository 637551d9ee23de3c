from __future__ import annotations

import asyncio
import inspect
import random
import re
import threading
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from cachepolicy import Outcome, aclose, cached, close, configure, observe
from cachepolicy.errors import Fault, StoreError, StoreMisconfigured
from cachepolicy.testing.conversation import ask
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.testing.topologies import RedisCluster
from cachepolicy.tiers import cluster_async, cluster_sync, ports, redis_async, redis_sync
from cachepolicy.tiers.commands import Command, Repeat, flag, head, put, unlink
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.endpoint import Endpoint
from cachepolicy.tiers.scripts import Script
from cachepolicy.tiers.topology import Topology, Turn
from tests.support.colour import Colour
from tests.support.policies import cache_policy
from tests.support.waiting import until
from tests.tiers.store_contract import PATIENCE, Store, StoreContract, int_or_raise, patient
from tests.tiers.test_stores import Async, Sync

KEYS = [f"key-{number}" for number in range(60)]
SLACK = 5.0  # seconds that a busy machine may add


@pytest.fixture
def cluster(redis_cluster: RedisCluster) -> RedisCluster:
    """Give the shared cluster, emptied."""
    for node in redis_cluster.masters():
        ask(node, "FLUSHALL")
        ask(node, "SCRIPT", "FLUSH")
    return redis_cluster


@pytest.fixture
def own_cluster(redis_binary: str) -> Iterator[RedisCluster]:
    """Give a cluster of this test's own, to take servers from; the others serve on without them."""
    with RedisCluster(replicas=1, node_timeout=1.0) as cluster:
        for node in cluster.nodes:
            ask(node, "CONFIG", "SET", "cluster-require-full-coverage", "no")
        yield cluster


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Give a loop, closed after the test."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture(params=["def", "async def"])
def store(request: pytest.FixtureRequest, cluster: RedisCluster) -> Iterator[Sync | Async]:
    """Give a store over the shared cluster, of each colour."""
    yield from _open(cluster, request.getfixturevalue("loop") if request.param == "async def" else None)


def _open(cluster: RedisCluster, loop: asyncio.AbstractEventLoop | None) -> Iterator[Sync | Async]:
    place = Place(patient(cluster.url), 1)
    if loop is None:
        store = cluster_sync.connect(place)
        yield Sync(store)
        store.close()
    else:
        later = cluster_async.connect(place, loop=loop)
        yield Async(loop, later)
        loop.run_until_complete(later.aclose())


class TestClusterSync(StoreContract):
    """A cluster for ``def``."""

    @pytest.fixture
    def store(self, cluster: RedisCluster) -> Iterator[Store]:
        """Give an empty store."""
        yield from _open(cluster, None)


class TestClusterAsync(StoreContract):
    """A cluster for ``async def``."""

    @pytest.fixture
    def store(self, cluster: RedisCluster, loop: asyncio.AbstractEventLoop) -> Iterator[Store]:
        """Give an empty store."""
        yield from _open(cluster, loop)


@pytest.mark.parametrize("operation", ["execute", "execute_all", "node"])
def test_the_leaves_are_alike(operation: str) -> None:
    """Both colours of cluster have the operations of every store, with the same parameters."""
    kinds = (ports.SyncStore, ports.AsyncStore, cluster_sync.ClusterSync, cluster_async.ClusterAsync)
    assert len({str(inspect.signature(getattr(kind, operation))) for kind in kinds}) == 1


def test_a_batch_goes_to_every_master(store: Sync | Async, cluster: RedisCluster) -> None:
    """Many keys over all masters: each result is in its place, each error its own."""
    assert store.all(*[put(key, key.encode(), 60) for key in KEYS]) == [None] * len(KEYS)
    wrong = Command(("LPUSH", "key-3", "x"), "key-3", flag, Repeat.ONCE)
    found = store.all(*[head(key) for key in KEYS], wrong, head("absent"), unlink("key-7"))
    assert found[: len(KEYS)] == [key.encode() for key in KEYS]
    assert found[len(KEYS)].fault is Fault.WRONGTYPE
    assert found[len(KEYS) + 1 :] == [None, True]
    assert {store.store.node(key) for key in KEYS} == {
        f"127.0.0.1:{cluster.master_of(key).port}" for key in KEYS
    }


def test_a_server_is_named_once_it_is_known(store: Sync | Async, cluster: RedisCluster) -> None:
    """Before the first command nothing is connected, and no server is named."""
    assert store.store.node("key") == ""
    store.get("key")
    assert store.store.node("key") == f"127.0.0.1:{cluster.master_of('key').port}"


def test_moved_is_followed_and_remembered(store: Sync | Async, cluster: RedisCluster) -> None:
    """After a slot has moved the first command finds the new master, and the next go there directly."""
    store.set("moving", b"value", 60)
    target = cluster.move_slot("moving")
    assert store.get("moving") == b"value"
    assert store.store.node("moving") == f"127.0.0.1:{target.port}"
    target = cluster.move_slot("moving")
    assert store.all(head("moving"), head("key-1"), head("moving")) == [b"value", None, b"value"]
    assert store.store.node("moving") == f"127.0.0.1:{target.port}"


def test_ask_is_followed_and_not_remembered(store: Sync | Async, cluster: RedisCluster) -> None:
    """While a slot moves, what has moved is found, written and removed; the owner stays who it is."""
    store.set("{moving}old", b"value", 60)
    before = store.store.node("{moving}")
    with cluster.migrating("{moving}"):
        assert store.get("{moving}old") == b"value"
        store.set("{moving}new", b"new", 60)
        assert store.all(head("{moving}new"), head("{moving}old"), head("{moving}none"), head("key-1")) == [
            b"new",
            b"value",
            None,
            None,
        ]
        assert store.store.node("{moving}") == before
    assert store.get("{moving}new") == b"new"


def test_a_batch_half_moved_is_to_be_tried_again(store: Sync | Async, cluster: RedisCluster) -> None:
    """TRYAGAIN, for keys on both sides of a move, is told: the layer above tries again."""
    store.set("{moving}here", b"value", 60)
    both = Command(("MGET", "{moving}a", "{moving}b"), "{moving}", lambda reply: reply, Repeat.READ)
    with cluster.migrating("{moving}") as target:
        _direct(target, "ASKING", "SET", "{moving}a", "x")
        with pytest.raises(StoreError) as told:
            store.do(both)
    assert told.value.fault is Fault.TRYAGAIN


def test_keys_in_two_slots_are_a_mistake(store: Sync | Async) -> None:
    """CROSSSLOT is a configuration fault; with one tag the same script runs, by its digest too."""
    script = Script(f"return #KEYS + {random.getrandbits(30)}")
    with pytest.raises(StoreMisconfigured, match="tag") as refused:
        store.do(script.call(["a", "b"], [], int_or_raise).with_source())
    assert refused.value.fault is Fault.CROSSSLOT
    call = script.call(["{t}a", "{t}b"], [], int_or_raise)
    with pytest.raises(StoreError) as unknown:
        store.do(call)
    assert unknown.value.fault is Fault.NOSCRIPT
    assert store.do(call.with_source()) == store.do(call)


def test_one_server_of_a_cluster_says_what_it_is(
    cluster: RedisCluster, loop: asyncio.AbstractEventLoop
) -> None:
    """With redis:// at a cluster, a foreign key is a configuration fault that says what to write."""
    master = cluster.master_of("key")
    other = next(key for key in KEYS if cluster.master_of(key) is not master)
    place = Place(patient(f"redis://127.0.0.1:{master.port}", databases="prefix"), 1)
    plain, later = redis_sync.connect(place), redis_async.connect(place, loop=loop)
    for store in (Sync(plain), Async(loop, later)):
        assert store.get("key") is None
        with pytest.raises(StoreMisconfigured, match="redis\\+cluster://") as refused:
            store.get(other)
        assert "127.0.0.1" not in str(refused.value)
    plain.close()
    loop.run_until_complete(later.aclose())


def test_a_cluster_that_is_none_is_a_mistake(redis_url: str, loop: asyncio.AbstractEventLoop) -> None:
    """With redis+cluster:// at a server that is none of a cluster, the fault says so."""
    place = Place(patient(redis_url.replace("redis://", "redis+cluster://")), 1)
    single, later = cluster_sync.connect(place), cluster_async.connect(place, loop=loop)
    for store in (Sync(single), Async(loop, later)):
        with pytest.raises(StoreMisconfigured, match="cluster"):
            store.get("key")
    single.close()
    loop.run_until_complete(later.aclose())


def test_the_first_calls_ask_for_one_map(cluster: RedisCluster) -> None:
    """Twenty threads, and a hundred tasks, that begin at once ask for one map between them."""
    asked = _asked(cluster)
    store = cluster_sync.connect(Place(patient(cluster.url), 1))
    threads = [threading.Thread(target=store.execute, args=(head(key), PATIENCE)) for key in KEYS[:20]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    assert _asked(cluster) - asked == 1

    async def many() -> None:
        later = cluster_async.connect(Place(patient(cluster.url), 1))
        await asyncio.gather(*(later.execute(head(f"key-{number}"), PATIENCE) for number in range(100)))
        await later.aclose()

    asyncio.run(many())
    assert _asked(cluster) - asked == 2


def test_a_storm_of_cancellations_leaves_every_connection_in_step(cluster: RedisCluster) -> None:
    """Ten thousand calls over all masters, half of them cancelled at any moment: no answer is another's."""

    async def storm() -> int:
        store = cluster_async.connect(Place(patient(cluster.url), 1))
        await store.execute_all([put(key, key.encode(), 60) for key in KEYS], PATIENCE)
        chance = random.Random(11)
        wrong = 0
        for _ in range(50):
            keys = chance.choices(KEYS, k=200)
            tasks = [asyncio.ensure_future(_one(store, key, chance.random() < 0.1)) for key in keys]
            for task in tasks:
                await asyncio.sleep(0) if chance.random() < 0.05 else None
                if chance.random() < 0.5:
                    task.cancel()
            for found, key in zip(await asyncio.gather(*tasks, return_exceptions=True), keys, strict=True):
                wrong += not isinstance(found, asyncio.CancelledError) and found != key.encode()
        await store.aclose()
        return wrong

    assert asyncio.run(storm()) == 0


async def _one(store: ports.AsyncStore, key: str, batched: bool) -> Any:
    if not batched:
        return await store.execute(head(key), PATIENCE)
    first, second = await store.execute_all([head(key), head("key-0")], PATIENCE)
    return first if second == b"key-0" else second


def test_a_decorated_function_over_a_cluster(colour: Colour, cluster: RedisCluster) -> None:
    """A decorated function finds in every master what it stored there, while slots move; no wrong value."""
    configure(cache_policy(cluster.url, redis={"deadline": "5s"}, local={"enabled": False}))
    calls: list[str] = []

    @colour.decorate(cached("answers"))
    def answer(question: str) -> list[str]:
        calls.append(question)
        return [question]

    def go_round() -> list[Any]:
        return [_call(colour, answer, key) for key in KEYS]

    assert go_round() == [[key] for key in KEYS]
    with cluster.migrating(answer.key(KEYS[0])):
        assert go_round() == [[key] for key in KEYS]
    cluster.move_slot(answer.key(KEYS[1]))
    with observe() as seen:
        assert go_round() == [[key] for key in KEYS]
    assert [call.outcome for call in seen] == [Outcome.HIT] * len(KEYS)
    assert calls == KEYS
    close()


def test_a_master_that_is_lost_is_replaced(store_of: Any, own_cluster: RedisCluster) -> None:
    """Its keys fail at once, the others go on; when its replica was promoted the same store finds it."""
    store = store_of(own_cluster)
    for key in KEYS:
        store.set(key, key.encode(), 600)
    until(lambda: all(map(_replicated, own_cluster.nodes[:3])), "replication")
    lost = own_cluster.kill_master_of(KEYS[0])
    gone = [key for key in KEYS if store.store.node(key).endswith(f":{lost.port}")]
    with pytest.raises(StoreError) as fault:
        store.get(KEYS[0])
    assert fault.value.fault in {Fault.REFUSED, Fault.LOST}
    for key in KEYS:
        if key not in gone:
            assert store.get(key) == key.encode()

    def is_back() -> bool:
        try:
            return bool(store.get(KEYS[0]) == KEYS[0].encode())
        except StoreError:
            return False

    def is_replaced() -> bool:
        is_back()  # callers do not stop to call
        return own_cluster.master_of(KEYS[0]) is not lost

    until(is_replaced, "the election")
    promoted = time.monotonic()
    until(is_back, "the promoted replica")
    assert time.monotonic() - promoted < 2.0 + SLACK
    assert store.all(*[head(key) for key in KEYS]) == [key.encode() for key in KEYS]
    assert not store.store.node(KEYS[0]).endswith(f":{lost.port}")


@pytest.fixture(params=["def", "async def"])
def store_of(request: pytest.FixtureRequest, loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
    """Give what opens a store of each colour over a cluster."""
    opened: list[Iterator[Sync | Async]] = []

    def open_store(cluster: RedisCluster) -> Sync | Async:
        opened.append(_open(cluster, loop if request.param == "async def" else None))
        return next(opened[0])

    yield open_store
    for one in opened:
        assert next(one, None) is None


def test_a_dead_master_costs_what_its_breaker_allows(colour: Colour, cluster: RedisCluster) -> None:
    """C2: its keys are a bypass, soon without asking; those of the others are hits all the time."""
    policy = cache_policy(cluster.url, local={"enabled": False})
    configure(policy)

    @colour.decorate(cached("answers"))
    def answer(question: str) -> list[str]:
        return [question]

    async def all_async(keys: list[str]) -> list[Any]:
        try:
            return [await answer(key) for key in keys]
        finally:
            await aclose()

    def go_round(keys: list[str]) -> list[Any]:
        found: list[Any] = (
            colour.run(lambda: all_async(keys)) if colour.is_async else [answer(key) for key in keys]
        )
        return found

    assert go_round(KEYS) == [[key] for key in KEYS]
    dead = cluster.master_of(answer.key(KEYS[0]))
    gone = [key for key in KEYS if cluster.master_of(answer.key(key)) is dead]
    there = [key for key in KEYS if key not in gone]
    dead.pause()  # the worst way to be dead: connections are taken and nothing is answered
    try:
        policy["redis"]["deadline"] = "2s"  # a busy machine leaves those that live alone, too
        policy["redis"]["breaker"] = {"failures": 2, "window": "1m", "open_for": "1m"}
        configure(policy)
        with observe() as seen:
            assert go_round(there + gone) == [[key] for key in there + gone]
    finally:
        dead.resume()
    assert [call.outcome for call in seen] == [Outcome.HIT] * len(there) + [Outcome.FAULT] * len(gone)
    asked, *others = [call.fault for call in seen][len(there) :]
    assert asked == "timeout"
    assert set(others[1:]) == {"breaker_open"}  # not one deadline for each of its keys
    close()


def test_a_server_that_left_is_hung_up_on() -> None:
    """Connections to a server that owns nothing any more are closed at the second map without it."""
    store = cluster_sync.connect(Place(Endpoint("redis+cluster://seed"), 1))
    topology: Topology = store._topology
    topology.learn([("one", 1)] * 16_384)
    leaf = store._leaf(Turn(("two", 2)))
    store._retire()
    assert leaf in store._leaves.values()
    store._leaf(Turn(("two", 2)))  # it was of use
    store._retire()
    assert leaf in store._leaves.values()
    store._retire()
    assert store._leaves == {}


def _call(colour: Colour, function: Any, key: str) -> Any:
    async def call() -> Any:
        try:
            return await function(key)
        finally:
            await aclose()

    return colour.run(call if colour.is_async else lambda: function(key))


def _asked(cluster: RedisCluster) -> int:
    """Count how often any server was asked about the cluster."""
    stats = [str(ask(node, "INFO", "commandstats")) for node in cluster.nodes]
    return sum(
        int(calls) for stat in stats for calls in re.findall(r"cmdstat_cluster(?:\|slots)?:calls=(\d+)", stat)
    )


def _replicated(master: RedisServer) -> bool:
    role, offset, replicas = cast("list[Any]", ask(master, "ROLE"))
    return bool(role == b"master" and replicas and all(int(seen[2]) == offset for seen in replicas))


def _direct(server: RedisServer, *words: str) -> None:
    """Say ASKING and a command on one connection."""
    import redis

    with redis.Redis(port=server.port, single_connection_client=True) as client:
        client.execute_command(words[0])
        client.execute_command(*words[1:])


def test_a_call_after_the_end_keeps_nothing(redis_cluster: RedisCluster) -> None:
    """Who asks while, or after, a store is closed is answered, and its connections are not kept."""
    store = cluster_sync.connect(Place(patient(redis_cluster.url), 1))
    store.close()
    assert store.execute(head("nothing"), PATIENCE) is None
    assert store._leaves
    assert [leaf._pool.connections() for leaf in store._leaves.values()] == [(0, 0)] * len(store._leaves)
