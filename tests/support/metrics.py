"""What tests of metrics share: a policy, batches posted and questions asked in either colour."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from cachepolicy import AnalyticsCache, configure
from cachepolicy.clock import ManualClock
from cachepolicy.flow.cells import Batch, Cell, Kind, Labels
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.posting import post
from cachepolicy.flow.series import Metric
from cachepolicy.runtime import current
from tests.support.colour import Colour
from tests.support.policies import PATIENT
from tests.support.sessions_policy import do

NOW: Final = datetime(2026, 11, 26, 13, 30, tzinfo=UTC)
HOUR: Final = int(NOW.timestamp()) // 3600
"""The hour that it is, on the clock of these tests."""


def metrics_policy(url: str = "memory://", **rule: Any) -> dict[str, Any]:
    """Return a policy with one namespace, ``analytics``; ``rule`` is laid over it.

    Redis has all the time that a busy machine takes.
    """
    return {
        "version": 1,
        "app": "test",
        "redis": {"url": url, **PATIENT},
        "namespaces": {"analytics": {"kind": "analytics", "db": 0, **rule}},
    }


def hour(text: str) -> int:
    """Return the hour of a time of UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) // 3600


def labels(**values: str) -> Labels:
    """Return labels in the order of their names."""
    return tuple(sorted(values.items()))


class Counted:
    """A namespace of metrics in one colour, at NOW."""

    def __init__(self, colour: Colour, url: str, **rule: Any) -> None:
        self.colour = colour
        self.time = ManualClock(now_wall=NOW.timestamp())
        self.policy = metrics_policy(url, **rule)
        configure(self.policy, clock=self.time.clock)
        self.queries = AnalyticsCache()

    def __getattr__(self, verb: str) -> Any:
        return partial(do, self.colour, getattr(self.queries, verb))

    def metric(self, name: str, kind: Kind | None = None) -> Metric:
        """Return a metric as this process knows it."""
        return current.current().metrics.metric("analytics", name, "a test", kind)

    def post(self, batch: Batch, kind: Kind | None = None) -> None:
        """Post a batch."""
        self.run(self.posting(batch, kind))

    def posting(self, batch: Batch, kind: Kind | None = None) -> Callable[[], Flow[None]]:
        """Return what posts a batch."""
        return lambda: post(self.metric(batch.metric, kind), batch)

    def count(self, name: str, cells: Mapping[tuple[Labels, int], int], kind: Kind | None = None) -> Batch:
        """Count in cells of labels and hour; return the batch."""
        batch = Batch(name, counts={Cell(labels, at): value for (labels, at), value in cells.items()})
        self.post(batch, kind)
        return batch

    def run(self, flow: Callable[[], Flow[Any]]) -> Any:
        """Run a flow in this colour."""
        return self.at_once([flow])[0]

    def at_once(self, flows: Sequence[Callable[[], Flow[Any]]]) -> list[Any]:
        """Run flows side by side in this colour: in threads, or in tasks of one loop."""
        runtime = current.current()
        site = runtime.site("analytics", runtime.metrics.rule("analytics", "a test"))
        if not self.colour.is_async:
            with ThreadPoolExecutor(len(flows)) as pool:
                io = runtime.stores.sync_io(site)
                return list(pool.map(lambda flow: runtime.engine.run(flow(), io), flows))

        async def main() -> list[Any]:
            try:
                io = runtime.stores.async_io(site)
                return await asyncio.gather(*[runtime.engine.arun(flow(), io) for flow in flows])
            finally:
                await runtime.stores.aclose()

        return asyncio.run(main())
