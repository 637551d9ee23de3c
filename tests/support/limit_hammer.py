"""A process that charges one subject as fast as it can: ``python -m tests.support.limit_hammer URL KEY N``.

It prints a line when it is ready, begins when it is told a line, and prints what it was allowed.
"""

from __future__ import annotations

import sys
from typing import Final

from cachepolicy.tiers import redis_sync
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.endpoint import Endpoint
from cachepolicy.tiers.limits import Algorithm, Limit, Part, Unit, charge

LIMITS: Final = (
    Limit(Unit.REQUESTS, Algorithm.GCRA, 1000, 3_600_000, 1000),
    Limit(Unit.REQUESTS, Algorithm.GCRA, 9000, 86_400_000, 9000),
    Limit(Unit.TOKENS, Algorithm.GCRA, 60_000, 60_000, 60_000),
    Limit(Unit.INPUT_TOKENS, Algorithm.WINDOW, 60_000, 3_600_000, buckets=20),
    Limit(Unit.MONEY, Algorithm.CALENDAR, 10**9, 31 * 86_400_000, calendar="month", currency="EUR"),
)
COSTS: Final = (1, 1, 700, 1, 1)


def main(url: str, key: str, attempts: str) -> None:
    """Charge, and count."""
    store = redis_sync.connect(Place(Endpoint(url, deadline=20.0, connect_timeout=20.0), 0))
    command = charge([Part(key, LIMITS, COSTS)])
    store.execute(charge([Part(f"{key}:warm", LIMITS, COSTS)]).with_source(), 20.0)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    moments = []
    for _ in range(int(attempts)):
        charged = store.execute(command, 20.0)
        if charged.allowed:
            moments.append(charged.now)
    sys.stdout.write(" ".join(map(str, moments)) + "\n")
    sys.stdout.flush()
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
