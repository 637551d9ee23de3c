"""Decorated calls that are interrupted, cancelled and forked at random moments, in a process of their own.

``python -m tests.faults.hammer WHAT URL``; prints what became of them as JSON. A process of its own, so that
signals, limits and children are nobody else's, and a crash of the interpreter is seen for what it is.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from cachepolicy import aclose, cached, close, configure, observe
from tests.support.colour import ASYNC, SYNC, Colour
from tests.support.policies import cache_policy
from tests.support.waiting import block, rest

CALLS: Final = 10_000
KEYS: Final = 50
FORKS: Final = 10
STUCK: Final = 10.0  # seconds: no call takes as long, on a machine that is busy with other things too
Report = Counter[str]


class Interruption(Exception):
    """What comes from outside, as a soft time limit does."""


def _right(question: str) -> str:
    return f"answer to {question}; " * 20


def _function(colour: Colour, url: str, **redis: Any) -> Any:
    rule = {"local": {"enabled": False}, "stampede": {"wait": "3s"}}
    configure(cache_policy(url, redis={"deadline": "2s", "connect_timeout": "2s", **redis}, **rule))

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return _right(question)

    return answer


def _question() -> str:
    return f"question {random.randrange(KEYS)}"


def _ask(answer: Any, report: Report) -> None:
    question = _question()
    began = time.monotonic()
    report["wrong"] += answer(question) != _right(question)
    report["answered"] += 1
    report["stuck"] += time.monotonic() - began > STUCK


async def _aask(answer: Any, report: Report) -> None:
    question = _question()
    began = time.monotonic()
    report["wrong"] += await answer(question) != _right(question)
    report["answered"] += 1
    report["stuck"] += time.monotonic() - began > STUCK


def _fork(child: Callable[[], Report]) -> int:
    """Have a child do something; its exit code is how many values were wrong."""
    pid = os.fork()
    if pid == 0:
        wrong = 255
        try:
            wrong = min(254, child()["wrong"])
        finally:
            os._exit(wrong)
    return pid


def _join(pid: int, report: Report) -> None:
    _, status = os.waitpid(pid, 0)
    report["wrong"] += os.waitstatus_to_exitcode(status)  # a child that died is as bad
    report["children"] += 1


def sync(url: str) -> Report:  # noqa: C901 - one storm, from its beginning to its end
    """Interrupt nearly every call by a signal, and fork between them."""
    answer = _function(SYNC, url)
    report = Report()
    for _ in range(4 * KEYS):
        _ask(answer, report)
    began = time.monotonic()
    for _ in range(100):
        _ask(answer, report)
    span = (time.monotonic() - began) / 100
    pids: list[int] = []

    def handle(*_: object) -> None:
        raise Interruption

    def child() -> Report:
        said = Report()
        for _ in range(100):
            _ask(answer, said)
        return said

    signal.signal(signal.SIGALRM, handle)
    number = 0
    while number < CALLS or report["interrupted"] < CALLS // 10:
        began = time.monotonic()
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 6 * span))
            _ask(answer, report)
            signal.setitimer(signal.ITIMER_REAL, 0)
            span += (time.monotonic() - began - span) / 50  # the machine is not as fast at all times
        except Interruption:
            report["interrupted"] += 1
        number += 1
        if number % (CALLS // FORKS) == 0 and len(pids) < FORKS:
            pids.append(_fork(child))
    for pid in pids:
        _join(pid, report)
    for _ in range(4 * KEYS):
        _ask(answer, report)
    report["hits"] = answer.stats().l2_hits
    close()
    return report


def asynchronous(url: str) -> Report:  # noqa: C901 - as above
    """Cancel ten thousand calls at random moments, and fork between them."""
    answer = _function(ASYNC, url)
    report = Report()

    async def calls(count: int, said: Report) -> None:
        for _ in range(count):
            await _aask(answer, said)

    def child() -> Report:
        said = Report()

        async def work() -> None:
            await calls(100, said)
            await aclose()

        asyncio.run(work())
        return said

    async def storm() -> None:
        await calls(4 * KEYS, report)
        pids: list[int] = []
        number = 0
        while report["interrupted"] < CALLS:
            tasks = [asyncio.ensure_future(_aask(answer, report)) for _ in range(200)]
            await asyncio.sleep(0)
            for task in random.sample(tasks, 150):
                if random.random() < 0.02:
                    await asyncio.sleep(0)
                task.cancel()
            if number % FORKS == 0 and len(pids) < FORKS:
                pids.append(_fork(child))  # with commands under way
            number += 1
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, asyncio.CancelledError):
                    report["interrupted"] += 1
                elif outcome is not None:
                    raise outcome
        for pid in pids:
            _join(pid, report)
        await calls(4 * KEYS, report)
        report["hits"] = answer.stats().l2_hits
        await aclose()

    asyncio.run(storm())
    return report


def descriptors(url: str) -> Report:
    """Run out of file descriptors, and get them back."""
    answer = _function(SYNC, url)
    report = Report()
    for _ in range(4 * KEYS):
        _ask(answer, report)
    close()
    taken = _take_all()
    with observe() as seen:
        for _ in range(10):
            _ask(answer, report)
    _give_back(taken)
    report.update(str(one.fault) for one in seen)
    _until_well(lambda: _told(lambda: _ask(answer, report)))
    close()
    return report


def descriptors_asynchronous(url: str) -> Report:
    """Run out of file descriptors with a loop, and get them back."""
    answer = _function(ASYNC, url)
    report = Report()

    async def work() -> None:
        for _ in range(4 * KEYS):
            await _aask(answer, report)
        await aclose()
        taken = _take_all()
        with observe() as seen:
            for _ in range(10):
                await _aask(answer, report)
        _give_back(taken)
        report.update(str(one.fault) for one in seen)
        while True:
            with observe() as seen:
                await _aask(answer, report)
            if seen[0].fault is None:
                break
            await rest(0.01)
        await aclose()

    asyncio.run(work())
    return report


def _told(call: Callable[[], None]) -> str | None:
    with observe() as seen:
        call()
    return seen[0].fault


def _until_well(told: Callable[[], str | None]) -> None:
    while told() is not None:
        block(0.01)


def _take_all() -> list[int]:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, most))
    taken: list[int] = []
    with suppress(OSError):
        while True:
            taken.append(os.dup(0))
    return taken


def _give_back(taken: list[int]) -> None:
    for descriptor in taken:
        os.close(descriptor)


if __name__ == "__main__":
    hammers = {"sync": sync, "async": asynchronous}
    hammers |= {"descriptors": descriptors, "descriptors-async": descriptors_asynchronous}
    sys.stdout.write(json.dumps(hammers[sys.argv[1]](sys.argv[2])))
