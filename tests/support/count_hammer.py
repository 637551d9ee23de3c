"""A process that counts: ``count_hammer POLICY HOW COUNT FILE``.

It prints a line when it is ready, begins when it is told a line, and ends as HOW says. FILE holds how much it
has counted at any moment, for whoever kills it: in all, and by hundredths of a second of a processor that its
main thread had, for a busy machine may leave it alone for a while.
"""

from __future__ import annotations

import asyncio
import gc
import json
import mmap
import multiprocessing
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkContext, SpawnContext
from pathlib import Path
from types import FrameType
from typing import Final

from cachepolicy import AnalyticsCache, configure
from cachepolicy.flow.buffer import Buffer
from cachepolicy.runtime import current

SLOTS: Final = 3000
STEP: Final = 0.01
SIZE: Final = 8 * (SLOTS + 1)
_analytics = AnalyticsCache()


def count(number: int) -> None:
    """Count so many events, in ten series."""
    increment = _analytics.increment_metric.sync
    for turn in range(number):
        increment("hits", 1, {"model": str(turn % 10)})


def endlessly(tape: mmap.mmap) -> None:
    """Count until somebody ends it, and write down how much that was."""
    increment = _analytics.increment_metric.sync
    began, total = time.thread_time(), 0
    while True:
        increment("hits", 1, {"model": str(total % 10)})
        total += 1
        struct.pack_into("Q", tape, 0, total)
        slot = min(SLOTS, 1 + int((time.thread_time() - began) / STEP))
        struct.pack_into("Q", tape, 8 * slot, total)


def amid(tape: mmap.mmap) -> None:
    """Have SIGTERM come in the middle of counting, and count on for as long as may be."""
    has_room = Buffer.has_room

    def interrupted(buffer: Buffer) -> bool:
        Buffer.has_room = has_room  # type: ignore[method-assign] # once is enough
        os.kill(os.getpid(), signal.SIGTERM)
        return has_room(buffer)

    Buffer.has_room = interrupted  # type: ignore[method-assign,assignment] # it is called while the lock is held
    _analytics.increment_metric.sync("hits", 1, {"model": "of its own"})
    endlessly(tape)


def wait() -> None:
    """Say that all is counted, and do nothing until a signal comes."""
    say("counted")
    while True:
        signal.pause()


def raise_error() -> None:
    """End by an error that nobody catches."""
    raise RuntimeError("ended by an error")


def leave(code: int) -> None:
    """End as an application does that handles its signals."""
    sys.exit(code)


def handled() -> None:
    """Wait, with a handler of the application's own, which counts too."""

    def handle(*_: object) -> None:
        count(10)
        sys.exit(7)

    signal.signal(signal.SIGTERM, handle)
    wait()


def chained() -> None:
    """Wait, with a handler that counts and then does what was to be done before."""
    before = signal.getsignal(signal.SIGTERM)

    def handle(number: int, frame: FrameType | None) -> None:
        count(10)
        assert callable(before)
        before(number, frame)

    signal.signal(signal.SIGTERM, handle)
    wait()


def by_thread() -> None:
    """Count in a thread only."""
    worker = threading.Thread(target=count, args=(1_010,))
    worker.start()
    worker.join()
    wait()


def fork() -> None:
    """Fork with counts that are not sent yet; child and parent go on counting."""
    child = os.fork()
    count(10)
    if child == 0:
        sys.exit(0)
    os.waitpid(child, 0)


def fork_under_threads() -> None:
    """Fork again and again while threads count and flush: no lock of theirs may hold up a child."""
    count(10)
    _analytics.flush.sync()  # what a thread imports amid a fork stays locked in the child
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            count(10)
            _analytics.flush.sync()

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    codes = []
    for _ in range(20):
        child = os.fork()
        if child == 0:
            _analytics.increment_metric.sync("children")
            _analytics.flush.sync()
            os._exit(0)
        codes.append(os.waitpid(child, 0)[1])
    ended.set()
    for worker in workers:
        worker.join()
    assert codes == [0] * 20


def multi(context: SpawnContext | ForkContext) -> None:
    """Have a child of multiprocessing count."""
    child = context.Process(target=_in_child, args=(sys.argv[1], 10))
    child.start()
    child.join()
    assert child.exitcode == 0


def terminated() -> None:
    """End a child of multiprocessing that has counted and waits."""
    context = multiprocessing.get_context("fork")
    mine, its = context.Pipe()
    child = context.Process(target=_counted_and_waits, args=(its,))
    child.start()
    mine.recv()
    child.terminate()
    child.join()
    assert child.exitcode == -signal.SIGTERM


def loop_closes() -> None:
    """Count on a loop that is closed before anything was sent."""

    async def main() -> None:
        for _ in range(10):
            await _analytics.increment_metric("hits")

    asyncio.run(main())


def reconfigure() -> None:
    """Load the policy again and again while threads count."""
    workers = [threading.Thread(target=count, args=(5_000,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        configure(json.loads(sys.argv[1]))


def late() -> None:
    """Count under a policy that has been replaced, just before the end."""
    meter = current.current().analytics.meter("analytics", "hits", "a test")
    configure(json.loads(sys.argv[1]))
    gc.collect()
    meter.add({}, 10)


def fork_replaced() -> None:
    """Fork while something that was counted under a policy that has been replaced is not sent yet."""
    late()
    child = os.fork()
    if child == 0:
        sys.exit(0)
    os.waitpid(child, 0)


def handle_anywhere() -> None:
    """Count in a signal's handler, at random moments of counting and flushing in the same thread."""

    def handle(*_: object) -> None:
        _analytics.increment_metric.sync("handled", 1, {"n": str(time.monotonic_ns() % 50)})
        _analytics.increment_metric.sync("hits", 1, {"model": "0"})
        times.append(1)

    times: list[int] = []
    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    for turn in range(300):
        count(100)
        if turn % 10 == 0:
            _analytics.flush.sync()
    signal.setitimer(signal.ITIMER_REAL, 0)
    _analytics.increment_metric.sync("expected", len(times))


def say(word: str) -> None:
    """Say a word to the parent."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def _in_child(policy: str, number: int) -> None:
    if multiprocessing.get_start_method() != "fork":
        configure(json.loads(policy))
    count(number)


def _counted_and_waits(pipe: Connection) -> None:
    count(10)
    pipe.send("counted")
    while True:
        signal.pause()


ENDLESS: Final[dict[str, Callable[[mmap.mmap], None]]] = {"endlessly": endlessly, "amid": amid}
HOWS: Final[dict[str, Callable[[], None]]] = {
    "exit": lambda: None,
    "exit_code": lambda: leave(3),
    "error": raise_error,
    "wait": wait,
    "handled": handled,
    "chained": chained,
    "by_thread": by_thread,
    "fork": fork,
    "fork_under_threads": fork_under_threads,
    "multiprocessing_fork": lambda: multi(multiprocessing.get_context("fork")),
    "multiprocessing_spawn": lambda: multi(multiprocessing.get_context("spawn")),
    "terminated": terminated,
    "loop_closes": loop_closes,
    "reconfigure": reconfigure,
    "late": late,
    "fork_replaced": fork_replaced,
    "handle_anywhere": handle_anywhere,
}


def main(policy: str, how: str, number: str, file: str) -> None:
    """Count, and end."""
    configure(json.loads(policy))
    if how != "by_thread":
        _analytics.increment_metric.sync("begun")
    say("ready")
    sys.stdin.readline()
    count(int(number))
    if how in ENDLESS:
        with Path(file).open("r+b") as tape:
            ENDLESS[how](mmap.mmap(tape.fileno(), SIZE))
    HOWS[how]()


if __name__ == "__main__":
    main(*sys.argv[1:])
