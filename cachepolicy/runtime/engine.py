"""What decorated calls are run with."""

from __future__ import annotations

import typing
from collections.abc import Awaitable, Callable

from cachepolicy.flow.answer import Answer
from cachepolicy.flow.batch import Batch
from cachepolicy.flow.drive import arun, run
from cachepolicy.flow.effects import AsyncIO, Flow, SyncIO
from cachepolicy.flow.guarantee import Guarantee
from cachepolicy.flow.many import respond_many
from cachepolicy.flow.plan import Call, Plan
from cachepolicy.flow.respond import go_past, respond
from cachepolicy.policy.rules.cache import CacheRule
from cachepolicy.runtime import streams
from cachepolicy.runtime.decoration import Decoration
from cachepolicy.telemetry.names import Reason


class Engine(typing.NamedTuple):
    """What decorated calls are run with, for a room that must not load it by itself."""

    call: type[Call] = Call
    respond: Callable[[Plan, Call], Flow[Answer]] = respond
    batch: type[Batch] = Batch
    respond_many: Callable[[Plan, Batch], Flow[typing.Any]] = respond_many
    go_past: Callable[[Plan, Call, Reason], Flow[Answer]] = go_past
    other_plan: Callable[[Plan, Decoration, CacheRule], Plan | None] = streams.other_plan
    run: Callable[[Flow[typing.Any], SyncIO], typing.Any] = run
    arun: Callable[[Flow[typing.Any], AsyncIO], Awaitable[typing.Any]] = arun

    def over(self, guarantee: Guarantee) -> Engine:
        """Return the same over servers that are asked first, unless nothing is to be asked of them."""
        if guarantee.settled:
            return self
        return self._replace(
            run=lambda flow, io: run(guarantee.over(flow), io),
            arun=lambda flow, io: arun(guarantee.over(flow), io),
        )
