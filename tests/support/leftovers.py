"""What a test may leave running: nothing. Threads that must be joined, and child processes."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cachepolicy.runtime import exiting
from cachepolicy.runtime.desk import Desk

_GRACE = 10.0  # seconds that a thread which was told to end is given
_FLUSH = 5.0  # seconds that a flush behind the tests' back is given


@dataclass(frozen=True)
class Leftovers:
    """The threads and children of this process at one moment."""

    threads: frozenset[threading.Thread]
    children: frozenset[int]

    @classmethod
    def now(cls) -> Leftovers:
        """Take stock."""
        return cls(frozenset(_lasting_threads()), frozenset(_children()))

    def remains(self) -> list[str]:
        """Name what runs now and did not run at the stock-taking."""
        threads = [thread for thread in _lasting_threads() if thread not in self.threads]
        for thread in threads:
            thread.join(_GRACE)
        names = [f"thread {thread.name!r}" for thread in threads if thread.is_alive()]
        return names + [f"process {pid} ({_name(pid)})" for pid in _children() - self.children]


def drop_unsent() -> None:
    """Drop counts that wait for a Redis: one that never comes would be asked in the middle of other tests.

    A flush that is under way ends first: what it sends once more would count in the store of the next test.
    """
    for unsent in list(exiting._ALL):
        if isinstance(unsent, Desk):
            unsent._tell = None
            if unsent._flushing.acquire(timeout=_FLUSH):
                unsent._flushing.release()
            unsent.after_fork()


def _lasting_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if not thread.daemon]


def _children() -> set[int]:
    """List the children of this process; none are seen where there is no /proc."""
    pids: set[int] = set()
    for thread in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread may end meanwhile
            pids.update(map(int, thread.read_text().split()))
    return {pid for pid in pids if "resource_tracker" not in _name(pid)}  # multiprocessing keeps one for good


def _name(pid: int) -> str:
    with suppress(OSError):
        return (
            Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()[:120]
            or "ended, not waited for"
        )
    return "gone"
