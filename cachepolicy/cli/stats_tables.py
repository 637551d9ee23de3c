"""The tables of ``cachepolicy stats``: made once, drawn as text, in a terminal or as HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cachepolicy.cli.stats_report import Report, money
from cachepolicy.cli.stats_words import amount, count, duration, moment, name, share


@dataclass(frozen=True, slots=True)
class Table:
    """A table as words: columns whose name begins with ``#`` hold numbers, and stand at the right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def heads(self) -> list[tuple[str, bool]]:
        """Return the columns' names, and whether they hold numbers."""
        return [(column.removeprefix("#"), column.startswith("#")) for column in self.columns]


def tables(report: Report) -> list[Table]:
    """Return the tables of what was counted; there is none of what was not."""
    made = (_usage(report), _savings(report), _limits(report), _failures(report), _sessions(report))
    return [table for table in made if table.rows]


def summary(report: Report) -> str:
    """Say the most important numbers in one sentence."""
    if report.is_empty:
        return "Nothing was counted."
    answers = report.answers
    rate = f", {share(answers.hit_rate)} answered without the function" if answers.calls else ""
    said = [f"{count(answers.calls)} calls{rate}"]
    tokens = sum(each.input_tokens + each.output_tokens for each in report.savings)
    spared = [f"{count(tokens)} tokens"] if tokens else []
    spared += [amount(cost, name(currency)) for currency, cost in sorted(money(report.savings).items())]
    if report.savings:
        spared.append(duration(sum(each.seconds for each in report.savings)))
        said.append(f"spared {', '.join(spared)}")
    refused = sum(each.exceeded for each in report.limits)
    if report.limits:
        said.append(f"{count(refused)} refused by limits")
    return "; ".join(said) + "."


def timeline(report: Report) -> Table:
    """Return the calls by step of time: what the chart shows, as words."""
    columns = ("Begins (UTC)", "#Calls", "#Hit rate", "#L1", "#L2", "#Shared", "#Origin")
    rows = []
    for each in report.timeline:
        answers = each.answers
        bands = (answers.l1, answers.l2, answers.shared, answers.origin)
        rows.append(
            (
                moment(each.start, report.step),
                count(answers.calls),
                share(answers.hit_rate),
                *map(count, bands),
            )
        )
    return Table("Calls over time", columns, tuple(rows))


def _usage(report: Report) -> Table:
    columns = (
        "Namespace",
        "#Calls",
        "#Hit rate",
        "#L1",
        "#L2",
        "#Shared",
        "#Origin",
        "#Stale",
        "#Bypass",
        "#Fault",
    )
    rows = [
        (
            name(each.namespace),
            count(each.answers.calls),
            share(each.answers.hit_rate),
            *(_of(part, each.answers.calls) for part in (each.answers.l1, each.answers.l2)),
            *(_of(part, each.answers.calls) for part in (each.answers.shared, each.answers.origin)),
            *map(count, (each.stale, each.bypass, each.fault)),
        )
        for each in report.usage
    ]
    return Table("Hit rate, by namespace and tier", columns, tuple(rows))


def _savings(report: Report) -> Table:
    tenants = any(each.tenant for each in report.savings)
    names = ("Namespace", "Model", "Tenant") if tenants else ("Namespace", "Model")
    rows = [
        (
            name(each.namespace),
            name(each.model) or "–",
            *([name(each.tenant) or "–"] if tenants else ()),
            count(each.input_tokens),
            count(each.output_tokens),
            amount(each.cost, name(each.currency)),
            duration(each.seconds),
        )
        for each in report.savings
    ]
    return Table("Saved", (*names, "#Tokens in", "#Tokens out", "#Money", "#Time"), tuple(rows))


def _limits(report: Report) -> Table:
    columns = (
        "Namespace",
        "Rule",
        "#Allowed",
        "#Denied",
        "#Denied, of all",
        "#Shadow",
        "#Degraded",
        "#Refused",
    )
    rows = [
        (
            name(each.namespace),
            name(each.rule),
            count(each.allowed),
            count(each.denied),
            _of(each.denied, each.allowed + each.denied),
            *map(count, (each.shadow, each.degraded, each.exceeded)),
        )
        for each in report.limits
    ]
    return Table("Limits", columns, tuple(rows))


def _failures(report: Report) -> Table:
    rows = [(name(each.namespace), name(each.error), count(each.count)) for each in report.failures]
    return Table("Faults that calls survived", ("Namespace", "Fault", "#Count"), tuple(rows))


def _sessions(report: Report) -> Table:
    rows = [
        (
            name(each.namespace),
            "–" if each.active is None else count(each.active),
            count(each.ended),
            count(each.expired),
        )
        for each in report.sessions
    ]
    return Table("Sessions", ("Namespace", "#Active", "#Ended", "#Expired"), tuple(rows))


def _of(part: int, whole: int) -> str:
    return share(part / whole if whole else None)


def as_text(table: Table) -> str:
    """Draw a table in plain text."""
    heads = table.heads()
    lines = [tuple(head for head, _ in heads), *table.rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(heads))]
    numbers = [is_number for _, is_number in heads]
    drawn = [*_lines(lines, widths, numbers)]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([table.title, "", drawn[0], rule, *drawn[1:]])


def _lines(lines: Sequence[tuple[str, ...]], widths: Sequence[int], numbers: Sequence[bool]) -> Iterator[str]:
    for line in lines:
        cells = zip(line, widths, numbers, strict=True)
        yield "  ".join(
            text.rjust(width) if number else text.ljust(width) for text, width, number in cells
        ).rstrip()
