"""Calls of a cache, of limits and of sessions, in threads and in tasks, until they are told to stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cachepolicy import RateLimiter, SessionManager, cached, rate_limited


@cached("answers")
def _answer(number: int) -> int:
    return number


@cached("answers")
async def _answer_async(number: int) -> int:
    await asyncio.sleep(0)
    return number


@rate_limited("calls", namespace="limits")
def _limited(user: str) -> str:
    return user


class Load:
    """What is called, and what came of it.

    Attributes:
        failures: whatever any call raised.
        rounds: how many rounds each thread and task has made so far.
        limited: how many calls of one subject were limited.
    """

    def __init__(self) -> None:
        self.failures: list[BaseException] = []
        self.rounds: list[int] = []
        self.limited: list[str] = []
        self._stop = threading.Event()

    @contextmanager
    def in_threads(self, count: int) -> Iterator[None]:
        """Call in threads meanwhile."""
        threads = [threading.Thread(target=self._call, args=(self._one_more(),)) for _ in range(count)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def in_tasks(self, count: int) -> list[asyncio.Task[None]]:
        """Call in tasks of the running loop, until ``stop``."""
        return [asyncio.create_task(self._call_async(self._one_more())) for _ in range(count)]

    def stop(self) -> None:
        """Have all end."""
        self._stop.set()

    def _one_more(self) -> int:
        self.rounds.append(0)
        return len(self.rounds) - 1

    def _call(self, number: int) -> None:
        made = 0
        sessions = SessionManager("sessions")
        try:
            session = sessions.create_session.sync("ada")
            while not self._stop.is_set():
                made += 1
                assert _answer(made % 50) == made % 50
                self.limited.append(_limited("ada"))
                assert sessions.get_session.sync(session.token) is not None
                self.rounds[number] = made
        except BaseException as error:
            self.failures.append(error)
            raise

    async def _call_async(self, number: int) -> None:
        made = 0
        limits = RateLimiter("limits")
        try:
            while not self._stop.is_set():
                made += 1
                assert await _answer_async(made % 50) == made % 50
                assert (await limits.check("calls", "bob")).allowed
                self.rounds[number] = made
        except BaseException as error:
            self.failures.append(error)
            raise
