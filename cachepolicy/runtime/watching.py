"""Who has a running process read its policy again: a look at its files now and then, and SIGHUP.

::

    look ─▶ a file is another ─▶ wait until it stays so, a moment at most ─▶ reload ─▶ look

A file is another when it holds something else: its time, its size and which file a path leads to only say
when to look into it. So editors that rename, links that are swapped and files that are written twice within
one tick of the kernel's clock are all seen. What was read is known by what it held when it was read.
"""

from __future__ import annotations

import _thread
import atexit
import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple, Protocol

from cachepolicy.clock import SYSTEM
from cachepolicy.errors import PolicyError
from cachepolicy.telemetry import config
from cachepolicy.telemetry.logs import Event, fields

_LOG: Final = logging.getLogger("cachepolicy.reload")
_SETTLED: Final = 0.05  # seconds that files have to stay as they are
_LONGEST: Final = 0.4  # seconds that they are waited for
_YOUNG: Final = 2.0  # seconds for which a file may change again and keep its time
_JOIN: Final = 5.0  # seconds; a reload may be under way

Held = Mapping[Path, bytes]
Stamp = tuple[int, int, int, int]


class Rule(Protocol):
    """When to look."""

    @property
    def watch(self) -> bool:
        """Whether to look at files."""
        ...

    @property
    def interval(self) -> float:
        """How often (seconds)."""
        ...

    @property
    def sighup(self) -> bool:
        """Whether the signal is heeded."""
        ...


class Watched(NamedTuple):
    """What there is to watch.

    Attributes:
        rule: of the policy in use.
        files: what they held when they were read last.
    """

    rule: Rule
    files: Held


class _Worker:
    """One thread's own things; who comes after it has others."""

    def __init__(self, run: Callable[[_Worker], None], stops: int = 0) -> None:
        self.stopped = threading.Event()
        self.stops = stops  # that were before it
        self.thread = threading.Thread(target=run, args=(self,), name="cachepolicy-reload", daemon=True)


class Watcher:
    """The watch of this process.

    Args:
        watched: says what there is to watch; None: nothing.
        reload: has the policy read again; raises PolicyError, of which has been told, where it stays.
        held: says what a file holds.
    """

    def __init__(
        self,
        watched: Callable[[], Watched | None],
        reload: Callable[[], object],
        held: Callable[[Path], bytes],
    ) -> None:
        self._watched = watched
        self._reload = reload
        self._held = held
        self._lock = threading.Lock()
        self._trying = threading.RLock()
        self._worker: _Worker | None = None
        self._ends = False
        self._stops = 0
        self._under_way: tuple[int, int] | None = None  # who reloads for the watch, and the stops before
        self._stamps: dict[Path, Stamp | None] = {}

    @property
    def running(self) -> bool:
        """Tell whether a thread looks."""
        return self._worker is not None

    def wake(self) -> None:
        """Look from now on, if there is anything to look at: the process uses its policy."""
        watched = self._watched()
        if watched is None:
            return
        self.arm(watched.rule)
        if not self._ends:  # what is under way then would be cut off in the middle of what is not Python
            self._ends = True
            atexit.register(self.stop)
        if self._worker is None and watched.rule.watch and watched.files:
            with self._lock:
                if self._may_begin():
                    worker = self._worker = _Worker(self._run, self._stops)  # before it may end
                    try:
                        worker.thread.start()
                    except RuntimeError:  # no thread to be had, or the interpreter is ending
                        self._worker = None

    def stop(self) -> None:
        """Look no more, until ``wake``; wait for what is under way."""
        with self._lock:
            self._stops += 1
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.stopped.set()
            if worker.thread is not threading.current_thread():
                worker.thread.join(_JOIN)
        if self._trying.acquire(timeout=_JOIN):  # of a signal
            self._trying.release()

    def after_fork(self) -> None:
        """Leave the thread to the parent."""
        self._lock = threading.Lock()
        self._trying = threading.RLock()
        self._worker = None
        self._under_way = None

    def arm(self, rule: Rule) -> None:
        """Heed SIGHUP, or no longer; only the main thread can begin or end that."""
        number = getattr(signal, "SIGHUP", None)
        if number is None or threading.current_thread() is not threading.main_thread():
            return
        handler = signal.getsignal(number)
        if rule.sighup and handler is signal.SIG_DFL and not _has_terminal():
            signal.signal(number, self._on_signal)
        elif not rule.sighup and handler == self._on_signal:
            signal.signal(number, signal.SIG_DFL)

    def _on_signal(self, _: int, __: FrameType | None) -> None:
        """Reload in another thread: this one may hold any lock."""
        with suppress(RuntimeError):  # there is no thread to be had
            _thread.start_new_thread(self._try, (self._stops,))

    def _run(self, worker: _Worker) -> None:
        self._stamps = {}
        try:
            while (watched := self._watched()) is not None and watched.rule.watch and watched.files:
                if self._may_differ(watched.files) and self._differ(watched.files):
                    self._settle(worker, watched.files)
                    self._try(worker.stops)
                if worker.stopped.wait(watched.rule.interval):
                    return
        finally:
            if self._worker is worker:  # there is nothing to watch
                self._worker = None

    def _try(self, stops: int) -> None:
        try:
            with self._trying, suppress(PolicyError):  # it has been told
                self._under_way = threading.get_ident(), stops
                try:
                    self._reload()
                finally:
                    self._under_way = None
        except Exception as bug:  # noqa: BLE001 - the watch goes on, and tells of it
            config.reloaded("rejected")
            what = type(bug).__name__
            _LOG.error("a bug where the policy is reloaded: %s", what, extra=fields(Event.BUG, error=what))

    def _may_begin(self) -> bool:
        """Tell whether nobody looks; who reloads for a watch that has been stopped meanwhile wakes nobody."""
        thread, stops = self._under_way or (0, self._stops)
        is_overtaken = thread == threading.get_ident() and stops != self._stops
        return self._worker is None and not is_overtaken

    def _may_differ(self, files: Held) -> bool:
        """Tell whether a file has to be looked into."""
        stamps = {path: _stamp(path) for path in files}
        now = SYSTEM.wall() * 1e9
        young = any(stamp is not None and now - stamp[2] < _YOUNG * 1e9 for stamp in stamps.values())
        moved, self._stamps = stamps != self._stamps, stamps
        return moved or young

    def _differ(self, files: Held) -> bool:
        return any(self._held(path) != was for path, was in files.items())

    def _settle(self, worker: _Worker, files: Held) -> None:
        """Wait until nothing is written any more: half a file may be a policy, too."""
        end = SYSTEM.monotonic() + _LONGEST
        before: object = None
        while SYSTEM.monotonic() < end:
            now = [(_stamp(path), self._held(path)) for path in files]
            if now == before or worker.stopped.wait(_SETTLED):
                return
            before = now


def _stamp(path: Path) -> Stamp | None:
    """Return what tells without reading whether a file may be another; None where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - three times as fast as Path.stat
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _has_terminal() -> bool:
    """Tell whether the process would end with a terminal: then SIGHUP says that the terminal is gone."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    os.close(terminal)
    return True
