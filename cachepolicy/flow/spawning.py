"""How flows are begun that no caller waits for: in a thread, or as a task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from cachepolicy.flow.background import Background
from cachepolicy.flow.drive import arun, run
from cachepolicy.flow.effects import AsyncIO, Flow, SyncIO

Tasks = set[asyncio.Task[Any]]


def runner(here: Callable[[], SyncIO]) -> Callable[[Flow[object]], object]:
    """Return what drives a flow in the thread that calls it; ``here`` returns what it works with."""
    return lambda flow: run(flow, here())


def thread_spawner(
    here: Callable[[], SyncIO], background: Background
) -> Callable[[Flow[object], Callable[[], None]], bool]:
    """Return what drives a flow in a thread of its own, then calls back, unless it says no."""

    def spawn(flow: Flow[object], ended: Callable[[], None]) -> bool:
        def work() -> None:
            try:
                run(flow, here())
            finally:
                ended()

        return background.submit(work)

    return spawn


def task_spawner(
    here: Callable[[], AsyncIO], tasks: Tasks
) -> Callable[[Flow[object], Callable[[], None]], None]:
    """Return what drives a flow in a task of its own, which is among ``tasks`` meanwhile, then calls back."""

    def spawn(flow: Flow[object], ended: Callable[[], None]) -> None:
        task = asyncio.get_running_loop().create_task(arun(flow, here()))
        tasks.add(task)

        def finish(done: asyncio.Task[object]) -> None:
            tasks.discard(done)
            ended()
            if not done.cancelled():
                done.exception()  # mark it as seen: it was answered through the flight

        task.add_done_callback(finish)

    return spawn
