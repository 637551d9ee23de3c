"""``memory://``: fakeredis, with Lua, in this process; nothing outlives it.

Both colours use the synchronous client, which never waits for anything: fakeredis' asyncio client swallows
the cancellation of the task that uses it.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import fakeredis

from cachepolicy.errors import StoreError
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.ports import SyncStore
from cachepolicy.tiers.replies import FAULTS, translate

T = TypeVar("T")


class MemoryServer:
    """One in-memory Redis that sync and async code share."""

    def __init__(self) -> None:
        self._server = fakeredis.FakeServer()

    def connect_sync(self, db: int) -> MemorySync:
        """Build a sync leaf for one database."""
        client = fakeredis.FakeRedis(server=self._server, db=db)
        client.response_callbacks.clear()  # replies as the server gives them
        return MemorySync(client)

    def connect_async(self, db: int) -> MemoryAsync:
        """Build an async leaf for one database."""
        return MemoryAsync(self.connect_sync(db))


class MemorySync:
    """``SyncStore`` over the in-memory Redis."""

    def __init__(self, client: fakeredis.FakeRedis) -> None:
        bare = inspect.unwrap(type(client).execute_command)  # what traces redis-py sees no server here
        self._execute: Callable[..., object] = partial(bare, client)
        self._client = client

    def execute(self, command: Command[T], timeout: float) -> T:  # noqa: ARG002 - it never waits
        """Carry out a command."""
        try:
            reply = self._execute(*command.words)
        except FAULTS as fault:
            raise translate(fault) from None
        return command.read(reply)

    def execute_all(self, commands: Sequence[Command[Any]], timeout: float) -> list[Any | StoreError]:
        """Carry out several."""
        return one_by_one(self, commands, timeout)

    def node(self, key: str) -> str:  # noqa: ARG002 - there is one server
        """Name the one server."""
        return ""

    def spread(self) -> list[str]:
        """Return a key of the one server."""
        return [""]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        with contextlib.suppress(ValueError):  # fakeredis' parser is a generator, and a thread may be in it
            self._client.connection_pool.disconnect()


class MemoryAsync:
    """``AsyncStore`` over a sync store that never waits: each operation is done before it is awaited."""

    def __init__(self, store: SyncStore) -> None:
        self._store = store

    async def execute(self, command: Command[T], timeout: float) -> T:
        """Carry out a command."""
        return self._store.execute(command, timeout)

    async def execute_all(self, commands: Sequence[Command[Any]], timeout: float) -> list[Any | StoreError]:
        """Carry out several."""
        return self._store.execute_all(commands, timeout)

    def node(self, key: str) -> str:
        """Name the one server."""
        return self._store.node(key)

    def spread(self) -> list[str]:
        """Return a key of the one server."""
        return self._store.spread()

    async def aclose(self) -> None:
        """Close the connections."""
        self._store.close()


def one_by_one(store: SyncStore, commands: Sequence[Command[Any]], timeout: float) -> list[Any | StoreError]:
    """Carry out several commands in turn; each has a result or an error of its own."""
    results: list[Any | StoreError] = []
    for command in commands:
        try:
            results.append(store.execute(command, timeout))
        except StoreError as fault:
            results.append(fault)
    return results
