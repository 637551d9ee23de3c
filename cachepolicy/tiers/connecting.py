"""Which leaf serves a place: of one server, of a cluster, or of this process's own memory."""

from __future__ import annotations

from collections.abc import Callable

from cachepolicy.tiers import cluster_async, cluster_sync, redis_async, redis_sync
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.memory import MemoryServer
from cachepolicy.tiers.ports import AsyncStore, SyncStore
from cachepolicy.tiers.traced import TracedAsync, TracedSync


class Connector:
    """Makes the leaves of places, which connect when they are used; all in ``memory://`` share one memory.

    Attributes:
        traced: each command of those that are made from now on has a span.
        around: what hears all of ``memory://``.
    """

    def __init__(self) -> None:
        self.traced = False
        self.around: Callable[[SyncStore], SyncStore] = lambda store: store
        self._memory: MemoryServer | None = None

    def _connect_sync(self, place: Place) -> SyncStore:
        if place.endpoint.in_memory:
            return self.around(self._server().connect_sync(place.db))
        connect = cluster_sync.connect if place.endpoint.is_cluster else redis_sync.connect
        return TracedSync(place, connect(place)) if self.traced else connect(place)

    def _connect_async(self, place: Place) -> AsyncStore:
        if place.endpoint.in_memory:
            return self._server().connect_async(place.db)
        connect = cluster_async.connect if place.endpoint.is_cluster else redis_async.connect
        return TracedAsync(place, connect(place)) if self.traced else connect(place)

    def _server(self) -> MemoryServer:
        self._memory = self._memory or MemoryServer()
        return self._memory
