"""How figures are shown: tables for the terminal, a page with charts for the documentation, and JSON."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.benchmarks.eviction import HitRatios
from tests.benchmarks.gates import Verdict
from tests.benchmarks.harness import OURS, Figures
from tests.benchmarks.stampede import TITLE, Crowd

_MET = {True: "yes", False: "**NO**", None: "–"}

PEERS = (
    "cachetools",
    "async-lru",
    "aiocache",
    "cashews",
    "dogpile.cache",
    "theine",
    "ormsgpack",
    "redis",
    "hiredis",
    "valkey-glide",
    "openai",
)


def duration(seconds: float) -> str:
    """Write a time with three digits and its unit."""
    for unit, size in (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3)):
        if seconds < 1000 * size:
            return (
                f"{seconds / size:.{2 if seconds < 10 * size else 1 if seconds < 100 * size else 0}f} {unit}"
            )
    return f"{seconds:.2f} s"


def ratio(value: float) -> str:
    """Write a ratio with as many digits as mean something."""
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def figures_table(figures: Figures) -> str:
    """Lay out one table of figures in Markdown."""
    failed = any(figures.failures.values())
    rows = [
        (
            name,
            duration(figures.median(name)),
            f"{duration(min(samples))} – {duration(max(samples))}",
            ratio(figures.ratio(name, figures.base)),
            *([f"{figures.failures.get(name, 0):,}"] if failed else []),
        )
        for name, samples in figures.samples.items()
    ]
    head = ("contender", "median", "least – most", "× first row", *(["calls that failed"] if failed else []))
    return _markdown(head, rows)


def ratios_table(ratios: HitRatios) -> str:
    """Lay out one table of hit ratios in Markdown."""
    rows = [(name, *(f"{share:.1%}" for share in shares)) for name, shares in ratios.rows.items()]
    return _markdown(("contender", *ratios.columns), rows)


def crowd_table(crowds: Sequence[Crowd]) -> str:
    """Lay out how contenders met a stampede in Markdown."""
    rows = [
        (
            crowd.name,
            str(crowd.processes),
            f"{min(crowd.calls)} – {max(crowd.calls)}" if len(set(crowd.calls)) > 1 else str(crowd.calls[0]),
            duration(crowd.median),
            f"{duration(min(crowd.seconds))} – {duration(max(crowd.seconds))}",
        )
        for crowd in crowds
    ]
    return _markdown(("contender", "processes", "origin calls", "all answered", "least – most"), rows)


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """Lay out what was asked, what was measured, and whether it was met."""
    rows = [(each.work, each.asked, each.measured, _MET[each.met]) for each in verdicts]
    return _markdown(("work", "asked", "measured", "met?"), rows)


def machine() -> str:
    """Say on what the figures were taken."""
    peers = ", ".join(f"{name} {_version(name)}" for name in PEERS)
    return f"CPython {platform.python_version()} on {platform.system()} {platform.machine()}; {peers}."


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not here)"


def write(
    folder: Path,
    tables: Sequence[Figures],
    ratios: Sequence[HitRatios],
    crowds: Sequence[Crowd],
    verdicts: Sequence[Verdict],
) -> None:
    """Write the page, its charts and the raw figures."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = {
        "machine": machine(),
        "tables": [
            {
                "title": table.title,
                "note": table.note,
                "rows": {
                    name: {"seconds": table.median(name), "ratio": table.ratio(name, table.base)}
                    for name in table.samples
                },
            }
            for table in tables
        ],
        "hit ratios": [
            {"title": each.title, "note": each.note, "columns": each.columns, "rows": each.rows}
            for each in ratios
        ],
        "stampede": [asdict(crowd) for crowd in crowds],
        "verdicts": [
            {"work": v.work, "asked": v.asked, "measured": v.measured, "met": v.met} for v in verdicts
        ],
    }
    (folder / "results.json").write_text(json.dumps(raw, indent=1, ensure_ascii=False) + "\n")
    page = [_PAGE.format(machine=machine(), verdicts=verdict_table(verdicts))]
    for table in tables:
        picture = f"{table.title.replace(',', '').replace(' ', '-')}.svg"
        (folder / picture).write_text(chart(table))
        page.append(f"## {_sentence(table)}\n\n![{table.title}]({picture})\n\n{figures_table(table)}\n")
    page += [f"## {_sentence(each)}\n\n{ratios_table(each)}\n" for each in ratios]
    page.append(f"## {TITLE[0].upper()}{TITLE[1:]}: its origin takes 50 ms\n\n{crowd_table(crowds)}\n")
    (folder / "index.md").write_text("\n".join(page))


_PAGE = """# Benchmarks

What a hit costs, beside others who do the same work. `make bench` measures all of it again and rewrites this
page.

{verdicts}

Half of the interleaved rounds are kept, the least disturbed ones; a ratio is the median of the ratios within
a round. Ratios vary less than times do from machine to machine, but they vary: with the build of Python (most
against `lru_cache`, which is C) and, for threads, with what else runs. {machine}

Four threads are measured twice, because a lock behaves in two ways: in bursts too short for the threads to
queue up at it, and under load that lasts. The bound is held against the second.

Hit ratios are those of the questions; with "scans", a batch passes through half of the time and asks for each
thing once. theine counts entries, so it is given as many as come to the same bytes.

L2 is a redis-server on loopback. Where calls follow one another, client and server share one processor: how
long an idle processor takes to wake up would else be most of the figure.
"""


def chart(figures: Figures) -> str:
    """Draw the medians as bars on a logarithmic scale, readable on light and dark pages."""
    medians = {name: figures.median(name) for name in figures.samples}
    low = 10 ** math.floor(math.log10(min(medians.values()) / 1.5))
    high = max(medians.values()) * 1.2
    left, wide, step, top = 250, 420, 30, 34
    bars = []
    for place, (name, seconds) in enumerate(medians.items()):
        y = top + place * step
        length = wide * math.log(seconds / low) / math.log(high / low)
        kind = ' class="ours"' if OURS in name else ""
        bars.append(
            f'<text x="{left - 10}" y="{y + 15}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{left}" y="{y}" width="{length:.1f}" height="20" rx="3"{kind}/>'
            f'<text x="{left + length + 8:.1f}" y="{y + 15}">{duration(seconds)}</text>'
        )
    return _SVG.format(
        width=left + wide + 90,
        height=top + len(medians) * step + 6,
        label=escape(f"{figures.title}: median time per call, logarithmic"),
        bars="\n".join(bars),
    )


_SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" aria-label="{label}">
<style>
text {{ font: 13px system-ui, sans-serif; fill: #333 }}
rect {{ fill: #b8c0cc }}
.ours {{ fill: #2563eb }}
.title {{ font-weight: 600 }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #ddd }}
rect {{ fill: #56606e }}
.ours {{ fill: #60a5fa }}
}}
</style>
<text class="title" x="8" y="18">{label}</text>
{bars}
</svg>
"""


def _sentence(figures: Figures | HitRatios) -> str:
    return f"{figures.title[0].upper()}{figures.title[1:]}: {figures.note}"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |"
        for line in lines
    )
