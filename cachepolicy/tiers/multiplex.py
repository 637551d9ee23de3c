"""One connection that all tasks of a loop share: commands of one tick leave in one write.

::

    submit ──▶ queue ── one flush a tick ──▶ wire ──▶ each waiter's own future
                 │ not open
                 ▼
               open, once for all who wait
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from cachepolicy.chance import chance
from cachepolicy.errors import Fault, StoreError
from cachepolicy.tiers.patience import within
from cachepolicy.tiers.replies import FAULTS, again, store_error, translate
from cachepolicy.tiers.wire import NEVER, Waiter, Wire

MOST_WAITING: Final = 100_000
MOST_BYTES: Final = 64 * 2**20
"""Back-pressure: what may wait to be sent before commands are refused."""

_EARLY: Final = 32  # scripts that leave before the tick ends: the server works while more are made

_LATE: Final = 0.005  # a timer this late was held up by the loop, and so was what the server is to answer
_A_MOMENT: Final = 0.0005
_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.5

Open = Callable[[Callable[[], None], Callable[[Wire], None]], Awaitable[Wire]]


class Link:
    """One multiplexed connection; it is opened by the first command, and again by the next after a loss.

    Args:
        loop: that it belongs to.
        open_wire: connects and greets; it is given what the wire calls when it may go on, or is lost.
        size: the most commands in one write.
        connect_timeout: seconds that opening may take.
        patience: seconds of silence, while a reply is due, after which the connection is given up.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        open_wire: Open,
        *,
        size: int,
        connect_timeout: float,
        patience: float,
    ) -> None:
        self._loop = loop
        self._open_wire = open_wire
        self._size = size
        self._connect_timeout = connect_timeout
        self._patience = patience
        self._queue: deque[Waiter] = deque()
        self._queued_bytes = 0
        self._wire: Wire | None = None
        self._opening: asyncio.Task[None] | None = None
        self._flushing = False
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = NEVER
        self._excused = False
        self._failures = 0
        self._not_before = 0.0
        self._refusal: StoreError | None = None
        self._closed = False

    @property
    def is_open(self) -> bool:
        """Tell whether there is a connection."""
        return self._wire is not None

    @property
    def is_due(self) -> bool:
        """Tell whether it is to bring replies."""
        wire = self._wire
        return wire is not None and bool(wire.sent)

    def submit(self, packed: bytes, timeout: float, *, busy: bool = False) -> asyncio.Future[object]:
        """Queue a command; the future gets its reply, or StoreError.

        Args:
            packed: its bytes.
            timeout: seconds until it fails.
            busy: it keeps the server busy, as scripts do: many of them do not wait for the end of the tick.

        Raises:
            StoreError: too many wait already.
        """
        if len(self._queue) >= MOST_WAITING or self._queued_bytes >= MOST_BYTES:
            raise store_error(Fault.BACKPRESSURE, sent=False)
        loop = self._loop
        deadline = loop.time() + timeout
        future: asyncio.Future[object] = loop.create_future()
        self._queue.append((future, deadline, packed))
        self._queued_bytes += len(packed)
        if not self._flushing:
            self._flushing = True
            loop.call_soon(self._flush)
        elif busy and len(self._queue) >= _EARLY and self._wire is not None:
            self._flush()
            self._flushing = True  # the rest still leaves at the end of the tick
        if deadline < self._alarm_at:
            self._set_alarm(deadline)
        return future

    def lose(self, fault: StoreError) -> None:
        """Give the connection up, as when the server turns out to be the wrong one."""
        if self._wire is not None:
            self._wire.lose(fault)

    async def aclose(self) -> None:
        """Close the connection; commands under way fail."""
        self._closed = True
        if self._alarm is not None:
            self._alarm.cancel()
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        self.lose(store_error(Fault.CLOSED, sent=True))
        self._refuse(store_error(Fault.CLOSED, sent=False))
        await asyncio.sleep(0)  # the transport closes its socket

    def _flush(self) -> None:
        self._flushing = False
        queue, wire = self._queue, self._wire
        if wire is None:
            self._reopen()
            return
        while queue and wire is self._wire and not wire.is_busy:
            batch: list[Waiter] = []
            while queue and len(batch) < self._size:
                waiter = queue.popleft()
                self._queued_bytes -= len(waiter[2])
                if not waiter[0].done():  # cancelled, or too late: it is never sent
                    batch.append(waiter)
            if batch:
                wire.send(batch)

    def _reopen(self) -> None:
        if self._opening is not None or not self._queue:
            return
        if self._closed:
            self._refuse(store_error(Fault.CLOSED, sent=False))
        elif self._refusal is not None and self._loop.time() < self._not_before:
            self._refuse(self._refusal)
        else:
            self._opening = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            async with within(self._connect_timeout):
                wire = await self._open_wire(self._flush, self._on_lost)
            if wire.is_lost:  # between the last word of the greeting and now
                self._on_refused(store_error(Fault.LOST, sent=False))
            else:
                self._wire, self._failures, self._refusal = wire, 0, None
        except StoreError as fault:
            self._on_refused(fault)
        except FAULTS as error:
            self._on_refused(translate(error, sent=False))
        finally:
            self._opening = None
        self._flush()

    def _on_refused(self, fault: StoreError) -> None:
        """Refuse commands for a moment: longer after each failure, and by chance, so that herds disperse."""
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**self._failures)
        self._not_before = self._loop.time() + pause * chance()
        self._failures = min(self._failures + 1, 16)
        self._refusal = fault
        self._refuse(fault)

    def _on_lost(self, wire: Wire) -> None:
        if wire is self._wire:
            self._wire = None
            self._reopen()  # for those that were never sent

    def _refuse(self, fault: StoreError) -> None:
        queue, self._queue = self._queue, deque()
        self._queued_bytes = 0
        for future, _, _ in queue:
            if not future.done():
                future.set_exception(again(fault, sent=False))

    def _set_alarm(self, at: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = self._loop.call_at(at, self._on_alarm)

    def _on_alarm(self) -> None:
        """Fail what is overdue; give up a connection that has gone silent."""
        now = self._loop.time()
        late, excused = now - self._alarm_at > _LATE, self._excused
        self._alarm, self._alarm_at, self._excused = None, NEVER, False
        if not excused:  # replies may lie in the socket: they are read before anybody gives up
            self._excused = True
            self._set_alarm(now + (_LATE if late else _A_MOMENT))
            return
        wire = self._wire
        earliest = self._expire(self._queue, now, sent=False)
        if wire is not None:
            earliest = min(earliest, self._expire(wire.sent, now, sent=True))
            silent, stuck = now - wire.heard, now - wire.progress
            if wire.sent and (silent >= self._patience or stuck >= 2 * self._patience):
                wire.lose(store_error(Fault.TIMEOUT, sent=True))
        if earliest < self._alarm_at:
            self._set_alarm(earliest)

    def _expire(self, waiters: deque[Waiter], now: float, *, sent: bool) -> float:
        """Fail what is overdue; return the next deadline."""
        earliest = NEVER
        for future, deadline, _ in waiters:
            if future.done():
                continue
            if deadline <= now:
                future.set_exception(store_error(Fault.TIMEOUT, sent=sent))
            elif deadline < earliest:
                earliest = deadline
        return earliest
