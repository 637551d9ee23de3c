"""``make bench``: measure, compare with the peers, hold against what is asked; write ``docs/benchmarks``.

``--quick`` takes fewer rounds and writes nothing; ``--only TEXT`` measures the tables whose title holds TEXT,
and writes nothing. The exit code is 1 when something asked is not met.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from tests.benchmarks import (
    analytics,
    coherence,
    compression,
    counting,
    embeddings,
    encryption,
    eviction,
    eviction_modes,
    gates,
    l1,
    l2,
    limits,
    many,
    report,
    sessions,
    spans,
    stampede,
    streams,
    tags,
    temp_files,
)
from tests.benchmarks.harness import Figures, Table, measure

PAGES = Path(__file__).parents[2] / "docs" / "benchmarks"


def main() -> int:
    """Run the tables and print them as they come."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds, nothing written")
    parser.add_argument("--only", metavar="TEXT", help="tables with TEXT in their title, nothing written")
    options = parser.parse_args()
    quick: bool = options.quick
    only: str = options.only or ""

    def is_wanted(title: str) -> bool:
        return only in title

    print(report.machine(), flush=True)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    measured: dict[str, Figures] = {}
    insertion = (eviction.insertion() for title in (eviction.INSERTION,) if is_wanted(title))
    codecs = chain(_codec_tables(is_wanted), encryption.tables(), tags.tables())
    for table in chain(
        l1.tables(loop),
        insertion,
        codecs,
        l2.tables(loop, is_wanted),
        many.tables(loop, is_wanted),
        embeddings.tables(loop, is_wanted),
        limits.tables(loop, is_wanted),
        sessions.tables(loop, is_wanted),
        eviction_modes.tables(loop, is_wanted),
        counting.tables(loop, is_wanted),
        analytics.tables(loop, is_wanted),
        streams.tables(loop, is_wanted),
        spans.tables(loop, is_wanted),
    ):
        if is_wanted(table.title):
            _progress(f"measuring {table.title} …")
            measured[table.title] = measure(table, rounds=5 if quick else 15)
            _show(measured[table.title])
    waits: list[gates.Verdict] = []
    for title in filter(is_wanted, temp_files.TITLES):
        _progress(f"measuring {title} …")
        measured[title], ping = temp_files.measure(title, quick=quick)
        waits.append(gates.ping_verdict(title, ping))
        _show(measured[title])
    verdicts = gates.verdicts(measured) + waits
    ratios = []
    for found in eviction.tables(is_wanted, quick=quick):
        ratios.append(found)
        verdicts += gates.ratio_verdicts(found)
        print(f"\n{found.title}: {found.note}\n{report.ratios_table(found)}", flush=True)
    verdicts += _stored(loop, is_wanted)
    crowds = list(stampede.measure(quick=quick)) if is_wanted(stampede.TITLE) else []
    if crowds:
        print(f"\n{stampede.TITLE}: its origin takes 50 ms\n{report.crowd_table(crowds)}", flush=True)
        verdicts += gates.crowd_verdicts(crowds)
    for work, lag in coherence.lags(is_wanted):
        verdicts += gates.lag_verdicts(work, lag)
    if is_wanted(gates.IMPORT):
        _progress("measuring imports …")
        imports = gates.import_times(runs=11 if quick else 21)
        measured[imports.title] = imports
        _show(imports)
        verdicts += gates.import_verdicts(imports)
    print(f"\n{report.verdict_table(verdicts)}")
    if not (quick or only):
        report.write(PAGES, list(measured.values()), ratios, crowds, verdicts)
        print("\nwritten to docs/benchmarks")
    return 1 if any(verdict.met is False for verdict in verdicts) else 0


def _stored(loop: asyncio.AbstractEventLoop, is_wanted: Callable[[str], bool]) -> Iterator[gates.Verdict]:
    """Hold what is stored against what may be."""
    if is_wanted(embeddings.SHARE):
        yield gates.share_verdict(embeddings.SHARE, embeddings.share(), "its JSON")
    for title in (compression.WITHOUT, compression.WITH):
        if is_wanted(title):
            yield gates.share_verdict(title, compression.shares()[title])
    if is_wanted(limits.BYTES):
        yield gates.bytes_verdict(limits.bytes_per_subject(loop))
    if is_wanted(analytics.BYTES):
        yield gates.cell_verdict(analytics.bytes_per_cell(loop))
    if is_wanted(sessions.REVOKE):
        yield gates.revoking_verdict(sessions.revoking(loop))


def _codec_tables(is_wanted: Callable[[str], bool]) -> Iterator[Table]:
    """Make the tables of compression, where one is wanted: training takes its time."""
    return compression.tables() if any(map(is_wanted, compression.TITLES)) else iter(())


def _show(figures: Figures) -> None:
    _progress("")
    print(f"\n{figures.title}: {figures.note}\n{report.figures_table(figures)}", flush=True)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
