from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from typing import Any, TypeVar

import pytest

from cachepolicy.errors import Fault, PolicyError, StoreError, StoreMisconfigured, StoreUnavailable
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.tiers import ports, redis_async, redis_sync
from cachepolicy.tiers.commands import Command, head, put
from cachepolicy.tiers.dial import Place, greeting, hello
from cachepolicy.tiers.endpoint import Endpoint
from cachepolicy.tiers.memory import MemoryServer
from cachepolicy.tiers.resp import Word, layout, pack
from tests.tiers.store_contract import PATIENCE, Store, StoreContract, patient

T = TypeVar("T")


class Sync(Store):
    """A synchronous store, with the patience of a test."""

    def __init__(self, store: ports.SyncStore) -> None:
        self.store = store

    def do(self, command: Command[T]) -> T:
        return self.store.execute(command, PATIENCE)

    def all(self, *commands: Command[Any]) -> list[Any]:
        return self.store.execute_all(commands, PATIENCE)


class Async(Store):
    """An asynchronous store, on a loop of the test's own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, store: ports.AsyncStore) -> None:
        self.loop = loop
        self.store = store

    def do(self, command: Command[T]) -> T:
        return self.loop.run_until_complete(self.store.execute(command, PATIENCE))

    def all(self, *commands: Command[Any]) -> list[Any]:
        return self.loop.run_until_complete(self.store.execute_all(commands, PATIENCE))


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
        store = redis_sync.connect(Place(patient(redis_url), 1))
        yield Sync(store)
        store.close()


class TestRedisAsync(StoreContract):
    """A real server for ``async def``."""

    @pytest.fixture
    def store(self, redis_url: str, loop: asyncio.AbstractEventLoop) -> Iterator[Store]:
        """Give an empty store."""
        store = redis_async.connect(Place(patient(redis_url), 1), loop=loop)
        yield Async(loop, store)
        loop.run_until_complete(store.aclose())


class TestValkeySync(StoreContract):
    """A real Valkey for ``def``."""

    @pytest.fixture
    def store(self, valkey_server: RedisServer) -> Iterator[Store]:
        """Give an empty store."""
        valkey_server.command("FLUSHALL")
        store = redis_sync.connect(Place(patient(valkey_server.url), 1))
        yield Sync(store)
        store.close()


class TestValkeyAsync(StoreContract):
    """A real Valkey for ``async def``."""

    @pytest.fixture
    def store(self, valkey_server: RedisServer, loop: asyncio.AbstractEventLoop) -> Iterator[Store]:
        """Give an empty store."""
        valkey_server.command("FLUSHALL")
        store = redis_async.connect(Place(patient(valkey_server.url), 1), loop=loop)
        yield Async(loop, store)
        loop.run_until_complete(store.aclose())


class TestUnixSocket(StoreContract):
    """A real server on a unix socket."""

    @pytest.fixture
    def store(self, redis_binary: str, tmp_path: Any) -> Iterator[Store]:
        """Give an empty store."""
        socket = tmp_path / "redis.sock"
        with RedisServer("--unixsocket", str(socket)):
            store = redis_sync.connect(Place(patient(f"unix://{socket}"), 1))
            yield Sync(store)
            store.close()


def test_the_colours_share_the_memory_server() -> None:
    """What ``def`` stores, ``async def`` finds; databases are apart."""
    server = MemoryServer()
    server.connect_sync(1).execute(put("key", b"value", 60), PATIENCE)
    assert asyncio.run(server.connect_async(1).execute(head("key"), PATIENCE)) == b"value"
    assert asyncio.run(server.connect_async(2).execute(head("key"), PATIENCE)) is None


@pytest.mark.parametrize("operation", ["execute", "execute_all", "node"])
def test_the_leaves_are_alike(operation: str) -> None:
    """Both leaves, and what the flow expects of them, have the same operations with the same parameters."""
    signatures = {
        str(inspect.signature(getattr(kind, operation)))
        for kind in (ports.SyncStore, ports.AsyncStore, redis_sync.RedisSync, redis_async.RedisAsync)
    }
    assert len(signatures) == 1


def _each_leaf(endpoint: Endpoint, loop: asyncio.AbstractEventLoop) -> Iterator[Store]:
    store = redis_sync.connect(Place(endpoint, 1))
    yield Sync(store)
    store.close()
    later = redis_async.connect(Place(endpoint, 1), loop=loop)
    yield Async(loop, later)
    loop.run_until_complete(later.aclose())


def test_a_wrong_password_is_asked_once(own_redis: RedisServer, loop: asyncio.AbstractEventLoop) -> None:
    """A refused password is a configuration fault: one AUTH per call, and no secret in the message."""
    own_redis.command("CONFIG", "SET", "requirepass", "right")
    endpoint = patient(own_redis.url, password="canary-wrong")
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
    own_redis.command("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+getrange", "+select")
    endpoint = patient(f"redis://reader:secret@127.0.0.1:{own_redis.port}")
    for store in _each_leaf(endpoint, loop):
        assert store.get("key") is None
        with pytest.raises(StoreMisconfigured):
            store.set("key", b"value", 60)


def test_an_error_of_the_server_is_a_fault(own_redis: RedisServer, loop: asyncio.AbstractEventLoop) -> None:
    """Out of memory, a wrong type, a read-only replica: each is a StoreError, and the next command works."""
    own_redis.command("CONFIG", "SET", "maxmemory", "1")
    own_redis.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    for store in _each_leaf(patient(own_redis.url), loop):
        with pytest.raises(StoreUnavailable, match="oom"):
            store.set("canary-key", b"value", 60)
        assert store.get("key") is None


def test_a_server_that_went_away_is_a_fault_and_then_is_back(
    own_redis: RedisServer, loop: asyncio.AbstractEventLoop
) -> None:
    """Killed under an open connection it is a StoreError; restarted, the same leaf works again."""
    for store in _each_leaf(patient(own_redis.url), loop):
        store.set("key", b"value", 60)
        own_redis.kill()
        with pytest.raises(StoreError):
            store.get("key")
        own_redis.restart()
        assert store.get("key") is None


def test_no_connection_is_free_within_the_deadline(
    own_redis: RedisServer,
) -> None:
    """When all connections wait for a frozen server, the next caller is refused at the deadline."""
    store = redis_sync.connect(Place(patient(own_redis.url, max_connections=1), 1))
    store.execute(head("key"), PATIENCE)
    faults: list[Fault] = []

    def call() -> None:
        try:
            store.execute(head("key"), 0.1)
        except StoreError as error:
            faults.append(error.fault)

    own_redis.pause()
    try:
        threads = [threading.Thread(target=call) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        own_redis.resume()
    assert set(faults) <= {Fault.TIMEOUT, Fault.BACKPRESSURE}
    assert len(faults) == len(threads)
    assert store.execute(head("key"), PATIENCE) is None  # the slot is free again
    store.close()


def test_the_greeting_is_one_round_trip() -> None:
    """RESP3, the user, the password and the name go in one command: one AUTH for each connection."""
    endpoint = Endpoint("redis://user:pass@host:1234")
    assert hello(Place(endpoint, 3)) == ("HELLO", 3, "AUTH", "user", "pass", "SETNAME", "cachepolicy")
    assert next(greeting(Place(endpoint, 3))) == [hello(Place(endpoint, 3)), ("SELECT", 3)]


@pytest.mark.parametrize("word", ["text", "Grüße", b"bytes\r\n", 12])
def test_the_packer_writes_what_redis_reads(word: Word) -> None:
    """Every kind of word is one bulk string of its bytes."""
    content = word if isinstance(word, bytes) else str(word).encode()
    assert pack(("SET", word)) == b"*2\r\n$3\r\nSET\r\n$%d\r\n%s\r\n" % (len(content), content)
    assert layout("SET", word)("Ü") == pack(("SET", "Ü", word))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://host?socket_timeout=99", "options"),
        ("redis://host/3", "database"),
        ("redis+cluster://host/3", "database"),
        ("http://host", "not served"),
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
