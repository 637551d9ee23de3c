"""The runtime in use: one policy for the process, replaced whole, and seen by every decorated function.

Importing this loads no third party: decorating functions costs an application nothing until it calls them.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cachepolicy.clock import SYSTEM, Clock
from cachepolicy.errors import PolicyError
from cachepolicy.runtime.watching import Watched, Watcher
from cachepolicy.telemetry import config
from cachepolicy.telemetry import observe as observing
from cachepolicy.telemetry.observe import Observation

if TYPE_CHECKING:
    from cachepolicy.policy.diff import Change
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
        files: what those held, as a hash, that were read last, whether or not anything came of it.
    """

    source: Path | Mapping[str, object]
    environment: str | None
    files: Mapping[Path, bytes]


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
    from cachepolicy.policy import files
    from cachepolicy.runtime import compose  # loads pydantic, yaml, redis, OpenTelemetry

    global _CURRENT, _ORIGIN
    try:
        with files.noted() as held:
            runtime = compose.Runtime(compose.load(source, environment), clock)
    except PolicyError:
        if _CURRENT is not None:
            config.reloaded("rejected")
        raise
    place = runtime.loaded.source if source is None else source
    origin = Origin(place if isinstance(place, Mapping) else Path(place).absolute(), environment, held)
    runtime.awake = _WATCHER.wake
    with _LOCK:
        if _CURRENT is None and hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_after_fork)
        old, _CURRENT, _ORIGIN = _CURRENT, runtime, origin
        _shut_fast_paths()
    _announce(runtime)
    if old is not None:
        config.reloaded("ok")
        old.close(retired=True)


def reload() -> tuple[Change, ...]:
    """Read the policy that is in use again, and use it as it is now, for every call from now on.

    Calls under way finish under the old one. What does not depend on a change goes on: L1, connections,
    breakers, what is known of limits. Without a policy in use the first is loaded, as by the first call.

    Returns:
        What differs, setting by setting; empty where nothing does, and then nothing is replaced.

    Raises:
        PolicyError: the policy is wrong, or changes what cannot change while the process runs; every problem
            is listed, and the old policy stays.
    """
    from cachepolicy.policy import files
    from cachepolicy.runtime import reloading

    with reloading.TURN.lock:
        while (used := _in_use()) is not None:
            before, origin = used
            with files.noted() as held:
                try:
                    changes, runtime = reloading.prepare(before, origin.source, origin.environment)
                except PolicyError:
                    _note(origin, {**origin.files, **held})  # those that were not reached are as they were
                    raise
            _note(origin, held)
            if runtime is None:
                return ()
            runtime.awake = _WATCHER.wake
            if _replace(before, runtime):
                _announce(runtime)
                reloading.taken(before, runtime, changes)
                _WATCHER.wake()
                return changes
    current()
    return ()


def _in_use() -> tuple[Runtime, Origin] | None:
    with _LOCK:
        return None if _CURRENT is None or _ORIGIN is None else (_CURRENT, _ORIGIN)


def _note(origin: Origin, held: Mapping[Path, bytes]) -> None:
    """Take note of what files held when they were read."""
    global _ORIGIN  # noqa: PLW0603 - the one policy of the process
    with _LOCK:
        if _ORIGIN is origin:
            _ORIGIN = replace(origin, files=held)


def _replace(before: Runtime, runtime: Runtime) -> bool:
    """Put one runtime in another's place; False where ``configure`` was quicker."""
    global _CURRENT  # noqa: PLW0603 - the one policy of the process
    with _LOCK:
        if _CURRENT is not before:
            return False
        _CURRENT = runtime
        _shut_fast_paths()
    return True


def _watched() -> Watched | None:
    used = _in_use()
    return None if used is None else Watched(used[0].loaded.policy.reload, used[1].files)


def _held(path: Path) -> bytes:
    from cachepolicy.policy import files  # loads pydantic

    return files.held(path)


_WATCHER = Watcher(_watched, reload, _held)


def _announce(runtime: Runtime) -> None:
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
        _WATCHER.stop()
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


def use_controls() -> None:
    """Have the fast path ask from now on whether anybody wishes for anything."""
    global _CONTROLLED  # noqa: PLW0603 - for the whole process
    if not _CONTROLLED:
        with _LOCK:
            _CONTROLLED = True
            _shut_fast_paths()


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
    _WATCHER.after_fork()
    if _CURRENT is not None:
        _CURRENT.after_fork()
