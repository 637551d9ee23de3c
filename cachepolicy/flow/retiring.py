"""Connections that a policy has no more use for: they close when the last call that holds them ends."""

from __future__ import annotations

import asyncio
import weakref
from contextlib import suppress
from typing import Any

from cachepolicy.flow.effects import AsyncIO, SyncIO
from cachepolicy.tiers.ports import AsyncStore

Loop = asyncio.AbstractEventLoop
Tasks = set[asyncio.Task[Any]]


class Leaving:
    """What calls under way may still hold; it is held here weakly."""

    def __init__(self) -> None:
        self._by_loop: weakref.WeakKeyDictionary[Loop, weakref.WeakSet[AsyncIO]] = weakref.WeakKeyDictionary()

    def leave(self, io: SyncIO) -> None:
        """Close connections of threads when nothing holds them any more."""
        weakref.finalize(io, io.store.close).atexit = False

    def leave_loop(self, loop: Loop, io: AsyncIO, tasks: Tasks) -> None:
        """Close connections of a loop when nothing holds them any more; closing is one of its ``tasks``."""
        self._by_loop.setdefault(loop, weakref.WeakSet()).add(io)
        weakref.finalize(io, _close_behind, weakref.ref(loop), io.store, tasks).atexit = False

    def of(self, loop: Loop) -> list[AsyncIO]:
        """Return what calls of a loop still hold."""
        return list(self._by_loop.get(loop, ()))


def _close_behind(loop: weakref.ref[Loop], store: AsyncStore, tasks: Tasks) -> None:
    """Have connections closed on their loop, from whatever thread finds that nobody needs them."""

    def close() -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(_close(store))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    living = loop()
    if living is not None:
        with suppress(RuntimeError):  # it is closed, and so are its connections
            living.call_soon_threadsafe(close)


async def _close(store: AsyncStore) -> None:
    await store.aclose()
