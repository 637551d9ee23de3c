"""The hands of the drivers: connections per site and loop, and the tasks that outlive their callers."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from cachepolicy.chance import chance
from cachepolicy.clock import Clock
from cachepolicy.flow.background import Background
from cachepolicy.flow.breaker import BreakerRule
from cachepolicy.flow.effects import AsyncIO, SyncIO
from cachepolicy.flow.hearing import Hearing
from cachepolicy.flow.repeating import RetryRule
from cachepolicy.flow.replay import Replay
from cachepolicy.flow.resilience import Guard
from cachepolicy.flow.retiring import Leaving
from cachepolicy.flow.server_time import ServerTime
from cachepolicy.flow.spawning import Tasks, runner, task_spawner, thread_spawner
from cachepolicy.tiers.coherence import Mode, Watch
from cachepolicy.tiers.connecting import Connector
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.endpoint import Endpoint
from cachepolicy.tiers.listener import NullWatch
from cachepolicy.tiers.notices import Names
from cachepolicy.tiers.ports import SyncStore

if TYPE_CHECKING:
    from cachepolicy.tiers.embedded import LocalServer

Loop = asyncio.AbstractEventLoop


class Owner:
    """Lives as long as somebody holds it."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Site:
    """One database of one Redis, as all functions that use it share it.

    Attributes:
        place: where it is.
        guard: what is known of its servers.
        replay: what it did not hear of.
        hearing: what is heard of changes there.
        time: its server's clock.
        clock: this process's.
        background: the threads that work behind callers' backs.
        sync_io: returns what the sync driver works with there.
        owner: lives as long as anything uses the guard, and is all sites' that share it.
    """

    place: Place
    guard: Guard
    replay: Replay
    hearing: Hearing
    time: ServerTime
    clock: Clock
    background: Background
    sync_io: Callable[[], SyncIO]
    owner: Owner


class Listening(NamedTuple):
    """How changes are to be heard at a site: of whose keys, and by which means."""

    app: str
    prefixes: tuple[str, ...]
    mode: Mode


class Stores(Connector):
    """All that is open; what is asynchronous belongs to one loop, and is held by it weakly.

    A policy that takes another's place goes on with it; what is retired then ends with the last call.
    """

    def __init__(self, clock: Clock, retry: RetryRule, breaker: BreakerRule) -> None:
        self.opened: Callable[[], None] = lambda: None  # called when something begins to be used
        self._clock = clock
        self._retry = retry
        self._breaker = breaker
        self._lock = threading.RLock()
        self._guards: dict[Endpoint, tuple[Guard, Owner]] = {}
        self._sites: dict[tuple[Endpoint, int, Listening], Site] = {}
        super().__init__()
        self._local: dict[Endpoint, LocalServer] = {}
        self._sync: dict[Site, SyncIO] = {}
        self._last: tuple[Callable[[], Loop | None], dict[Site, AsyncIO]] = (lambda: None, {})
        self._async: weakref.WeakKeyDictionary[Loop, dict[Site, AsyncIO]] = weakref.WeakKeyDictionary()
        self._tasks: weakref.WeakKeyDictionary[Loop, Tasks] = weakref.WeakKeyDictionary()
        self._retired: weakref.WeakSet[Site] = weakref.WeakSet()
        self._leaving = Leaving()
        self._background = Background(self._close_sync)

    def site(self, endpoint: Endpoint, db: int, prefix: str, listening: Listening) -> Site:
        """Return a database of a Redis; equal ones share connections, breakers and what is to be replayed.

        Args:
            endpoint: which Redis.
            db: which database the policy names.
            prefix: of the keys of the first namespace there.
            listening: how changes are heard there.

        Raises:
            PolicyError: the address cannot be used as it stands.
        """
        endpoint.check()
        with self._lock:
            if endpoint not in self._guards:
                routed = endpoint.is_cluster
                guard = Guard(self._retry, self._breaker, self._clock, chance, routed=routed)
                self._guards[endpoint] = guard, Owner()
            site = self._sites.get((endpoint, db, listening))
            if site is None:
                place = Place(endpoint, db, prefix, self._local_server(endpoint))
                site = self._sites[endpoint, db, listening] = self._open(place, listening)
            return site

    def renew(self, retry: RetryRule, breaker: BreakerRule) -> None:
        """Go by other rules from now on; what is known of servers stays."""
        with self._lock:
            self._retry, self._breaker = retry, breaker
            for guard, _ in self._guards.values():
                guard.renew(retry, breaker)

    def retire(self, wanted: Collection[Site]) -> None:
        """Let go of all sites but those that are wanted; connections close when their last call ends."""
        with self._lock:
            gone = {key: site for key, site in self._sites.items() if site not in wanted}
            for key, site in gone.items():
                del self._sites[key]
                self._retired.add(site)
                if (held := self._sync.pop(site, None)) is not None:
                    self._leaving.leave(held)
            used = {endpoint for endpoint, _, _ in self._sites}
            for endpoint in [each for each in self._guards if each not in used]:
                del self._guards[endpoint]
            for loop, ios in list(self._async.items()):
                for site in gone.values():
                    if (io := ios.pop(site, None)) is not None:
                        self._leaving.leave_loop(loop, io, self._tasks.setdefault(loop, set()))
        for site in gone.values():
            site.hearing.retire()
        self._release_local()

    def _open(self, place: Place, listening: Listening) -> Site:
        guard, owner = self._guards[place.endpoint]
        names, time = Names.of(listening.app), ServerTime(self._clock)
        hearing = Hearing(self._clock, names)
        if not place.endpoint.in_memory:
            hearing.watch = (
                NullWatch(live=False)
                if not listening.prefixes
                else Watch(place, listening.app, listening.prefixes, hearing, listening.mode)
            )
        replay = Replay(self._clock, time, names, hearing.watch.notice, hearing.purged)
        here = lambda: self.sync_io(site)  # noqa: E731 - read anew each time
        site: Site = Site(place, guard, replay, hearing, time, self._clock, self._background, here, owner)
        return site

    def sync_io(self, site: Site) -> SyncIO:
        """Return what the sync driver works with at a site."""
        io = self._sync.get(site)
        if io is None:
            _wake(site)
            self.opened()
            with self._lock:
                io = self._sync.get(site)
                if io is None:
                    io = self._new_sync(site)
                    if site in self._retired:
                        self._leaving.leave(io)
                    else:
                        self._sync[site] = io
        return io

    def sync_store(self, site: Site) -> SyncStore | None:
        """Return what threads ask at a site; None: none of them has."""
        return io.store if (io := self._sync.get(site)) is not None else None

    def _new_sync(self, site: Site) -> SyncIO:
        here = lambda: self.sync_io(site)  # noqa: E731 - read anew each time
        return SyncIO(self._connect_sync(site.place), runner(here), thread_spawner(here, self._background))

    def async_io(self, site: Site) -> AsyncIO:
        """Return what the async driver works with at a site, on the running loop."""
        loop = asyncio.get_running_loop()
        last, ios = self._last
        if last() is loop:  # as nearly always: a weak mapping takes its time
            io = ios.get(site)
            if io is not None:
                return io
        io = self._async.get(loop, {}).get(site)
        if io is None:
            _wake(site)
            self.opened()
            with self._lock:
                self._forget_closed_loops()
                ios = self._async.setdefault(loop, {})
                tasks = self._tasks.setdefault(loop, set())
                io = ios.get(site)
                if io is None:
                    spawn = task_spawner(lambda: self.async_io(site), tasks)
                    io = AsyncIO(self._connect_async(site.place), spawn)
                    if site in self._retired:
                        self._leaving.leave_loop(loop, io, tasks)
                    else:
                        ios[site] = io
        self._last = weakref.ref(loop), self._async[loop]
        return io

    def _forget_closed_loops(self) -> None:
        """Drop the connections of loops that ended without ``aclose``: they hold their loop, and it them."""
        for loop in [loop for loop in self._async if loop.is_closed()]:
            del self._async[loop]
            self._tasks.pop(loop, None)

    def close(self) -> None:
        """Close synchronous connections."""
        with self._lock:
            sites = list(self._sites.values())
        for site in sites:
            site.hearing.close()
        self._background.close()
        self._close_sync()

    def _close_sync(self) -> None:
        """Close connections of threads; what a lease is renewed over afterwards is closed with the last."""
        with self._lock:
            opened, self._sync = self._sync, {}
        for io in opened.values():
            io.store.close()
        self._release_local()

    async def aclose(self) -> None:
        """End the streams of the running loop, wait for its tasks, then close its connections."""
        loop = asyncio.get_running_loop()
        leaving = self._leaving.of(loop)
        for io in [*self._async.get(loop, {}).values(), *leaving]:
            for shut in list(io.streams):
                shut()
        tasks = [task for task in self._tasks.get(loop, ()) if task is not asyncio.current_task()]
        if tasks:
            await asyncio.wait(tasks)
        with self._lock:
            opened = self._async.pop(loop, {})
            self._last = (lambda: None, {})
        for io in [*opened.values(), *leaving]:
            await io.store.aclose()
        self._release_local()

    def after_fork(self) -> None:
        """Leave the parent its connections, loops and tasks."""
        self._lock = threading.RLock()
        self._sync = {}
        self._last = (lambda: None, {})
        self._async.clear()
        self._tasks.clear()
        self._leaving = Leaving()
        self._background.after_fork()
        for site in self._sites.values():
            site.guard.after_fork()
            site.replay.after_fork()
            site.hearing.after_fork()
        for server in self._local.values():
            server.after_fork()

    def _local_server(self, endpoint: Endpoint) -> LocalServer | None:
        if endpoint.address.scheme != "local":
            return None
        from cachepolicy.tiers.embedded import LocalServer  # it needs the file locks of a Unix

        server = self._local.get(endpoint)
        if server is None:
            server = self._local[endpoint] = LocalServer(endpoint.address.path)
        return server

    def _release_local(self) -> None:
        """Let servers that nothing is connected to any more stop."""
        with self._lock:
            used = {site.place.local for site in self._sync}
            used |= {site.place.local for site in self._sites.values() if site.hearing.watch.running}
            for loop, ios in self._async.items():
                if not loop.is_closed():
                    used |= {site.place.local for site in ios}
            for server in self._local.values():
                if server not in used:
                    server.release()


def _wake(site: Site) -> None:
    """Have the server of ``local://`` running before the first call's deadline counts."""
    if site.place.local is not None:
        site.place.local.wake()
