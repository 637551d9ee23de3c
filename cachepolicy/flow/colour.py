"""Which driver runs a flow, for what must know who may wait for whom."""

from __future__ import annotations

from dataclasses import dataclass

from cachepolicy.flow.effects import AsyncIO, Flow, SyncIO


@dataclass(slots=True)
class IsAsync:
    """Tell which driver this is."""

    def run(self, io: SyncIO) -> bool:  # noqa: ARG002 - it needs no store
        """Say that it is a thread."""
        return False

    async def arun(self, io: AsyncIO) -> bool:  # noqa: ARG002 - it needs no store
        """Say that it is a task."""
        return True


def in_task() -> Flow[bool]:
    """Tell whether this flow runs in a task, or in a thread."""
    is_async: bool = yield IsAsync()
    return is_async
