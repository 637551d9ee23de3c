"""L1's ear at Redis: a thread that hears what changes there, and knows when it hears nothing.

::

    blind ──connected, a canary has come back──▶ all of L1 dropped ──▶ live
      ▲                                                                 │
      └── all of L1 dropped ◀── connection lost, or a canary overdue ───┘

What was filled while blind is dropped before live: its changes may have been missed. Only one connection is
listened to at a time, so nothing of an old one can come late.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Literal

from cachepolicy.chance import chance as draw
from cachepolicy.clock import SYSTEM
from cachepolicy.errors import Fault, StoreError, StoreMisconfigured
from cachepolicy.telemetry.logs import Alarms, Event, fields
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.dial_sync import open_any
from cachepolicy.tiers.line import Bell, Line
from cachepolicy.tiers.listener import Listener, Tally
from cachepolicy.tiers.notices import Names, Numbering, void
from cachepolicy.tiers.subscription import Rhythm, Subscription, Wants, Way

Mode = Literal["auto", "tracking", "pubsub"]

_LOG: Final = logging.getLogger("cachepolicy")
_FIRST_PAUSE: Final = 0.05  # seconds until the next attempt; doubled each time
_LONGEST_PAUSE: Final = 1.0
_REFUSED_PAUSE: Final = 30.0  # seconds: somebody has to mend it
_MOST_UNSAID: Final = 1000
_JOIN: Final = 5.0  # seconds; connecting may be under way

_now = SYSTEM.monotonic


class _Worker:
    """One thread's own things; who comes after it has others."""

    def __init__(self, run: Callable[[_Worker], None]) -> None:
        self.bell = Bell()
        self.line: Line | None = None
        self.live = False
        self.stopped = False
        self.thread = threading.Thread(target=run, args=(self,), name="cachepolicy-watch", daemon=True)

    def is_stopped(self) -> bool:
        """Tell whether the thread is to end."""
        return self.stopped

    def stop(self) -> None:
        """Have the thread end."""
        self.stopped = True
        self.bell.ring()

    def abandon(self) -> None:
        """Give back, in a forked child, what the parent goes on with."""
        if self.line is not None:
            self.line.close()
        self.bell.close()


class Watch(Tally):
    """Listens at one database of one Redis, in a daemon thread, from the first ``start`` to ``close``.

    Args:
        place: the database.
        app: the first segment of every key.
        prefixes: what the keys begin with that L1 may hold.
        listener: who is told.
        mode: how changes are told. ``auto`` is ``tracking``; ``pubsub`` on a cluster, and where the server
            refuses tracking, or has none.
        heartbeat: seconds between two canaries.
        patience: seconds after which a canary is overdue.
        refused_pause: about how many seconds pass until a server that refuses is asked again.
        chance: draws from 0 to 1.
    """

    def __init__(
        self,
        place: Place,
        app: str,
        prefixes: Sequence[str],
        listener: Listener,
        mode: Mode = "auto",
        *,
        heartbeat: float = 1.0,
        patience: float = 3.0,
        refused_pause: float = _REFUSED_PAUSE,
        chance: Callable[[], float] = draw,
    ) -> None:
        super().__init__()
        self._place = place
        self._names = Names.of(app)
        self._prefixes = tuple(prefixes)
        self._listener = listener
        self._ways = _ways(mode, is_cluster=place.endpoint.is_cluster)
        self._rhythm = Rhythm(heartbeat, patience)
        self._refused_pause = refused_pause
        self._chance = chance
        self._warned: Fault | None = None
        self._alarms = Alarms()
        self._lock = threading.Lock()
        self._worker: _Worker | None = None
        self._numbering = Numbering()
        self._unsaid: deque[bytes] = deque(maxlen=_MOST_UNSAID)
        self._unverified: deque[str] = deque()

    @property
    def live(self) -> bool:
        """Whether changes are heard; False while blind."""
        worker = self._worker
        return worker is not None and worker.live

    @property
    def running(self) -> bool:
        """Whether it listens, or tries to."""
        return self._worker is not None

    def start(self) -> None:
        """Start to listen, if that has not begun; nothing is waited for."""
        if self._worker is None:
            with self._lock:
                self._launch()

    def verify(self, key: str) -> None:
        """Have the listener told how the value under a key ends, in order with what else it is told.

        While blind, it is told at once, in this thread, that this cannot be known.
        """
        worker = self._worker
        if worker is None or not worker.live:
            self._listener.verified(key, None)
            return
        self._unverified.append(key)
        worker.bell.ring()

    def notice(self, key: str, tail: bytes = b"") -> bytes:
        """Return the message to publish with a change of a key, by the same script or transaction.

        Each is to be published, once. One that cannot have been is to be given to ``unsaid``, or other
        processes will miss it, and drop all they hold.

        Args:
            key: that changes.
            tail: how its new value ends; nothing where it has none.
        """
        return self._numbering.next(key, tail)

    def unsaid(self, notice: bytes) -> None:
        """Take note that a message was never published: its number is told of, and nothing else."""
        self._unsaid.append(void(notice))

    def close(self) -> None:
        """End the thread, and what it listens to; ``start`` begins anew."""
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()
            if worker.thread is not threading.current_thread():
                worker.thread.join(_JOIN)

    def after_fork(self) -> None:
        """Leave the parent its connection; the child is blind until ``start``, and is to empty its L1."""
        self._lock = threading.Lock()
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.abandon()
        self._numbering = Numbering()
        self._unsaid.clear()
        self._unverified.clear()

    def _launch(self) -> None:
        if self._worker is not None:  # another thread was quicker
            return
        try:
            worker = _Worker(self._run)
        except OSError:  # no descriptors left: the next call tries again
            return
        try:
            worker.thread.start()
        except RuntimeError:  # no thread to be had, or the interpreter is ending
            worker.bell.close()
        else:
            self._worker = worker

    def _run(self, worker: _Worker) -> None:
        failures = 0
        try:
            while not worker.stopped:
                began = _now()
                pause = 0.0
                try:
                    self._listen(worker)
                except StoreMisconfigured:  # that nobody can connect is told by calls that wanted to
                    pause = self._refused_pause
                except (StoreError, OSError):  # counted below: what is lost is the connection
                    pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**failures)
                except Exception as bug:  # noqa: BLE001 - the thread goes on, and tells of it
                    self._count(bug)
                    pause = _LONGEST_PAUSE
                failures = 0 if _now() - began > self._rhythm.patience else min(failures + 1, 16)
                self._be_blind(worker)
                self._rest(worker, pause * (0.5 + self._chance() / 2))
        finally:
            self._be_blind(worker)
            if self._worker is worker:  # ended by what is no Exception: the next call starts another
                self._worker = None
            worker.bell.close()

    def _rest(self, worker: _Worker, seconds: float) -> None:
        end = _now() + seconds
        while not worker.stopped and (left := end - _now()) > 0:
            worker.bell.wait(left)

    def _listen(self, worker: _Worker) -> None:
        """Listen until told to stop.

        Raises:
            StoreError: the connection is refused, or was lost.
        """
        for number, way in enumerate(self._ways, start=1):
            channel = open_any(self._place, self._chance)
            line = worker.line = Line(channel.give_up(), worker.bell)
            try:
                try:
                    subscription = self._subscription(line, way)
                    subscription.begin(worker.is_stopped)
                except StoreMisconfigured as refusal:
                    if number == len(self._ways):
                        self._warn(refusal)
                        raise
                    continue
                self._be_live(worker)
                while not worker.stopped:
                    subscription.turn()
            finally:
                worker.line = None
                line.close()
            return

    def _subscription(self, line: Line, way: Way) -> Subscription:
        if self._place.endpoint.is_cluster and way == "tracking":
            raise StoreMisconfigured("a server of a cluster tracks its own keys only", Fault.UNSUPPORTED)
        wants = Wants(self._names, self._prefixes, self._numbering, self._unsaid, self._unverified)
        return Subscription(line, way, wants, self._listener, self, self._rhythm)

    def _be_live(self, worker: _Worker) -> None:
        if worker.stopped:
            return
        self._listener.lost()
        worker.live = True
        self._warned = None

    def _be_blind(self, worker: _Worker) -> None:
        """Say so; what was to be verified cannot be."""
        if worker.live:
            worker.live = False
            self.losses += 1
            self._tell(self._listener.lost)
        while self._unverified:
            self._tell(partial(self._listener.verified, self._unverified.popleft(), None))

    def _tell(self, what: Callable[[], None]) -> None:
        try:
            what()
        except Exception as bug:  # noqa: BLE001 - the thread goes on, and tells of it
            self._count(bug)

    def _count(self, bug: Exception) -> None:
        self.errors += 1
        beside = fields(Event.BUG, error=f"internal.{type(bug).__name__}")
        self._alarms.sound(_LOG, f"a bug where changes are heard of: {type(bug).__name__}", beside, _now())

    def _warn(self, refusal: StoreMisconfigured) -> None:
        """Say once what to mend, until it was mended."""
        if self._warned is not refusal.fault:
            self._warned = refusal.fault
            _LOG.warning(
                "L1 does not hear of changes, so it keeps values for a short time only (%s). It needs "
                "CLIENT TRACKING, or SUBSCRIBE and PUBLISH, on keys and channels that begin with %s:~",
                refusal.fault,  # its words are told by the first call that meets it
                self._names.changes.partition(":~")[0],
                extra=fields(Event.COHERENCE, error=str(refusal.fault)),
            )


def _ways(mode: Mode, *, is_cluster: bool) -> tuple[Way, ...]:
    if mode == "auto":
        return ("pubsub",) if is_cluster else ("tracking", "pubsub")
    return (mode,)
