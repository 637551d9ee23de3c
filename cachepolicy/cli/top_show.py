"""A frame of ``cachepolicy top`` as tables: plain, or live in a terminal."""

from __future__ import annotations

from typing import Any

from cachepolicy.cli.plain import printable
from cachepolicy.cli.stats_tables import Table, as_text, summary
from cachepolicy.cli.stats_tables import tables as of_fleet
from cachepolicy.cli.stats_words import count, share
from cachepolicy.cli.top_frame import Frame, ServerRow

_NONE = "–"


def text(frame: Frame) -> str:
    """Write a frame for people, without colours."""
    parts = [*head(frame), *map(as_text, tables(frame))]
    return "\n\n".join(parts)


def head(frame: Frame) -> list[str]:
    """Return what stands above the tables."""
    lines = [f"{frame.app}, {frame.at:%Y-%m-%d %H:%M:%S} UTC"]
    if frame.fleet is not None:
        pace = "" if frame.calls_per_second is None else f" {frame.calls_per_second:,.1f} calls/s now."
        lines.append(f"all processes since {frame.fleet.since:%H:%M} UTC: {summary(frame.fleet)}{pace}")
    if frame.note:
        lines.append(printable(frame.note))
    lines += [printable(f"{each.address}: {trouble}") for each in frame.servers for trouble in each.trouble]
    return lines


def tables(frame: Frame) -> list[Table]:
    """Return a frame's tables: of the servers, and of the fleet where it counts."""
    found = [_servers(frame), _commands(frame)]
    found += of_fleet(frame.fleet) if frame.fleet is not None else []
    return [table for table in found if table.rows]


def drawn(frame: Frame) -> Any:
    """Draw a frame with rich."""
    from rich.console import Group  # of the extra `cli`
    from rich.text import Text

    from cachepolicy.cli.stats_show import drawn as drawn_table

    parts: list[Any] = [Text(line) for line in head(frame)]
    for table in tables(frame):
        parts += [Text(""), drawn_table(table)]
    return Group(*parts, Text("q: quit", style="dim"))


def _servers(frame: Frame) -> Table:
    columns = (
        "Server",
        "Status",
        "Breaker",
        "#Ping ms",
        "#Commands/s",
        "#Hit rate",
        "#Evicted",
        "#Memory MB",
        "#Of its most",
        "#Clients",
    )
    return Table("Servers", columns, tuple(map(_server, frame.servers)))


def _server(row: ServerRow) -> tuple[str, ...]:
    percent = None if row.memory_percent is None else row.memory_percent / 100
    return (
        printable(row.address),
        row.status,
        row.breaker,
        _number(row.ping_ms, "{:.2f}"),
        _number(row.per_second, "{:,.0f}"),
        _share(row.hit_rate),
        _NONE if row.evicted is None else count(row.evicted),
        _number(row.memory_mb, "{:,.1f}"),
        _share(percent),
        _NONE if row.clients is None else count(row.clients),
    )


def _commands(frame: Frame) -> Table:
    rows = [
        (
            printable(server.address),
            printable(each.name),
            _number(each.per_second, "{:,.1f}"),
            _number(each.micros, "{:,.1f}"),
            _number(each.p99_micros, "{:,.0f}"),
        )
        for server in frame.servers
        for each in server.commands
    ]
    columns = ("Server", "Command", "#Per second", "#Mean µs", "#p99 µs")
    return Table("Busiest commands, of all clients", columns, tuple(rows))


def _share(part: float | None) -> str:
    return _NONE if part is None else share(part)


def _number(value: float | None, form: str) -> str:
    return _NONE if value is None else form.format(value)
