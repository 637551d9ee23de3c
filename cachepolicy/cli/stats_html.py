"""The report of ``cachepolicy stats`` as one HTML file: no script, no font, nothing from the network."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from cachepolicy.cli.stats_report import Report
from cachepolicy.cli.stats_svg import svg
from cachepolicy.cli.stats_tables import Table, summary, tables, timeline
from cachepolicy.cli.stats_words import name, period

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1f2328; --dim: #59636e; --line: #d1d9e0; --paper: #ffffff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #f0f6fc; --dim: #9198a1; --line: #3d444d; --paper: #0d1117; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } .dim { color: var(--dim); margin-top: 0; } figure { margin: 1.5rem 0; }
svg { width: 100%; height: auto; } .scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: 1.5rem 0; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); font-weight: 400; }
thead th { color: var(--dim); } .n { text-align: right; }
"""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


def html(report: Report) -> str:
    """Write the whole report as one HTML document."""
    title = f"{name(report.app)}: what the cache does"
    whole = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        "</head>",
        "<body>",
        "<main>",
        f"<h1>{escape(title)}</h1>",
        f'<p class="dim">{escape(period(report.since, report.until))}, all processes together</p>',
        f"<p>{escape(summary(report))}</p>",
    ]
    if report.timeline:
        whole += [f"<figure>{svg(report)}</figure>"]
    for table in tables(report):
        whole += _table(table)
    if report.timeline:
        whole += ["<details><summary>The chart as a table</summary>", *_table(timeline(report)), "</details>"]
    whole += ["</main>", "</body>", "</html>"]
    return "\n".join(whole) + "\n"


def _table(table: Table) -> Iterator[str]:
    heads = table.heads()
    yield f'<div class="scroll"><table><caption>{escape(table.title)}</caption>'
    yield (
        "<thead><tr>"
        + "".join(f'<th scope="col"{_class(number=number)}>{escape(head)}</th>' for head, number in heads)
        + "</tr></thead>"
    )
    yield "<tbody>"
    for first, *rest in table.rows:
        cells = "".join(
            f"<td{_class(number=number)}>{escape(text)}</td>"
            for text, (_, number) in zip(rest, heads[1:], strict=True)
        )
        yield f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>'
    yield "</tbody></table></div>"


def _class(*, number: bool) -> str:
    return ' class="n"' if number else ""
