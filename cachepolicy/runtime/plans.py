"""The plans that a runtime has made, by the decorated function, so that the next may go on with them."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from typing import NamedTuple

from cachepolicy.flow.plan import Plan
from cachepolicy.runtime.decoration import Decoration
from cachepolicy.runtime.heritage import Heritage


class _Known(NamedTuple):
    plan: weakref.ref[Plan]
    is_kept: bool  # else only what it holds in L1 is good


class Plans:
    """Those of one policy, and those of before that go on under it; all are held weakly."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.made: weakref.WeakSet[Plan] = weakref.WeakSet()
        self._known: weakref.WeakKeyDictionary[Decoration, _Known] = weakref.WeakKeyDictionary()

    def __iter__(self) -> Iterator[Plan]:
        return iter(self.made)

    def __len__(self) -> int:
        return len(self.made)

    def kept(self, decoration: Decoration) -> Plan | None:
        """Return the plan that a function goes on with; None where it needs another."""
        with self._lock:
            known = self._known.get(decoration)
        return known.plan() if known is not None and known.is_kept else None

    def add(self, decoration: Decoration, plan: Plan, until: float) -> None:
        """Take note of a new plan; what the last one held in L1 is the new one's.

        Args:
            decoration: of the function.
            plan: the new one.
            until: when that is to leave L1 at the latest, monotonic.
        """
        with self._lock:
            known = self._known.get(decoration)
            self._known[decoration] = _Known(weakref.ref(plan), is_kept=True)
            self.made.add(plan)
            last = None if known is None else known.plan()
            if last is not None and last.local is not None and last.local is plan.local:
                last.local.move(last.table, plan.table, until)

    def inherit(self, before: Plans, heritage: Heritage) -> None:
        """Take over those of namespaces that go on."""
        with before._lock:
            known = list(before._known.items())
        for decoration, (reference, is_kept) in known:
            plan = reference()
            if plan is not None and plan.namespace in heritage.kept | heritage.warm:
                keeps = is_kept and plan.namespace in heritage.kept
                self._known[decoration] = _Known(reference, keeps)
                self.made.add(plan)

    def clear(self, heir: Plans | None = None) -> None:
        """Drop what they hold in L1, but for those that another goes on with."""
        with self._lock:
            made = list(self.made)
        for plan in made:
            if plan.local is not None and (heir is None or plan not in heir.made):
                plan.local.clear(plan.table)

    def after_fork(self) -> None:
        """Forget a lock that another thread held when this process was forked."""
        self._lock = threading.Lock()
