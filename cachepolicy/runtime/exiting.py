"""What is done before this process ends: what was counted is sent, whoever ends it, but for ``kill -9``.

``SIGTERM`` ends a process at once where nobody handles it. Then it is handled here: what was counted is sent,
and the process ends by the signal all the same. A handler of the application's own is left alone.
A forked child ends without sending what waits in its parent, under whichever policy that was counted.
"""

from __future__ import annotations

import _thread
import atexit
import os
import signal
import sys
import threading
import weakref
from types import FrameType
from typing import Final, Protocol

_PATIENCE: Final = 3.0
"""Seconds for which a signal's handler holds up its thread, which may hold what is needed meanwhile."""

_MOMENT: Final = 0.001
"""Seconds after which a signal comes again that came in the middle of counting."""


class Unsent(Protocol):
    """What may have something to send."""

    def flush_at_once(self) -> None:
        """Send it, in this thread; raises nothing."""
        ...


class Counting(Protocol):
    """What counts meanwhile."""

    def is_amid(self) -> bool:
        """Tell whether this thread is in the middle of counting, so that no other can send anything."""
        ...

    def after_fork(self) -> None:
        """Leave to the parent what it has counted."""
        ...


_ALL: Final[weakref.WeakSet[Unsent]] = weakref.WeakSet()
_LAST: Final[weakref.WeakSet[Unsent]] = weakref.WeakSet()
_COUNTING: Final[weakref.WeakSet[Counting]] = weakref.WeakSet()
_ARMED: Final[set[str]] = set()


def add(unsent: Unsent, *, last: bool = False) -> None:
    """Have something sent before this process ends; ``last``: after the others, which it tells of."""
    (_LAST if last else _ALL).add(unsent)


def heed(counting: Counting) -> None:
    """Have it finish what it counts before a signal ends this process, and forget it in a forked child."""
    _COUNTING.add(counting)


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
    for counting in list(_COUNTING):  # of policies that were replaced, too
        counting.after_fork()


def _end(number: int, _: FrameType | None) -> None:
    """Send what was counted, in another thread, for this one may hold its locks; then end by the signal.

    In the middle of counting it would wait here for itself, and lose what it counts when it has waited in
    vain: then the signal comes once more, in a moment. A handler that calls this one is spared that.
    """
    is_ours = signal.getsignal(number) is _end
    if is_ours and any(counting.is_amid() for counting in list(_COUNTING)) and _comes_again(number):
        return
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


def _comes_again(number: int) -> bool:
    """Have the signal come once more; False where there is no thread to be had."""

    def work() -> None:
        threading.Event().wait(_MOMENT)
        os.kill(os.getpid(), number)

    try:
        _thread.start_new_thread(work, ())
    except RuntimeError:
        return False
    return True
