"""A1: whichever way processes end, fork or work together, totals match to the unit where that is promised."""

from __future__ import annotations

import json
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.count_hammer import SIZE, SLOTS, STEP
from tests.support.counted import Stored, analytics_policy
from tests.support.waiting import until

_INTERVAL = 0.2
_SLACK = 0.3
"""Seconds of a processor that counting may have while a flush is under way: they share one lock."""

_LIFE = 1.5 * (_INTERVAL + _SLACK)


@contextmanager
def process(
    policy: dict[str, Any], how: str, count: int, file: object = ""
) -> Iterator[subprocess.Popen[str]]:
    """Start a process that counts."""
    command = [sys.executable, "-m", "tests.support.count_hammer"]
    with subprocess.Popen(
        [*command, json.dumps(policy), how, str(count), str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def heard(running: subprocess.Popen[str]) -> str:
    """Return what it says next."""
    assert running.stdout is not None
    return running.stdout.readline()


def begin(running: subprocess.Popen[str]) -> None:
    """Have it begin, once it is ready."""
    assert heard(running) == "ready\n"
    assert running.stdin is not None
    running.stdin.write("\n")
    running.stdin.flush()


@pytest.mark.parametrize(
    ("how", "counts", "code"),
    [
        ("exit", 1_000, 0),
        ("exit_code", 1_000, 3),
        ("error", 1_000, 1),
        ("fork", 1_020, 0),
        ("multiprocessing_fork", 1_010, 0),
        ("multiprocessing_spawn", 1_010, 0),
        ("terminated", 1_010, 0),
        ("loop_closes", 1_010, 0),
        ("reconfigure", 16_000, 0),
        ("late", 1_010, 0),
        ("fork_replaced", 1_010, 0),
    ],
)
def test_a1_nothing_is_lost_at_the_end(
    redis_url: str, stored: Stored, how: str, counts: int, code: int
) -> None:
    """A1: at exit, by an error, in children and on closed loops nothing is lost, and nothing counts twice."""
    with process(analytics_policy(redis_url), how, 1_000) as running:
        begin(running)
        _, errors = running.communicate()
        assert running.returncode == code, errors
    assert stored.total("hits") == counts
    assert stored.total("begun") == 1


@pytest.mark.parametrize(("how", "counts"), [("wait", 1_000), ("by_thread", 1_010), ("chained", 1_010)])
def test_a1_sigterm_loses_nothing(redis_url: str, stored: Stored, how: str, counts: int) -> None:
    """A1: SIGTERM, which nobody handles, ends the process as it always did, once what was counted is sent."""
    first = 0 if how == "by_thread" else 1_000  # in the main thread
    with process(analytics_policy(redis_url), how, first) as running:
        begin(running)
        assert heard(running) == "counted\n"
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == -signal.SIGTERM
    assert stored.total("hits") == counts


def test_a1_a_handler_of_the_application_is_left_alone(redis_url: str, stored: Stored) -> None:
    """A1: an application's own handler of SIGTERM works as it did, and may count."""
    with process(analytics_policy(redis_url), "handled", 1_000) as running:
        begin(running)
        assert heard(running) == "counted\n"
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 7
    assert stored.total("hits") == 1_010


def test_a1_sigterm_ends_a_process_whose_redis_is_out(redis_url: str, stored: Stored) -> None:
    """A1: a Redis that nobody reaches does not keep a process from ending by SIGTERM, or by itself."""
    policy = analytics_policy("redis://127.0.0.1:1", redis={"deadline": "100ms"})
    with process(policy, "wait", 1_000) as running:
        begin(running)
        assert heard(running) == "counted\n"
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == -signal.SIGTERM
    with process(policy, "exit", 1_000) as running:
        begin(running)
        running.communicate()
        assert running.returncode == 0
    assert stored.total("hits") == 0


def test_a1_sigterm_in_the_middle_of_counting(redis_url: str, stored: Stored, tmp_path: Path) -> None:
    """A1: SIGTERM while events are counted loses none of those that were: wherever it comes."""
    for number in range(3):
        tape = tape_in(tmp_path / str(number))
        before = stored.total("hits")
        policy = analytics_policy(redis_url, flush={"interval": "20ms"})
        with process(policy, "endlessly", 0, tape) as running:
            begin(running)
            until(partial(has_counted, tape, 20_000), "events to be counted")
            running.send_signal(signal.SIGTERM)
            assert running.wait(20) == -signal.SIGTERM
        assert 0 <= stored.total("hits") - before - read(tape)[0] <= 1  # one may be counted and not written


def test_a1_sigterm_inside_of_a_count(redis_url: str, stored: Stored, tmp_path: Path) -> None:
    """A1: SIGTERM that comes while its own thread counts ends the process after that, and loses none."""
    tape = tape_in(tmp_path / "tape")
    with process(analytics_policy(redis_url), "amid", 1_000, tape) as running:
        begin(running)
        assert running.wait(20) == -signal.SIGTERM
    assert 0 <= stored.total("hits") - 1_001 - read(tape)[0] <= 1  # as above


def test_a1_kill_9_loses_an_interval_at_most(redis_url: str, stored: Stored, tmp_path: Path) -> None:
    """A1: ``kill -9`` loses what was counted in the last interval at most, and nothing counts twice."""
    policy = analytics_policy(redis_url, flush={"interval": _INTERVAL})
    tapes = [tape_in(tmp_path / str(number)) for number in range(3)]
    with ExitStack() as stack:
        together = [stack.enter_context(process(policy, "endlessly", 0, tape)) for tape in tapes]
        for running in together:
            begin(running)
        for tape in tapes:
            until(partial(has_lived, tape, _LIFE), "each process to count for a while", patience=40)
        for running in together:
            running.kill()
        for running in together:
            assert running.wait(20) == -signal.SIGKILL
    kept = stored.total("hits")
    assert kept <= sum(read(tape)[0] for tape in tapes)
    assert kept >= sum(by_then(tape, elapsed(tape) - _INTERVAL - _SLACK) for tape in tapes)


def test_a1_a_million_events_over_four_processes(redis_url: str, stored: Stored) -> None:
    """A1: 1,000,000 events over four processes that count at once add up exactly."""
    policy = analytics_policy(redis_url, flush={"interval": "50ms"})
    with ExitStack() as stack:
        together = [stack.enter_context(process(policy, "exit", 250_000)) for _ in range(4)]
        for running in together:
            begin(running)
        for running in together:
            running.communicate()
            assert running.returncode == 0
    assert stored.total("hits") == 1_000_000
    assert stored.total("begun") == 4


def test_a1_eight_processes_end_in_eight_ways(redis_url: str, stored: Stored) -> None:
    """A1: eight processes that end each in its own way lose nothing between them."""
    hows = ["exit", "exit_code", "error", "wait", "handled", "multiprocessing_fork", "loop_closes", "fork"]
    with ExitStack() as stack:
        together = [stack.enter_context(process(analytics_policy(redis_url), how, 1_000)) for how in hows]
        for running in together:
            begin(running)
        for how, running in zip(hows, together, strict=True):
            if how in {"wait", "handled"}:
                assert heard(running) == "counted\n"
                running.send_signal(signal.SIGTERM)
            running.communicate()
    assert stored.total("hits") == 8 * 1_000 + 10 + 10 + 10 + 20


def test_a1_no_lock_of_the_parent_holds_up_a_child(redis_url: str, stored: Stored) -> None:
    """A1: children forked while the parent's threads count and flush can count and flush at once."""
    with process(analytics_policy(redis_url), "fork_under_threads", 0) as running:
        begin(running)
        _, errors = running.communicate(timeout=60)
        assert running.returncode == 0, errors
    assert stored.total("children") == 20


def test_a1_a_handler_may_count_wherever_it_comes(redis_url: str, stored: Stored) -> None:
    """A1: a signal's handler that counts, while its thread counts or flushes, neither hangs nor loses any."""
    with process(analytics_policy(redis_url), "handle_anywhere", 0) as running:
        begin(running)
        _, errors = running.communicate(timeout=60)
        assert running.returncode == 0, errors
    handled = stored.total("expected")
    assert stored.total("handled") == handled > 0
    assert stored.total("hits") == 30_000 + handled


def tape_in(path: Path) -> Path:
    """Make a file for what a process has counted."""
    path.write_bytes(bytes(SIZE))
    return path


def read(tape: Path) -> tuple[int, ...]:
    """Return what a process has counted: in all, and by the hundredths of a second that it had."""
    return struct.unpack(f"{SLOTS + 1}Q", tape.read_bytes())


def elapsed(tape: Path) -> float:
    """Return for how long a process has counted, in seconds of a processor."""
    _, *slots = read(tape)
    return max((number for number, total in enumerate(slots) if total), default=0) * STEP


def has_counted(tape: Path, number: int) -> bool:
    """Tell whether a process has counted more."""
    return read(tape)[0] > number


def has_lived(tape: Path, seconds: float) -> bool:
    """Tell whether a process has counted for longer, in seconds of a processor."""
    return elapsed(tape) > seconds


def by_then(tape: Path, seconds: float) -> int:
    """Return how much a process had counted after so many seconds of a processor."""
    _, *slots = read(tape)
    return max(slots[: max(0, int(seconds / STEP))], default=0)
