"""Processes that share a cache: each decorates the same functions, does as it is told, and tells how it went.

``python -m tests.support.peer POLICY FOLDER`` is one. It reads lines of JSON, each a command, and answers
each, when it is done, with a line. Every call of an origin is noted in a file: ``Folder.calls`` reads it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from cachepolicy import Observation, cached, configure, observe
from cachepolicy.clock import SYSTEM
from cachepolicy.flow.invalidate import invalidate_tags
from cachepolicy.keys.layout import tag_id
from cachepolicy.runtime import current
from tests.support.source import ROOT
from tests.support.waiting import block, rest, until

PATIENCE: Final = 30.0
_NAMESPACE: Final = "answers"


class Folder:
    """Where peers leave notes for each other, and for the test."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, what: str) -> None:
        """Take note of an origin call; a line is written whole."""
        file = os.open(self.path / "calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{what}\n".encode())
        os.close(file)

    def calls(self, what: str) -> int:
        """Count the origin calls for a question."""
        file = self.path / "calls"
        return file.read_text().split("\n").count(what) if file.exists() else 0

    def open(self, gate: str) -> None:
        """Let origins pass that wait at a gate."""
        (self.path / gate).touch()

    def is_open(self, gate: str) -> bool:
        """Tell whether a gate is open."""
        return (self.path / gate).exists()


class Told(NamedTuple):
    """How one call was answered."""

    outcome: str
    tier: str
    value: Any
    error: str | None
    seconds: float


class Peer:
    """One process, as the test holds it.

    Args:
        policy: as a mapping.
        folder: shared by all.
    """

    def __init__(self, policy: dict[str, Any], folder: Folder) -> None:
        command = [sys.executable, "-m", "tests.support.peer", json.dumps(policy), str(folder.path)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._waiting: dict[int, Future[Any]] = {}
        self._numbers = itertools.count()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def start(self, what: str, *args: Any) -> Future[Any]:
        """Have it do something; the result comes when it comes."""
        number = next(self._numbers)
        future: Future[Any] = Future()
        self._waiting[number] = future
        stdin = _pipe(self._process.stdin)
        stdin.write(json.dumps([number, what, args]) + "\n")
        stdin.flush()
        return future

    def do(self, what: str, *args: Any) -> Any:
        """Have it do something, and wait for that."""
        return self.start(what, *args).result(PATIENCE)

    def ask(self, question: str, threads: int = 0, tasks: int = 0) -> Future[list[Told]]:
        """Have it ask, in so many threads and tasks at once."""
        told: Future[list[Told]] = Future()

        def hand_on(done: Future[Any]) -> None:
            error = done.exception()
            if error is None:
                told.set_result([Told(*one) for one in done.result()])
            else:
                told.set_exception(error)

        self.start("ask", question, threads, tasks).add_done_callback(hand_on)
        return told

    def one(self, question: str, *, task: bool = False) -> Told:
        """Have it ask once, and wait for the answer."""
        return self.ask(question, int(not task), int(task)).result(PATIENCE)[0]

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """Have it stand still."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it, and wait for the end."""
        if self._process.poll() is None:
            self.resume()
        with suppress(BrokenPipeError):
            _pipe(self._process.stdin).close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
        self._reader.join()
        _pipe(self._process.stdout).close()

    def _read(self) -> None:
        for line in _pipe(self._process.stdout):
            number, error, result = json.loads(line)
            future = self._waiting.pop(number)
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(AssertionError(f"the peer failed: {error}"))
        for future in self._waiting.values():
            future.set_exception(ProcessLookupError("the peer has ended"))


@contextmanager
def peers(count: int, policy: dict[str, Any], folder: Folder, *, live: bool = True) -> Iterator[list[Peer]]:
    """Run several, until each hears of changes where the policy has it hear."""
    crew = [Peer(policy, folder) for _ in range(count)]
    try:
        for ready in [peer.start("get_ready", live) for peer in crew]:
            ready.result(PATIENCE)
        yield crew
    finally:
        for peer in crew:
            peer.close()


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


# in the other process

_FOLDERS: Final[list[Folder]] = []  # this process's


@cached(_NAMESPACE, key="{question}", tags=("tag",))
def answer(question: str, tag: str = "") -> dict[str, str]:
    """Answer as the question says, in a thread."""
    _FOLDERS[0].note(question)
    how, seconds = _how(question)
    if how == "slow":
        block(seconds)
    return _answer(question, how)


@cached(_NAMESPACE, key="{question}", tags=("tag",))
async def later(question: str, tag: str = "") -> dict[str, str]:
    """Answer as the question says, in a task."""
    _FOLDERS[0].note(question)
    how, seconds = _how(question)
    if how == "slow":
        await rest(seconds)
    while how == "held" and not _FOLDERS[0].is_open(question):
        await rest(0.002)
    return _answer(question, how)


@cached(_NAMESPACE, key="outer:{question}")
def nested(question: str) -> dict[str, str]:
    """Ask another cached function, and itself, under its own lease."""
    _FOLDERS[0].note(f"outer {question}")
    return answer(question) if _FOLDERS[0].calls(f"outer {question}") > 1 else nested(question)


def _how(question: str) -> tuple[str, float]:
    """Read a question: ``quick 1``, ``slow 0.5 2``, ``gated 3``, ``failing-first 4``.

    ``gated`` blocks until the gate is open, also a loop; ``held`` lets the loop do other things.
    """
    how, _, rest_of_it = question.partition(" ")
    return how, float(rest_of_it.partition(" ")[0]) if how == "slow" else 0.0


_MADE: Final = itertools.count(1)


def _answer(question: str, how: str) -> dict[str, str]:
    if how in {"gated", "held", "interrupted"}:
        until(lambda: _FOLDERS[0].is_open(question), "the gate")
    if how == "interrupted" and _FOLDERS[0].calls(question) == 1:
        raise KeyboardInterrupt
    if how == "failing" or (how == "failing-first" and _FOLDERS[0].calls(question) == 1):
        until(lambda: _FOLDERS[0].is_open(question), "the gate")
        raise LookupError(question)
    return {"made": f"{os.getpid()}-{next(_MADE)}"}


class _Commands:
    """What a peer can be told to do."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._cancelled: asyncio.Task[Any] | None = None

    def get_ready(self, live: bool) -> bool:
        """Have everything loaded and connected."""
        question = f"quick {os.getpid()}"
        answer(question)
        self._on_loop(later(question))
        if live:
            until(lambda: _hearing().live, "changes to be heard")
        return bool(_hearing().live)

    def ask(self, question: str, threads: int, tasks: int) -> list[Told]:
        """Ask, all at once; tell how each was answered."""
        barrier = threading.Barrier(threads + 1)
        told: list[Told] = []

        def work() -> None:
            barrier.wait()
            told.append(_told(lambda: answer(question)))

        workers = [threading.Thread(target=work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        barrier.wait()
        told += self._on_loop(_ask_all(question, tasks))
        for worker in workers:
            worker.join()
        return told

    def ask_nested(self, question: str) -> dict[str, str]:
        """Ask a function that asks itself and another."""
        return nested(question)

    def cancel(self, question: str, tasks: int) -> list[str]:
        """Ask in so many tasks and cancel all, once the origin works."""

        async def main() -> list[str]:
            asked = [asyncio.create_task(later(question)) for _ in range(tasks)]
            while not _FOLDERS[0].calls(question):
                await rest(0.002)
            for task in asked:
                task.cancel()
            return [type(one).__name__ for one in await asyncio.gather(*asked, return_exceptions=True)]

        told: list[str] = self._on_loop(main())
        return told

    def lose_loop(self, question: str) -> bool:
        """Begin to ask on a loop that is closed before the answer."""
        loop = asyncio.new_event_loop()
        task = loop.create_task(later(question))

        async def begun() -> None:
            while not _FOLDERS[0].calls(question):
                await rest(0.002)

        loop.run_until_complete(begun())
        loop.close()
        task._log_destroy_pending = False  # type: ignore[attr-defined] # it is what the test is about
        self._cancelled = task  # kept: no collector ends it
        return True

    def held(self, questions: list[str]) -> list[Any]:
        """Tell what L1 would answer."""
        held = {entry.name: entry.take() for entry in list(_plan(answer).table.values())}
        return [held.get(answer.key(question)) for question in questions]

    def invalidate(self, question: str) -> bool:
        """Put an end to an answer."""
        return answer.invalidate(question)

    def expire(self, question: str) -> bool:
        """Put an answer out of date."""
        return answer.expire(question)

    def refresh(self, question: str) -> dict[str, str]:
        """Make an answer anew."""
        return answer.refresh(question)

    def purge_tag(self, tag: str) -> None:
        """Put all out of date that carries a tag."""
        plan = _plan(answer)
        flow = invalidate_tags(plan.site, plan.versions, [tag_id("tag", tag)], 5.0, purge=True)
        plan.site.sync_io().run(flow)

    def refresh_all(self, questions: list[str]) -> bool:
        """Make answers anew, and ask for each, one after another."""
        for question in questions:
            answer.refresh(question)
            answer(question)
        return True

    def waits(self, question: str) -> bool:
        """Tell whether somebody waits for another process."""
        return _plan(answer).site.hearing._expected.get(answer.key(question)) is not None

    def aboard(self, question: str) -> int:
        """Count the callers that wait for a load of this process."""
        flight = _plan(answer).flights._by_key[answer.key(question)]()
        event, futures = flight._event, flight._futures or {}
        return sum(map(len, futures.values())) + (len(event._cond._waiters) if event else 0)

    def values(self, questions: list[str]) -> list[Any]:
        """Ask one question after another."""
        return [answer(question) for question in questions]

    def commands(self) -> int:
        """Count what Redis was asked."""
        return sum(breaker.calls for breaker in _plan(answer).site.guard.breakers.values())

    def errors(self) -> dict[str, int]:
        """Tell what was survived."""
        return dict(_plan(answer).counters.errors + _plan(later).counters.errors)

    def heard(self) -> dict[str, Any]:
        """Tell what is known of the ear at Redis."""
        watch = _hearing().watch
        return {"live": watch.live, "losses": watch.losses, "gaps": watch.gaps, "lag": watch.lag}

    def await_live(self, live: bool) -> bool:
        """Wait until changes are heard, or are not."""
        until(lambda: _hearing().live is live, "the watch")
        return live

    def _on_loop(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)


async def _ask_all(question: str, tasks: int) -> list[Told]:
    async def one() -> Told:
        began = SYSTEM.monotonic()
        with observe() as seen:
            try:
                value, error = await later(question), None
            except Exception as raised:  # noqa: BLE001 - told, whatever it is
                value, error = None, type(raised).__name__
        return _as_told(seen, value, error, began)

    return await asyncio.gather(*[one() for _ in range(tasks)])


def _told(call: Callable[[], Any]) -> Told:
    began = SYSTEM.monotonic()
    with observe() as seen:
        try:
            value, error = call(), None
        except (Exception, KeyboardInterrupt) as raised:  # noqa: BLE001 - told, whatever it is
            value, error = None, type(raised).__name__
    return _as_told(seen, value, error, began)


def _as_told(seen: list[Observation], value: Any, error: str | None, began: float) -> Told:
    last = seen[-1] if seen else None
    outcome, tier = ("", "") if last is None else (str(last.outcome), str(last.tier))
    return Told(outcome, tier, value, error, SYSTEM.monotonic() - began)


def _plan(function: Any) -> Any:
    return function.policy._binding.bound().plan


def _hearing() -> Any:
    return _plan(answer).site.hearing


def main(policy: str, folder: str) -> None:
    """Do as told until nobody tells any more."""
    _FOLDERS.append(Folder(Path(folder)))
    configure(json.loads(policy))
    commands, lock = _Commands(), threading.Lock()

    def carry_out(number: int, what: str, args: list[Any]) -> None:
        try:
            reply = [number, None, getattr(commands, what)(*args)]
        except BaseException as error:  # noqa: BLE001 - told, whatever it is
            reply = [number, f"{type(error).__name__}: {error}", None]
        with lock:
            sys.stdout.write(json.dumps(reply) + "\n")
            sys.stdout.flush()

    for line in sys.stdin:
        threading.Thread(target=carry_out, args=json.loads(line), daemon=True).start()
    current.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
