"""Forks under a health monitor: the parent's and the child's thread both go on.

::

    python -m tests.support.health_forked URL
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress

from cachepolicy import HealthMonitor, configure
from tests.support.health import health_policy
from tests.support.waiting import until


def main(url: str) -> None:
    """Print ``parent`` and ``child`` once each has seen something after the fork, and stopped."""
    configure(health_policy(url, interval="50ms"))
    monitor = HealthMonitor().start()
    until(lambda: monitor.last is not None, "a look")
    child = os.fork()
    forked_at = time.time()
    until(lambda: monitor.last is not None and monitor.last.at > forked_at, "a look after the fork")
    monitor.stop()
    os.write(1, b"parent\n" if child else b"child\n")
    if not child:
        os._exit(0)
    with suppress(ChildProcessError):
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1])
