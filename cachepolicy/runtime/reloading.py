"""The policy in use is read again: what is right takes its place at once, what is not changes nothing.

::

    read ─▶ compare ─▶ build beside the old one ─▶ swap ─▶ calls under way finish on the old one
      │        │             │
      └────────┴─────────────┴── wrong, or forbidden in a running process: the last good one stays
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cachepolicy.errors import PolicyError, Problem
from cachepolicy.runtime import current
from cachepolicy.telemetry import config

if TYPE_CHECKING:
    from cachepolicy.policy.diff import Change
    from cachepolicy.runtime.compose import Runtime
    from cachepolicy.runtime.current import Origin

_LOG: Final = logging.getLogger("cachepolicy.reload")
_MOST_TOLD: Final = 20  # changes in one event
_FORBIDDEN: Final = "cannot change while the process runs"


class _Turn:
    """One reload at a time; what was refused last, so that it is told once."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.refused = ""


_TURN: Final = _Turn()


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
    with _TURN.lock:
        while True:
            used = current.in_use()
            if used is None:
                current.current()
                return ()
            try:
                changes, runtime = _prepare(*used)
            except PolicyError as wrong:
                config.reloaded("rejected")
                _tell_refused(str(wrong))
                raise
            _TURN.refused = ""
            if runtime is None:
                return ()
            before, _ = used
            if current.replace(before, runtime):  # else configure() was quicker
                current.announce(runtime)
                config.reloaded("ok")
                before.hand_over(runtime)
                _tell_used(changes)
                return changes


def _prepare(before: Runtime, origin: Origin) -> tuple[tuple[Change, ...], Runtime | None]:
    """Make what is to take the place of a runtime; None where nothing differs.

    Raises:
        PolicyError: nothing may take it.
    """
    from cachepolicy.policy.diff import diff
    from cachepolicy.runtime import compose
    from cachepolicy.runtime.heritage import heritage

    loaded = compose.load(origin.source, origin.environment)
    changes = diff(before.loaded, loaded)
    _refuse(changes)
    if not changes:
        return (), None
    return changes, compose.Runtime(loaded, before.clock, before, heritage(before.loaded, loaded, changes))


def _refuse(changes: Sequence[Change]) -> None:
    problems = [
        Problem(
            change.place.file,
            change.place.line,
            change.place.column,
            change.path,
            f"{_FORBIDDEN}, {change.before} → {change.after}: {change.why}",
        )
        for change in changes
        if change.effect == "forbidden"
    ]
    if problems:
        raise PolicyError(problems)


def _tell_refused(why: str) -> None:
    """Say so, once for the same mistakes."""
    if why != _TURN.refused:
        _TURN.refused = why
        _LOG.error("policy not reloaded; the last good one stays in force:\n%s", why)


def _tell_used(changes: Sequence[Change]) -> None:
    told = [
        f"{change.path}: {change.before} → {change.after} ({change.effect})"
        for change in changes[:_MOST_TOLD]
    ]
    more = len(changes) - len(told)
    _LOG.info("policy reloaded:\n%s", "\n".join([*told, *([f"and {more} more"] if more else [])]))


def _after_fork() -> None:
    _TURN.__init__()  # type: ignore[misc] # a lock that another thread may have held


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
