"""How what was counted goes to Redis: in batches that may be sent again, and are added once.

::

    buffer ── take ──▶ a batch, held ── sent ──▶ let go
                            │ ◀── a fault: held as it was, with its id, and sent again
                            └──▶ dropped, and counted: Redis says no, or no longer knows whether it had it

Nobody waits for anybody: who flushes sends all that is held, what another is sending at the moment included.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from cachepolicy.errors import CachePolicyError, Fault, PolicyError, StoreError, Uncountable
from cachepolicy.flow import incidents
from cachepolicy.flow.buffer import Buffer
from cachepolicy.flow.cells import Batch
from cachepolicy.flow.doubt import watched
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.series import Metric
from cachepolicy.flow.spanned import spanned
from cachepolicy.telemetry.analytics import Flushes
from cachepolicy.telemetry.names import ATTRIBUTE_CELLS, ATTRIBUTE_ERROR, ATTRIBUTE_NAMESPACE
from cachepolicy.telemetry.spans import Attribute, Tracing

_NEVER: Final = frozenset({Fault.ERROR, Fault.WRONGTYPE})
"""How Redis refuses a batch that it will not take another time either."""


@dataclass(slots=True, eq=False)
class Held:
    """A batch that Redis may not have taken.

    Attributes:
        metric: that it is of.
        batch: as it is sent, each time.
        doubted: since when it may have been taken, all the same; monotonic.
    """

    metric: Metric
    batch: Batch
    doubted: float = field(default=math.inf)


class Tell(Protocol):
    """Counts what somebody knows, before it is flushed."""

    def __call__(self, *, is_last: bool) -> None:
        """Count it; ``is_last``: a flush was asked for, or it may be the last."""
        ...


class Flusher:
    """Sends what is counted in one namespace.

    Args:
        watched: whose faults are counted and logged.
        buffer: what was counted.
        post: adds a batch, once however often it is sent; raises StoreError.
        now: the monotonic clock.
        memory: seconds for which Redis knows a batch that it has taken.
        flushes: what became of it all.
        tracing: where spans come from.
    """

    def __init__(
        self,
        watched: incidents.Watched,
        buffer: Buffer,
        post: Callable[[Metric, Batch], Flow[None]],
        now: Callable[[], float],
        memory: float,
        flushes: Flushes,
        tracing: Tracing,
    ) -> None:
        self._watched = watched
        self._buffer = buffer
        self._post = post
        self._now = now
        self._memory = memory
        self._flushes = flushes
        self._tracing = tracing
        self._held: dict[str, Held] = {}

    @property
    def pending(self) -> int:
        """How many cells wait; none is between the one and the other, so that it would seem to be sent."""
        with self._buffer.lock:
            return self._buffer.cells + self._buffer.held

    def flush(self) -> Flow[None]:
        """Send all that was counted before.

        Raises:
            StoreError, PolicyError: Redis did not take it; it is held, and will be sent again.
        """
        before = list(self._held.values())
        fault = yield from self._send(before)
        fault = (yield from self._send(self._rest(before))) or fault
        if fault is not None:
            raise fault

    def post(self, metric: Metric, batch: Batch, *, hold: bool) -> Flow[None]:
        """Send what is not to wait.

        Args:
            metric: that it is of.
            batch: what was counted.
            hold: where Redis does not take it, it is sent again later, if it can be held; no error is raised.

        Raises:
            StoreError, PolicyError: Redis did not take it, and it is not held.
        """
        if not hold:
            yield from self._traced(metric, batch)
            self._flushes.flushed += len(batch)
            return
        with self._buffer.lock:
            held = self._hold(metric, batch)
            has_room = self.pending <= self._buffer.most
        fault = yield from self._send([held])
        if fault is not None and not has_room and self._let_go(held):
            self._flushes.dropped += 1

    def after_fork(self) -> None:
        """Leave to the parent what it has counted."""
        self._held = {}
        self._buffer.after_fork()

    def _rest(self, tried: list[Held]) -> list[Held]:
        """Return what is to be sent after some were tried: what another took meanwhile, and what waits.

        Of a metric with a batch that Redis did not take, nothing more is taken.
        """
        with self._buffer.lock:
            late = {held.metric for held in tried if held.batch.id in self._held}
            others = [held for held in self._held.values() if held not in tried]
            return others + [self._hold(metric, batch) for metric, batch in self._buffer.take(late)]

    def _hold(self, metric: Metric, batch: Batch) -> Held:
        held = self._held[batch.id] = Held(metric, batch)
        self._buffer.held += len(batch)
        return held

    def _let_go(self, held: Held) -> bool:
        """Hold a batch no longer; tell whether it was held."""
        with self._buffer.lock:
            was_held = self._held.pop(held.batch.id, None) is not None
            if was_held:
                self._buffer.held -= len(held.batch)
        return was_held

    def _send(self, batches: list[Held]) -> Flow[CachePolicyError | None]:
        """Send batches; return what went wrong last."""
        last: CachePolicyError | None = None
        for held in batches:
            if self._now() - held.doubted > self._memory:
                self._drop(held)
                continue
            fault = yield from self._try(held)
            if fault is None:
                if self._let_go(held):
                    self._flushes.flushed += len(held.batch)
            elif isinstance(fault, StoreError) and fault.fault in _NEVER:
                self._drop(held)
            else:
                last = fault
        return last

    def _try(self, held: Held) -> Flow[CachePolicyError | None]:
        def doubt() -> None:
            held.doubted = min(held.doubted, self._now())

        try:
            yield from watched(self._traced(held.metric, held.batch), doubt)
        except StoreError as fault:
            incidents.fault(self._watched, fault, "what is counted is held, and sent again")
            return fault
        except Uncountable as refused:
            incidents.left_out(self._watched, refused)
            self._flushes.dropped += 1
        except PolicyError as refused:  # a server that may evict, where the policy says required
            return refused
        return None

    def _traced(self, metric: Metric, batch: Batch) -> Flow[None]:
        namespace = self._watched.namespace
        told: dict[str, Attribute] = {ATTRIBUTE_NAMESPACE: namespace, ATTRIBUTE_CELLS: len(batch)}
        yield from spanned(self._tracing.start(namespace), told, self._told(metric, batch, told))

    def _told(self, metric: Metric, batch: Batch, told: dict[str, Attribute]) -> Flow[None]:
        try:
            yield from self._post(metric, batch)
        except StoreError as fault:
            told[ATTRIBUTE_ERROR] = str(fault.fault)
            raise

    def _drop(self, held: Held) -> None:
        if self._let_go(held):
            self._flushes.dropped += len(held.batch)
            incidents.dropped(self._watched)
