"""The multiplexed leaf: in step whatever is cancelled, bounded, and quick to tell that Redis is gone."""

from __future__ import annotations

import asyncio
import random
import select
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from cachepolicy.errors import Fault, StoreError
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.tiers import multiplex, redis_async
from cachepolicy.tiers.commands import HEAD, Command, Repeat, flag, get, head, put
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.endpoint import Endpoint
from cachepolicy.tiers.multiplex import Link
from cachepolicy.tiers.patience import within
from cachepolicy.tiers.ports import AsyncStore
from cachepolicy.tiers.scripts import Script
from cachepolicy.tiers.wire import Wire
from tests.support.waiting import block, until_async
from tests.tiers.store_contract import int_or_raise

PATIENCE = 10.0
HELLO = b"%1\r\n$5\r\nproto\r\n:3\r\n"


@asynccontextmanager
async def _leaf(url: str, **endpoint: Any) -> AsyncIterator[AsyncStore]:
    settings = {"deadline": PATIENCE, "connect_timeout": PATIENCE} | endpoint
    leaf = redis_async.connect(Place(Endpoint(url, **settings), 1))
    try:
        yield leaf
    finally:
        await leaf.aclose()


@asynccontextmanager
async def _server(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any],
) -> AsyncIterator[tuple[str, list[int]]]:
    """Serve something that is no Redis; count its connections."""
    connections: list[int] = []
    open_streams: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        open_streams.append(writer)
        try:
            await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", connections
    finally:
        server.close()
        for writer in open_streams:
            writer.close()
        await server.wait_closed()


def _ping() -> Command[object]:
    return Command(("PING",), "", lambda reply: reply, Repeat.READ)


def _client_list(server: RedisServer) -> int:
    return server.command("CLIENT", "LIST").count(b"name=cachepolicy")


@contextmanager
def _writes() -> Iterator[list[int]]:
    """Count the commands in each write."""
    sent: list[int] = []
    whole = Wire.send

    def send(wire: Wire, waiters: Any) -> None:
        sent.append(len(waiters))
        whole(wire, waiters)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Wire, "send", send)
        yield sent


def test_commands_of_one_moment_leave_in_one_write(redis_url: str) -> None:
    """A hundred commands of one tick are one write, and no write holds more than ``pipeline.size``."""

    async def main() -> None:
        async with _leaf(redis_url, pipeline_size=40) as leaf:
            await leaf.execute(_ping(), PATIENCE)
            with _writes() as sent:
                await asyncio.gather(*[leaf.execute(_ping(), PATIENCE) for _ in range(100)])
            assert sent == [40, 40, 20]

    asyncio.run(main())


def test_many_scripts_do_not_wait_for_each_other(redis_url: str) -> None:
    """Scripts of one tick leave by thirty-two, so that the server works while more are made."""
    script = Script("return tonumber(ARGV[1])")

    async def main() -> None:
        async with _leaf(redis_url) as leaf:
            await leaf.execute(script.call(["k"], [0], int_or_raise).with_source(), PATIENCE)
            with _writes() as sent:
                asked = [leaf.execute(script.call(["k"], [n], int_or_raise), PATIENCE) for n in range(80)]
                assert list(await asyncio.gather(*asked)) == list(range(80))
            assert sent == [32, 32, 16]

    asyncio.run(main())


def test_a_thousand_tasks_share_one_connection(own_redis: RedisServer) -> None:
    """1,024 tasks at once, on a cold leaf: no error, one connection, each its own value."""

    async def main() -> None:
        async with _leaf(own_redis.url) as leaf:
            keys = [f"key:{n}" for n in range(1024)]
            await asyncio.gather(*[leaf.execute(put(key, key.encode(), 60), PATIENCE) for key in keys])
            found = await asyncio.gather(*[leaf.execute(head(key), PATIENCE) for key in keys])
            assert found == [key.encode() for key in keys]
            assert _client_list(own_redis) == 1

    asyncio.run(main())


def test_c4_ten_thousand_cancellations_leave_the_connection_in_step(own_redis: RedisServer) -> None:
    """C4, R5: waiters cancelled at any moment fail nobody else, and cross or cost no connection."""

    async def main() -> tuple[int, int]:
        async with _leaf(own_redis.url) as leaf:
            keys = [f"key:{n}" for n in range(200)]
            await asyncio.gather(*[leaf.execute(put(key, key.encode(), 60), PATIENCE) for key in keys])
            first = own_redis.command("CLIENT", "LIST")
            cancelled = answered = 0
            while cancelled < 10_000:
                tasks = {asyncio.create_task(leaf.execute(head(key), PATIENCE)): key for key in keys + keys}
                for _ in range(random.randrange(4)):
                    await asyncio.sleep(0)
                for task in random.sample(list(tasks), 300):
                    task.cancel()
                await asyncio.wait(tasks)
                for task, key in tasks.items():
                    if task.cancelled():
                        cancelled += 1
                    else:
                        assert task.result() == key.encode()
                        answered += 1
            then = own_redis.command("CLIENT", "LIST")
            assert len(_ids(first)) == 1
            assert _ids(first) == _ids(then)
            return cancelled, answered

    cancelled, answered = asyncio.run(main())
    assert cancelled >= 10_000
    assert answered > 1_000


def test_a_command_cancelled_in_time_is_never_sent(redis_url: str) -> None:
    """Cancelled before the tick is over, a write does not happen."""

    async def main() -> None:
        async with _leaf(redis_url) as leaf:
            await leaf.execute(_ping(), PATIENCE)
            task = asyncio.create_task(leaf.execute(put("key", b"value", 60), PATIENCE))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert await leaf.execute(head("key"), PATIENCE) is None

    asyncio.run(main())


def test_back_pressure_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing leaves, no more than the bound waits; what is beyond is refused at once, unsent."""
    monkeypatch.setattr(multiplex, "MOST_WAITING", 100)

    async def main() -> None:
        forever = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await forever.wait()

        async with _server(silent) as (url, _), _leaf(url, connect_timeout=60) as leaf:
            tasks = [asyncio.create_task(leaf.execute(_ping(), PATIENCE)) for _ in range(250)]
            await asyncio.sleep(0)
            faults = [task.exception() for task in tasks if task.done()]
            assert len(faults) == 150
            assert {fault.fault for fault in faults if isinstance(fault, StoreError)} == {Fault.BACKPRESSURE}
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            forever.set()

    asyncio.run(main())


def test_a_write_that_the_socket_does_not_take_waits_here(own_redis: RedisServer) -> None:
    """While the server reads nothing, written bytes stay bounded; when it reads again all are answered."""

    async def main() -> None:
        async with _leaf(own_redis.url) as leaf:
            await leaf.execute(_ping(), PATIENCE)
            own_redis.pause()
            blob = bytes(HEAD - 1)
            writes = [
                asyncio.create_task(leaf.execute(put(f"key:{n}", blob, 60), PATIENCE)) for n in range(300)
            ]
            link: Link = leaf._small  # type: ignore[attr-defined]  # the multiplexed leaf

            async def is_stuck() -> bool:
                return link._wire is not None and link._wire.is_full

            await until_async(is_stuck, "a full socket")
            assert len(link._queue) > 100
            own_redis.resume()
            await asyncio.gather(*writes)
            assert await leaf.execute(head("key:299"), PATIENCE) == blob

    asyncio.run(main())


def test_lost_pending_work_fails_at_once_and_the_next_command_reconnects(own_redis: RedisServer) -> None:
    """A killed connection fails its waiters now, not at their deadline; the leaf is usable again at once."""

    async def main() -> None:
        async with _leaf(own_redis.url) as leaf:
            await leaf.execute(put("key", b"value", 60), PATIENCE)
            own_redis.pause()
            waiting = [asyncio.create_task(leaf.execute(head("key"), PATIENCE)) for _ in range(50)]
            link: Link = leaf._small  # type: ignore[attr-defined]  # the multiplexed leaf

            async def are_sent() -> bool:
                return link._wire is not None and len(link._wire.sent) == len(waiting)

            await until_async(are_sent, "fifty commands on the wire")
            own_redis.kill()
            faults = await asyncio.gather(*waiting, return_exceptions=True)
            assert {fault.fault for fault in faults if isinstance(fault, StoreError)} == {Fault.LOST}
            assert len({id(fault) for fault in faults}) == 50  # one each
            own_redis.start()
            assert await _soon(leaf) is None

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_a_herd_connects_once() -> None:
    """A thousand waiters of a server that refuses cause one attempt, and then none for a moment."""

    async def main() -> None:
        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        async with _server(hang_up) as (url, connections), _leaf(url) as leaf:
            link: Link = leaf._small  # type: ignore[attr-defined]  # the multiplexed leaf
            for _ in range(3):
                herd = [leaf.execute(_ping(), PATIENCE) for _ in range(1000)]
                faults = await asyncio.gather(*herd, return_exceptions=True)
                assert {type(fault) for fault in faults} <= {StoreError, *StoreError.__subclasses__()}
                link._not_before = asyncio.get_running_loop().time() + PATIENCE
            assert len(connections) == 1

    asyncio.run(main())


def test_a_silent_connection_is_given_up(own_redis: RedisServer) -> None:
    """When a frozen server outlasts the deadline, the wait ends, and the next try is on a new connection."""

    async def main() -> None:
        async with _leaf(own_redis.url, deadline=0.1) as leaf:
            await leaf.execute(put("key", b"value", 60), PATIENCE)
            before = _ids(own_redis.command("CLIENT", "LIST"))
            own_redis.pause()
            with pytest.raises(StoreError) as gone:
                await leaf.execute(head("key"), 0.1)
            assert gone.value.fault is Fault.TIMEOUT
            own_redis.resume()
            assert await leaf.execute(head("key"), PATIENCE) == b"value"
            assert not before & _ids(own_redis.command("CLIENT", "LIST"))

    asyncio.run(main())


def test_r5_a_reply_that_comes_too_late_is_nobody_elses(own_redis: RedisServer) -> None:
    """A reply after its waiter gave up is dropped; the next command gets its own."""

    async def main() -> None:
        async with _leaf(own_redis.url) as leaf:
            await leaf.execute(put("key", b"value", 60), PATIENCE)
            await leaf.execute(put("late", b"another", 60), PATIENCE)
            before = _ids(own_redis.command("CLIENT", "LIST"))
            own_redis.pause()
            with pytest.raises(StoreError) as late:
                await leaf.execute(head("late"), 0.02)
            assert late.value.fault is Fault.TIMEOUT
            assert late.value.sent
            own_redis.resume()
            assert await leaf.execute(head("key"), PATIENCE) == b"value"
            assert _ids(own_redis.command("CLIENT", "LIST")) == before

    asyncio.run(main())


def test_large_values_have_a_lane_of_their_own(own_redis: RedisServer) -> None:
    """A large value is written and read over a second connection; a small one never waits behind it."""

    async def main() -> None:
        async with _leaf(own_redis.url) as leaf:
            await leaf.execute(put("small", b"value", 60), PATIENCE)
            assert _client_list(own_redis) == 1
            large = random.randbytes(3 * HEAD)
            await leaf.execute(put("large", large, 60), PATIENCE)
            assert await leaf.execute(head("large"), PATIENCE) == large[:HEAD]
            assert await leaf.execute(get("large"), PATIENCE) == large
            assert _client_list(own_redis) == 2

    asyncio.run(main())


def test_a_busy_loop_is_not_blamed_on_redis(redis_url: str) -> None:
    """A reply that waited in the socket while the loop was blocked is taken, deadline or not."""

    async def main() -> None:
        async with _leaf(redis_url) as leaf:
            await leaf.execute(put("key", b"value", 60), PATIENCE)
            task = asyncio.create_task(leaf.execute(head("key"), 0.03))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            link: Link = leaf._small  # type: ignore[attr-defined]  # the multiplexed leaf
            assert link._wire is not None
            taken: socket.socket = link._wire._transport.get_extra_info("socket")
            assert select.select([taken], [], [], PATIENCE)[0]
            block(0.06)
            assert await task == b"value"

    asyncio.run(main())


def test_connecting_from_a_busy_loop_is_not_given_up() -> None:
    """What the loop was busy with does not use up the time to connect."""

    async def main() -> None:
        served = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"HELLO")
            await served.wait()
            writer.write(HELLO + b"+OK\r\n")
            await reader.readuntil(b"key\r\n")
            writer.write(b"$5\r\nvalue\r\n")
            await reader.read()

        async def greedy() -> None:
            for _ in range(8):
                block(0.2)
                await asyncio.sleep(0)
            served.set()

        async with _server(serve) as (url, _), _leaf(url, connect_timeout=1.0) as leaf:
            _, found = await asyncio.gather(greedy(), leaf.execute(head("key"), PATIENCE))
            assert found == b"value"

    asyncio.run(main())


def test_patience_ends() -> None:
    """A limit that an idle loop waits for passes after its time."""

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with within(0.05):
                await asyncio.Event().wait()

    asyncio.run(asyncio.wait_for(main(), 5))


@pytest.mark.parametrize("pieces", ["one byte at a time", "two replies in one", "pushes between"])
def test_replies_are_read_however_they_come(pieces: str) -> None:
    """Replies may come in any pieces, and pushes that nobody asked for may come between them."""

    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"HELLO")
            writer.write(HELLO + b"+OK\r\n")
            await reader.readuntil(b"two\r\n")
            replies = b"$3\r\none\r\n$3\r\ntwo\r\n"
            if pieces == "pushes between":
                replies = b">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n" + replies.replace(
                    b"$3\r\nt", b">1\r\n+x\r\n$3\r\nt"
                )
            if pieces == "one byte at a time":
                for byte in replies:
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0)
            else:
                writer.write(replies)
            await reader.read()

        async with _server(serve) as (url, _), _leaf(url) as leaf:
            found = await asyncio.gather(
                leaf.execute(head("one"), PATIENCE), leaf.execute(head("two"), PATIENCE)
            )
            assert list(found) == [b"one", b"two"]

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


@pytest.mark.parametrize("noise", [b"HTTP/1.1 400\r\n\r\n", b"\x00\xff\r\n", b"$3\r\none\r\n$3\r\nout\r\n"])
def test_what_is_no_reply_ends_the_connection(noise: bytes) -> None:
    """Garbage, and a reply that nobody asked for, drop the connection: nothing on it can be trusted."""

    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"HELLO")
            writer.write(HELLO + b"+OK\r\n")
            await reader.readuntil(b"one\r\n")
            writer.write(noise)
            await reader.read()

        async with _server(serve) as (url, _), _leaf(url) as leaf:
            try:
                assert await leaf.execute(head("one"), PATIENCE) == b"one"
            except StoreError as fault:
                assert fault.fault is Fault.PROTOCOL  # noqa: PT017 - either is right, by what came first
            await asyncio.sleep(0)
            link: Link = leaf._small  # type: ignore[attr-defined]  # the multiplexed leaf
            assert link._wire is None

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_a_closed_leaf_refuses(redis_url: str) -> None:
    """After ``aclose`` nothing is connected again, and nobody waits."""

    async def main() -> None:
        async with _leaf(redis_url) as leaf:
            await leaf.execute(_ping(), PATIENCE)
        with pytest.raises(StoreError) as closed:
            await leaf.execute(_ping(), PATIENCE)
        assert closed.value.fault is Fault.CLOSED

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_without_pipelining_each_command_has_a_connection(own_redis: RedisServer) -> None:
    """``pipeline.enabled: false``: never more than ``max_connections``, each value to its own caller."""

    async def main() -> None:
        async with _leaf(own_redis.url, pipelined=False, max_connections=4) as leaf:
            keys = [f"key:{n}" for n in range(200)]
            await asyncio.gather(*[leaf.execute(put(key, key.encode(), 60), PATIENCE) for key in keys])
            found = await asyncio.gather(*[leaf.execute(head(key), PATIENCE) for key in keys])
            assert found == [key.encode() for key in keys]
            assert _client_list(own_redis) == 4
            tasks = [asyncio.create_task(leaf.execute(head(key), PATIENCE)) for key in keys]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.wait(tasks)
            assert [task.result() for task in tasks[1::2]] == [key.encode() for key in keys[1::2]]
            wrong = Command(("LPUSH", "key:1", "x"), "key:1", flag, Repeat.ONCE)
            results = await leaf.execute_all([head("key:1"), wrong], PATIENCE)
            assert results[0] == b"key:1"
            assert results[1].fault is Fault.WRONGTYPE

    asyncio.run(main())


def test_closing_ends_what_is_under_way_without_pipelining(own_redis: RedisServer) -> None:
    """A connection that is in use is closed with the others, and none is opened afterwards."""
    waiting = Command(("BLPOP", "never", "0"), "never", flag, Repeat.ONCE)

    async def gone() -> bool:
        return _client_list(own_redis) == 0

    async def main() -> None:
        async with _leaf(own_redis.url, pipelined=False, max_connections=2) as leaf:
            under_way = asyncio.create_task(leaf.execute(waiting, PATIENCE))
            await leaf.execute(_ping(), PATIENCE)
        with pytest.raises(StoreError) as ended:
            await under_way
        assert ended.value.fault is Fault.CLOSED
        with pytest.raises(StoreError) as closed:
            await asyncio.gather(*[leaf.execute(_ping(), PATIENCE) for _ in range(3)])
        assert closed.value.fault is Fault.CLOSED
        await until_async(gone, "hanging up")

    asyncio.run(main())


def test_closing_that_is_cancelled_leaves_nothing_open(own_redis: RedisServer) -> None:
    """Both connections are closed, though the caller that closes them is cancelled meanwhile."""

    async def gone() -> bool:
        return _client_list(own_redis) == 0

    async def main() -> None:
        async with _leaf(own_redis.url) as leaf:
            await leaf.execute(_ping(), PATIENCE)
            await leaf.execute(put("key", bytes(2**20), 60), PATIENCE)
            assert _client_list(own_redis) == 2
            closing = asyncio.create_task(leaf.aclose())
            await asyncio.sleep(0)
            closing.cancel()
            await asyncio.wait([closing])
            await until_async(gone, "hanging up")

    asyncio.run(main())


def test_each_loop_has_its_own_connection(own_redis: RedisServer) -> None:
    """One loop after another, and two at once, each with a leaf of its own, work as the first did."""
    for _ in range(3):

        async def main() -> None:
            async with _leaf(own_redis.url) as leaf:
                await leaf.execute(put("key", b"value", 60), PATIENCE)
                assert await leaf.execute(head("key"), PATIENCE) == b"value"

        asyncio.run(main())


async def _soon(leaf: AsyncStore) -> object:
    """Ask until the leaf's moment after a failure is over."""
    found: list[bytes | None] = []

    async def answered() -> bool:
        try:
            found.append(await leaf.execute(head("key"), PATIENCE))
        except StoreError:
            return False
        return True

    await until_async(answered, "an answer")
    return found[0]


def _ids(clients: bytes) -> set[bytes]:
    return {line.split()[0] for line in clients.splitlines() if b"name=cachepolicy" in line}
