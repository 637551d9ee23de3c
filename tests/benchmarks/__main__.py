"""``make bench``: measure, compare with the peers, hold against what is asked; write ``docs/benchmarks``.

``--quick`` takes fewer rounds and writes nothing. The exit code is 1 when something asked is not met.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from tests.benchmarks import gates, report
from tests.benchmarks.contenders import tables
from tests.benchmarks.harness import Figures, measure

PAGES = Path(__file__).parents[2] / "docs" / "benchmarks"


def main() -> int:
    """Run the tables and print them as they come."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds, nothing written")
    quick: bool = parser.parse_args().quick

    print(report.machine(), flush=True)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    measured: dict[str, Figures] = {}
    for table in tables(loop):
        _progress(f"measuring {table.title} …")
        figures = measure(table, rounds=5 if quick else 15)
        measured[table.title] = figures
        _show(figures)
    _progress("measuring imports …")
    imports = gates.import_times(runs=11 if quick else 21)
    _show(imports)
    verdicts = gates.verdicts(measured, imports)
    print(f"\n{report.verdict_table(verdicts)}")
    if not quick:
        report.write(PAGES, [*measured.values(), imports], verdicts)
        print("\nwritten to docs/benchmarks")
    return 0 if all(verdict.met for verdict in verdicts) else 1


def _show(figures: Figures) -> None:
    _progress("")
    print(f"\n{figures.title}: {figures.note}\n{report.figures_table(figures)}", flush=True)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
