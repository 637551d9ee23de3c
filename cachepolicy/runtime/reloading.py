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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cachepolicy.errors import PolicyError, Problem
from cachepolicy.telemetry import config
from cachepolicy.telemetry.logs import Event, fields

if TYPE_CHECKING:
    from cachepolicy.policy.diff import Change
    from cachepolicy.runtime.compose import Runtime

_LOG: Final = logging.getLogger("cachepolicy.reload")
_MOST_TOLD: Final = 20  # changes in one event
_FORBIDDEN: Final = "cannot change while the process runs"


class _Turn:
    """One reload at a time; what was refused last, so that it is told once."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.refused = ""


TURN: Final = _Turn()


def prepare(
    before: Runtime, source: Path | Mapping[str, object], environment: str | None
) -> tuple[tuple[Change, ...], Runtime | None]:
    """Make what is to take the place of a runtime; None where nothing differs.

    Raises:
        PolicyError: nothing may take it; that has been told.
    """
    from cachepolicy.policy.diff import diff
    from cachepolicy.runtime import compose
    from cachepolicy.runtime.heritage import heritage

    try:
        loaded = compose.load(source, environment)
        changes = diff(before.loaded, loaded)
        _refuse(changes)
        goes_on = heritage(before.loaded, loaded, changes)
        runtime = compose.Runtime(loaded, before.clock, before, goes_on) if changes else None
    except PolicyError as wrong:
        config.reloaded("rejected")
        _tell_refused(str(wrong))
        raise
    TURN.refused = ""
    return changes, runtime


def taken(before: Runtime, runtime: Runtime, changes: Sequence[Change]) -> None:
    """End what is not gone on with, and tell of it."""
    config.reloaded("ok")
    before.hand_over(runtime)
    _tell_used(changes)


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
    if why != TURN.refused:
        TURN.refused = why
        _LOG.error(
            "policy not reloaded; the last good one stays in force:\n%s",
            why,
            extra=fields(Event.POLICY_REFUSED),
        )


def _tell_used(changes: Sequence[Change]) -> None:
    told = [
        f"{change.path}: {change.before} → {change.after} ({change.effect})"
        for change in changes[:_MOST_TOLD]
    ]
    more = len(changes) - len(told)
    lines = "\n".join([*told, *([f"and {more} more"] if more else [])])
    _LOG.info("policy reloaded:\n%s", lines, extra=fields(Event.POLICY_RELOADED))


def _after_fork() -> None:
    TURN.__init__()  # type: ignore[misc] # a lock that another thread may have held


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
