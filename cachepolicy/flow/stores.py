"""The hands of the drivers: connections per place and loop, and the tasks that outlive their callers."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable

from cachepolicy.flow.drive import arun, run
from cachepolicy.flow.effects import AsyncIO, Flow, SyncIO
from cachepolicy.tiers import redis_async, redis_sync
from cachepolicy.tiers.endpoint import Endpoint
from cachepolicy.tiers.memory import MemoryServer
from cachepolicy.tiers.ports import AsyncStore, SyncStore

Loop = asyncio.AbstractEventLoop


class Stores:
    """All that one runtime has opened; what is asynchronous belongs to one loop, and is held by it weakly."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._places: list[tuple[Endpoint, int]] = []
        self._memory: MemoryServer | None = None
        self._sync: dict[int, SyncIO] = {}
        self._async: weakref.WeakKeyDictionary[Loop, dict[int, AsyncIO]] = weakref.WeakKeyDictionary()
        self._tasks: weakref.WeakKeyDictionary[Loop, set[asyncio.Task[object]]] = weakref.WeakKeyDictionary()

    def place(self, endpoint: Endpoint, db: int) -> int:
        """Return the number of a Redis and a database; equal places share their connections.

        Raises:
            PolicyError: the address cannot be used as it stands.
        """
        endpoint.check()
        with self._lock:
            if (endpoint, db) not in self._places:
                self._places.append((endpoint, db))
            return self._places.index((endpoint, db))

    def sync_io(self, place: int) -> SyncIO:
        """Return what the sync driver works with at a place."""
        io = self._sync.get(place)
        if io is None:
            with self._lock:
                io = self._sync.setdefault(place, SyncIO(self._connect_sync(place), self._run_at(place)))
        return io

    def async_io(self, place: int) -> AsyncIO:
        """Return what the async driver works with at a place, on the running loop."""
        loop = asyncio.get_running_loop()
        ios = self._async.get(loop)
        io = None if ios is None else ios.get(place)
        if io is None:
            with self._lock:
                ios = self._async.setdefault(loop, {})
                tasks = self._tasks.setdefault(loop, set())
                io = ios.setdefault(place, AsyncIO(self._connect_async(place), self._spawn_at(place, tasks)))
        return io

    def close(self) -> None:
        """Close synchronous connections."""
        with self._lock:
            opened, self._sync = self._sync, {}
        for io in opened.values():
            io.store.close()

    async def aclose(self) -> None:
        """Wait for the tasks that were spawned on the running loop, then close its connections."""
        loop = asyncio.get_running_loop()
        tasks = [task for task in self._tasks.get(loop, ()) if task is not asyncio.current_task()]
        if tasks:
            await asyncio.wait(tasks)
        with self._lock:
            opened = self._async.pop(loop, {})
        for io in opened.values():
            await io.store.aclose()

    def after_fork(self) -> None:
        """Leave the parent its connections, loops and tasks."""
        self._lock = threading.RLock()
        self._sync = {}
        self._async.clear()
        self._tasks.clear()

    def _connect_sync(self, place: int) -> SyncStore:
        endpoint, db = self._places[place]
        return self._server().connect_sync(db) if endpoint.in_memory else redis_sync.connect(endpoint, db)

    def _connect_async(self, place: int) -> AsyncStore:
        endpoint, db = self._places[place]
        return self._server().connect_async(db) if endpoint.in_memory else redis_async.connect(endpoint, db)

    def _server(self) -> MemoryServer:
        if self._memory is None:
            self._memory = MemoryServer()
        return self._memory

    def _run_at(self, place: int) -> Callable[[Flow[object]], object]:
        return lambda flow: run(flow, self.sync_io(place))

    def _spawn_at(
        self, place: int, tasks: set[asyncio.Task[object]]
    ) -> Callable[[Flow[object], Callable[[], None]], None]:
        def spawn(flow: Flow[object], ended: Callable[[], None]) -> None:
            task = asyncio.get_running_loop().create_task(arun(flow, self.async_io(place)))
            tasks.add(task)

            def finish(done: asyncio.Task[object]) -> None:
                tasks.discard(done)
                ended()
                if not done.cancelled():
                    done.exception()  # mark it as seen: it was answered through the flight

            task.add_done_callback(finish)

        return spawn
