"""A process that counts: ``metric_hammer POLICY NAME SERIES HOUR``, once in each of so many series.

It prints a line when it is ready, begins when it is told a line, and prints a line when it is done.
"""

from __future__ import annotations

import json
import sys

from cachepolicy import close, configure
from cachepolicy.flow.cells import Batch, Cell
from cachepolicy.flow.posting import post
from cachepolicy.runtime import current


def main(policy: str, name: str, series: str, hour: str) -> None:
    """Count, ten series at a time: half are of all processes, half of this one."""
    configure(json.loads(policy))
    runtime = current.current()
    metric = runtime.metrics.metric("analytics", "calls", "a hammer")
    io = runtime.stores.sync_io(metric.site)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for at in range(0, int(series), 10):
        whose = [name if number % 2 else "all" for number in range(at, at + 10)]
        cells = [Cell((("user", f"{who}-{at + number}"),), int(hour)) for number, who in enumerate(whose)]
        runtime.engine.run(post(metric, Batch("calls", counts=dict.fromkeys(cells, 1))), io)
    close()
    sys.stdout.write("0\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
