"""Work that no caller waits for, in sync code: threads that end when there is nothing left to do.

They are daemons: a process that ends does not wait for a refresh. Leases are renewed here too, for both
colours: a busy event loop must not lose its lease.
"""

from __future__ import annotations

import contextvars
import heapq
import itertools
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from cachepolicy.clock import SYSTEM

MOST_THREADS: Final = 32
_LINGER: Final = 1.0  # seconds that an idle thread waits for more

Work = Callable[[], object]


class Background:
    """The threads of one runtime.

    Args:
        ended: called when, after ``close``, the last work has been done.
    """

    def __init__(self, ended: Callable[[], None] = lambda: None) -> None:
        self._ended = ended
        self._lock = threading.RLock()  # a signal's handler may ask for work while its own thread does
        self._wanted = threading.Condition(self._lock)
        self._queue: deque[Work] = deque()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._unfinished = 0
        self._closed = False
        self._timed: list[tuple[float, int, Work]] = []
        self._numbers = itertools.count()
        self._timer: threading.Thread | None = None
        self._tick = threading.Condition(self._lock)

    def submit(self, work: Work) -> bool:
        """Do a piece of work in a thread, in the context of this one; False where too many work already."""
        context = contextvars.copy_context()
        with self._lock:
            if self._unfinished >= MOST_THREADS:
                return False
            self._closed = False
            self._unfinished += 1
            self._queue.append(lambda: context.run(work))
            if self._idle >= len(self._queue):
                self._wanted.notify()
            elif len(self._threads) < MOST_THREADS and not self._grow():  # else one is about to look for more
                self._queue.pop()
                self._unfinished -= 1
                return False
        return True

    def at(self, moment: float, work: Work) -> None:
        """Do a short piece of work at a moment of the system's monotonic clock."""
        with self._lock:
            self._closed = False
            heapq.heappush(self._timed, (moment, next(self._numbers), work))
            if self._timer is None:
                self._timer = _start(self._keep_time, "cachepolicy-timer")
            else:
                self._tick.notify()

    def cancel(self, work: Work) -> None:
        """Forget timed work that is not due yet."""
        with self._lock:
            self._timed = [timed for timed in self._timed if timed[2] != work]
            heapq.heapify(self._timed)
            self._tick.notify()

    def hurry(self, work: Work) -> None:
        """Do timed work now, if that can be said without waiting for a lock."""
        if self._lock.acquire(blocking=False):
            try:
                if self._timer is not None:
                    heapq.heappush(self._timed, (SYSTEM.monotonic(), next(self._numbers), work))
                    self._tick.notify()
            finally:
                self._lock.release()

    def close(self) -> None:
        """Let idle threads end; work under way goes on, and so do the leases of its loads."""
        with self._lock:
            self._closed = True
            idle = list(self._threads) if self._idle == len(self._threads) else []
            if self._timer is not None and not self._timed:
                idle.append(self._timer)
            self._wanted.notify_all()
            self._tick.notify_all()
        for thread in idle:
            if thread is not threading.current_thread():
                thread.join(_LINGER)

    def after_fork(self) -> None:
        """Leave threads, and what they were to do, to the parent."""
        self.__init__(self._ended)  # type: ignore[misc] # nothing of it is of use here

    def _work(self) -> None:
        """Do what there is to do; a piece of work that raises ends the thread, which tells of it."""
        try:
            while (work := self._next()) is not None:
                try:
                    work()
                finally:
                    with self._lock:
                        self._unfinished -= 1
                        is_over = self._closed and not self._unfinished
                    if is_over:
                        self._ended()
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())
                if len(self._queue) > self._idle:  # somebody counted on this one
                    self._grow()

    def _grow(self) -> bool:
        """Start another thread; False where there is none to be had."""
        thread = _start(self._work, "cachepolicy-background")
        if thread is not None:
            self._threads.add(thread)
        return thread is not None

    def _next(self) -> Work | None:
        with self._lock:
            if not self._queue and not self._closed:
                self._idle += 1
                self._wanted.wait(_LINGER)
                self._idle -= 1
            return self._queue.popleft() if self._queue else None

    def _keep_time(self) -> None:
        """Do what is due, as ``_work`` does."""
        try:
            while (work := self._next_due()) is not None:
                work()
        finally:
            with self._lock:
                self._timer = _start(self._keep_time, "cachepolicy-timer") if self._timed else None
                is_over = self._closed and self._timer is None
            if is_over:
                self._ended()

    def _next_due(self) -> Work | None:
        with self._lock:
            while self._timed:
                left = self._timed[0][0] - SYSTEM.monotonic()
                if left <= 0:
                    return heapq.heappop(self._timed)[2]
                self._tick.wait(left)
            return None


def _start(target: Callable[[], None], name: str) -> threading.Thread | None:
    """Start a thread; None where there is none to be had, or the interpreter is ending."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread
