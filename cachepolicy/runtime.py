"""The composition root: a policy, its stores and its clock make one plan per decorated function.

Third parties (redis, pydantic, yaml, OpenTelemetry…) are loaded when the first plan is made, not when this
module is: decorating functions costs an application nothing until it calls them.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import typing
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cachepolicy.clock import SYSTEM, Clock
from cachepolicy.errors import PolicyError, UnserializableValue
from cachepolicy.flow.single_flight import Flights
from cachepolicy.keys.layout import prefix
from cachepolicy.keys.signature import Shape
from cachepolicy.telemetry import observe as observing
from cachepolicy.telemetry.observe import Observation

if TYPE_CHECKING:
    from cachepolicy.codec.serialize import Serializer
    from cachepolicy.flow.effects import AsyncIO, Flow, SyncIO
    from cachepolicy.flow.plan import Plan
    from cachepolicy.policy import LoadedPolicy
    from cachepolicy.policy.rules.cache import CacheRule
    from cachepolicy.tiers.endpoint import Endpoint
    from cachepolicy.tiers.local import LocalCache
    from cachepolicy.tiers.memory import MemoryServer


@dataclass(frozen=True, slots=True)
class Decoration:
    """What a decorator was told, before any policy is known."""

    function: Callable[..., object]
    shape: Shape
    name: str  # module.qualname, for people
    identity: str  # module:qualname, for keys
    is_async: bool
    namespace: str
    kind: str  # the key segment before the digest: "cache", "llm_cache"
    version: int
    ttl: str | float | None


class FastPath(Protocol):
    """The part of a decorated function that answers from L1 without asking anybody else."""

    def shut(self) -> None:
        """Send every call the long way, where its policy is looked up anew."""
        ...


_LOCK = threading.RLock()
_CURRENT: Runtime | None = None
_FAST_PATHS: weakref.WeakSet[FastPath] = weakref.WeakSet()
_OBSERVERS = 0


def configure(
    source: str | os.PathLike[str] | Mapping[str, object] | None = None,
    environment: str | None = None,
    *,
    clock: Clock = SYSTEM,
) -> None:
    """Load a policy and use it for every decorated function from now on.

    Calls under way finish under the old one. Without ``configure`` the first call loads the default: the file
    that ``CACHEPOLICY_FILE`` names, else ``policies.yaml`` in the working directory or above it, else the
    policies shipped with the library.

    Args:
        source: a file, or the policy as a mapping; None for the default.
        environment: which of the policy's ``environments`` applies; None for what ``CACHEPOLICY_ENV`` says.
        clock: the source of time, for tests.

    Raises:
        PolicyError: the policy is wrong; every problem found is listed, and the old policy stays.
    """
    global _CURRENT
    runtime = Runtime(_load(source, environment), clock)
    with _LOCK:
        old, _CURRENT = _CURRENT, runtime
        _shut_fast_paths()
    if old is not None:
        old.close()


def current() -> Runtime:
    """Return the runtime in use; the first call loads the default policy."""
    runtime = _CURRENT
    if runtime is not None:
        return runtime
    with _LOCK:
        if _CURRENT is None:
            configure()
        return typing.cast("Runtime", _CURRENT)


def close() -> None:
    """Close the connections of synchronous code and drop what L1 holds; the next call opens anew."""
    runtime = _CURRENT
    if runtime is not None:
        _shut_fast_paths()
        runtime.close()


async def aclose() -> None:
    """Wait for background work of the running loop, close its connections, then do as ``close`` does."""
    runtime = _CURRENT
    if runtime is not None:
        await runtime.aclose()
        close()


@contextmanager
def observe() -> Iterator[list[Observation]]:
    """Record how each decorated call made in this context, and in tasks started from it, was answered.

    >>> with observe() as seen:
    ...     answer(question)
    >>> seen[0].outcome, seen[0].tier
    (<Outcome.MISS: 'miss'>, <Tier.ORIGIN: 'origin'>)
    """
    global _OBSERVERS  # noqa: PLW0603 - while anybody observes, no call takes the fast path
    seen: list[Observation] = []
    with _LOCK:
        _OBSERVERS += 1
        _shut_fast_paths()
    token = observing.push(seen)
    try:
        yield seen
    finally:
        observing.pop(token)
        with _LOCK:
            _OBSERVERS -= 1


def register(fast_path: FastPath) -> None:
    """Have a fast path shut whenever it could hide what must be seen."""
    with _LOCK:
        _FAST_PATHS.add(fast_path)


def open_fast_path(runtime: Runtime, opening: Callable[[], None]) -> None:
    """Call ``opening`` unless somebody observes, or the runtime has been replaced meanwhile."""
    with _LOCK:
        if _OBSERVERS == 0 and runtime is _CURRENT and not runtime.spans_for_all:
            opening()


def _shut_fast_paths() -> None:
    with _LOCK:
        for fast_path in list(_FAST_PATHS):
            fast_path.shut()


def _load(
    source: str | os.PathLike[str] | Mapping[str, object] | None, environment: str | None
) -> LoadedPolicy:
    from cachepolicy import policy  # loads pydantic and yaml

    if source is None:
        source = os.environ.get("CACHEPOLICY_FILE") or policy.find() or policy.shipped()
    return policy.load(source, environment=environment)


class Runtime:
    """One loaded policy and all that serves it."""

    def __init__(self, loaded: LoadedPolicy, clock: Clock) -> None:
        self.loaded = loaded
        self.clock = clock
        self._lock = threading.RLock()
        self._plans: weakref.WeakSet[Plan] = weakref.WeakSet()
        self._flights = Flights()
        self._said: set[tuple[str, str]] = set()
        self._locals: dict[str, LocalCache] = {}
        self._memory: MemoryServer | None = None
        self._places: list[tuple[Endpoint, int]] = []
        self._sync: dict[int, SyncIO] = {}
        self._async: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, AsyncIO]]
        self._async = weakref.WeakKeyDictionary()
        self._tasks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, set[asyncio.Task[object]]]
        self._tasks = weakref.WeakKeyDictionary()
        _survive_forks(self)

    @property
    def spans_for_all(self) -> bool:
        """Tell whether L1 hits are traced too."""
        telemetry = self.loaded.policy.telemetry
        return telemetry.enabled and telemetry.spans == "all"

    def bind(self, decoration: Decoration) -> Plan:
        """Make the plan of a decorated function.

        Raises:
            UnknownNamespace: the policy does not declare the decorator's namespace.
            PolicyError: the namespace is no cache, or the decorator's TTL is outside its range.
        """
        from cachepolicy.codec.codec import Codec  # loads pydantic, zstandard
        from cachepolicy.flow.plan import OnFault, Plan  # the same
        from cachepolicy.telemetry import metrics  # loads OpenTelemetry
        from cachepolicy.telemetry.counters import Counters
        from cachepolicy.tiers.local import Table  # loads cachetools

        rule, telemetry = self.rule(decoration), self.loaded.policy.telemetry
        compression = rule.compression
        plan = Plan(
            function=decoration.function,
            name=decoration.name,
            is_async=decoration.is_async,
            namespace=decoration.namespace,
            prefix=prefix(self.loaded.policy.app, decoration.namespace),
            scope=rule.scope,
            clock=self.clock,
            place=self._place(rule),
            local=self._local(decoration.namespace, rule),
            table=Table(),
            local_ttl=rule.local.ttl,
            share=rule.local.share,
            codec=Codec(
                _serializer(decoration),
                threshold=compression.threshold
                if compression.enabled and compression.codec == "zstd"
                else 2**63,
                level=compression.level,
                limit=rule.admit.max_value,
            ),
            ttl=_ttl(decoration, rule),
            jitter=rule.jitter,
            stale=max(rule.stale.if_error, rule.stale.while_revalidate),
            deadline=self.loaded.policy.redis.deadline,
            wait=rule.stampede.wait,
            on_fault=OnFault(rule.on_fault),
            flights=self._flights,
            counters=Counters(),
            said=self._said,
            tracing=metrics.tracing(enabled=telemetry.enabled and telemetry.spans != "none"),
            spans_for_all=self.spans_for_all,
            random=random.random,
        )
        with self._lock:
            self._plans.add(plan)
        if telemetry.enabled:
            metrics.export(plan.namespace, plan.counters, plan.table, plan)
        return plan

    def rule(self, decoration: Decoration) -> CacheRule:
        """Return the rule of the decorator's namespace.

        Raises:
            UnknownNamespace: the policy does not declare it.
            PolicyError: it is not of kind ``cache``.
        """
        from cachepolicy.policy import namespace  # loads pydantic and yaml
        from cachepolicy.policy.rules.cache import CacheRule  # the same

        rule = namespace(self.loaded.policy, decoration.namespace)
        if not isinstance(rule, CacheRule):
            raise PolicyError(
                f"{decoration.name}: namespace {decoration.namespace!r} is of kind {rule.kind}; "
                "a cached function needs one of kind cache"
            )
        return rule

    def sync_io(self, place: int) -> SyncIO:
        """Return what the sync driver works with, at one place of ``bind``."""
        io = self._sync.get(place)
        return io if io is not None else self._open_sync(place)

    def async_io(self, place: int) -> AsyncIO:
        """Return what the async driver works with, at one place of ``bind``, on the running loop."""
        loop = asyncio.get_running_loop()
        ios = self._async.get(loop)
        io = None if ios is None else ios.get(place)
        return io if io is not None else self._open_async(place, loop)

    def _open_sync(self, place: int) -> SyncIO:
        from cachepolicy.flow.drive import run
        from cachepolicy.flow.effects import SyncIO
        from cachepolicy.tiers import redis_sync  # loads redis

        endpoint, db = self._places[place]

        def drive(flow: Flow[object]) -> object:
            return run(flow, io)

        with self._lock:
            store = (
                self._server().connect_sync(db) if endpoint.in_memory else redis_sync.connect(endpoint, db)
            )
            io = self._sync.setdefault(place, SyncIO(store, drive))
            return io

    def _open_async(self, place: int, loop: asyncio.AbstractEventLoop) -> AsyncIO:
        from cachepolicy.flow.drive import arun
        from cachepolicy.flow.effects import AsyncIO
        from cachepolicy.tiers import redis_async  # loads redis

        endpoint, db = self._places[place]
        with self._lock:
            store = (
                self._server().connect_async(db) if endpoint.in_memory else redis_async.connect(endpoint, db)
            )
            tasks = self._tasks.setdefault(loop, set())

        def spawn(flow: Flow[object], ended: Callable[[], None]) -> None:
            task = asyncio.get_running_loop().create_task(arun(flow, io))
            tasks.add(task)

            def finish(done: asyncio.Task[object]) -> None:
                tasks.discard(done)
                ended()
                if not done.cancelled():
                    done.exception()  # mark it as seen: it was answered through the flight

            task.add_done_callback(finish)

        io = AsyncIO(store, spawn)
        with self._lock:
            return self._async.setdefault(loop, {}).setdefault(place, io)

    def close(self) -> None:
        """Close sync connections and drop L1."""
        with self._lock:
            opened, self._sync = self._sync, {}
            for plan in list(self._plans):
                if plan.local is not None:
                    plan.local.clear(plan.table)
        for io in opened.values():
            io.store.close()

    async def aclose(self) -> None:
        """Wait for the running loop's background work and close its connections."""
        loop = asyncio.get_running_loop()
        tasks = [task for task in self._tasks.get(loop, ()) if task is not asyncio.current_task()]
        if tasks:
            await asyncio.wait(tasks)
        with self._lock:
            opened = self._async.pop(loop, {})
        for io in opened.values():
            await io.store.aclose()

    def after_fork(self) -> None:
        """Leave behind what belongs to the parent: its locks, connections, loops and flights."""
        self._lock = threading.RLock()
        self._sync = {}
        self._async.clear()
        self._tasks.clear()
        for local in self._locals.values():
            local.renew_lock()
        self._flights.clear()

    def _local(self, namespace: str, rule: CacheRule) -> LocalCache | None:
        from cachepolicy.tiers.local import LocalCache  # loads cachetools

        if not rule.local.enabled:
            return None
        with self._lock:
            if namespace not in self._locals:
                self._locals[namespace] = LocalCache(rule.local.max_bytes, rule.eviction.l1)
            return self._locals[namespace]

    def _place(self, rule: CacheRule) -> int:
        """Return the number of the rule's Redis and database: equal places share their connections."""
        from cachepolicy.tiers.endpoint import Endpoint  # loads redis

        redis, own = self.loaded.policy.redis, rule.url
        endpoint = Endpoint(
            url=(own or redis.url).get_secret_value(),
            password=redis.password.get_secret_value()
            if redis.password is not None and own is None
            else None,
            tls=redis.tls,
            max_connections=redis.max_connections,
            deadline=redis.deadline,
            connect_timeout=redis.connect_timeout,
            client_name=f"cachepolicy:{self.loaded.policy.app}",
        )
        endpoint.check()
        place = (endpoint, 0 if redis.databases == "prefix" else rule.db)
        with self._lock:
            if place not in self._places:
                self._places.append(place)
            return self._places.index(place)

    def _server(self) -> MemoryServer:
        from cachepolicy.tiers.memory import MemoryServer  # loads fakeredis

        if self._memory is None:
            self._memory = MemoryServer()
        return self._memory


def _serializer(decoration: Decoration) -> Serializer:
    """Choose by the return annotation; one that pydantic cannot read leaves the plain forms."""
    from cachepolicy.codec.serialize import ABSENT, serializer_for  # loads pydantic

    try:
        annotation = typing.get_type_hints(decoration.function, include_extras=True).get("return", ABSENT)
    except (NameError, TypeError, AttributeError):  # a name imported for type checkers only
        annotation = ABSENT
    try:
        return serializer_for(annotation)
    except UnserializableValue:
        return serializer_for(ABSENT)


def _ttl(decoration: Decoration, rule: CacheRule) -> float:
    from cachepolicy.policy.units import format_duration, parse_duration  # with pydantic's room

    if decoration.ttl is None:
        return rule.ttl.default
    where = f"{decoration.name}: ttl={decoration.ttl!r}"
    try:
        ttl = parse_duration(decoration.ttl)
    except ValueError as error:
        raise PolicyError(f"{where}: {error}") from None
    if rule.ttl.min is not None and ttl < rule.ttl.min:
        allowed = f"at least {format_duration(rule.ttl.min)}"
    elif rule.ttl.max is not None and ttl > rule.ttl.max:
        allowed = f"at most {format_duration(rule.ttl.max)}"
    else:
        return ttl
    raise PolicyError(f"{where} is outside what namespace {decoration.namespace!r} allows: {allowed}")


_FORKING: weakref.WeakSet[Runtime] = weakref.WeakSet()
_FORK_HOOK: list[Callable[[], None]] = []


def _survive_forks(runtime: Runtime) -> None:
    if not _FORK_HOOK and hasattr(os, "register_at_fork"):
        _FORK_HOOK.append(_after_fork)
        os.register_at_fork(after_in_child=_after_fork)
    _FORKING.add(runtime)


def _after_fork() -> None:
    global _LOCK  # noqa: PLW0603 - another thread of the parent may have held it
    _LOCK = threading.RLock()
    for runtime in list(_FORKING):
        runtime.after_fork()
