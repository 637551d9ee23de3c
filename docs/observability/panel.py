"""What a panel is."""

from __future__ import annotations

from dataclasses import dataclass

from docs.observability.queries import Query

State = tuple[int, str, str]
"""A value, what it is called, and its colour."""

STATES: tuple[State, ...] = ((0, "healthy", "green"), (1, "degraded", "orange"), (2, "unhealthy", "red"))
CHECKS = (*STATES, (3, "unknown", "gray"))
BREAKER = ((0, "closed", "green"), (1, "half open", "orange"), (2, "open", "red"))
LIVE = ((0, "blind", "red"), (1, "live", "green"))
ENDPOINT = "{{server_address}}:{{server_port}}"


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        title: what it shows.
        description: how to read it; seen where the pointer rests on its corner.
        unit: as Grafana names it.
        queries: what it asks.
        kind: Grafana's panel type.
        width: of 24 columns.
        states: names and colours of values that are states.
    """

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    width: int = 8
    states: tuple[State, ...] = ()


def one(title: str, description: str, unit: str, expr: str, legend: str = "") -> Panel:
    """Show one expression over time."""
    return Panel(title, description, unit, (Query(expr, legend),))


def stat(title: str, description: str, unit: str, expr: str, legend: str = "") -> Panel:
    """Show one expression as a number."""
    return Panel(title, description, unit, (Query(expr, legend),), "stat", 4)


def state(title: str, description: str, expr: str, legend: str, states: tuple[State, ...]) -> Panel:
    """Show states over time."""
    return Panel(title, description, "none", (Query(expr, legend),), "state-timeline", 8, states)
