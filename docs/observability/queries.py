"""How a panel asks Prometheus: every query keeps to what the dashboard's variables have picked."""

from __future__ import annotations

from dataclasses import dataclass

PROCESS = 'job=~"$job", instance=~"$instance"'
NAMESPACE = f'{PROCESS}, cachepolicy_namespace=~"$namespace"'
WINDOW = "$__rate_interval"
SERVER = "server_address, server_port"
SPARED = 'cachepolicy_outcome=~"hit|stale|coalesced"'
"""The outcomes for which the function was not called."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question, and what its answers are called.

    Attributes:
        expr: in PromQL.
        legend: what each series is called; ``{{label}}`` is filled in.
        form: ``time_series``, ``heatmap`` or ``table``.
        instant: asks for one moment, not for the range that is shown.
    """

    expr: str
    legend: str = ""
    form: str = "time_series"
    instant: bool = False


def of(metric: str, labels: str = "", within: str = NAMESPACE) -> str:
    """Select a metric's series."""
    return f"{metric}{{{', '.join(filter(None, (within, labels)))}}}"


def rate(metric: str, labels: str = "", *, by: str = "", within: str = NAMESPACE) -> str:
    """Add up by how much counters grow in a second."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({of(metric, labels, within)}[{WINDOW}]))"


def share(metric: str, part: str, *, by: str = "") -> str:
    """Return which share of a counter's growth is of this part."""
    return f"{rate(metric, part, by=by)} / {rate(metric, by=by)}"


def quantile(q: float, metric: str, labels: str = "", *, by: str = "") -> str:
    """Estimate a quantile of a histogram."""
    buckets = rate(f"{metric}_bucket", labels, by=", ".join(filter(None, ("le", by))))
    return f"histogram_quantile({q}, {buckets})"


def quantiles(metric: str, labels: str = "") -> tuple[Query, ...]:
    """Ask for the half, and for the slowest twentieth and hundredth."""
    return tuple(Query(quantile(q, metric, labels), f"p{q * 100:g}") for q in (0.5, 0.95, 0.99))


def gauge(over: str, metric: str, by: str = "cachepolicy_namespace") -> str:
    """Read a gauge of processes: their ``sum``, or their ``max`` where each tells the whole."""
    return f"{over} by ({by}) ({of(metric)})"


def per_server(metric: str) -> str:
    """Read a gauge of a Redis server, of which every process tells the same."""
    return f"max by ({SERVER}) ({of(metric, within=PROCESS)})"


def server_rate(metric: str) -> str:
    """Return by how much a server's own counter grows in a second, as some process tells."""
    return f"max by ({SERVER}) (rate({of(metric, within=PROCESS)}[{WINDOW}]))"
