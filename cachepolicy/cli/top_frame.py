"""One moment of ``cachepolicy top``: what the servers tell of themselves, and the fleet of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from cachepolicy.cli.stats_report import Report, as_json


@dataclass(frozen=True, slots=True)
class Counters:
    """Sums of one server, which only grow: two readings tell what happened in between.

    Attributes:
        at: when they were read, in monotonic seconds.
        hits: reads that found a key.
        misses: reads that found none.
        evicted: keys that went for lack of memory.
        calls: of each command, by its name.
        micros: that each took, all calls together.
    """

    at: float
    hits: int = 0
    misses: int = 0
    evicted: int = 0
    calls: Mapping[str, int] | None = None
    micros: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class CommandTime:
    """One command of a server.

    Attributes:
        name: of it.
        per_second: calls; None at the first look.
        micros: that one takes, on average since the last look, or since the server began to count.
        p99_micros: that all but one in a hundred take less than; None: the server does not tell.
    """

    name: str
    per_second: float | None
    micros: float
    p99_micros: float | None


@dataclass(frozen=True, slots=True)
class ServerRow:
    """One server; what it does not tell is None.

    Attributes:
        address: of it.
        status: the worst that a look found.
        breaker: of this very process: ``closed`` or ``open``.
        ping_ms: how long PING took.
        per_second: commands of all clients.
        hit_rate: of reads since the last look, or since the server began to count.
        evicted: keys since the last look, or since it began.
        memory_mb: in use.
        memory_percent: of what it may use.
        clients: connected.
        commands: the busiest.
        trouble: what is wrong, in words.
    """

    address: str
    status: str
    breaker: str
    ping_ms: float | None
    per_second: float | None
    hit_rate: float | None
    evicted: int | None
    memory_mb: float | None
    memory_percent: float | None
    clients: int | None
    commands: Sequence[CommandTime]
    trouble: Sequence[str]


@dataclass(frozen=True, slots=True)
class Frame:
    """All of it.

    Attributes:
        app: whose.
        at: when, in UTC.
        servers: of the policy.
        fleet: what all processes counted; None: they do not.
        calls_per_second: of the fleet since its counts were last read; None: they were read once.
        note: why there is nothing of the fleet.
    """

    app: str
    at: datetime
    servers: Sequence[ServerRow]
    fleet: Report | None
    calls_per_second: float | None
    note: str

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "app": self.app,
            "at": self.at.isoformat(timespec="seconds"),
            "servers": [asdict(server) for server in self.servers],
            "fleet": None if self.fleet is None else as_json(self.fleet),
            "calls_per_second": self.calls_per_second,
            "note": self.note,
        }
