"""C7 among processes: one refresh for all of them, one throttle for all of them; real Redis, its own time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cachepolicy.clock import SYSTEM
from tests.support.policies import cache_policy
from tests.support.source import ROOT
from tests.support.waiting import until

PROCESSES = 4
THROTTLE = 0.7
PROCESS = """
import asyncio, json, sys, time
from cachepolicy import ManualClock, aclose, cached, close, configure, observe

clock = ManualClock()
configure(json.loads(sys.argv[1]), clock=clock.clock)
is_async, fails = sys.argv[2] == "async", False
calls = 0

def compute():
    global calls
    calls += 1
    time.sleep(0.2)
    if fails:
        raise ConnectionError
    return f"{sys.argv[3]}:{calls}"

@cached("answers", key="{question}:x")
def plain(question):
    return compute()

@cached("answers", key="{question}:x")
async def later(question):
    await asyncio.sleep(0)
    return compute()

loop = asyncio.new_event_loop()

async def rest(seconds):
    await asyncio.sleep(seconds)

def ask():
    began = time.monotonic()
    with observe() as seen:
        try:
            value = loop.run_until_complete(later("why")) if is_async else plain("why")
        except ConnectionError:
            value = "failed"
    return [value, seen[0].outcome, seen[0].reason, time.monotonic() - began]

for line in sys.stdin:
    command, *arguments = line.split()
    if command == "fail":
        fails = True
        print(json.dumps(True), flush=True)
    elif command == "advance":
        clock.advance(float(arguments[0]))
        print(json.dumps(True), flush=True)
    elif command == "ask":
        end = time.monotonic() + float(arguments[0])
        found = [ask()]
        while time.monotonic() < end:
            loop.run_until_complete(rest(0.02))
            clock.advance(float(arguments[1]))
            found.append(ask())
        print(json.dumps([calls, found]), flush=True)
loop.run_until_complete(aclose())
loop.close()
close()
"""


class Process:
    """A process with one cached function, which asks it again and again when told to."""

    def __init__(self, policy: dict[str, Any], way: str, number: int) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-c", PROCESS, json.dumps(policy), way, str(number)],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, line: str) -> None:
        """Give a command."""
        assert self.child.stdin is not None
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()

    def hear(self) -> Any:
        """Return what it answers."""
        assert self.child.stdout is not None
        return json.loads(self.child.stdout.readline())


@contextmanager
def _processes(policy: dict[str, Any], way: str) -> Iterator[list[Process]]:
    processes = [Process(policy, way, number) for number in range(PROCESSES)]
    try:
        yield processes
    finally:
        for process in processes:
            with process.child as child:
                assert child.stdin is not None
                child.stdin.close()
    assert [process.child.returncode for process in processes] == [0] * PROCESSES


def _all(processes: list[Process], line: str) -> list[Any]:
    for process in processes:
        process.tell(line)
    return [process.hear() for process in processes]


@pytest.fixture(params=["def", "async"])
def way(request: pytest.FixtureRequest) -> str:
    """Run the test for both colours."""
    return str(request.param)


def _policy(url: str, **stale: str) -> dict[str, Any]:
    return cache_policy(url, ttl="1m", stale=stale)


def test_c7_four_processes_refresh_once(redis_url: str, way: str) -> None:
    """C7: of four processes that find one old value one computes it anew; all are answered at once."""
    with _processes(_policy(redis_url, while_revalidate="1h"), way) as processes:
        before = _all(processes, "ask 0")
        assert sum(calls for calls, _ in before) == 1
        _all(processes, "advance 61")
        reports = _all(processes, "ask 0")

        def is_replaced() -> bool:
            reports.extend(_all(processes, "ask 0.1 0.1"))
            return all(asked[-1][0] != before[0][1][0][0] for _, asked in reports[-PROCESSES:])

        until(is_replaced, "the refresh")
        reports += _all(processes, "ask 0.1 0.1")
        assert sum(calls for calls, _ in reports[-PROCESSES:]) == 2
        assert len({value for _, asked in before + reports for value, *_ in asked}) == 2


@pytest.mark.parametrize(
    ("window", "reasons"),
    [("while_revalidate", {"revalidating"}), ("if_error", {"origin_error"})],
    ids=["behind their backs", "before their eyes"],
)
def test_c7_a_failing_function_is_throttled_for_all(
    redis_url: str, way: str, window: str, reasons: set[str]
) -> None:
    """C7: four processes that ask again and again try a failing function as often as the throttle lets."""
    with _processes(_policy(redis_url, throttle=f"{THROTTLE}s", **{window: "1h"}), way) as processes:
        _all(processes, "ask 0")
        _all(processes, "fail")
        _all(processes, "advance 61")
        began = SYSTEM.monotonic()
        asked: list[Any] = []

        def tries() -> int:
            reports = _all(processes, "ask 0.5 1")
            asked.extend(one for _, found in reports for one in found)
            return sum(int(calls) for calls, _ in reports) - 1  # one made it

        until(lambda: tries() >= 3 and len(asked) > 40, "three tries")
        tried = tries()
        assert tried <= 1 + (SYSTEM.monotonic() - began) / THROTTLE
    assert {value for value, *_ in asked} == {asked[0][0]}  # nobody was given anything but the old value
    assert {reason for _, outcome, reason, _ in asked if outcome == "stale"} == reasons
