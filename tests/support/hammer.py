"""Calls of the sync leaf that are interrupted at random moments, in a process of its own.

``python -m tests.support.hammer WHAT URL``; prints what became of them as JSON. A process of its own, so that
a crash of the interpreter is seen for what it is, and signals and limits are nobody else's.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import queue
import random
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from cachepolicy.clock import SYSTEM
from cachepolicy.errors import StoreError
from cachepolicy.tiers import redis_sync
from cachepolicy.tiers.commands import head, put
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.endpoint import Endpoint
from cachepolicy.tiers.redis_sync import RedisSync

SIZE: Final = 2
KEYS: Final = 50
PATIENCE: Final = 10.0
Report = dict[str, int]


class Interruption(Exception):
    """What comes from outside, as a soft time limit does."""


def _leaf(url: str) -> RedisSync:
    place = Place(Endpoint(url, max_connections=SIZE, connect_timeout=PATIENCE), 1)
    return redis_sync.connect(place)


def _fill(store: RedisSync) -> None:
    for number in range(KEYS):
        store.execute(put(f"key:{number}", _value(number), 600), PATIENCE)


def _value(number: int) -> bytes:
    return b"value of key:%d;" % number * 20


def _is_right(store: RedisSync) -> bool:
    number = random.randrange(KEYS)
    return store.execute(head(f"key:{number}"), PATIENCE) == _value(number)


def _descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def _free_permits(store: RedisSync) -> int:
    """Count the permits that can be had at once; one too many is asked for."""
    held = []
    with suppress(StoreError):
        for _ in range(SIZE + 1):
            held.append(store._pool.permit(0.2))  # noqa: PERF401 - those before the refusal count
    for permit in held:
        store._pool.give_back(permit)
    return len(held)


def _interrupted(url: str, run: Callable[[RedisSync], Report]) -> Report:
    """Run something against a warm leaf, and look at what it leaves behind."""
    store = _leaf(url)
    _fill(store)
    store.close()
    gc.collect()
    before = _descriptors()
    report = run(store)
    gc.collect()
    report["kept"] = len(store._pool.idle)
    report["free"] = _free_permits(store)
    report["wrong"] += sum(not _is_right(store) for _ in range(100))
    store.close()
    gc.collect()
    report["descriptors"] = _descriptors() - before
    return report


def signals(url: str, error: type[BaseException] = Interruption, calls: int = 10_000) -> Report:
    """Raise out of a signal's handler, in the main thread, once in nearly every call."""

    def handle(*_: object) -> None:
        raise error

    def run(store: RedisSync) -> Report:
        report = {"answered": 0, "interrupted": 0, "wrong": 0}
        span = _span(store)
        for _ in range(calls):
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 2 * span))
                right = _is_right(store)
                report["answered"] += 1
                report["wrong"] += not right
                signal.setitimer(signal.ITIMER_REAL, 0)
            except error:
                report["interrupted"] += 1
        return report

    signal.signal(signal.SIGALRM, handle)
    return _interrupted(url, run)


def keyboard(url: str) -> Report:
    """Interrupt as Ctrl-C does."""
    return signals(url, KeyboardInterrupt, 4_000)


class _Victim:
    """A thread that makes calls; into or after each of them an exception is raised from another."""

    def __init__(self, store: RedisSync, calls: int, report: Report) -> None:
        self._store = store
        self._calls = calls
        self._report = report
        self._turns: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._waits = False  # an Event has a lock, which the exception may leave held
        self._thread = threading.Thread(target=self._work)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def goes_on(self) -> bool:
        """Wait for its next call, or its end."""
        while True:
            try:
                return self._turns.get(timeout=1)
            except queue.Empty:
                if self._waits:  # the exception came into a ``__del__``, which lets none out
                    self.interrupt()

    def interrupt(self) -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self._thread.ident or 0), ctypes.py_object(Interruption)
        )

    def _work(self) -> None:
        report = self._report
        for _ in range(self._calls):
            try:
                self._turns.put(True)
                right = _is_right(self._store)
                report["answered"] += 1
                report["wrong"] += not right
                while True:  # until it comes
                    self._waits = True
                    time.sleep(0)
            except Interruption:
                self._waits = False
                report["interrupted"] += 1
        self._turns.put(False)


def threads(url: str, calls: int = 2_000) -> Report:
    """Raise in a thread from another, once in or after each of its calls."""
    sys.setswitchinterval(1e-5)

    def run(store: RedisSync) -> Report:
        report = {"answered": 0, "interrupted": 0, "wrong": 0}
        span = _span(store)
        victim = _Victim(store, calls, report)
        victim.start()
        while victim.goes_on():
            until = SYSTEM.monotonic() + random.uniform(0, 2 * span)
            while SYSTEM.monotonic() < until:
                time.sleep(0)
            victim.interrupt()
        victim.join()
        return report

    return _interrupted(url, run)


def _span(store: RedisSync) -> float:
    """Return how long a call takes, connecting included, when nothing disturbs it."""
    took = []
    for _ in range(50):
        store.close()
        began = SYSTEM.monotonic()
        _is_right(store)
        took.append(SYSTEM.monotonic() - began)
    return min(took)


def descriptors(url: str) -> Report:
    """Run out of file descriptors, and get them back."""
    store = _leaf(url)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, most))
    _fill(store)
    store.close()
    taken: list[int] = []
    with suppress(OSError):
        while True:
            taken.append(os.dup(0))
    refused = 0
    for _ in range(5):
        try:
            _is_right(store)
        except StoreError as fault:
            refused += not fault.sent
    for descriptor in taken:
        os.close(descriptor)
    return {"refused": refused, "wrong": int(not _is_right(store)), "free": _free_permits(store)}


def high(url: str) -> Report:
    """Work with a descriptor that ``select`` could not take."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2048 if most == resource.RLIM_INFINITY else min(2048, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    taken: list[int] = []
    while not taken or taken[-1] < min(1100, wanted - 20):
        taken.append(os.dup(0))
    store = _leaf(url)
    _fill(store)
    wrong = int(not _is_right(store))
    return {"wrong": wrong, "descriptor": store._pool.idle[-1]._socket.fileno()}


if __name__ == "__main__":
    what = {"signals": signals, "keyboard": keyboard, "threads": threads}
    what |= {"descriptors": descriptors, "high": high}
    sys.stdout.write(json.dumps(what[sys.argv[1]](sys.argv[2])))
