"""Flows that run on without those who began them: their cancellation does not reach, nor their patience."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from cachepolicy.flow.effects import AsyncIO, Flow, SyncIO

Around = Callable[[Flow[object]], Flow[object]]


def _alone(flow: Flow[object]) -> Flow[object]:
    return flow


@dataclass(frozen=True, slots=True)
class Detach:
    """Run a flow that its caller's cancellation does not reach: a task of its own, or, in sync code, here.

    ``ended`` is called however it ends, even when its task is cancelled before it ran a step.
    """

    flow: Flow[object]
    ended: Callable[[], None]

    def run(self, io: SyncIO) -> None:
        """Run it to its end."""
        try:
            io.run(self.flow)
        finally:
            self.ended()

    async def arun(self, io: AsyncIO) -> None:
        """Start it."""
        io.spawn(self.flow, self.ended)

    def of(self, flow: Flow[object], ended: Callable[[], None]) -> Detach:
        """Return the same for another flow."""
        return replace(self, flow=flow, ended=ended)


@dataclass(frozen=True, slots=True)
class Background(Detach):
    """Run a flow that its caller does not wait for as long as it takes: in a task, or a thread of its own."""

    def run(self, io: SyncIO) -> None:
        """Start it; here and now where too many run already."""
        if not io.spawn(self.flow, self.ended):
            super(Background, self).run(io)


@dataclass(frozen=True, slots=True)
class Volunteer(Detach):
    """Run a flow that nobody waits for at all: in a task, in a thread, or not.

    ``around`` is done around the flow, or around several of its kind that are run as one.
    """

    around: Around = _alone

    def run(self, io: SyncIO) -> None:
        """Start it; leave it to another time where too many run already."""
        if not io.spawn(self.around(self.flow), self.ended):
            self.flow.close()
            self.ended()

    async def arun(self, io: AsyncIO) -> None:
        """Start it."""
        io.spawn(self.around(self.flow), self.ended)


def detach(flow: Flow[object], ended: Callable[[], None], *, behind: bool = False) -> Flow[None]:
    """Run a flow out of reach of this caller's cancellation; ``ended`` is called however it ends.

    Args:
        flow: to run.
        ended: called in the end.
        behind: this caller goes on meanwhile, in sync code too.
    """
    yield Background(flow, ended) if behind else Detach(flow, ended)


def volunteer(flow: Flow[object], ended: Callable[[], None], around: Around = _alone) -> Flow[None]:
    """Run a flow that nobody waits for, if there is room; ``ended`` is called in any case.

    Args:
        flow: to run.
        ended: called in the end.
        around: is done around it.
    """
    yield Volunteer(flow, ended, around)
