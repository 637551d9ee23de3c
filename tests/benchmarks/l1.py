"""The tables of L1: this package beside its peers as their documentation shows them, and floors below all."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import importlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ormsgpack

from cachepolicy import cached, configure, llm_cached
from tests.benchmarks import origins
from tests.benchmarks.harness import OURS, Row, Slice, Table, timed, timed_async, timed_threads

LRU = "functools.lru_cache"
LOCKED = "cachetools TTLCache, RLock"
EMPTY = "an empty coroutine"
ASYNC_LRU = "async_lru"
AIOCACHE = "aiocache, memory"
CASHEWS = "cashews, memory"
ENCODER = "the bare encoder"
BY_HAND = "cachetools, json + sha256 by hand"

POLICY = {
    "version": 1,
    "app": "bench",
    "redis": {"url": "memory://"},
    "namespaces": {
        name: {"kind": "cache", "scope": "global", "ttl": "1h", "local": {"ttl": "1h"}}
        for name in ("plain", "llm")
    },
}
POSITIONAL = 'f("user-1", 42)'
KEYWORDS = 'f(a="user-1", b=42)'

Decorator = Callable[[Any], Any]
Timer = Callable[..., Slice]


def tables(loop: asyncio.AbstractEventLoop) -> Iterator[Table]:
    """Make the tables one after the other, so that each has the machine to itself."""
    configure(POLICY)
    hits: dict[str, Decorator] = {LRU: functools.lru_cache(1024), OURS: cached("plain"), LOCKED: _locked}
    yield Table("def", "f(a, b), one hot key", _rows(origins.plain, hits, timed, POSITIONAL))
    yield Table("def, keywords", "f(a=…, b=…), one hot key", _rows(origins.plain, hits, timed, KEYWORDS))
    threads = _rows(origins.plain, hits, functools.partial(timed_threads, 4), POSITIONAL)
    note = "f(a, b), one hot key; wall time over the calls of all"
    yield Table("def, four threads, bursts", f"{note}, 15 ms at a time", threads)
    # A queue at the lock forms, if it does, within some turns of the interpreter's own lock (5 ms each).
    yield Table("def, four threads", f"{note}, 0.4 s at a time", threads, slice_seconds=0.4)
    on_loop, caching = functools.partial(timed_async, loop), _cashews(loop)
    yield Table(
        "async def",
        "await f(a, b), one hot key",
        [
            Row(EMPTY, on_loop(f"await {POSITIONAL}", f=_nothing)),
            *_rows(
                origins.plain_async,
                {
                    OURS: cached("plain"),
                    ASYNC_LRU: _peer("async_lru").alru_cache(maxsize=1024),
                    AIOCACHE: _peer("aiocache").cached(ttl=300),
                    CASHEWS: caching,
                },
                on_loop,
                f"await {POSITIONAL}",
            ),
        ],
    )
    packed = timed(
        "pack(request, option=sort)",
        pack=ormsgpack.packb,
        request=origins.REQUEST,
        sort=ormsgpack.OPT_SORT_KEYS,
    )
    yield Table(
        "chat request, def",
        f"{len(json.dumps(origins.REQUEST))} bytes as JSON: 6 messages, 2 tools; answered with a str",
        [
            Row(ENCODER, packed),
            *_rows(
                origins.chat, {OURS: llm_cached, BY_HAND: _by_hand}, timed, origins.CHAT, **origins.CHAT_NAMES
            ),
        ],
    )
    yield Table(
        "chat request, async def",
        "the same request, awaited",
        _rows(
            origins.chat_async,
            {OURS: llm_cached, AIOCACHE: _peer("aiocache").cached(ttl=300), CASHEWS: caching},
            on_loop,
            f"await {origins.CHAT}",
            **origins.CHAT_NAMES,
        ),
    )
    yield Table(
        "chat request, mutable answer",
        f"the same request, answered with a dict of {len(json.dumps(origins.RESULT))} bytes as JSON",
        _rows(
            origins.chat_mutable,
            {OURS: llm_cached, CASHEWS: caching},
            on_loop,
            f"await {origins.CHAT}",
            **origins.CHAT_NAMES,
        ),
    )


def _rows(
    origin: Callable[[Decorator], tuple[Any, origins.Calls]],
    decorators: Mapping[str, Decorator],
    timer: Timer,
    call: str,
    **names: Any,
) -> list[Row]:
    rows = []
    for name, decorator in decorators.items():
        function, calls = origin(decorator)
        rows.append(Row(name, timer(call, f=function, **names), calls))
    return rows


async def _nothing(a: str, b: int) -> None:
    """Do nothing: what awaiting costs by itself."""


def _peer(name: str) -> Any:
    return importlib.import_module(name)  # Any: not all of them are typed


def _locked(function: Any) -> Any:
    cachetools = _peer("cachetools")
    return cachetools.cached(cachetools.TTLCache(1024, 300), lock=threading.RLock())(function)


def _by_hand(function: Any) -> Any:
    def key(*args: Any, **kwargs: Any) -> str:
        return hashlib.sha256(json.dumps([args, kwargs], sort_keys=True).encode()).hexdigest()

    cachetools = _peer("cachetools")
    return cachetools.cached(cachetools.LRUCache(1024), key=key)(function)


def _cashews(loop: asyncio.AbstractEventLoop) -> Decorator:
    cache = _peer("cashews").Cache()
    cache.setup("mem://")
    loop.run_until_complete(cache.init())
    decorator: Decorator = cache(ttl="5m")
    return decorator
