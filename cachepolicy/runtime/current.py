"""The runtime in use: one policy for the process, replaced whole, and seen by every decorated function.

Importing this loads no third party: decorating functions costs an application nothing until it calls them.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cachepolicy.clock import SYSTEM, Clock
from cachepolicy.errors import PolicyError
from cachepolicy.flow import control as controlling
from cachepolicy.flow.control import Control
from cachepolicy.runtime.decoration import Ttl
from cachepolicy.telemetry import config
from cachepolicy.telemetry import observe as observing
from cachepolicy.telemetry.observe import Observation

if TYPE_CHECKING:
    from cachepolicy.runtime.compose import Runtime


class FastPath(Protocol):
    """The part of a decorated function that answers from L1 without asking anybody else."""

    def shut(self) -> None:
        """Send every call the long way, where its policy is looked up anew."""
        ...


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the policy in use was loaded from, and is loaded from again.

    Attributes:
        source: the file, by its whole path, or the policy as a mapping.
        environment: the one that was asked for; None: what ``CACHEPOLICY_ENV`` says.
    """

    source: Path | Mapping[str, object]
    environment: str | None


_LOCK = threading.RLock()
_CURRENT: Runtime | None = None
_ORIGIN: Origin | None = None
_FAST_PATHS: weakref.WeakSet[FastPath] = weakref.WeakSet()
_OBSERVERS = 0
_CONTROLLED = False


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
    from cachepolicy.runtime import compose  # loads pydantic, yaml, redis, OpenTelemetry

    global _CURRENT, _ORIGIN
    try:
        runtime = compose.Runtime(compose.load(source, environment), clock)
    except PolicyError:
        if _CURRENT is not None:
            config.reloaded("rejected")
        raise
    place = runtime.loaded.source if source is None else source
    origin = Origin(place if isinstance(place, Mapping) else Path(place).absolute(), environment)
    with _LOCK:
        if _CURRENT is None and hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_after_fork)
        old, _CURRENT, _ORIGIN = _CURRENT, runtime, origin
        _shut_fast_paths()
    announce(runtime)
    if old is not None:
        config.reloaded("ok")
        old.close(retired=True)


def in_use() -> tuple[Runtime, Origin] | None:
    """Return the runtime in use and where its policy comes from; None before there is one."""
    with _LOCK:
        return None if _CURRENT is None or _ORIGIN is None else (_CURRENT, _ORIGIN)


def replace(before: Runtime, runtime: Runtime) -> bool:
    """Put one runtime in another's place; False where that is not in use any more."""
    global _CURRENT  # noqa: PLW0603 - one policy for the process, replaced whole
    with _LOCK:
        if _CURRENT is not before:
            return False
        _CURRENT = runtime
        _shut_fast_paths()
    return True


def announce(runtime: Runtime) -> None:
    """Say in metrics that a policy is in use."""
    loaded = runtime.loaded
    if loaded.policy.telemetry.enabled:
        from cachepolicy.telemetry import metrics  # loads OpenTelemetry

        config.use(loaded.fingerprint, loaded.environment or "")
        metrics.register_all()


def current() -> Runtime:
    """Return the runtime in use; the first call loads the default policy."""
    runtime = _CURRENT
    if runtime is not None:
        return runtime
    with _LOCK:
        if _CURRENT is None:
            configure()
    return current()


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
        await runtime.stores.aclose()
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


@contextmanager
def control(
    *,
    no_cache: bool = False,
    no_store: bool = False,
    refresh: bool = False,
    max_age: Ttl = None,
    ttl: Ttl = None,
    only_if_cached: bool = False,
    tags: Sequence[str] = (),
    variant: int | None = None,
    seed: str | None = None,
) -> Iterator[None]:
    """Say how the calls made in this context, and in tasks started from it, are to be answered.

    Inside another ``control`` the stricter of both holds, the inner ``ttl``, all tags, and the inner
    ``variant`` or ``seed``.

    Args:
        no_cache: what is cached does not answer; the function is called, and its result kept.
        no_store: no result is kept.
        refresh: as ``no_cache``, and loads that are under way store nothing.
        max_age: the oldest answer that will do: seconds, or such as ``"5m"``.
        ttl: how long results are fresh, within the range of their namespace.
        only_if_cached: what is not cached raises ``NotCached``; the function is not called.
        tags: by which the results can be invalidated, besides those of the policy.
        variant: which answer, from 0 on, to a call for which the policy keeps several; others do not mind.
        seed: draws one of them instead of chance: the same for the same call each time.

    Raises:
        PolicyError: a duration cannot be read, or the variant is no whole number from 0 on.
    """
    if variant is not None and (type(variant) is not int or variant < 0):
        raise PolicyError(f"control(variant={variant!r}): expected a whole number from 0 on")
    wishes = Control(
        no_cache=no_cache,
        no_store=no_store,
        refresh=refresh,
        max_age=_seconds("max_age", max_age),
        ttl=_seconds("ttl", ttl),
        only_if_cached=only_if_cached,
        tags=(tags,) if isinstance(tags, str) else tuple(tags),
        variant=variant,
        seed=seed,
    )
    global _CONTROLLED  # noqa: PLW0603 - from the first wish on, the fast path asks whether there is one
    if not _CONTROLLED:
        with _LOCK:
            _CONTROLLED = True
            _shut_fast_paths()
    token = controlling.push(wishes)
    try:
        yield
    finally:
        controlling.pop(token)


@contextmanager
def standing_in(runtime: Runtime) -> Iterator[None]:
    """Have another runtime in use for a while, and close it: one that leads nowhere, to see what calls do."""
    global _CURRENT  # noqa: PLW0603 - one policy for the process, replaced whole
    with _LOCK:
        old, _CURRENT = _CURRENT, runtime
        _shut_fast_paths()
    try:
        yield
    finally:
        with _LOCK:
            _CURRENT = old
            _shut_fast_paths()
        runtime.close(retired=True)


def is_controlled() -> bool:
    """Tell whether anybody has ever wished for anything."""
    return _CONTROLLED


def _seconds(name: str, duration: Ttl) -> float | None:
    from cachepolicy.policy.units import parse_duration  # loaded with the first policy

    if duration is None:
        return None
    try:
        return parse_duration(
            duration.total_seconds() if isinstance(duration, timedelta) else duration, zero=name == "max_age"
        )
    except ValueError as error:
        raise PolicyError(f"control({name}={duration!r}): {error}") from None


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


def _after_fork() -> None:
    """Leave behind what belongs to the parent: locks that its other threads may hold, its connections."""
    global _LOCK  # noqa: PLW0603 - a lock cannot be released for a thread that does not exist here
    _LOCK = threading.RLock()
    if _CURRENT is not None:
        _CURRENT.after_fork()
