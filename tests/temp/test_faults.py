"""C2 and T1: what Redis or the network does to a transfer is an error in time; nothing half is read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cachepolicy import (
    BlobDamaged,
    BlobMissing,
    CallDenied,
    StoreError,
    TempStore,
    aclose,
    close,
    configure,
)
from cachepolicy.testing.fault_proxy import (
    BlackHole,
    FaultProxy,
    Fin,
    HalfReply,
    NetworkFault,
    Refuse,
    Reset,
)
from cachepolicy.testing.redis_server import RedisServer
from tests.support.colour import Colour
from tests.support.temping import CHUNK, Files, content, in_parts, other, pass_time, temp_policy
from tests.support.waiting import at_last, until

STEADY = {"breaker": {"failures": 1000}}
QUICK = {"deadline": "100ms", "connect_timeout": "100ms", "breaker": {"failures": 1000}}
LOST: list[NetworkFault] = [Fin(), Reset(), HalfReply(then_close=True)]


@pytest.fixture
def proxy(redis_url: str) -> Iterator[FaultProxy]:
    """Give a network to a real Redis that can be made bad."""
    with FaultProxy(redis_url) as proxy:
        yield proxy
        close()


def _at(chunk: int, do: Callable[[], object], size: int = 20 * CHUNK) -> Iterator[bytes]:
    """Give a file in parts, and do something on the way."""
    for index, part in enumerate(in_parts(content(size), CHUNK)):
        if index == chunk:
            do()
        yield part


def test_t1_a_connection_that_is_lost_once_is_survived(proxy: FaultProxy, colour: Colour) -> None:
    """T1: all steps of a transfer are idempotent: a connection lost in its middle costs a retry, no more."""
    configure(temp_policy(proxy.url, redis=STEADY))
    files = Files(colour)
    blob = files.put(_at(9, proxy.cut), owner="u")
    assert files.read(blob.id) == content(20 * CHUNK)
    stream = files.store.stream(blob.id)
    first = files.pieces(stream, 5)
    proxy.cut()
    assert b"".join(first + files.pieces(stream)) == content(20 * CHUNK)
    assert files.usage("u") == 20 * CHUNK


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("chunk", [0, 9, 19])
def test_t1_an_upload_that_is_cut_leaves_nothing_readable(
    proxy: FaultProxy, redis_url: str, colour: Colour, fault: NetworkFault, chunk: int
) -> None:
    """T1: where Redis stays away the upload is a fault; what it stored ends by itself, unread."""
    configure(temp_policy(proxy.url, redis=STEADY, incomplete="10m"))
    files = Files(colour)

    def cut() -> None:
        proxy.fault = fault

    with pytest.raises(StoreError):
        files.put(_at(chunk, cut), owner="u")
    close()
    with other(redis_url) as client:
        assert all(client.hget(key, "s") == b"u" for key in client.keys("*temp:{*}"))
        pass_time(redis_url, 600)
        assert client.keys("*temp:{*") == []
    proxy.fault = None
    assert files.usage("u") == files.usage() == 0


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: type(fault).__name__)
def test_t1_a_download_that_is_cut_is_an_error(
    proxy: FaultProxy, colour: Colour, fault: NetworkFault
) -> None:
    """T1: a reader whose line breaks for good gets the fault, having had only what is right."""
    configure(temp_policy(proxy.url, redis=STEADY))
    files = Files(colour)
    data = content(30 * CHUNK)
    blob = files.put(data)
    stream = files.store.stream(blob.id)
    first = files.pieces(stream, 3)
    proxy.fault = fault
    with pytest.raises(StoreError):
        files.pieces(stream)
    with pytest.raises(StoreError):
        files.read(blob.id)
    close()
    proxy.fault = None
    rest = files.store.stream(blob.id, stream.position)
    assert data.startswith(b"".join(first))
    assert data[: stream.position] + b"".join(files.pieces(rest)) == data


def test_c2_a_stall_ends(proxy: FaultProxy, colour: Colour) -> None:
    """C2: a Redis that falls silent in the middle of a transfer ends it soon, in either direction."""
    configure(temp_policy(proxy.url, redis={**QUICK, "retry": {"attempts": 1}}))
    files = Files(colour)
    blob = at_last(lambda: files.put(content(20 * CHUNK)))

    def begun() -> Any:
        stream = files.store.stream(blob.id)
        files.pieces(stream, 1)
        return stream

    stream = at_last(begun)

    def stall() -> None:
        proxy.fault = BlackHole()

    began = time.monotonic()
    with pytest.raises(StoreError):
        files.put(_at(9, stall))
    stall()
    with pytest.raises(StoreError):
        files.pieces(stream)
    assert time.monotonic() - began < 20  # of a silence without end
    proxy.fault = None


def test_the_deadline_grows_with_what_is_sent(proxy: FaultProxy) -> None:
    """A step that carries chunks has a second more for each MiB; others have the policy's deadline."""
    from cachepolicy.policy.rules import TempRule
    from cachepolicy.runtime import current
    from cachepolicy.runtime.depots import depot_of

    configure(temp_policy(proxy.url, redis=QUICK))
    depot = depot_of(current.current().archive.records("temp", TempRule, "a test"))
    assert depot.budget().left == pytest.approx(0.1)
    assert depot.budget(3 * 2**20).left == pytest.approx(3.1)


def test_t1_a_claim_outlives_a_lost_reply(proxy: FaultProxy, redis_url: str, colour: Colour) -> None:
    """T1: whoever claimed with words of their own can claim again after a fault: the file is not lost."""
    configure(temp_policy(proxy.url, redis=STEADY))
    files = Files(colour)
    blob = files.put(content(5 * CHUNK), one_time=True)
    proxy.fault = Fin()
    with pytest.raises(StoreError):
        files.read(blob.id, claim="mine")
    close()
    proxy.fault = None
    assert files.read(blob.id, claim="mine") == content(5 * CHUNK)
    with pytest.raises(BlobMissing):
        files.read(blob.id, claim="mine")


def test_t1_a_restart_in_the_middle_is_an_error_or_nothing(own_redis: RedisServer, colour: Colour) -> None:
    """T1: a Redis that forgets everything during a transfer makes it an error; the next works."""
    configure(temp_policy(own_redis.url, redis=STEADY))
    files = Files(colour)
    with pytest.raises(StoreError):
        files.put(_at(9, own_redis.restart), owner="u")
    blob = files.put(content(30 * CHUNK), owner="u")
    stream = files.store.stream(blob.id)
    first = files.pieces(stream, 3)
    own_redis.restart()
    with pytest.raises((BlobMissing, BlobDamaged, StoreError)):
        files.pieces(stream)
    assert content(30 * CHUNK).startswith(b"".join(first))
    close()
    upload = files.do(files.store.begin_upload, 2 * CHUNK)
    files.do(upload.put, 0, content(CHUNK))
    own_redis.restart()
    with pytest.raises((BlobMissing, StoreError)):
        files.do(upload.put, 1, content(CHUNK))
    close()


def test_a_full_redis_refuses(own_redis: RedisServer, colour: Colour) -> None:
    """A server that has no memory left makes an upload a fault; what was stored of it is removed."""
    configure(temp_policy(own_redis.url, redis=STEADY, chunk=65536))
    files = Files(colour)
    own_redis.command("CONFIG", "SET", "maxmemory", "4mb")
    with pytest.raises(StoreError, match="oom"):
        files.put(in_parts(content(8_000_000), 65536), owner="u")
    own_redis.command("CONFIG", "SET", "maxmemory", "0")
    with other(own_redis.url) as client:
        until(lambda: client.keys("*temp:{*") == [], "the rest to be removed")
    assert files.read(files.put(b"x").id) == b"x"
    close()


@pytest.mark.parametrize("on_fault", ["raise", "deny"])
def test_on_fault_says_which_error(proxy: FaultProxy, colour: Colour, on_fault: str) -> None:
    """``raise`` is the fault itself, ``deny`` CallDenied, for every verb; never "no such file"."""
    configure(temp_policy(proxy.url, redis=STEADY, on_fault=on_fault))
    files = Files(colour)
    blob = files.put(b"x")
    upload = files.do(files.store.begin_upload, 1)
    close()
    proxy.fault = Refuse()
    store = files.store
    calls: list[Callable[[], Any]] = [
        lambda: files.put(b"x"),
        lambda: files.read(blob.id),
        lambda: files.do(store.info, blob.id),
        lambda: files.do(store.delete, blob.id),
        lambda: files.pieces(store.stream(blob.id)),
        files.usage,
        lambda: files.do(store.begin_upload, 1),
        lambda: files.do(store.resume_upload, upload.id),
        lambda: files.do(upload.put, 0, b"x"),
        lambda: files.do(upload.missing),
        lambda: files.do(upload.finish),
        lambda: files.do(upload.abort),
    ]
    for call in calls:
        with pytest.raises(StoreError if on_fault == "raise" else CallDenied):
            call()
    proxy.fault = None


def test_chunks_do_not_hold_up_the_small_commands_of_the_process(redis_url: str) -> None:
    """Chunks go by the lane for large values, however small they are: others' commands pass them."""
    from cachepolicy.tiers import commands, temp

    assert temp.store("k", b"x", 1).bulk
    assert commands.get("k").bulk
    configure(temp_policy(redis_url, chunk=2**20, window=64))
    store = TempStore()

    async def main() -> None:
        uploading = asyncio.create_task(store.put(bytes(64 * 2**20)))
        asked = 0
        while not uploading.done():
            await store.usage()
            asked += 1
        assert (await uploading).size == 64 * 2**20
        assert asked > 5
        await aclose()

    asyncio.run(main())
