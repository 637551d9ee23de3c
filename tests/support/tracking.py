"""What tests of counted functions share: a policy, a clock, and what this process has counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from cachepolicy import ManualClock, configure
from cachepolicy.flow.cells import Cell
from cachepolicy.runtime import current
from cachepolicy.telemetry import faults
from tests.support.policies import PATIENT

NAMESPACE = "analytics"


def tracking_policy(
    url: str = "memory://", more: Mapping[str, Any] | None = None, **rule: Any
) -> dict[str, Any]:
    """Return a policy with one namespace of metrics; ``rule`` is laid over it, ``more`` are other namespaces.

    Nothing is flushed by itself.
    """
    kept = {"kind": "analytics", "flush": {"interval": "1h"}, **rule}
    return {
        "version": 1,
        "app": "test",
        "redis": {"url": url, **PATIENT},
        "namespaces": {NAMESPACE: kept, **(more or {})},
    }


class Tracking:
    """Configures, and takes what was counted."""

    def __init__(self) -> None:
        self.time = ManualClock()

    def configure(
        self, url: str = "memory://", more: Mapping[str, Any] | None = None, **rule: Any
    ) -> Tracking:
        """Use a policy whose time stands still."""
        configure(tracking_policy(url, more, **rule), clock=self.time.clock)
        self._before = Counter(faults.errors(NAMESPACE))
        return self

    def taken(self) -> dict[str, dict[tuple[str, ...], int]]:
        """Take what waits: by metric, by the values of the labels, in the order of their names; sums only."""
        found: dict[str, dict[tuple[str, ...], int]] = {}
        for cells in self._batches():
            for metric, cell, value in cells:
                if not cell.part:
                    labels = tuple(text for _, text in cell.labels)
                    sums = found.setdefault(metric, {})
                    sums[labels] = sums.get(labels, 0) + value
        return found

    def sums(self) -> dict[str, int]:
        """Take what waits: by metric, over all labels; sums only."""
        return {metric: sum(sums.values()) for metric, sums in self.taken().items()}

    def cells(self) -> dict[tuple[str, str], int]:
        """Take what waits: by metric and part."""
        found: dict[tuple[str, str], int] = {}
        for cells in self._batches():
            for metric, cell, value in cells:
                found[metric, cell.part] = found.get((metric, cell.part), 0) + value
        return found

    def series(self, metric: str) -> set[tuple[tuple[str, str], ...]]:
        """Take what waits: the series of a metric, labels and all."""
        return {cell.labels for cells in self._batches() for name, cell, _ in cells if name == metric}

    def errors(self) -> dict[str, int]:
        """Return the errors that the namespace has counted since its policy was loaded."""
        return dict(Counter(faults.errors(NAMESPACE)) - self._before)

    @staticmethod
    def _batches() -> list[list[tuple[str, Cell, int]]]:
        taken = current.current().analytics.desk(NAMESPACE, "test").buffer.take()
        return [[(batch.metric, cell, value) for cell, value in batch.counts.items()] for _, batch in taken]
