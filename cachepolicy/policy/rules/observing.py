"""``health:`` and ``telemetry:`` — how the library is watched."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from cachepolicy.policy.rules.base import (
    Duration,
    DurationOrOff,
    Flag,
    Frozen,
    Percentage,
    PercentageOrOff,
    Positive,
    Rule,
    Secret,
    Size,
    Text,
)
from cachepolicy.policy.rules.frozen import FrozenMap


class HealthRule(Rule):
    """The watch over Redis."""

    interval: Duration = 30.0
    """How often the background monitor looks (seconds)."""
    timeout: Duration = 1.0
    """How long a look may take (seconds)."""
    failures: Positive = 3
    """So many looks in a row must fail before Redis counts as down."""
    memory_alert: Flag = True
    """Whether memory above the threshold is an alert."""
    memory_threshold: Percentage = 0.8
    """From this share of memory on, Redis is degraded."""
    memory_critical: Percentage = 0.95
    """From this share of memory on, Redis is unhealthy."""
    clients_threshold: Percentage = 0.8
    """From this share of its connections on, Redis is degraded."""
    clients_critical: Percentage = 0.95
    """From this share of its connections on, Redis is unhealthy."""
    ping_slow: Duration = 0.005
    """An answer slower than this is degraded (seconds)."""
    ping_critical: Duration = 0.05
    """An answer slower than this is unhealthy (seconds)."""
    clock_skew: Duration = 0.25
    """From this difference between the server's clock and ours on, Redis is degraded (seconds)."""
    clock_critical: Duration = 2.0
    """From this difference on, it is unhealthy (seconds)."""
    fragmentation: Size = 100 * 1024 * 1024
    """Memory lost to fragmentation, or swapped out, is minded from so much on (bytes)."""
    unsaved: DurationOrOff = 0.0
    """How long changes may wait for a snapshot (seconds); zero: snapshots are nobody's concern."""
    fork_slow: Duration = 0.5
    """A fork for a snapshot that held Redis up for longer is degraded (seconds)."""
    replica_lag: Duration = 10.0
    """A replica that is further behind is degraded (seconds)."""
    error_rate: Positive = 10
    """From so many refused commands a second on, Redis is degraded."""
    expired_threshold: Percentage = 0.1
    """From this share of keys whose time is over, and which are still in memory, Redis is degraded."""
    expired_critical: Percentage = 0.25
    """From this share of them on, it is unhealthy."""
    scripts: Positive = 500
    """From so many scripts in its cache on, Redis is degraded: somebody formats one for each call."""


def _endpoint(value: str) -> str:
    try:
        parts = urlsplit(value)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        sound = sound and "@" not in parts.netloc
    except ValueError:
        sound = False
    if not sound:
        raise ValueError("expected an address such as http://localhost:4318, its secrets in headers")
    return value


Headers: TypeAlias = Frozen[Text, Secret]
Attributes: TypeAlias = Frozen[Text, Text]


class Otlp(Rule):
    """Where telemetry is sent, for an application that has no OpenTelemetry SDK of its own."""

    endpoint: Annotated[Text, AfterValidator(_endpoint)] | None = None
    """The collector; without it, as ``OTEL_EXPORTER_OTLP_ENDPOINT`` says."""
    protocol: Literal["http", "grpc"] = "http"
    """What it speaks."""
    headers: Headers = Field(default_factory=FrozenMap)
    """What it wants to know; never shown."""
    interval: Duration = 60.0
    """How often metrics are sent (seconds)."""
    timeout: Duration = 10.0
    """How long sending may take (seconds)."""


class TelemetryRule(Rule):
    """What is told about calls."""

    enabled: Flag = True
    """Whether anything is."""
    spans: Literal["auto", "all", "none"] = "auto"
    """``auto``: a span for calls that the process cannot answer itself; ``all``: for every call; ``none``."""
    sampling: PercentageOrOff = 1.0
    """The share of traces that are kept, where this library sets the SDK up."""
    db_spans: Flag = False
    """Whether each Redis command has a span."""
    dialect: Literal["default", "openinference"] = "default"
    """Whose attribute names spans carry beside our own."""
    content: Flag = False
    """Whether prompts and answers may stand in spans."""
    key_hash: Flag = False
    """Whether spans carry the beginning of the key's hash."""
    fleet_stats: Flag = False
    """Whether the library's own counters are kept in Redis, for the whole fleet."""
    tenants: Flag = False
    """Whether metrics of what was spared name tenants: each is a series of its own, and somebody's name."""
    otlp: Otlp = Otlp()
    """Where telemetry is sent."""
    resource: Attributes = Field(default_factory=FrozenMap)
    """Attributes of this service: ``service.name: chat``."""
