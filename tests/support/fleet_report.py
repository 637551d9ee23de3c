"""A report of a made-up fleet. ``python -m tests.support.fleet_report`` writes the golden files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from cachepolicy.cli.stats_chart import chart
from cachepolicy.cli.stats_html import html
from cachepolicy.cli.stats_report import (
    Answers,
    Failure,
    Limited,
    Moment,
    Report,
    Saving,
    SessionCount,
    Usage,
)
from cachepolicy.cli.stats_svg import svg
from cachepolicy.cli.stats_tables import as_text, summary, tables, timeline

GOLDEN = Path(__file__).parents[1] / "cli" / "golden"
HOUR = timedelta(hours=1)
SINCE = datetime(2026, 11, 25, 13, tzinfo=UTC)
EVIL = '<script>alert("x")</script>\x1b[31m'
HOURS = [
    Answers(120, 40, 3, 60),
    Answers(300, 80, 9, 40),
    Answers(),
    Answers(0, 0, 0, 2),
    Answers(910, 120, 0, 33),
    Answers(700, 90, 1, 12),
]

REPORT = Report(
    app="shop",
    since=SINCE,
    until=SINCE + 5.5 * HOUR,
    step=HOUR,
    usage=(
        Usage("llm", sum(HOURS, Answers()), stale=7, bypass=2, fault=1),
        Usage("embeddings", Answers(origin=4)),
    ),
    savings=(
        Saving("llm", "gpt-4o", "", 1_234_567, 89_012, Decimal("12.345678"), "USD", 8123.4),
        Saving("llm", "local-model", "", 500, 20, None, "", 3.21),
        Saving("llm", "", "", seconds=0.5),
    ),
    limits=(
        Limited("ratelimit", "chat", 940, 60, 0, 12, 66),
        Limited("ratelimit", "trial", allowed=9, shadow=3),
    ),
    failures=(Failure("llm", "timeout", 14),),
    sessions=(SessionCount("sessions", 321, 12, 40),),
    timeline=tuple(Moment(SINCE + at * HOUR, answers) for at, answers in enumerate(HOURS)),
)

EMPTY = Report("shop", SINCE, SINCE + HOUR, HOUR)


def text(report: Report, *, plain: bool = False) -> str:
    """Draw all that is drawn as text."""
    drawn = [*map(as_text, (*tables(report), timeline(report)))]
    return "\n\n".join([summary(report), chart(report, 72, plain=plain), *drawn]) + "\n"


DRAWN = {"stats.txt": text, "stats.svg": svg, "stats.html": html}

if __name__ == "__main__":
    for file, draw in DRAWN.items():
        (GOLDEN / file).write_text(draw(REPORT), encoding="utf-8")
