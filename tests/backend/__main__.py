"""``make backend-check``: does a real tracing backend show calls as they were?

Starts Arize Phoenix, lets an application send its traces by ``telemetry.setup()``, reads them back over
Phoenix's API, and takes a picture of its page. The exit code is 1 when something is not as it should be.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from cachepolicy.testing.redis_server import RedisServer
from tests.backend import checks, page
from tests.backend.phoenix import Phoenix, running
from tests.support.source import ROOT
from tests.support.waiting import until

PROJECT = "cachepolicy"
PICTURE = ROOT / "docs" / "observability" / "phoenix.png"


def main() -> int:
    """Run the check; say what it found."""
    parser = argparse.ArgumentParser(prog="python -m tests.backend", description=__doc__)
    parser.add_argument("--phoenix", type=Path, required=True, help="the program of that name")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="where to put the picture of the page")
    parser.add_argument("--no-picture", action="store_true", help="where there is no Chromium")
    options = parser.parse_args()
    began = time.monotonic()
    with running(options.phoenix) as phoenix:
        print(f"Phoenix answers after {time.monotonic() - began:.1f} s")
        with RedisServer() as redis:
            command = [sys.executable, "-m", "tests.backend.example", redis.url, phoenix.url, PROJECT]
            environment = {**os.environ, "OTEL_METRICS_EXPORTER": "none"}  # Phoenix takes traces only
            subprocess.run(command, check=True, timeout=120, cwd=ROOT, env=environment)
        seen = _read_back(phoenix)
        failed = checks.failures(seen)
        print(f"{sum(len(each.spans) for each in seen.values())} spans in {len(seen)} traces read back")
        if not options.no_picture:
            shown = seen["two ask at once"].root.trace
            url = f"{phoenix.url}/projects/{phoenix.project_id(PROJECT)}/traces/{shown}"
            page.photograph(url, options.picture)
            print(f"{options.picture}: {options.picture.stat().st_size // 1024} KiB")
    for failure in failed:
        print(f"FAILED: {failure}")
    print("the backend shows calls as they were" if not failed else f"{len(failed)} failures")
    return int(bool(failed))


def _read_back(phoenix: Phoenix) -> dict[str, checks.Scenario]:
    """Wait until all traces are there, and what the model cost, which is reckoned behind."""

    def read() -> dict[str, checks.Scenario]:
        spans = phoenix.spans(PROJECT)
        return checks.scenarios(spans, phoenix.costs(PROJECT) if spans else {})

    def is_whole() -> bool:
        seen = read()
        return set(checks.ROOTS) <= seen.keys() and seen[checks.ROOTS[2]].cost(checks.MODEL) > 0

    until(is_whole, "the traces, and what they cost", 60.0, 0.5)
    return read()


if __name__ == "__main__":
    sys.exit(main())
