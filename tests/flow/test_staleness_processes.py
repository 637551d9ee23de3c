"""C7 among processes: one refresh for all of them, one throttle for all of them; real Redis, real time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.policies import cache_policy
from tests.support.source import ROOT
from tests.support.waiting import until

PROCESSES = 4
PROCESS = """
import asyncio, json, sys, time
from cachepolicy import aclose, cached, close, configure, observe

configure(json.loads(sys.argv[1]))
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
    elif command == "ask":
        end = time.monotonic() + float(arguments[0])
        found = [ask()]
        while time.monotonic() < end:
            loop.run_until_complete(rest(0.02))
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
    return cache_policy(url, ttl="400ms", stale=stale, redis={"deadline": "2s"})


def test_c7_four_processes_refresh_once(redis_url: str, way: str) -> None:
    """C7: of four processes that find one old value one computes it anew; all are answered at once."""
    with _processes(_policy(redis_url, while_revalidate="1h"), way) as processes:
        before = [calls for calls, _ in _all(processes, "ask 0")]
        assert sum(before) == 1
        until(lambda: sum(calls for calls, _ in _all(processes, "ask 0")) > 1, "the TTL to end")
        reports = _all(processes, "ask 0.3")  # less than a TTL after the refresh began
        calls = sum(calls for calls, _ in reports)
        values = [value for _, asked in reports for value, *_ in asked]
        assert calls == 2
        assert len(set(values)) <= 2
        assert {asked[-1][0] for _, asked in reports} == {values[-1]}


@pytest.mark.parametrize(
    ("window", "reasons"),
    [("while_revalidate", {"revalidating"}), ("if_error", {"origin_error"})],
    ids=["behind their backs", "before their eyes"],
)
def test_c7_a_failing_function_is_throttled_for_all(
    redis_url: str, way: str, window: str, reasons: set[str]
) -> None:
    """C7: four processes that ask for two seconds try a failing function as often as the throttle lets."""
    with _processes(_policy(redis_url, throttle="700ms", **{window: "1h"}), way) as processes:
        _all(processes, "ask 0")
        _all(processes, "fail")
        reports = _all(processes, "ask 2")
    asked = [one for _, found in reports for one in found]
    assert {value for value, *_ in asked} == {asked[0][0]}  # nobody was given anything but the old value
    assert {reason for _, outcome, reason, _ in asked if outcome == "stale"} == reasons
    assert 2 <= sum(calls for calls, _ in reports) - 1 <= 4  # one made it; then one each 0.9 s
    assert len(asked) > 40
