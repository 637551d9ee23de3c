"""The thread of a health monitor: it looks, tells what has changed, and raises nothing."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Final

from cachepolicy.chance import chance
from cachepolicy.flow.health_report import HealthReport, HealthState, ServerHealth
from cachepolicy.policy.rules.observing import HealthRule
from cachepolicy.runtime import current
from cachepolicy.telemetry import faults
from cachepolicy.telemetry.logs import Event
from cachepolicy.telemetry.logs import fields as beside

CALLBACK: Final = "health.callback"
"""What it is counted as that a callback raised; the name of its class follows."""

BUG: Final = "health.look"
"""What it is counted as that a look failed by a bug; likewise."""

OnChange = Callable[[HealthReport | None, HealthReport], object]
OnMemory = Callable[[ServerHealth], object]

_LOG: Final = logging.getLogger("cachepolicy.health")
_SPREAD: Final = 0.1  # of the interval, at random: processes do not all look in one moment
_PATIENCE: Final = 5.0  # seconds that ``stop`` waits for a callback
_LEVELS: Final = {HealthState.DEGRADED: logging.WARNING, HealthState.UNHEALTHY: logging.ERROR}
_WATCHES: Final[weakref.WeakSet[HealthWatch]] = weakref.WeakSet()
_ARMED: Final[set[str]] = set()


class HealthWatch:
    """Looks each ``health.interval`` of the policy in use, in a daemon thread, from ``start`` to ``stop``.

    Args:
        look: returns what there is to be seen.
        on_change: is told what was seen before, and what is seen now.
        on_memory: is told of a server whose memory is above the threshold.
    """

    def __init__(
        self,
        look: Callable[[], HealthReport],
        on_change: OnChange | None,
        on_memory: OnMemory | None,
    ) -> None:
        self.last: HealthReport | None = None
        self._look = look
        self._on_change = on_change
        self._on_memory = on_memory
        self._rule = HealthRule()  # the last that was in use
        self._full: set[str] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()

    @property
    def running(self) -> bool:
        """Whether its thread looks."""
        return self._thread is not None

    def start(self) -> None:
        """Begin, unless it has begun."""
        with self._lock:
            if self._thread is None:
                _WATCHES.add(self)
                _arm()
                self._begin(at_once=True)

    def stop(self) -> None:
        """End; a look that is under way is waited for, unless it is this that asks."""
        with self._lock:
            thread, self._thread = self._thread, None
            _WATCHES.discard(self)
            self._stopped.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_PATIENCE)

    def after_fork(self) -> None:
        """Go on in a child, with a thread of its own."""
        self._lock = threading.Lock()
        if self._thread is not None:
            self._begin(at_once=False)  # others of this process have to find out that it was forked

    def look(self, rule: HealthRule) -> None:
        """Look once, and tell what has changed."""
        new, old = self._look(), self.last
        self.last = new
        changed = old is None or _states(old) != _states(new)
        if changed:
            _log_change(old, new)
        if rule.memory_alert:
            self._mind_memory(rule, new)
        if changed and self._on_change is not None:
            self._tell_change(self._on_change, old, new)

    def _begin(self, *, at_once: bool) -> None:
        self._stopped = stopped = threading.Event()
        thread = threading.Thread(
            target=self._run, args=(stopped, at_once), name="cachepolicy-health", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # there is no thread to be had, or the interpreter is ending
            self._thread = None
            _LOG.warning("health is not watched: there is no thread for it", extra=beside(Event.HEALTH))
        else:
            self._thread = thread

    def _run(self, stopped: threading.Event, at_once: bool) -> None:  # noqa: FBT001 - a thread's argument
        pause = 0.0 if at_once else _interval(self._rule)
        while not stopped.wait(pause):
            try:
                self._rule = current.current().health.rule
                self.look(self._rule)
            except Exception as error:  # noqa: BLE001 - a thread that ended would see nothing more
                _count(BUG, error, "the look failed")
            pause = _interval(self._rule)

    def _mind_memory(self, rule: HealthRule, new: HealthReport) -> None:
        """Tell of each server whose memory has risen above the threshold, once."""
        shares = {each.address: each.memory_usage_percent for each in new.servers}
        for server in new.servers:
            share = server.memory_usage_percent
            if share is None:
                continue
            if share < rule.memory_threshold * 100:
                self._full.discard(server.address)
            elif server.address not in self._full:
                self._full.add(server.address)
                _LOG.warning(
                    "%s: memory is at %.0f %%, from %.0f %% on it is told",
                    server.address,
                    share,
                    rule.memory_threshold * 100,
                    extra={**beside(Event.HEALTH), "server": server.address, "memory_usage_percent": share},
                )
                self._tell_memory(server)
        self._full &= shares.keys()

    def _tell_change(self, on_change: OnChange, old: HealthReport | None, new: HealthReport) -> None:
        self._tell(lambda: on_change(old, new))

    def _tell_memory(self, server: ServerHealth) -> None:
        on_memory = self._on_memory
        if on_memory is not None:
            self._tell(lambda: on_memory(server))

    def _tell(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - the application's code; it is counted, and told
            _count(CALLBACK, error, "a callback failed")


def _interval(rule: HealthRule) -> float:
    return rule.interval * (1 + _SPREAD * chance())


def _states(report: HealthReport) -> list[tuple[str, HealthState]]:
    return [("", report.status), *((server.address, server.status) for server in report.servers)]


def _log_change(old: HealthReport | None, new: HealthReport) -> None:
    if old is None and new.status is HealthState.HEALTHY:
        return
    wrong = [check for check in new.checks if check.state in _LEVELS]
    fields: dict[str, Any] = {
        "status": str(new.status),
        "was": None if old is None else str(old.status),
        "checks": [check.name for check in wrong],
    }
    told = "; ".join(f"{check.server or 'here'}: {check.name}: {check.detail}" for check in wrong)
    _LOG.log(
        _LEVELS.get(new.status, logging.INFO),
        "health: %s%s",
        new.status,
        f" ({told})" if told else "",
        extra={**beside(Event.HEALTH), **fields},
    )


def _count(matter: str, error: Exception, what: str) -> None:
    name = type(error).__name__
    faults.errors("health")[f"{matter}.{name}"] += 1
    _LOG.warning("health: %s (%s)", what, name, extra={**beside(Event.HEALTH, error=name), "error": name})


def _arm() -> None:
    if not _ARMED and hasattr(os, "register_at_fork"):
        _ARMED.add("fork")
        os.register_at_fork(after_in_child=_after_fork)


def _after_fork() -> None:
    for watch in list(_WATCHES):
        watch.after_fork()
