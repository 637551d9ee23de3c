"""Threads that work behind callers' backs: few, ended when idle, and no burden on the process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from cachepolicy import ManualClock, configure
from cachepolicy.clock import SYSTEM
from cachepolicy.flow import background as room
from cachepolicy.flow.background import MOST_THREADS, Background
from tests.support.colour import SYNC
from tests.support.origin import PATIENCE, Origin, settle
from tests.support.policies import cache_policy
from tests.support.source import ROOT
from tests.support.waiting import until


@pytest.fixture
def background() -> Iterator[Background]:
    """Give threads that are ended with the test."""
    made = Background()
    yield made
    made.close()


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("cachepolicy-")}


def test_threads_are_bounded_and_refuse_more(background: Background) -> None:
    """No more pieces of work than there may be threads are taken; the next is refused, not queued."""
    gate, before = threading.Event(), _threads()
    taken = [background.submit(lambda: gate.wait(PATIENCE)) for _ in range(MOST_THREADS + 5)]
    assert taken == [True] * MOST_THREADS + [False] * 5
    assert len(_threads() - before) == MOST_THREADS
    gate.set()


def test_idle_threads_are_used_again_and_bounded_too(background: Background) -> None:
    """A burst upon idle threads is bounded as any other."""
    for _ in range(3):
        gate = threading.Event()
        taken = [background.submit(partial(gate.wait, PATIENCE)) for _ in range(MOST_THREADS + 5)]
        assert sum(taken) == MOST_THREADS
        assert len(background._threads) <= MOST_THREADS
        gate.set()
        until(lambda: not background._unfinished, "the work to be done")


@pytest.mark.parametrize("fails", [False, True])
def test_work_that_counts_on_a_thread_which_ends_is_done(
    monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    """Where no thread may be added, one that has just ended its work does the next, or is replaced."""
    monkeypatch.setattr(room, "MOST_THREADS", 1)
    gate, ending, go_on, done, told = (threading.Event() for _ in range(5))
    monkeypatch.setattr(threading, "excepthook", lambda _: told.set())

    def work() -> None:
        gate.wait(PATIENCE)
        if fails:
            raise ZeroDivisionError

    def ended() -> None:  # between two pieces of work
        ending.set()
        go_on.wait(PATIENCE)

    background = Background(ended)
    assert background.submit(work)
    background.close()
    gate.set()
    assert ending.wait(PATIENCE)
    assert background.submit(done.set)
    assert len(background._threads) == 1
    go_on.set()
    assert done.wait(PATIENCE)
    if fails:
        assert told.wait(PATIENCE)  # it comes last, and is for nobody else to hear
    background.close()


def test_the_end_is_told_once_all_is_done() -> None:
    """Work that is under way when its runtime closes may connect: what it opens is closed after it."""
    ended, gate = threading.Event(), threading.Event()
    background = Background(ended.set)
    background.submit(lambda: gate.wait(PATIENCE))
    background.close()
    assert not ended.is_set()
    gate.set()
    assert ended.wait(PATIENCE)


def test_threads_end_when_there_is_nothing_to_do(background: Background) -> None:
    """After a moment without work no thread is left."""
    background.submit(lambda: None)
    background.at(SYSTEM.monotonic(), lambda: None)
    until(lambda: not background._threads and background._timer is None, "the threads to end")


def test_work_that_raises_costs_a_thread_only(
    background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What raises is told by its thread, and neither later work nor later moments are lost."""
    told = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_type))

    def fail() -> None:
        raise ZeroDivisionError

    done = threading.Event()
    for number in range(1, MOST_THREADS + 2):
        assert background.submit(fail)
        until(partial(lambda number: len(told) == number, number), "the thread to tell")
    assert background.submit(done.set)
    assert done.wait(PATIENCE)
    due = threading.Event()
    background.at(SYSTEM.monotonic(), fail)
    background.at(SYSTEM.monotonic() + 0.01, due.set)
    assert due.wait(PATIENCE)
    until(lambda: len(told) == MOST_THREADS + 2, "the timer to tell")


def test_moments_come_in_their_order(background: Background) -> None:
    """What is due first is done first, whatever was asked for first."""
    order: list[int] = []
    gate, done = threading.Event(), threading.Event()
    now = SYSTEM.monotonic()
    background.at(now, lambda: gate.wait(PATIENCE))  # nothing else is done until all have been asked for
    background.at(now + 0.08, done.set)
    background.at(now + 0.05, lambda: order.append(2))
    background.at(now + 0.02, lambda: order.append(1))
    gate.set()
    assert done.wait(PATIENCE)
    assert order == [1, 2]


PROCESS = """
import threading, time
from cachepolicy import ManualClock, cached, configure
from tests.support.policies import cache_policy

clock = ManualClock()
configure(cache_policy(ttl="1m", stale={"while_revalidate": "1h"}), clock=clock.clock)
calls = []

@cached("answers")
def answer():
    calls.append(1)
    if len(calls) > 1:
        asked.set()
        threading.Event().wait(30)
    return len(calls)

asked = threading.Event()
answer()
clock.advance(61)
answer()
assert asked.wait(20)
"""


def test_a_process_that_ends_does_not_wait_for_a_refresh() -> None:
    """A refresh that hangs holds up no exit: its thread is a daemon."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROCESS],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_refreshes_for_itself() -> None:
    """A refresh that was under way in the parent is none of the child's: it has threads of its own."""
    time = ManualClock()
    configure(
        cache_policy(ttl="1m", stale={"while_revalidate": "1h"}, local={"enabled": False}), clock=time.clock
    )
    origin = Origin()
    answer = origin.decorated(SYNC)
    answer()
    time.advance(61)
    origin.gate.clear()
    answer()
    until(lambda: origin.calls == 2, "the refresh to begin")
    child = os.fork()
    if child == 0:
        origin.gate, origin.asked = threading.Event(), threading.Event()  # a thread may hold their locks
        origin.gate.set()
        answer.invalidate()  # also the lease, which is the parent's
        ok = answer() == {"number": 3}
        time.advance(61)
        ok = ok and answer() == {"number": 3}
        settle()
        os._exit(0 if ok and answer() == {"number": 4} else 1)
    _, status = os.waitpid(child, 0)
    origin.gate.set()
    settle()
    assert os.waitstatus_to_exitcode(status) == 0
