"""A process of a fleet. ``python -m tests.support.fleet_member POLICY COLOUR`` calls as it is told on stdin.

``10``: ten calls, each question asked twice; ``fork``: a child that makes four calls, and ends by itself.
Each line is answered with the number of calls that this process, or its child, has made for it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

from cachepolicy import RateLimitExceeded, close, configure, llm_cached, rate_limited
from cachepolicy.runtime import current
from tests.support.colour import ASYNC, SYNC
from tests.support.source import ROOT

INPUT, OUTPUT = 1000, 200  # tokens of each answer


class Member:
    """What one process has: a cached function and a limited one."""

    def __init__(self, policy: str, *, is_async: bool) -> None:
        configure(policy)
        self.colour = ASYNC if is_async else SYNC
        self._numbers = count()

        @self.colour.decorate(llm_cached)
        def answer(question: str, model: str = "gpt-4o") -> dict[str, Any]:
            usage = {"prompt_tokens": INPUT, "completion_tokens": OUTPUT}
            return {"model": model, "text": question, "usage": usage}

        @self.colour.decorate(rate_limited("chat"))
        def say(user: str) -> str:
            return user

        self._answer, self._say = answer, say

    def call(self, times: int) -> None:
        """Ask, each question twice; each question is this process's own. Nothing is flushed for it."""
        questions = [f"{os.getpid()}: {next(self._numbers)}" for _ in range(times // 2)]
        self._each(self._answer, [each for each in questions for _ in range(2)])

    def say(self, times: int) -> None:
        """Make calls that are limited; what is refused is refused."""
        self._each(self._say, ["ann"] * times)

    def _each(self, function: Any, arguments: list[str]) -> None:
        async def ask() -> None:
            for argument in arguments:
                with suppress(RateLimitExceeded):
                    await function(argument)
            await current.current().stores.aclose()

        if self.colour.is_async:
            asyncio.run(ask())
            return
        for argument in arguments:
            with suppress(RateLimitExceeded):
                function(argument)


def main() -> None:
    """Do as is said."""
    member = Member(sys.argv[1], is_async=sys.argv[2] == "async")
    for line in sys.stdin:
        if line.strip() != "fork":
            member.call(int(line))
        elif (child := os.fork()) == 0:
            member.call(4)
            close()
            os._exit(0)
        else:
            os.waitpid(child, 0)
        sys.stdout.write(line)
        sys.stdout.flush()


@contextmanager
def members(policy: str, *colours: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Start a process for each colour; those that live at the end are told that there is no more, and end."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.fleet_member", policy, colour],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for colour in colours
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.communicate(timeout=30)


def tell(process: subprocess.Popen[str], what: str) -> None:
    """Have a process do something, and wait until it has."""
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None
    stdin.write(f"{what}\n")
    stdin.flush()
    assert stdout.readline() == f"{what}\n"


if __name__ == "__main__":
    main()
