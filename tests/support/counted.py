"""What tests of counting share: a policy with metrics, and what Redis has counted, read by hand."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

import redis

from cachepolicy import AnalyticsCache, PolicyError, StoreError
from cachepolicy.runtime import current
from tests.support.colour import Colour
from tests.support.policies import PATIENT


def analytics_policy(
    url: str = "memory://", *, redis: Mapping[str, Any] | None = None, **rule: Any
) -> dict[str, Any]:
    """Return a policy with one namespace of metrics, ``analytics``; ``rule`` is laid over it.

    Nothing is flushed by itself, unless ``rule`` says so, and Redis has all the time that it takes.
    """
    return {
        "version": 1,
        "app": "test",
        "redis": {"url": url, **PATIENT, **(redis or {})},
        "namespaces": {"analytics": {"kind": "analytics", "db": 0, "flush": {"interval": "1h"}, **rule}},
    }


class Counting:
    """A manager whose verbs are called in one colour, all on one loop; what they count waits for a flush."""

    def __init__(self, colour: Colour) -> None:
        self.manager = AnalyticsCache()
        self._runner = asyncio.Runner() if colour.is_async else None

    def __getattr__(self, name: str) -> Any:
        return partial(self._verb, getattr(self.manager, name))

    def close(self) -> None:
        """Close the loop's connections, and the loop."""
        if self._runner is not None:
            self._runner.run(current.current().stores.aclose())
            self._runner.close()

    def _verb(self, verb: Any, *args: Any, **kwargs: Any) -> Any:
        if self._runner is None:
            return verb.sync(*args, **kwargs)

        async def main() -> Any:
            return await verb(*args, **kwargs)

        return self._runner.run(main())


class Stored:
    """What a server has counted."""

    def __init__(self, url: str) -> None:
        self.client: Any = redis.Redis.from_url(url)

    def total(self, metric: str) -> int:
        """Return the sum of all series of a metric, as its months have it; of money, of all currencies."""
        return sum(
            number
            for field, number in self._all(metric, "month").items()
            if not field.partition(":")[2].startswith(("b", "count"))
        )

    def part(self, metric: str, part: str) -> int:
        """Return the sum of a part of all series."""
        months = self._all(metric, "month")
        return sum(number for field, number in months.items() if field.partition(":")[2] == part)

    def hours(self, metric: str) -> dict[str, int]:
        """Return the sum of all series by hour, each by its id."""
        hours: Counter[str] = Counter()
        for key in self._keys(metric, "hour"):
            (hour,) = re.findall(r":hour:(\d+)", key)
            hours[hour] += sum(map(int, self.client.hvals(key)))
        return dict(hours)

    def seen(self, metric: str) -> int:
        """Return how many different items were seen."""
        keys = self._keys(metric, "day")
        return int(self.client.pfcount(*keys)) if keys else 0

    def shown(self, metric: str) -> list[float]:
        """Return the last values of a gauge this month."""
        keys = self._keys(metric, "month")
        return [float(value.split(b":")[1]) for key in keys for value in self.client.hvals(key)]

    def series(self, metric: str) -> list[str]:
        """Return the series of a metric as they are spelled."""
        (key,) = self.client.keys(f"*:series:*{metric}}}")
        return sorted(field.decode()[1:] for field in self.client.hkeys(key) if field.startswith(b"s"))

    def close(self) -> None:
        """Hang up."""
        self.client.close()

    def _all(self, metric: str, resolution: str) -> Counter[str]:
        found: Counter[str] = Counter()
        for key in self._keys(metric, resolution):
            for field, number in self.client.hgetall(key).items():
                found[field.decode()] += int(number)
        return found

    def _keys(self, metric: str, resolution: str) -> list[str]:
        keys = self.client.keys(f"*:metrics:*{metric}}}:*:{resolution}:*")
        return sorted(key.decode() for key in keys)


def pending(namespace: str = "analytics") -> int:
    """Return how many cells wait in this process."""
    return current.current().analytics.desk(namespace, "a test").pending


def flushed(counting: Counting) -> bool:
    """Flush; tell whether nothing waits any more."""
    try:
        counting.flush()
    except (StoreError, PolicyError):
        return False
    return pending() == 0
