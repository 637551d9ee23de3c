"""What the tables of L2 share: a redis-server, the data on it, and an end for whatever was opened."""

from __future__ import annotations

import asyncio
import importlib
import json
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

import cachepolicy
from cachepolicy.testing.redis_server import RedisServer

T = TypeVar("T")

KEYS = 10_000
TASKS = 256

_SYLLABLES = (
    "ka",
    "lo",
    "mi",
    "ter",
    "ven",
    "sol",
    "an",
    "dur",
    "pre",
    "qui",
    "nos",
    "est",
    "ra",
    "be",
    "fi",
)


class Stage:
    """One server, its loop, and what is to be closed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, server: RedisServer) -> None:
        self.loop = loop
        self.server = server
        self._closers: list[Callable[[], Awaitable[object]]] = []

    @property
    def address(self) -> str:
        """As every client takes it."""
        return f"redis://127.0.0.1:{self.server.port}"

    def run(self, work: Awaitable[T]) -> T:
        """Run one thing on the loop."""

        async def wrapped() -> T:
            return await work

        return self.loop.run_until_complete(wrapped())

    def at_end(self, close: Callable[[], Awaitable[object]]) -> None:
        """Close something when the table is done."""
        self._closers.append(close)

    async def aclose(self) -> None:
        """Close everything, last opened first."""
        for close in reversed(self._closers):
            await close()

    def redis_py(self, **options: Any) -> Any:
        """Open redis-py's asynchronous client."""
        import redis.asyncio

        client = redis.asyncio.Redis.from_url(f"{self.address}/1", **options)
        self.at_end(client.aclose)
        return client

    def fill(self, keys: list[str]) -> None:
        """Store a document under each key, in database 1."""
        import redis

        with redis.Redis.from_url(f"{self.address}/1") as client:
            for start in range(0, len(keys), 500):
                client.mset({key: json.dumps(document(key)) for key in keys[start : start + 500]})


@contextmanager
def on_stage(loop: asyncio.AbstractEventLoop) -> Iterator[Stage]:
    """Have a server, and close all that was opened."""
    with RedisServer() as server:
        stage = Stage(loop, server)
        try:
            yield stage
        finally:
            loop.run_until_complete(stage.aclose())


@contextmanager
def configured(loop: asyncio.AbstractEventLoop, **namespaces: Any) -> Iterator[Stage]:
    """Have a server, a policy of these namespaces on it, and close all that was opened."""
    with on_stage(loop) as stage:
        cachepolicy.configure(
            {
                "version": 1,
                "app": "bench",
                "redis": {"url": stage.address, "deadline": "5s"},
                "namespaces": namespaces,
            }
        )
        try:
            yield stage
        finally:
            loop.run_until_complete(cachepolicy.aclose())


def names(count: int = KEYS) -> list[str]:
    """Return keys as an application may have them, in no order."""
    return [f"answers:{number:06d}" for number in random.sample(range(10**6), count)]


@lru_cache(KEYS + 2_000)
def document(key: str) -> dict[str, Any]:
    """Return about 2 KB as JSON, as compressible as prose, different for every key."""
    dice = random.Random(key)
    words = [_WORDS[min(int(dice.paretovariate(0.7)) - 1, len(_WORDS) - 1)] for _ in range(255)]
    return {
        "id": key,
        "choices": [
            {"index": turn, "message": {"role": "assistant", "content": " ".join(words[turn::3])}}
            for turn in range(3)
        ],
        "usage": {"prompt_tokens": 812, "completion_tokens": 64, "total_tokens": 876},
    }


def peer(name: str) -> Any:
    """Import a peer; Any, for not all of them are typed."""
    return importlib.import_module(name)


def has(name: str) -> bool:
    """Tell whether a peer can be imported: some have no wheel for every machine."""
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


_dice = random.Random(1)
_WORDS = ["".join(_dice.choices(_SYLLABLES, k=_dice.randint(1, 4))) for _ in range(700)]
