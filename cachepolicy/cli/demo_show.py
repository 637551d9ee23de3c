"""The demo's findings, for a person and for a program."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Console

from cachepolicy.cli.demo_report import Row, table, total
from cachepolicy.cli.demo_trace import Span, draw, find_trace


@dataclass(frozen=True, slots=True)
class Findings:
    """Who was asked, where the answers were kept, and all that the processes reported."""

    model: str
    redis: str
    rows: Sequence[Row]
    spans: Sequence[Span]


def show(found: Findings, console: Console) -> None:
    """Print the table, the totals, and what a miss and a hit look like to a tracing backend."""
    console.print(table(found.rows))
    console.print(f"{total(found.rows)}\n", style="bold")
    if not found.spans:
        console.print("No traces: telemetry is off.")
        return
    console.print(draw("Trace of a miss", find_trace(found.spans, outcome="miss")))
    if hit := find_trace(found.spans, tier="l2"):
        console.print(draw("Trace of a hit in Redis (L2), by the other process", hit))
    else:
        console.print("No hit in L2: memory:// is one process's own, so process 2 had to ask again.")


def as_json(found: Findings) -> str:
    """Write the same for a program to read."""
    rows = [
        asdict(row) | {"paid": row.paid, "tokens_saved": row.tokens_saved, "dollars_saved": row.dollars_saved}
        for row in found.rows
    ]
    spans = [asdict(span) for span in found.spans]
    whole = {"model": found.model, "redis": found.redis, "rows": rows, "totals": asdict(total(found.rows))}
    return json.dumps(whole | {"spans": spans}, indent=2)
