"""What tags cost a hit: the same function without them beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from cachepolicy import cached, configure
from tests.benchmarks.harness import OURS, Row, Table, timed, timed_async
from tests.benchmarks.stage import Stage

L1 = "tagged hit in L1"
L1_OWN_KEY = "tagged hit in L1, own key"
L2 = "sequential tagged L2 hit"
WITHOUT = "the same without tags"

_CALL = 'f("user-1", "gpt-4o")'


def tables() -> Iterator[Table]:
    """Compare hits in L1: on the fast path, and where a key of one's own leaves it."""
    configure(_policy("memory://", {"ttl": "1h"}))
    for title, key in ((L1, None), (L1_OWN_KEY, "u:{user}:{model}")):
        rows = [Row(name, timed(_CALL, f=f)) for name, f in _functions(key)]
        yield Table(title, "f(user, model), both of them tags; one hot key", rows)


def in_redis(stage: Stage, title: str) -> Table:
    """Compare hits in Redis, one call after the other."""
    configure(_policy(stage.server.url, {"max_value": "1B", "ttl": "1h"}))
    rows = []
    for name, f in _functions(None, is_async=True):
        stage.run(f("user-1", "gpt-4o"))
        rows.append(Row(name, timed_async(stage.loop, f"await {_CALL}", f=f)))
    note = "f(user, model), both of them tags; values are too large for L1, versions are trusted"
    return Table(title, note, rows, slice_seconds=0.03, server=stage.server.pid, pinned=True)


def _policy(url: str, local: dict[str, Any]) -> dict[str, Any]:
    plain = {"kind": "cache", "scope": "global", "ttl": "1h", "local": local}
    return {"version": 1, "app": "bench", "redis": {"url": url}, "namespaces": {"plain": plain}}


def _functions(key: str | None, *, is_async: bool = False) -> Iterator[tuple[str, Any]]:
    for name, tags in ((WITHOUT, ()), (OURS, ("user", "model"))):
        own = None if key is None else f"{len(tags)}:{key}"

        def answer(user: str, model: str) -> str:
            return user + model

        async def later(user: str, model: str) -> str:
            await asyncio.sleep(0)
            return user + model

        function: Any = later if is_async else answer
        yield name, cached("plain", key=own, tags=tags, version=1 + len(tags))(function)
