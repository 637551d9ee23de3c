from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import pytest

from cachepolicy import MISS, aclose, cached, configure, observe
from cachepolicy.flow.single_flight import Flights, Role
from tests.support.policies import cache_policy

CROWD = 20
PATIENCE = 20.0  # seconds until a test that hangs is called a failure


@pytest.fixture(autouse=True)
def _memory() -> None:
    configure(cache_policy())


class Origin:
    """A slow origin under the test's control: it answers when it is told to."""

    def __init__(self) -> None:
        self.calls = 0
        self.asked = threading.Event()
        self.gate = threading.Event()

    def answer(self, question: str) -> dict[str, str]:
        """Answer once the gate is open."""
        self.calls += 1
        self.asked.set()
        assert self.gate.wait(PATIENCE)
        return {"answer": question}

    async def answer_async(self, question: str) -> dict[str, str]:
        """Answer once the gate is open, without blocking the loop."""
        self.calls += 1
        self.asked.set()
        while not self.gate.is_set():  # noqa: ASYNC110 - a gate for threads and loops alike
            await asyncio.sleep(0)
        return {"answer": question}


def asking(origin: Origin, **options: Any) -> Any:
    """Decorate a ``def`` that asks ``origin``."""

    @cached("answers", **options)
    def answer(question: str) -> dict[str, str]:
        return origin.answer(question)

    return answer


def asking_async(origin: Origin, **options: Any) -> Any:
    """Decorate an ``async def`` that asks ``origin``."""

    @cached("answers", **options)
    async def answer(question: str) -> dict[str, str]:
        return await origin.answer_async(question)

    return answer


async def everybody_waits(tasks: list[asyncio.Task[Any]]) -> None:
    """Let every task run until it can go no further."""
    for _ in range(20 + len(tasks)):
        await asyncio.sleep(0)


def threads_waiting() -> int:
    """Count the threads that wait for a flight to land."""
    return sum(map(_is_waiting, sys._current_frames().values()))


def _is_waiting(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "wait" and frame.f_code.co_filename.endswith("flow/signal.py"):
            return True
        frame = frame.f_back
    return False


def until(condition: Callable[[], bool]) -> None:
    """Spin until a condition holds."""
    tick = threading.Event()
    for _ in range(int(PATIENCE / 0.002)):
        if condition():
            return
        tick.wait(0.002)
    pytest.fail("what was waited for did not happen")


def test_c3_threads_asking_together_make_one_origin_call() -> None:
    """C3: threads that ask for the same thing at the same time share one origin call."""
    origin = Origin()
    answer = asking(origin)
    with ThreadPoolExecutor(CROWD) as pool:
        asked = [pool.submit(answer, "why?") for _ in range(CROWD)]
        until(lambda: threads_waiting() == CROWD - 1)
        origin.gate.set()
        answers = [future.result(PATIENCE) for future in asked]
    assert origin.calls == 1
    assert answers == [{"answer": "why?"}] * CROWD


def test_c3_tasks_asking_together_make_one_origin_call() -> None:
    """C3: tasks that ask for the same thing at the same time share one origin call."""
    origin = Origin()
    answer = asking_async(origin)

    async def main() -> list[dict[str, str]]:
        tasks = [asyncio.create_task(answer("why?")) for _ in range(CROWD)]
        await everybody_waits(tasks)
        origin.gate.set()
        answers = await asyncio.gather(*tasks)
        await aclose()
        return answers

    assert asyncio.run(main()) == [{"answer": "why?"}] * CROWD
    assert origin.calls == 1


def test_c3_tasks_of_several_loops_make_one_origin_call() -> None:
    """C3: a task waits for a leader on another thread's loop, and gets its answer."""
    origin = Origin()
    answer = asking_async(origin)
    boarded: list[int] = []

    async def main() -> list[dict[str, str]]:
        tasks = [asyncio.create_task(answer("why?")) for _ in range(CROWD)]
        await everybody_waits(tasks)
        boarded.append(len(tasks))
        answers = await asyncio.gather(*tasks)
        await aclose()
        return answers

    with ThreadPoolExecutor(3) as pool:
        loops = [pool.submit(asyncio.run, main()) for _ in range(3)]
        until(lambda: len(boarded) == len(loops))
        origin.gate.set()
        answers = [loop.result(PATIENCE) for loop in loops]
    assert origin.calls == 1
    assert answers == [[{"answer": "why?"}] * CROWD] * 3


def test_each_waiter_gets_a_value_of_its_own() -> None:
    """No two callers of one flight can change each other's answer."""
    origin = Origin()
    answer = asking_async(origin)

    async def main() -> list[dict[str, str]]:
        tasks = [asyncio.create_task(answer("why?")) for _ in range(3)]
        await everybody_waits(tasks)
        origin.gate.set()
        answers = await asyncio.gather(*tasks)
        await aclose()
        return answers

    answers = asyncio.run(main())
    assert len({id(each) for each in answers}) == len(answers)


@pytest.mark.parametrize("cancelled", [0, 1, CROWD - 1], ids=["leader", "follower", "last"])
def test_c4_cancelling_a_caller_fails_nobody_else(cancelled: int) -> None:
    """C4: whoever is cancelled, leader included, the others get the answer of the one origin call."""
    origin = Origin()
    answer = asking_async(origin)

    async def main() -> list[dict[str, str] | BaseException]:
        tasks = [asyncio.create_task(answer("why?")) for _ in range(CROWD)]
        await everybody_waits(tasks)
        tasks[cancelled].cancel()
        await asyncio.wait([tasks[cancelled]])
        origin.gate.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        await aclose()
        return answers

    answers = asyncio.run(main())
    assert isinstance(answers.pop(cancelled), asyncio.CancelledError)
    assert answers == [{"answer": "why?"}] * (CROWD - 1)
    assert origin.calls == 1


def test_c4_an_answer_that_nobody_waits_for_is_kept() -> None:
    """C4: when every caller is gone the origin call goes on, and its answer is there for the next."""
    origin = Origin()
    answer = asking_async(origin)

    async def main() -> dict[str, str]:
        task = asyncio.create_task(answer("why?"))
        await everybody_waits([task])
        task.cancel()
        await asyncio.wait([task])
        origin.gate.set()
        later: dict[str, str] = await answer("why?")
        await aclose()
        return later

    assert asyncio.run(main()) == {"answer": "why?"}
    assert origin.calls == 1


def test_c4_a_leader_whose_loop_is_gone_is_succeeded() -> None:
    """C4: when a leader's loop ends under it, a thread that waited for it leads the next flight."""
    asked, waited = threading.Event(), threading.Event()
    calls: list[str] = []

    @cached("answers", key="q:{question}")
    async def leading(question: str) -> str:
        calls.append("loop")
        asked.set()
        await asyncio.Event().wait()
        return question

    @cached("answers", key="q:{question}")
    def following(question: str) -> str:
        calls.append("thread")
        return question

    async def main() -> None:
        task = asyncio.create_task(leading("why?"))
        await asyncio.to_thread(waited.wait, PATIENCE)
        assert not task.done()  # asyncio.run now cancels it, and the origin call that it detached

    with ThreadPoolExecutor(2) as pool:
        loop = pool.submit(asyncio.run, main())
        assert asked.wait(PATIENCE)
        answer = pool.submit(following, "why?")
        until(lambda: threads_waiting() == 1)
        waited.set()
        loop.result(PATIENCE)
        assert answer.result(PATIENCE) == "why?"
    assert calls == ["loop", "thread"]


def test_c3_a_thread_waits_for_a_task() -> None:
    """C3: a ``def`` and an ``async def`` that share a key share one origin call."""
    origin = Origin()
    tasks_side = asking_async(origin, key="q:{question}")
    threads_side = asking(origin, key="q:{question}")

    async def main() -> dict[str, str]:
        answer: dict[str, str] = await tasks_side("why?")
        await aclose()
        return answer

    with ThreadPoolExecutor(CROWD) as pool:
        loop = pool.submit(asyncio.run, main())
        assert origin.asked.wait(PATIENCE)
        asked = [pool.submit(threads_side, "why?") for _ in range(CROWD - 1)]
        until(lambda: threads_waiting() == CROWD - 1)
        origin.gate.set()
        answers = [future.result(PATIENCE) for future in (loop, *asked)]
    assert answers == [{"answer": "why?"}] * CROWD
    assert origin.calls == 1


def test_an_error_reaches_every_waiter_after_one_origin_call() -> None:
    """A failing load is tried once, its error told to all who waited, and nothing is kept."""
    origin = Origin()

    async def fail(question: str) -> str:
        await origin.answer_async(question)
        raise LookupError(question)

    answer = cached("answers")(fail)

    async def main() -> list[str | BaseException]:
        tasks = [asyncio.create_task(answer("why?")) for _ in range(CROWD)]
        await everybody_waits(tasks)
        origin.gate.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        with pytest.raises(LookupError):
            await answer("why?")
        await aclose()
        return answers

    assert all(isinstance(each, LookupError) for each in asyncio.run(main()))
    assert origin.calls == 2


def test_an_origin_that_cancels_itself_fails_only_its_caller() -> None:
    """A CancelledError that the function raises for itself is not handed to those who waited."""
    calls = 0
    gate = asyncio.Event()

    async def moody(question: str) -> str:
        nonlocal calls
        calls += 1
        first = calls == 1
        await gate.wait()
        if first:
            raise asyncio.CancelledError
        return question

    answer = cached("answers")(moody)

    async def main() -> list[str | BaseException]:
        tasks = [asyncio.create_task(answer("why?")) for _ in range(3)]
        await everybody_waits(tasks)
        gate.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        await aclose()
        return answers

    answers = asyncio.run(main())
    assert [type(each) for each in answers] == [asyncio.CancelledError, str, str]


def test_a_function_that_asks_for_itself_does_not_wait_for_itself() -> None:
    """A call made inside the very load it would wait for goes to the origin alone, in both colours."""
    depth: list[int] = []

    @cached("answers")
    def again(question: str) -> str:
        depth.append(1)
        return question if len(depth) == 2 else again(question)

    async def _again(question: str) -> str:
        depth.append(1)
        return question if len(depth) == 4 else await later(question)

    later: Callable[[str], Coroutine[Any, Any, str]] = cached("answers")(_again)

    assert again("why?") == "why?"

    async def main() -> str:
        answer = await later("why?")
        await aclose()
        return answer

    assert asyncio.run(main()) == "why?"


def test_a_blocking_call_on_a_loop_does_not_wait_for_a_task_of_that_loop() -> None:
    """A sync caller on the leader's loop would wait for ever: it asks the origin itself."""
    origin = Origin()
    leading = asking_async(origin, key="q:{question}")

    @cached("answers", key="q:{question}")
    def following(question: str) -> dict[str, str]:
        return {"answer": "alone"}

    async def main() -> dict[str, str]:
        task = asyncio.create_task(leading("why?"))
        await everybody_waits([task])
        answer = following("why?")
        origin.gate.set()
        await task
        await aclose()
        return answer

    assert asyncio.run(main()) == {"answer": "alone"}


def test_an_interrupted_leader_hands_over() -> None:
    """C4: KeyboardInterrupt in the leading thread reaches nobody else; a waiter leads the next flight."""
    calls = 0
    gate, asked = threading.Event(), threading.Event()

    @cached("answers")
    def interrupted(question: str) -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            asked.set()
            assert gate.wait(PATIENCE)
            raise KeyboardInterrupt
        return question

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(interrupted, "why?")
        assert asked.wait(PATIENCE)
        second = pool.submit(interrupted, "why?")
        until(lambda: threads_waiting() == 1)
        gate.set()
        assert isinstance(first.exception(PATIENCE), KeyboardInterrupt)
        assert second.result(PATIENCE) == "why?"


def test_a_result_without_byte_form_is_not_shared_and_not_queued() -> None:
    """Waiters of an uncacheable result ask the origin themselves, all at once."""
    origin = Origin()

    async def opaque(question: str) -> object:
        await origin.answer_async(question)
        return object()

    answer = cached("answers")(opaque)

    async def main() -> list[object]:
        tasks = [asyncio.create_task(answer("why?")) for _ in range(3)]
        await everybody_waits(tasks)
        origin.gate.set()
        with observe() as seen:
            answers = await asyncio.gather(*tasks)
        assert seen == []  # the tasks were started before
        await aclose()
        return answers

    answers = asyncio.run(main())
    assert len({id(each) for each in answers}) == 3
    assert origin.calls == 3


def test_an_invalidation_during_a_load_is_not_undone_by_it() -> None:
    """C5, within a process: a load that an invalidation overtook answers its callers, stores nothing."""
    origin = Origin()
    answer = asking(origin)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(answer, "why?")
        assert origin.asked.wait(PATIENCE)
        answer.invalidate("why?")
        origin.gate.set()
        assert asked.result(PATIENCE) == {"answer": "why?"}
    assert answer.peek("why?") is MISS
    assert answer("why?") == {"answer": "why?"}
    assert origin.calls == 2


def test_a_loop_closed_under_its_leader_does_not_hold_up_the_key() -> None:
    """A loop closed with a load under way leaves a flight that never lands: the next caller leads anew."""
    calls = 0

    @cached("answers")
    async def answer(question: str) -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.Event().wait()
        return question

    left = asyncio.new_event_loop()
    task = left.create_task(answer("why?"))
    for _ in range(5):
        left.run_until_complete(asyncio.sleep(0))
    left.close()
    assert asyncio.run(answer("why?")) == "why?"
    assert calls == 2
    task._log_destroy_pending = False  # type: ignore[attr-defined] # it is pending, and that is the point
    for detached in asyncio.all_tasks(left):
        detached._log_destroy_pending = False  # type: ignore[attr-defined] # the same


def test_c3_a_flight_whose_leader_was_interrupted_at_once_is_nobodys() -> None:
    """C3: an exception from outside may end a leader before it knows that it leads; the next caller leads."""
    flights = Flights()
    assert flights.board("key", b"schema", is_async=False)[0] is Role.LEAD  # and nobody holds the flight
    role, flight = flights.board("key", b"schema", is_async=False)
    assert role is Role.LEAD
    assert flights.board("key", b"schema", is_async=False) == (Role.FOLLOW, flight)
