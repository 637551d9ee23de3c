"""A hundred items in one call of a function under ``@cached_many``, beside one item, and a hundred calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Final

import cachepolicy
from tests.benchmarks.harness import OURS, Row, Table, timed, timed_async
from tests.benchmarks.stage import Stage, on_stage

L1: Final = "100 items in one call, L1 hits, def"
L1_ASYNC: Final = "100 items in one call, L1 hits, async def"
L2: Final = "100 items in one call, L2 hits, def"
L2_ASYNC: Final = "100 items in one call, L2 hits, async def"
TITLES: Final = (L1, L1_ASYNC, L2, L2_ASYNC)

ONE: Final = "one item in one call"
HUNDRED: Final = "100 calls for one item each"

_WORDS: Final = [f"a text to be embedded, number {number}" for number in range(100)]


def tables(loop: asyncio.AbstractEventLoop, is_wanted: Callable[[str], bool]) -> Iterator[Table]:
    """Make the tables that are wanted, one after the other."""
    for title in TITLES:
        if is_wanted(title):
            with on_stage(loop) as stage:
                yield _table(stage, title)


def _table(stage: Stage, title: str) -> Table:
    cachepolicy.configure(
        {
            "version": 1,
            "app": "bench",
            "redis": {"url": stage.address, "deadline": "5s"},
            "namespaces": {"answers": _rule(local=title in {L1, L1_ASYNC})},
        }
    )
    make = _async_rows if title in {L1_ASYNC, L2_ASYNC} else _rows
    in_redis = title in {L2, L2_ASYNC}
    return Table(
        title,
        "texts of 40 bytes, results of 300" + ("; client and server on one processor" if in_redis else ""),
        make(stage),
        slice_seconds=0.03,
        server=stage.server.pid if in_redis else None,
        pinned=in_redis,
    )


def _rule(*, local: bool) -> dict[str, Any]:
    return {"kind": "cache", "db": 3, "scope": "global", "ttl": "1h", "local": {"enabled": local}}


def _rows(stage: Stage) -> list[Row]:
    async def closed() -> None:
        cachepolicy.close()

    stage.at_end(closed)

    @cachepolicy.cached_many("answers", over="texts")
    def many(texts: list[str]) -> list[str]:
        return [text * 8 for text in texts]

    @cachepolicy.cached("answers")
    def one(text: str) -> str:
        return text * 8

    def hundred() -> list[str]:
        return [one(word) for word in _WORDS]

    many(_WORDS)
    hundred()
    return [
        Row(ONE, timed("f(one)", f=many, one=_WORDS[:1])),
        Row(OURS, timed("f(words)", f=many, words=_WORDS)),
        Row(HUNDRED, timed("f()", f=hundred)),
    ]


def _async_rows(stage: Stage) -> list[Row]:
    stage.at_end(cachepolicy.aclose)

    @cachepolicy.cached_many("answers", over="texts")
    async def many(texts: list[str]) -> list[str]:
        return [text * 8 for text in texts]

    @cachepolicy.cached("answers")
    async def one(text: str) -> str:
        return text * 8

    async def hundred() -> list[str]:
        return await asyncio.gather(*[one(word) for word in _WORDS])

    async def fill() -> None:
        await many(_WORDS)
        await hundred()

    stage.run(fill())
    loop = stage.loop
    return [
        Row(ONE, timed_async(loop, "await f(one)", f=many, one=_WORDS[:1])),
        Row(OURS, timed_async(loop, "await f(words)", f=many, words=_WORDS)),
        Row(HUNDRED, timed_async(loop, "await f()", f=hundred)),
    ]
