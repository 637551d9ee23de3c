"""A hundred embeddings in one call under ``@embeddings_cached``, beside JSON lists over redis-py's MGET."""

from __future__ import annotations

import asyncio
import json
import random
import struct
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

import cachepolicy
from cachepolicy.codec.codec import Codec, Times
from cachepolicy.codec.vectors import serializer_of
from cachepolicy.testing.redis_server import RedisServer
from tests.benchmarks.harness import OURS, Row, Table, timed, timed_async
from tests.benchmarks.stage import Stage, peer

LISTS: Final = "100 embeddings of 1536 dimensions, L2 hits, lists, def"
LISTS_ASYNC: Final = "100 embeddings of 1536 dimensions, L2 hits, lists, async def"
ARRAYS: Final = "100 embeddings of 1536 dimensions, L2 hits, numpy, def"
TITLES: Final = (LISTS, LISTS_ASYNC, ARRAYS)
SHARE: Final = "an embedding of 1536 dimensions, stored"

JSON: Final = "redis-py, MGET, JSON"
RAW: Final = "redis-py, MGET, float32 bytes"

_DIMENSIONS: Final = 1536
_TEXTS: Final = [f"a text to be embedded, number {number}" for number in range(100)]


def tables(loop: asyncio.AbstractEventLoop, is_wanted: Callable[[str], bool]) -> Iterator[Table]:
    """Make the tables that are wanted, one after the other."""
    for title in TITLES:
        if is_wanted(title):
            with RedisServer() as server:
                stage = Stage(loop, server)
                try:
                    yield _table(stage, title)
                finally:
                    loop.run_until_complete(stage.aclose())


def share() -> float:
    """Return what is stored of an embedding, envelope included, as a share of its JSON."""
    vector = vector_of(_TEXTS[0])
    codec = Codec(serializer_of("list"), threshold=1024, level=3, limit=2**20)
    stored = codec.seal(codec.dump(vector), "bench:llm:embedding:0", Times(0.0, 1.0, 1.0, 0.0))
    return len(stored) / len(json.dumps(vector))


@lru_cache(len(_TEXTS))
def vector_of(text: str) -> list[float]:
    """Return a vector of single precision, as OpenAI's SDK gives them."""
    dice = random.Random(text)
    numbers = [dice.gauss(0.0, 0.026) for _ in range(_DIMENSIONS)]
    return list(struct.unpack(f"{_DIMENSIONS}f", struct.pack(f"{_DIMENSIONS}f", *numbers)))


def _table(stage: Stage, title: str) -> Table:
    rule = {"kind": "cache", "db": 1, "scope": "global", "ttl": "1h", "local": {"enabled": False}}
    cachepolicy.configure(
        {
            "version": 1,
            "app": "bench",
            "redis": {"url": stage.address, "deadline": "5s"},
            "namespaces": {"llm": rule},
        }
    )
    make = {LISTS: _lists, LISTS_ASYNC: _lists_async, ARRAYS: _arrays}[title]
    return Table(
        title,
        "client and server on one processor",
        make(stage),
        slice_seconds=0.06,
        server=stage.server.pid,
        pinned=True,
    )


def _lists(stage: Stage) -> list[Row]:
    async def closed() -> None:
        cachepolicy.close()

    stage.at_end(closed)

    @cachepolicy.embeddings_cached
    def embed(texts: list[str]) -> list[list[float]]:
        return [vector_of(text) for text in texts]

    client, keys = _filled(stage)
    loads = json.loads

    def mget() -> list[Any]:
        return [loads(found) for found in client.mget(keys)]

    assert embed(_TEXTS) == mget()
    return [Row(JSON, timed("f()", f=mget)), Row(OURS, timed("f(texts)", f=embed, texts=_TEXTS))]


def _lists_async(stage: Stage) -> list[Row]:
    stage.at_end(cachepolicy.aclose)

    @cachepolicy.embeddings_cached
    async def embed(texts: list[str]) -> list[list[float]]:
        return [vector_of(text) for text in texts]

    _, keys = _filled(stage)
    client, loads, loop = stage.redis_py(), json.loads, stage.loop

    async def mget() -> list[Any]:
        return [loads(found) for found in await client.mget(keys)]

    assert stage.run(embed(_TEXTS)) == stage.run(mget())
    return [
        Row(JSON, timed_async(loop, "await f()", f=mget)),
        Row(OURS, timed_async(loop, "await f(texts)", f=embed, texts=_TEXTS)),
    ]


def _arrays(stage: Stage) -> list[Row]:
    import numpy as np

    async def closed() -> None:
        cachepolicy.close()

    stage.at_end(closed)

    def embed(texts: list[str]) -> Any:
        return np.array([vector_of(text) for text in texts], "f4")

    embed.__annotations__["return"] = np.ndarray
    cached = cachepolicy.embeddings_cached(embed)
    client, keys = _filled(stage)
    raw = [f"raw:{key}" for key in keys]
    client.mset(
        {key: np.array(vector_of(text), "f4").tobytes() for key, text in zip(raw, _TEXTS, strict=True)}
    )
    loads = json.loads

    def mget() -> Any:
        return np.array([loads(found) for found in client.mget(keys)], "f4")

    def mget_raw() -> Any:
        return np.stack([np.frombuffer(found, "f4") for found in client.mget(raw)])

    assert (cached(_TEXTS) == mget()).all()
    return [
        Row(JSON, timed("f()", f=mget)),
        Row(RAW, timed("f()", f=mget_raw)),
        Row(OURS, timed("f(texts)", f=cached, texts=_TEXTS)),
    ]


def _filled(stage: Stage) -> tuple[Any, list[str]]:
    """Store the vectors as JSON; return a client of redis-py, and their keys."""
    client = peer("redis").Redis.from_url(f"{stage.address}/1")

    async def closed() -> None:
        client.close()

    stage.at_end(closed)
    keys = [f"json:{number}" for number in range(len(_TEXTS))]
    client.mset({key: json.dumps(vector_of(text)) for key, text in zip(keys, _TEXTS, strict=True)})
    return client, keys
