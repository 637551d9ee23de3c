"""What is done before this process ends: what was counted is sent, whoever ends it, but for ``kill -9``.

``SIGTERM`` ends a process at once where nobody handles it. Then it is handled here: what was counted is sent,
and the process ends by the signal all the same. A handler of the application's own is left alone.
"""

from __future__ import annotations

import _thread
import atexit
import os
import signal
import sys
import weakref
from types import FrameType
from typing import Final, Protocol

_PATIENCE: Final = 3.0
"""Seconds for which a signal's handler holds up its thread, which may hold what is needed meanwhile."""


class Unsent(Protocol):
    """What may have something to send."""

    def flush_at_once(self) -> None:
        """Send it, in this thread; raises nothing."""
        ...


_ALL: Final[weakref.WeakSet[Unsent]] = weakref.WeakSet()
_LAST: Final[weakref.WeakSet[Unsent]] = weakref.WeakSet()
_ARMED: Final[set[str]] = set()


def add(unsent: Unsent, *, last: bool = False) -> None:
    """Have something sent before this process ends; ``last``: after the others, which it tells of."""
    (_LAST if last else _ALL).add(unsent)


def arm() -> None:
    """See to it that what was counted is sent; of ``SIGTERM`` only the main thread can see to it."""
    if "exit" not in _ARMED:
        _ARMED.add("exit")
        atexit.register(flush)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_after_fork)
    if "child" not in _ARMED:
        _ARMED.add("child")
        _arm_child()
    if "signal" not in _ARMED and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        try:
            signal.signal(signal.SIGTERM, _end)
        except ValueError:  # in another thread than the main one; it is tried again there
            return
        _ARMED.add("signal")


def flush() -> None:
    """Send what was counted, in this thread."""
    for unsent in (*_ALL, *_LAST):
        unsent.flush_at_once()


def arm_children() -> None:
    """See to it that children of ``multiprocessing`` do the same, though they may never arm themselves."""
    from multiprocessing.util import register_after_fork

    register_after_fork(_FORKED, lambda _: arm())


class _Forked:
    """What ``multiprocessing`` knows this file by."""


_FORKED: Final = _Forked()


def _arm_child() -> None:
    """A child of ``multiprocessing`` that was forked ends without what is registered at exit."""
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None and processes.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, flush, exitpriority=0)


def _after_fork() -> None:
    _ARMED.discard("child")


def _end(number: int, _: FrameType | None) -> None:
    """Send what was counted, in another thread, for this one may hold its locks; then end by the signal."""
    signal.signal(number, signal.SIG_DFL)  # who sends it twice does not want to wait
    sent = _thread.allocate_lock()
    sent.acquire()

    def work() -> None:
        try:
            flush()
        finally:
            os.kill(os.getpid(), number)
            sent.release()

    try:
        _thread.start_new_thread(work, ())
    except RuntimeError:  # there is no thread to be had
        os.kill(os.getpid(), number)
        return
    sent.acquire(timeout=_PATIENCE)
