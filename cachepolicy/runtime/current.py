"""The runtime in use: one policy for the process, replaced whole, and seen by every decorated function.

Importing this loads no third party: decorating functions costs an application nothing until it calls them.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from cachepolicy.clock import SYSTEM, Clock
from cachepolicy.telemetry import observe as observing
from cachepolicy.telemetry.observe import Observation

if TYPE_CHECKING:
    from cachepolicy.runtime.compose import Runtime


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
    from cachepolicy.runtime import compose  # loads pydantic, yaml, redis, OpenTelemetry

    global _CURRENT
    runtime = compose.Runtime(compose.load(source, environment), clock)
    with _LOCK:
        if _CURRENT is None and hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_after_fork)
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
