"""``cachepolicy stats`` on stdout: in colours where a terminal and rich are there, else as plain text."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from typing import Final

from cachepolicy.cli.stats_chart import SHADES, chart
from cachepolicy.cli.stats_report import Report
from cachepolicy.cli.stats_tables import Table, as_text, summary, tables
from cachepolicy.cli.stats_words import name, period

_STYLES: Final = dict(zip(SHADES, ("green", "cyan", "magenta", "yellow"), strict=True))
_WIDTH: Final = 100


def show(report: Report) -> None:
    """Print a report."""
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and importlib.util.find_spec("rich"):
        _show_in_colours(report)
        return
    width = min(shutil.get_terminal_size((_WIDTH, 24)).columns, _WIDTH)
    plain = not _can_draw()
    parts = [_head(report), chart(report, width, plain=plain), *map(as_text, tables(report))]
    text = "\n\n".join(part for part in parts if part)
    encoding = sys.stdout.encoding or "ascii"
    print(text.replace("–", "-").encode(encoding, "replace").decode(encoding) if plain else text)


def _head(report: Report) -> str:
    return (
        f"{name(report.app)}, {period(report.since, report.until)}, all processes together\n{summary(report)}"
    )


def _can_draw() -> bool:
    try:
        (SHADES + "│└─▁–…").encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _show_in_colours(report: Report) -> None:
    from rich.console import Console  # of the extra `cli`
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text(_head(report)))
    bars = Text(chart(report, min(console.width, _WIDTH), plain=not _can_draw()), no_wrap=True)
    for shade, style in _STYLES.items():
        bars.highlight_words([shade], style)
    if bars:
        console.print()
        console.print(bars)
    for table in tables(report):
        console.print()
        console.print(drawn(table))


def drawn(table: Table) -> object:
    """Draw a table with rich."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as Drawn
    from rich.text import Text

    made = Drawn(
        title=Text(table.title),
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        border_style="dim",
        pad_edge=False,
        collapse_padding=True,
    )
    for head, number in table.heads():
        made.add_column(Text(head), justify="right" if number else "left")
    for row in table.rows:
        made.add_row(*map(Text, row))
    return made
