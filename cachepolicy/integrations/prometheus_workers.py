"""Metrics of many processes together: prometheus_client's multiprocess mode, ``PROMETHEUS_MULTIPROC_DIR``.

Each process keeps files there, which whoever is scraped adds up, those of processes that have ended too. Now
and then, and when it ends, a process adds to its own what its sums have grown by: so they are right after an
exit, and some seconds old before it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, Protocol

from prometheus_client import multiprocess, values
from prometheus_client.utils import floatToGoString

from cachepolicy.clock import SYSTEM
from cachepolicy.integrations.prometheus_families import Family, families
from cachepolicy.runtime import exiting
from cachepolicy.telemetry import metrics
from cachepolicy.telemetry.names import (
    METRIC_ANALYTICS_PENDING,
    METRIC_BREAKER_STATE,
    METRIC_COHERENCE_LAG,
    METRIC_COHERENCE_LIVE,
    METRIC_CONFIG_INFO,
    METRIC_CONNECTIONS,
    METRIC_ENTRIES,
    METRIC_MEMORY,
)

EVERY: Final = 5.0  # seconds
_LEAST_REST: Final = 50.0  # times what a reading took: L1 may hold a hundred thousand entries

_Mode = Literal["livesum", "livemin", "livemax", "livemostrecent"]
_SUMS: Final[_Mode] = "livesum"
_MODES: Final[dict[str, _Mode]] = {
    METRIC_ENTRIES: _SUMS,
    METRIC_MEMORY: _SUMS,
    METRIC_CONNECTIONS: _SUMS,
    METRIC_ANALYTICS_PENDING: _SUMS,
    METRIC_COHERENCE_LIVE: "livemin",  # one that is deaf is what matters
    METRIC_COHERENCE_LAG: "livemax",
    METRIC_BREAKER_STATE: "livemax",
    METRIC_CONFIG_INFO: "livemax",
}
_KNOWN_TO_ALL: Final[_Mode] = "livemostrecent"
"""Of what is told about Redis, or about all processes: they say the same, and the last to look says it."""


class _Value(Protocol):
    """One number in a file of this process."""

    def inc(self, amount: float) -> None: ...
    def set(self, value: float, timestamp: float | None = None) -> None: ...


class _Key(NamedTuple):
    """One number in the files.

    Attributes:
        sample: its name.
        labels: of its series.
    """

    sample: str
    labels: tuple[tuple[str, str], ...]


class _Told(NamedTuple):
    """A number as it is told: what the files need to know of it besides."""

    key: _Key
    value: float
    family: Family
    mode: _Mode | None  # None: it is added up over all processes, for good


class Workers:
    """What this process has told in the files."""

    def __init__(self) -> None:
        self.failures = 0  # the folder could not be written to; it is tried again
        self._lock = threading.RLock()  # held while this process is forked: the files have locks of their own
        self._told: dict[_Key, float] = {}
        self._values: dict[_Key, _Value] = {}
        self._shown: dict[_Key, _Mode] = {}
        self._stop: threading.Event | None = None
        self._rest = EVERY

    def begin(self) -> None:
        """Tell now and then from when anything is counted, and when this process ends."""
        exiting.add(self, last=True)
        exiting.arm()
        exiting.arm_children()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._lock_up, after_in_parent=self._unlock, after_in_child=self._after_fork
            )
        metrics.on_use(self._wake)

    def tell(self) -> None:
        """Add to the files what the sums have grown by since this was last done; raises nothing."""
        with self._lock:
            began = SYSTEM.monotonic()
            try:
                self._tell()
            except OSError:  # the folder is full, or gone
                self.failures += 1
            self._rest = max(EVERY, _LEAST_REST * (SYSTEM.monotonic() - began))

    def flush_at_once(self) -> None:
        """Tell for the last time, and take back what is only true of a process that lives."""
        if self._stop is not None:
            self._stop.set()
        self.tell()
        try:
            multiprocess.mark_process_dead(os.getpid())  # type: ignore[no-untyped-call] # its own
        except OSError:
            self.failures += 1

    def _tell(self) -> None:
        shown: dict[_Key, _Mode] = {}
        for told in _all():
            if told.mode is None:
                self._add(told)
            else:
                shown[told.key] = told.mode
                self._show(told)
        for key in self._shown.keys() - shown.keys():  # a number of the files cannot be taken out again
            if self._shown[key] in {_SUMS, "livemax"}:
                self._values[key].set(0.0)
        self._shown = shown

    def _add(self, told: _Told) -> None:
        value = self._value(told)
        before = self._told.get(told.key, 0.0)
        if told.value > before:  # else it was read while it moved from one place to another
            self._told[told.key] = told.value
            value.inc(told.value - before)

    def _show(self, told: _Told) -> None:
        self._value(told).set(told.value, SYSTEM.wall() if told.mode == _KNOWN_TO_ALL else None)

    def _value(self, told: _Told) -> _Value:
        value = self._values.get(told.key)
        if value is None:
            names, of = zip(*told.key.labels, strict=True) if told.key.labels else ((), ())
            value = self._values[told.key] = values.ValueClass(
                told.family.type if told.mode is None else "gauge",
                told.family.name,
                told.key.sample,
                names,
                of,
                told.family.description,
                multiprocess_mode=told.mode or "",
            )
        return value

    def _wake(self) -> None:
        """Tell now and then from now on; without a thread, only when this process ends."""
        self._stop = stop = threading.Event()
        worker = threading.Thread(target=self._work, args=(stop,), name="cachepolicy-prometheus", daemon=True)
        try:
            worker.start()
        except RuntimeError:
            self._stop = None

    def _work(self, stop: threading.Event) -> None:
        while not stop.wait(self._rest):
            self.tell()

    def _lock_up(self) -> None:
        self._lock.acquire()

    def _unlock(self) -> None:
        self._lock.release()

    def _after_fork(self) -> None:
        """Leave to the parent what it has counted: the files of this process begin with nothing."""
        self._lock = threading.RLock()
        metrics.after_fork()
        self._told = {told.key: told.value for told in _all() if told.mode is None}
        self._shown = {}
        if self._stop is not None:
            self._wake()


def _all() -> Iterator[_Told]:
    """Return all numbers of this process, read now."""
    for family in families():
        yield from _buckets(family) if family.type == "histogram" else _numbers(family)


def _numbers(family: Family) -> Iterator[_Told]:
    is_sum = family.type == "counter"
    mode = None if is_sum and not family.metric.startswith("redis.") else _mode_of(family)
    sample = f"{family.name}_total" if is_sum else family.name
    for series in family.series:
        yield _Told(_Key(sample, tuple(series.labels.items())), series.value, family, mode)


def _mode_of(family: Family) -> _Mode:
    return _MODES.get(family.metric, _KNOWN_TO_ALL)


def _buckets(family: Family) -> Iterator[_Told]:
    bounds = [*map(floatToGoString, family.bounds), "+Inf"]
    for series in family.buckets:
        labels = tuple(series.labels.items())
        for bound, count in zip(bounds, series.counts, strict=True):
            yield _Told(_Key(f"{family.name}_bucket", (*labels, ("le", bound))), count, family, None)
        yield _Told(_Key(f"{family.name}_sum", labels), series.total, family, None)
