"""A file of 64 MiB to Redis and back, beside bare pipelines of redis-py; and who else has to wait meanwhile.

Each contender has a process of its own, as in life: what an allocator has learned decides what a copy costs.
``python -m tests.benchmarks.temp_files URL CONTENDER`` is one; it moves a file for each line that it is told.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Final, cast

from cachepolicy.testing.redis_server import RedisServer
from tests.benchmarks.harness import OURS, Figures

SYNC: Final = "64 MiB up and down, def"
ASYNC: Final = "64 MiB up and down, async def"
TITLES: Final = (SYNC, ASYNC)
PIPELINES: Final = "redis-py, pipelines of 4 × 256 KiB"
PING: Final = "PING of another client meanwhile"
MOST_PING: Final = 0.025  # seconds, at the 99th percentile

_SIZE: Final = 64 * 2**20
_CHUNK: Final = 256 * 1024
_WINDOW: Final = 4
_ROUNDS: Final = 10
_ROOT: Final = Path(__file__).parents[2]


def measure(title: str, *, quick: bool) -> tuple[Figures, float]:
    """Move files by turns; return what it took, and the 99th percentile of a PING while we did."""
    colour = "sync" if title == SYNC else "async"
    samples: dict[str, list[float]] = {OURS: [], PIPELINES: []}
    pings: list[float] = []
    with RedisServer() as server, ExitStack() as stack:
        movers = {
            name: stack.enter_context(_started(server.url, f"{colour} {short}"))
            for name, short in ((OURS, "ours"), (PIPELINES, "redis-py"))
        }
        for mover in movers.values():
            _told(mover)  # the first one warms it up
        for _ in range(4 if quick else _ROUNDS):
            for name in random.sample(list(movers), len(movers)):
                with _pinging(server.url, pings if name == OURS else []):
                    samples[name].append(_told(movers[name]))
    note = "a file of random bytes; client and server on one machine"
    return Figures(title, note, samples), statistics.quantiles(pings, n=100)[98]


def _started(url: str, contender: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.benchmarks.temp_files", url, contender]
    return subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _told(mover: subprocess.Popen[str]) -> float:
    to, out = cast("IO[str]", mover.stdin), cast("IO[str]", mover.stdout)
    to.write("\n")
    to.flush()
    return float(out.readline())


class _pinging:  # noqa: N801 - a block
    """Ping once a millisecond, as another client."""

    def __init__(self, url: str, took: list[float]) -> None:
        import redis

        self._client = redis.Redis.from_url(url)
        self._took = took
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ping)

    def _ping(self) -> None:
        while not self._ended.wait(0.001):
            start = time.perf_counter()
            self._client.ping()
            self._took.append(time.perf_counter() - start)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._client.close()


def _windows() -> Iterator[range]:
    count = _SIZE // _CHUNK
    return (range(first, first + _WINDOW) for first in range(0, count, _WINDOW))


def _ours(url: str, data: bytes) -> Callable[[], object]:
    store = _store(url)

    def move() -> None:
        blob = store.put.sync(data)
        assert sum(map(len, store.stream(blob.id))) == _SIZE
        store.delete.sync(blob.id)

    return move


def _ours_async(url: str, data: bytes) -> Callable[[], Awaitable[object]]:
    store = _store(url)

    async def move() -> None:
        blob = await store.put(data)
        assert sum([len(piece) async for piece in store.stream(blob.id)]) == _SIZE
        await store.delete(blob.id)

    return move


def _store(url: str) -> Any:
    import cachepolicy

    cachepolicy.configure(
        {"version": 1, "app": "bench", "redis": {"url": url}, "namespaces": {"temp": {"kind": "temp"}}}
    )
    return cachepolicy.TempStore()


def _redis_py(url: str, data: bytes) -> Callable[[], object]:
    import redis

    client = redis.Redis.from_url(url)

    def move() -> None:
        for window in _windows():
            with client.pipeline(transaction=False) as pipe:
                for at in window:
                    pipe.set(f"raw:{at}", data[at * _CHUNK : (at + 1) * _CHUNK], px=3_600_000)
                pipe.execute()
        for window in _windows():
            with client.pipeline(transaction=False) as pipe:
                for at in window:
                    pipe.get(f"raw:{at}")
                assert all(map(len, pipe.execute()))
        client.unlink(*[f"raw:{at}" for window in _windows() for at in window])

    return move


def _redis_py_async(url: str, data: bytes) -> Callable[[], Awaitable[object]]:
    import redis.asyncio

    client = redis.asyncio.Redis.from_url(url)

    async def move() -> None:
        for window in _windows():
            async with client.pipeline(transaction=False) as pipe:
                for at in window:
                    pipe.set(f"raw:{at}", data[at * _CHUNK : (at + 1) * _CHUNK], px=3_600_000)
                await pipe.execute()
        for window in _windows():
            async with client.pipeline(transaction=False) as pipe:
                for at in window:
                    pipe.get(f"raw:{at}")
                assert all(map(len, await pipe.execute()))
        await client.unlink(*[f"raw:{at}" for window in _windows() for at in window])

    return move


def main(arguments: Sequence[str]) -> None:
    """Move a file for each line."""
    url, contender = arguments
    data = os.urandom(_SIZE)
    if contender.startswith("sync"):
        move = (_ours if contender.endswith("ours") else _redis_py)(url, data)
        for _ in sys.stdin:
            _tell(time.perf_counter(), move())
        return
    loop = asyncio.new_event_loop()
    move_async = (_ours_async if contender.endswith("ours") else _redis_py_async)(url, data)
    for _ in sys.stdin:
        _tell(time.perf_counter(), loop.run_until_complete(cast("Any", move_async())))


def _tell(start: float, _: object) -> None:
    sys.stdout.write(f"{time.perf_counter() - start}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
