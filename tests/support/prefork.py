"""A server with workers that are forked, as gunicorn does it: a script that says nothing if all is well.

Arguments: how the workers end (``exit``, ``term``, ``kill``, ``storm``, ``multiprocessing``), how many there
are, how many calls each makes.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import warnings

from cachepolicy import cached, configure
from cachepolicy.integrations import prometheus_workers
from cachepolicy.integrations.prometheus import register
from tests.support.waiting import block, until

warnings.filterwarnings("ignore", "This process", DeprecationWarning)  # 3.12 warns of forking beside threads
prometheus_workers.EVERY = 0.2  # type: ignore[misc] # seconds: a test does not wait for five
prometheus_workers._LEAST_REST = 1.0  # type: ignore[misc] # of a machine that is busy, likewise
if sys.argv[1] == "storm":  # files are written to without a pause, while workers are forked
    prometheus_workers.EVERY = prometheus_workers._LEAST_REST = 0.0  # type: ignore[misc] # as above
_TOLD: list[int] = []  # by whom the files were written to
_tell = prometheus_workers.Workers._tell


def _tell_and_note(workers: prometheus_workers.Workers) -> None:
    _tell(workers)
    _TOLD.append(os.getpid())


prometheus_workers.Workers._tell = _tell_and_note  # type: ignore[assignment, method-assign] # for those who wait
configure(
    {
        "version": 1,
        "app": "test",
        "namespaces": {"answers": {"kind": "cache", "scope": "global", "ttl": "1h", "jitter": "0%"}},
    }
)
register()


@cached("answers")
def answer(question: int) -> int:
    """Answer at once."""
    return question


def work(calls: int, ending: str) -> None:
    """Make a miss, and hits."""
    for _ in range(calls):
        answer(os.getpid())
    if ending == "kill":
        second = len(_TOLD) + 2  # it begins after the last call
        until(lambda: len(_TOLD) >= second, "files with all of it")
        os.kill(os.getpid(), signal.SIGKILL)
    if ending == "term":
        os.kill(os.getpid(), signal.SIGTERM)
        block(10)


def fork(calls: int, ending: str) -> int:
    """Start a worker; return its process id."""
    pid = os.fork()
    if pid == 0:
        work(calls, ending)
        sys.exit(0)
    return pid


def main() -> None:
    """Count in the parent too, before any worker is there."""
    ending, workers, calls = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    work(calls, "")
    if ending == "multiprocessing":
        context = multiprocessing.get_context("fork")
        started = [context.Process(target=work, args=(calls, "")) for _ in range(workers)]
        for process in started:
            process.start()
        for process in started:
            process.join()
    else:
        for pid in [fork(calls, ending) for _ in range(workers)]:
            os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
