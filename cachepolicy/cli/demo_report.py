"""What the demo found, as numbers and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from cachepolicy.cli.demo_prices import list_price

_STYLES = {
    "hit": "green",
    "coalesced": "green",
    "stale": "yellow",
    "miss": "yellow",
    "fault": "red",
    "bypass": "red",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One question asked once, and how it was answered."""

    process: int
    turn: int  # a pass over all questions, numbered within its process
    number: int
    question: str
    outcome: str
    tier: str
    seconds: float
    model: str
    prompt_tokens: int
    completion_tokens: int

    @property
    def paid(self) -> bool:
        """Whether the provider was asked, and will send a bill."""
        return self.tier == "origin" and self.outcome != "coalesced"

    @property
    def tokens_saved(self) -> int:
        """Tokens of an answer that did not have to be made again."""
        return 0 if self.paid else self.prompt_tokens + self.completion_tokens

    @property
    def dollars_saved(self) -> float | None:
        """The same at list price; None for a model without a known one."""
        price = list_price(self.model, self.prompt_tokens, self.completion_tokens)
        return price if price is None or not self.paid else 0.0


@dataclass(frozen=True, slots=True)
class Totals:
    """The sum of a run."""

    asked: int
    paid: int
    tokens_saved: int
    dollars_saved: float | None
    seconds_saved: float

    def __str__(self) -> str:
        saved = [f"{self.tokens_saved:,} tokens"]
        if self.dollars_saved is not None:
            saved.append(dollars(self.dollars_saved))
        return (
            f"{self.asked} questions asked, {self.paid} paid for; "
            f"saved {', '.join(saved)} and {self.seconds_saved:.1f} s."
        )


def total(rows: Sequence[Row]) -> Totals:
    """Sum up; a saved answer saves the seconds that the same question took when it was paid for."""
    took = {row.number: row.seconds for row in reversed(rows) if row.paid}
    prices = [row.dollars_saved for row in rows]
    return Totals(
        asked=len(rows),
        paid=sum(row.paid for row in rows),
        tokens_saved=sum(row.tokens_saved for row in rows),
        dollars_saved=None if None in prices else sum(price for price in prices if price is not None),
        seconds_saved=sum(max(0.0, took.get(row.number, 0.0) - row.seconds) for row in rows if not row.paid),
    )


def table(rows: Sequence[Row]) -> Table:
    """Draw the rows in the order asked, one section for each pass over the questions."""
    drawn = Table(
        box=SIMPLE_HEAD, header_style="bold", border_style="dim", pad_edge=False, collapse_padding=True
    )
    drawn.add_column("Question")
    for name in ("Outcome", "Tier"):
        drawn.add_column(name, no_wrap=True)
    for name in ("ms", "Tokens\nsaved"):
        drawn.add_column(name, justify="right", no_wrap=True, vertical="bottom")
    if any(row.dollars_saved is not None for row in rows):
        drawn.add_column("List $\nsaved", justify="right", no_wrap=True, vertical="bottom")
    for (process, turn), section in groupby(rows, key=lambda row: (row.process, row.turn)):
        drawn.add_row(Text(f"process {process}, pass {turn}", "bold cyan", no_wrap=True))
        for row in section:
            drawn.add_row(*_cells(row)[: len(drawn.columns)])
        drawn.add_section()
    return drawn


def _cells(row: Row) -> list[Text]:
    style, price = _STYLES.get(row.outcome, ""), row.dollars_saved
    return [
        Text(row.question, no_wrap=True, overflow="ellipsis"),  # on a narrow terminal only this is cut
        Text(row.outcome, style),
        Text(row.tier, style),
        Text(milliseconds(row.seconds)),
        Text("" if row.paid else f"{row.tokens_saved:,}"),
        Text("" if row.paid or price is None else dollars(price)),
    ]


def milliseconds(seconds: float) -> str:
    """Write a duration with the digits that matter: 1,012 and 0.41 and 0.004."""
    value = seconds * 1000
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.3f}"


def dollars(amount: float) -> str:
    """Write an amount of money that may be far below a cent."""
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.5f}"
