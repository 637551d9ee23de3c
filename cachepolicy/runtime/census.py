"""How many sessions live: what happens in this process is told to Redis, which counts for all.

Nobody waits for it. What happens is put into a list; when metrics are collected the list goes to Redis behind
the collector's back, and what was counted then is told at the next collection. Where nothing collects nothing
goes to Redis, and only the last events are held.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from cachepolicy.errors import StoreError
from cachepolicy.flow import incidents
from cachepolicy.flow.drive import run
from cachepolicy.flow.effects import Flow
from cachepolicy.keys.layout import census_keys
from cachepolicy.policy import Policy
from cachepolicy.policy.rules import SessionsRule
from cachepolicy.runtime.heritage import Heritage
from cachepolicy.runtime.opened import Opened
from cachepolicy.runtime.quotas import ms
from cachepolicy.runtime.records import Records
from cachepolicy.runtime.session_events import NO_EVENTS, SessionEvents
from cachepolicy.telemetry import sessions as told
from cachepolicy.tiers import census as steps
from cachepolicy.tiers.census import Event

SHARDS: Final = 16
"""Among so many keys the sessions are spread, so that none is large, and a cluster shares them out."""

MOST_PENDING: Final = 10_000
_SOON: Final = 250  # events, after which they go to Redis without being collected for
_IN_ONE: Final = 50  # script, so that it holds up others for a millisecond
_MOST_ROUNDS: Final = 40  # of taking out what is over, at one collection
_DIGITS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_DAY: Final = 86_400_000
_PATIENCE: Final = 10.0  # seconds that closing waits for what is under way, at most


class Census:
    """The sessions of one namespace, as ``SessionEvents`` tells of them.

    Args:
        records: of the namespace.
    """

    def __init__(self, records: Records[SessionsRule]) -> None:
        self._records = records
        self._now = records.site.clock.monotonic
        self._kept = round(records.rule.absolute * 1000) + _DAY
        self._pending: deque[Event] = deque(maxlen=MOST_PENDING)
        self._living: int | None = None
        self._collected = False
        self._working = threading.Lock()
        self._closed = False  # a policy that is closed is opened by the next verb

    def began(self, tag: str, session_id: str, created: float, expires_at: float) -> None:
        """Hear of one that was made."""
        self._hear("b", _member(tag, session_id), ms(created), ms(expires_at))

    def touched(self, tag: str, session_id: str, expires_at: float) -> None:
        """Hear of one that was renewed."""
        self._hear("t", _member(tag, session_id), ms(expires_at))

    def ended(self, tag: str, session_id: str, created: float | None) -> None:
        """Hear of one that was ended."""
        self._hear("e", _member(tag, session_id), "" if created is None else ms(created))

    def all_ended(self, tag: str, but: str | None) -> None:
        """Hear that all of a user were ended."""
        self._hear("a", _member(tag, ""), "" if but is None else _member(tag, but))

    def living(self) -> int | None:
        """Return how many live, as it was counted after the last collection; they are counted anew now."""
        if self._closed:
            return None
        self._collected = True
        self._refresh()
        return self._living

    def close(self) -> None:
        """Tell Redis what it was not told, once what is under way has ended; nothing is opened after that."""
        self._closed = True
        if self._working.acquire(timeout=min(2 * self._records.deadline, _PATIENCE)):
            if self._collected and self._pending:
                self._in_this_thread(self._tell)
            else:
                self._working.release()

    def after_fork(self) -> None:
        """Leave to the parent what it has heard."""
        self._pending.clear()
        self._working = threading.Lock()

    def _hear(self, what: str, member: str, first: str | int, second: str | int = "") -> None:
        self._closed = False
        self._pending.append(Event(what, member, first, second, self._now()))
        if self._collected and len(self._pending) >= _SOON:
            self._refresh()

    def _refresh(self) -> None:
        """Tell and count behind the caller's back; one at a time is enough."""
        if self._working.acquire(blocking=False):
            submit = self._records.site.background.submit
            if self._closed or not submit(lambda: self._in_this_thread(self._tell_and_count)):
                self._working.release()

    def _in_this_thread(self, work: Callable[[], Flow[None]]) -> None:
        """Work, and let others work then."""
        try:
            run(work(), self._records.site.sync_io())
        except StoreError as fault:
            incidents.fault(self._records, fault, "sessions are not counted meanwhile")
        finally:
            self._working.release()

    def _tell_and_count(self) -> Flow[None]:
        yield from self._tell()
        yield from self._count()

    def _tell(self) -> Flow[None]:
        """Raises StoreError: what was not told is told another time."""
        waiting = [self._pending.popleft() for _ in range(len(self._pending))]
        by_shard: dict[int, list[Event]] = {}
        for event in waiting:
            by_shard.setdefault(_DIGITS.index(event.member[0]) % SHARDS, []).append(event)
        batches = [
            (shard, events[at : at + _IN_ONE])
            for shard, events in by_shard.items()
            for at in range(0, len(events), _IN_ONE)
        ]
        if not batches:
            return
        now, keys = self._now(), self._keys
        results = yield from self._records.ask_all(
            [steps.tell(keys(shard), self._kept, events, now) for shard, events in batches]
        )
        fault: StoreError | None = None
        for (_, events), result in zip(batches, results, strict=True):
            if isinstance(result, StoreError):
                fault = result
                self._pending.extendleft(reversed(events))
            else:
                self._lived(result, "ended")
        if fault is not None:
            raise fault

    def _count(self) -> Flow[None]:
        """Raises StoreError: how many live is not known."""
        living: dict[int, int] = {}
        left = list(range(SHARDS))
        self._living = None  # until all has been counted, and where it cannot be
        for _ in range(_MOST_ROUNDS):
            results = yield from self._records.ask_all([steps.count(self._keys(shard)) for shard in left])
            more = []
            for shard, result in zip(left, results, strict=True):
                if isinstance(result, StoreError):
                    raise result
                living[shard] = result.living
                self._lived(result.lived, "expired")
                if not result.is_all:
                    more.append(shard)
            left = more
            if not left:
                break
        self._living = sum(living.values())

    def _lived(self, lived: Iterable[int], outcome: str) -> None:
        for life in lived:
            told.ended(self._records.namespace, life / 1000, outcome)

    def _keys(self, shard: int) -> tuple[str, str, str]:
        return census_keys(self._records.prefix, shard)


class Censuses:
    """Those of one policy.

    Args:
        policy: the policy; where it tells nothing, nothing is counted.
    """

    def __init__(self, policy: Policy) -> None:
        self._enabled = policy.telemetry.enabled
        self.opened: Opened[str, Census] = Opened()

    def of(self, records: Records[SessionsRule]) -> SessionEvents:
        """Return what hears of the sessions of a namespace."""
        if not self._enabled:
            return NO_EVENTS
        return self.opened.of(records.namespace, lambda: _open(records))

    def inherit(self, before: Censuses, heritage: Heritage) -> None:
        """Go on with those of namespaces that are kept."""
        self.opened.inherit(before.opened, heritage)

    def close(self, heir: Censuses | None = None) -> None:
        """Tell Redis what it was not told yet; those that another goes on with are left."""
        for census in self.opened.but(None if heir is None else heir.opened):
            census.close()

    def after_fork(self) -> None:
        """Leave to the parent what it has heard."""
        self.opened.after_fork()
        for census in self.opened:
            census.after_fork()


def _open(records: Records[SessionsRule]) -> Census:
    census = Census(records)
    told.export(records.namespace, census)
    return census


def _member(tag: str, session_id: str) -> str:
    return tag[: steps.MEMBER // 2] + session_id[: steps.MEMBER // 2]
