from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from cachepolicy.errors import PolicyError, StoreError, StoreMisconfigured, StoreUnavailable
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.tiers import ports, redis_async, redis_sync
from cachepolicy.tiers.endpoint import Endpoint, connection_arguments, python_packer
from cachepolicy.tiers.memory import MemoryServer
from tests.tiers.store_contract import PATIENCE, Store, StoreContract


class Sync:
    """A synchronous store, with the patience of a test."""

    def __init__(self, store: ports.SyncStore) -> None:
        self.store = store

    def get(self, key: str) -> bytes | None:
        return self.store.get(key, PATIENCE)

    def set(self, key: str, value: bytes, ttl: float) -> None:
        self.store.set(key, value, ttl, PATIENCE)

    def delete(self, key: str) -> bool:
        return self.store.delete(key, PATIENCE)


class Async:
    """An asynchronous store, on a loop of the test's own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, store: ports.AsyncStore) -> None:
        self.loop = loop
        self.store = store

    def get(self, key: str) -> bytes | None:
        return self.loop.run_until_complete(self.store.get(key, PATIENCE))

    def set(self, key: str, value: bytes, ttl: float) -> None:
        self.loop.run_until_complete(self.store.set(key, value, ttl, PATIENCE))

    def delete(self, key: str) -> bool:
        return self.loop.run_until_complete(self.store.delete(key, PATIENCE))


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Give a loop, closed after the test."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


class TestMemorySync(StoreContract):
    """``memory://`` for ``def``."""

    @pytest.fixture
    def store(self) -> Store:
        """Give an empty store."""
        return Sync(MemoryServer().connect_sync(1))


class TestMemoryAsync(StoreContract):
    """``memory://`` for ``async def``."""

    @pytest.fixture
    def store(self, loop: asyncio.AbstractEventLoop) -> Store:
        """Give an empty store."""
        return Async(loop, MemoryServer().connect_async(1))


class TestRedisSync(StoreContract):
    """A real server for ``def``."""

    @pytest.fixture
    def store(self, redis_url: str) -> Iterator[Store]:
        """Give an empty store."""
        store = redis_sync.connect(Endpoint(redis_url, deadline=PATIENCE), 1)
        yield Sync(store)
        store.close()


class TestRedisAsync(StoreContract):
    """A real server for ``async def``."""

    @pytest.fixture
    def store(self, redis_url: str, loop: asyncio.AbstractEventLoop) -> Iterator[Store]:
        """Give an empty store."""
        store = redis_async.connect(Endpoint(redis_url, deadline=PATIENCE), 1)
        yield Async(loop, store)
        loop.run_until_complete(store.aclose())


class TestUnixSocket(StoreContract):
    """A real server on a unix socket."""

    @pytest.fixture
    def store(self, redis_binary: str, tmp_path: Any) -> Iterator[Store]:
        """Give an empty store."""
        socket = tmp_path / "redis.sock"
        with RedisServer("--unixsocket", str(socket)):
            store = redis_sync.connect(Endpoint(f"unix://{socket}", deadline=PATIENCE), 1)
            yield Sync(store)
            store.close()


def test_the_colours_share_the_memory_server() -> None:
    """What ``def`` stores, ``async def`` finds; databases are apart."""
    server = MemoryServer()
    server.connect_sync(1).set("key", b"value", 60, PATIENCE)
    assert asyncio.run(server.connect_async(1).get("key", PATIENCE)) == b"value"
    assert asyncio.run(server.connect_async(2).get("key", PATIENCE)) is None


@pytest.mark.parametrize("operation", ["get", "set", "delete"])
def test_the_leaves_are_alike(operation: str) -> None:
    """Both leaves, and what the flow expects of them, have the same operations with the same parameters."""
    signatures = {
        str(inspect.signature(getattr(kind, operation)))
        for kind in (ports.SyncStore, ports.AsyncStore, redis_sync.RedisSync, redis_async.RedisAsync)
    }
    assert len(signatures) == 1


def _each_leaf(endpoint: Endpoint, loop: asyncio.AbstractEventLoop) -> Iterator[Store]:
    store = redis_sync.connect(endpoint, 1)
    yield Sync(store)
    store.close()
    later = redis_async.connect(endpoint, 1)
    yield Async(loop, later)
    loop.run_until_complete(later.aclose())


def test_a_wrong_password_is_asked_once(own_redis: RedisServer, loop: asyncio.AbstractEventLoop) -> None:
    """A refused password is a configuration fault: one AUTH per call, and no secret in the message."""
    own_redis.command("CONFIG", "SET", "requirepass", "right")
    endpoint = Endpoint(own_redis.url, password="canary-wrong", deadline=PATIENCE)
    for number, store in enumerate(_each_leaf(endpoint, loop), 1):
        with pytest.raises(StoreMisconfigured) as refused:
            store.get("canary-key")
        assert "canary" not in str(refused.value)
        assert refused.value.__cause__ is None
        log = _as(own_redis, "right", "ACL", "LOG")
        assert sum(_count(entry) for entry in log) == number


def test_a_forbidden_command_is_a_configuration_fault(
    own_redis: RedisServer, loop: asyncio.AbstractEventLoop
) -> None:
    """A user whose ACL lacks a command is told apart from a server that is down."""
    own_redis.command("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+get", "+select", "+client|setname")
    endpoint = Endpoint(f"redis://reader:secret@127.0.0.1:{own_redis.port}", deadline=PATIENCE)
    for store in _each_leaf(endpoint, loop):
        assert store.get("key") is None
        with pytest.raises(StoreMisconfigured):
            store.set("key", b"value", 60)


def test_an_error_of_the_server_is_a_fault(own_redis: RedisServer, loop: asyncio.AbstractEventLoop) -> None:
    """Out of memory, a wrong type, a read-only replica: each is a StoreError, and the next command works."""
    own_redis.command("CONFIG", "SET", "maxmemory", "1")
    own_redis.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    for store in _each_leaf(Endpoint(own_redis.url, deadline=PATIENCE), loop):
        with pytest.raises(StoreUnavailable, match="OutOfMemory"):
            store.set("canary-key", b"value", 60)
        assert store.get("key") is None


def test_a_server_that_went_away_is_a_fault_and_then_is_back(
    own_redis: RedisServer, loop: asyncio.AbstractEventLoop
) -> None:
    """Killed under an open connection it is a StoreError; restarted, the same leaf works again."""
    for store in _each_leaf(Endpoint(own_redis.url, deadline=PATIENCE), loop):
        store.set("key", b"value", 60)
        own_redis.kill()
        with pytest.raises(StoreError):
            store.get("key")
        own_redis.restart()
        assert store.get("key") is None


def test_no_connection_is_free_within_the_deadline(
    own_redis: RedisServer, loop: asyncio.AbstractEventLoop
) -> None:
    """When all connections wait for a frozen server, the next caller is refused at the deadline."""
    endpoint = Endpoint(own_redis.url, max_connections=1, deadline=0.05)
    store = redis_async.connect(endpoint, 1)

    async def crowd() -> list[Any]:
        await store.get("key", PATIENCE)
        own_redis.pause()
        try:
            return await asyncio.gather(*[store.get("key", 0.05) for _ in range(10)], return_exceptions=True)
        finally:
            own_redis.resume()

    outcomes = loop.run_until_complete(crowd())
    loop.run_until_complete(store.aclose())
    assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}


def test_connections_are_built_as_the_policy_says() -> None:
    """No retries, no maintenance notifications, our timeouts, and commands packed in Python."""
    endpoint = Endpoint("redis://user:pass@host:1234", deadline=0.2, connect_timeout=0.5, max_connections=7)
    arguments = connection_arguments(endpoint, 3)
    assert arguments["retry"].get_retries() == 0
    assert arguments["maint_notifications_config"].enabled is False
    assert (arguments["socket_timeout"], arguments["socket_connect_timeout"]) == (0.2, 0.2)
    assert (arguments["db"], arguments["max_connections"], arguments["password"]) == (3, 7, "pass")
    leaf = redis_sync.connect(endpoint, 3)
    connection: Any = leaf._client.connection_pool.make_connection()
    assert type(connection._command_packer) is type(python_packer())
    leaf.close()


@pytest.mark.parametrize("argument", ["text", b"bytes", memoryview(b"view"), 12, 1.5])
def test_the_packer_writes_what_redis_reads(argument: Any) -> None:
    """Every kind of argument is one bulk string of its bytes."""
    content = argument if isinstance(argument, bytes | memoryview) else str(argument).encode()
    packed = b"".join(python_packer().pack("SET", argument))
    assert packed == b"*2\r\n$3\r\nSET\r\n$%d\r\n%s\r\n" % (len(bytes(content)), bytes(content))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://host?socket_timeout=99", "options"),
        ("redis://host/3", "database"),
        ("redis+sentinel://host/master", "not served"),
        ("local:///tmp/x", "not served"),
    ],
)
def test_an_address_that_says_too_much_is_refused(url: str, message: str) -> None:
    """What would override the policy, or is not served, is an error before anything is connected."""
    with pytest.raises(PolicyError, match=message):
        Endpoint(url).check()
    Endpoint("redis://host:6379/0").check()


def test_an_endpoint_does_not_show_its_password() -> None:
    """Neither the address nor the password is in its repr."""
    assert "canary" not in repr(Endpoint("redis://:canary@host", password="canary"))


def _as(server: RedisServer, password: str, *command: str) -> Any:
    import redis

    with redis.Redis(port=server.port, password=password, protocol=2) as client:
        return client.execute_command(*command)


def _count(entry: Any) -> int:
    fields = entry if isinstance(entry, dict) else dict(zip(entry[::2], entry[1::2], strict=True))
    count: Any = fields.get(b"count", fields.get("count", 0))
    return int(count)
