"""The two drivers: they run a flow's effects and send it the results. No decision is made here.

An exception is thrown into the flow in the context that it happened in, so that ``finally`` blocks and spans
close there; that includes CancelledError and KeyboardInterrupt, which then go on to the caller.
"""

from __future__ import annotations

from typing import TypeVar

from cachepolicy.flow.effects import AsyncIO, Flow, SyncIO

T = TypeVar("T")


def run(flow: Flow[T], io: SyncIO) -> T:
    """Drive a flow to its end in this thread and return its result."""
    try:
        effect = next(flow)
        while True:
            try:
                result = effect.run(io)
            except BaseException as error:  # noqa: BLE001 - handed to the flow, which decides
                effect = flow.throw(error)
            else:
                effect = flow.send(result)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return] # an error's traceback may hold this frame, but not that


async def arun(flow: Flow[T], io: AsyncIO) -> T:
    """Drive a flow to its end on the running loop and return its result."""
    try:
        effect = next(flow)
        while True:
            try:
                result = await effect.arun(io)
            except BaseException as error:  # noqa: BLE001 - handed to the flow, which decides
                effect = flow.throw(error)
            else:
                effect = flow.send(result)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return] # an error's traceback may hold this frame, but not that
