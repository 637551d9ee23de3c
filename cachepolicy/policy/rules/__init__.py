"""The rules of a policy: one frozen model per part of ``policies.yaml``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from cachepolicy.policy.rules.analytics import AnalyticsRule
from cachepolicy.policy.rules.base import Compression, Elsewhere, Named, PercentageOrOff, Rule, Text
from cachepolicy.policy.rules.cache import CacheRule
from cachepolicy.policy.rules.connection import RedisRule
from cachepolicy.policy.rules.encryption import Encryption
from cachepolicy.policy.rules.frozen import FrozenMap
from cachepolicy.policy.rules.kinds import NamespaceRule
from cachepolicy.policy.rules.limits import RateLimitRule
from cachepolicy.policy.rules.linting import LintRule
from cachepolicy.policy.rules.observing import HealthRule, TelemetryRule
from cachepolicy.policy.rules.prices import Currency, PriceList
from cachepolicy.policy.rules.reloading import ReloadRule
from cachepolicy.policy.rules.sessions import SessionsRule
from cachepolicy.policy.rules.sharing import refused
from cachepolicy.policy.rules.temp import TempRule

__all__ = [
    "KINDS",
    "AnalyticsRule",
    "CacheRule",
    "Compression",
    "Defaults",
    "Encryption",
    "HealthRule",
    "NamespaceRule",
    "Policy",
    "RateLimitRule",
    "RedisRule",
    "ReloadRule",
    "SessionsRule",
    "TelemetryRule",
    "TempRule",
]

KINDS: Final[Mapping[str, type[Rule]]] = MappingProxyType(
    {
        "cache": CacheRule,
        "sessions": SessionsRule,
        "ratelimit": RateLimitRule,
        "analytics": AnalyticsRule,
        "temp": TempRule,
    }
)


def _kind(value: object) -> str | None:
    """Say which model a namespace is for; the brackets tell the tag from a key of the file."""
    kind = value.get("kind") if isinstance(value, Mapping) else getattr(value, "kind", None)
    return f"<{kind}>" if isinstance(kind, str) and kind in KINDS else None


_AnyKind: TypeAlias = Annotated[
    Annotated[CacheRule, Tag("<cache>")]
    | Annotated[SessionsRule, Tag("<sessions>")]
    | Annotated[RateLimitRule, Tag("<ratelimit>")]
    | Annotated[AnalyticsRule, Tag("<analytics>")]
    | Annotated[TempRule, Tag("<temp>")],
    Discriminator(_kind),
]

_APP: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


def check_app(value: str) -> str:
    """Check an application's name."""
    if _APP.fullmatch(value) is None:
        raise ValueError(
            "expected a name of letters, digits, - _ and . that begins with a letter, such as chat"
        )
    return value


class Defaults(Rule):
    """What namespaces inherit unless they say otherwise."""

    compression: Compression = Compression()
    """How stored values are compressed."""
    encryption: Encryption = Encryption(enabled=False)
    """Who can read stored values in Redis."""
    jitter: PercentageOrOff = 0.1
    """Each TTL is shortened by up to this share."""


class Policy(Rule):
    """policies.yaml: what should happen, wherever it happens."""

    version: Literal[1]
    """The version of this format: 1."""
    app: Annotated[Text, AfterValidator(check_app)] = "app"
    """The first segment of every key: applications that share a Redis are told apart by it."""
    redis: RedisRule = RedisRule()
    """Which Redis, and how much patience a call has with it."""
    defaults: Defaults = Defaults()
    """What namespaces inherit."""
    namespaces: Named[_AnyKind] = Field(default_factory=FrozenMap)
    """What is kept, by name; ``kind`` says what each is."""
    health: HealthRule = HealthRule()
    """The watch over Redis."""
    telemetry: TelemetryRule = TelemetryRule()
    """What is told about calls."""
    reload: ReloadRule = ReloadRule()
    """When a running process reads its policy again."""
    currency: Currency | None = None
    """Of all prices: USD."""
    prices: PriceList = Field(default_factory=FrozenMap)
    """What a million tokens of each model cost, so that it can be told what was spared. A ``*`` in a name
    stands for anything; a name without one comes first, then the longest that fits."""

    lint: LintRule = LintRule()
    """Which findings of ``cachepolicy check`` are meant as they are."""

    @model_validator(mode="after")
    def _prices_are_money(self) -> Policy:
        if self.prices and self.currency is None:
            raise ValueError("prices need a currency: say currency: USD")
        for name, rule in self.namespaces.items():
            currencies = rule.currencies() if isinstance(rule, RateLimitRule) else set()
            for currency in sorted(currencies - {self.currency if self.prices else None}):
                raise ValueError(
                    f"namespaces.{name}: money is limited in {currency}, and the policy has no prices in it; "
                    "what calls cost is worked out by prices:"
                )
        return self

    @model_validator(mode="after")
    def _fleet_stats_have_a_place(self) -> Policy:
        kept = [name for name, rule in self.namespaces.items() if isinstance(rule, AnalyticsRule)]
        if self.telemetry.enabled and self.telemetry.fleet_stats and len(kept) != 1:
            wanted = "one namespace of kind: analytics, where the counts are kept"
            raise Elsewhere(
                ("telemetry", "fleet_stats"),
                f"expected {wanted}; there are {', '.join(kept)}" if kept else f"required: {wanted}",
            )
        return self

    @model_validator(mode="after")
    def _evictions_can_be_had(self) -> Policy:
        for namespace, setting, why in refused(self.redis.url.get_secret_value(), self.namespaces):
            raise Elsewhere(("namespaces", namespace, "eviction", setting), why)
        return self
