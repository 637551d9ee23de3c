"""``redis:`` — which Redis, and how much patience a call has with it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from cachepolicy.policy.rules.base import (
    Duration,
    Flag,
    PercentageOrOff,
    Positive,
    RedisUrl,
    Rule,
    Secret,
    Text,
    Whole,
)


class Retry(Rule):
    """When a command that failed is tried again; counters and scripts never are after a timeout."""

    on_timeout: Flag = True
    """Whether a read or an idempotent write that timed out is tried again."""
    attempts: Annotated[Whole, Field(ge=1, le=10)] = 2
    """How often a command is tried in all, the first time included."""
    budget: PercentageOrOff = 0.2
    """Retries as a share of all commands: an outage must not double the load."""


class Breaker(Rule):
    """When Redis is left alone for a while."""

    failures: Positive = 5
    """So many failures..."""
    window: Duration = 1.0
    """...within so long open the breaker (seconds)."""
    open_for: Duration = 1.0
    """How long it stays open before one command may probe (seconds)."""


class Pipeline(Rule):
    """Whether commands of one moment leave in one write."""

    enabled: Flag = True
    """Off: every command has a round trip of its own."""
    size: Annotated[Whole, Field(ge=1, le=100_000)] = 100
    """The most commands in one write."""


class Tls(Rule):
    """How connections are encrypted; ``tls: true`` is short for ``tls: {enabled: true}``."""

    enabled: Flag = True
    """Whether the connection is encrypted, as rediss:// would say."""
    ca: Text | None = None
    """The file of the authorities that are trusted; without it, the system's."""
    cert: Text | None = None
    """The file of the client's certificate, for servers that ask for one."""
    key: Text | None = None
    """The file of its key."""
    verify: Flag = True
    """Whether the server must prove who it is; off, anybody between can read and answer."""

    @model_validator(mode="after")
    def _has_both_halves(self) -> Tls:
        if (self.cert is None) is not (self.key is None):
            raise ValueError("expected cert and key together")
        return self


def parse_tls(value: object) -> object:
    """Take a flag for the rule that it switches."""
    return {"enabled": value} if isinstance(value, bool | str) else value


class RedisRule(Rule):
    """The Redis that namespaces use unless they name their own."""

    url: RedisUrl = SecretStr("memory://")
    """Where: redis:// rediss:// unix:// redis+cluster://host,host redis+sentinel://host,host/master
    local://DIR memory://."""
    username: Text | None = None
    """The ACL user, when it is not in the URL."""
    password: Secret | None = None
    """The password, when it is not in the URL."""
    tls: Annotated[Tls, BeforeValidator(parse_tls, json_schema_input_type=bool | str | Tls)] = Tls(
        enabled=False
    )
    """Whether, and how, connections are encrypted."""
    max_connections: Positive = 20
    """The most connections of one process."""
    databases: Literal["select", "prefix", "auto"] = "auto"
    """``select``: namespaces use their database numbers; ``prefix``: all live in database 0;
    ``auto``: numbers where a canary proves that they separate."""
    deadline: Duration = 0.1
    """The most that a cache operation may add to a call (seconds)."""
    connect_timeout: Duration = 0.25
    """The most that a new connection may take (seconds)."""
    retry: Retry = Retry()
    """When a failed command is tried again."""
    breaker: Breaker = Breaker()
    """When Redis is left alone for a while."""
    pipeline: Pipeline = Pipeline()
    """Whether commands of one moment leave in one write."""
