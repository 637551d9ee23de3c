"""What follows when a setting of a running process changes: one line for each field of each rule.

========= ==================================================================================================
live      in force with the next call; nothing that is kept is lost
cold      in force too, and something begins anew: entries are not found, or counts, or this process's tier
forbidden not in a running process: it would show data to those it was not kept for, or lose what must not be
========= ==================================================================================================

Namespaces are in ``effects_of_kinds.py``; judges, for what depends on the values, in ``judges.py``.
A field without a line here fails a test.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cachepolicy.policy import judges
from cachepolicy.policy.effects_of_kinds import KINDS_EFFECTS
from cachepolicy.policy.judges import INSIDE, LIVE, Effect, Line, Verdict, cold, live
from cachepolicy.policy.rules import (
    Defaults,
    HealthRule,
    Policy,
    ReloadRule,
    connection,
    limits,
    linting,
    observing,
    prices,
)
from cachepolicy.policy.rules import analytics as metrics
from cachepolicy.policy.rules.base import Rule

_SEEN_BELOW: Final = Verdict(Effect.LIVE, "namespaces inherit it: what follows is said of each")
_ANEW: Final = Verdict(
    Effect.LIVE, "connections are made anew, and with them this process's tier begins empty"
)
_CODE: Final = "code that names it fails"
_NEXT_START: Final = cold("the SDK is set up once: in force when the process starts again")

EFFECTS: Final[Mapping[type[Rule], Mapping[str, Line]]] = {
    Policy: {
        "version": LIVE,
        "app": judges.app,
        "redis": INSIDE,
        "defaults": INSIDE,
        "namespaces": INSIDE,
        "health": INSIDE,
        "telemetry": INSIDE,
        "reload": INSIDE,
        "currency": cold("amounts that were counted are in another currency"),
        "prices": INSIDE,
        "lint": INSIDE,
    },
    Defaults: {"compression": _SEEN_BELOW, "encryption": _SEEN_BELOW, "jitter": _SEEN_BELOW},
    connection.RedisRule: dict(
        **dict.fromkeys(("username", "password", "max_connections", "deadline", "connect_timeout"), _ANEW),
        url=judges.url,
        tls=INSIDE,
        databases=cold("entries may lie in another database: here everything begins anew"),
        retry=INSIDE,
        breaker=INSIDE,
        pipeline=INSIDE,
    ),
    connection.Retry: live("on_timeout", "attempts", "budget"),
    connection.Breaker: live("failures", "window", "open_for"),
    connection.Pipeline: dict.fromkeys(("enabled", "size"), _ANEW),
    connection.Tls: {
        **dict.fromkeys(("ca", "cert", "key"), _ANEW),
        "enabled": judges.tls,
        "verify": judges.verify,
    },
    **KINDS_EFFECTS,
    HealthRule: live(
        "interval",
        "timeout",
        "failures",
        "memory_alert",
        "memory_threshold",
        "memory_critical",
        "clients_threshold",
        "clients_critical",
        "ping_slow",
        "ping_critical",
        "clock_skew",
        "clock_critical",
        "fragmentation",
        "unsaved",
        "fork_slow",
        "replica_lag",
        "error_rate",
        "expired_threshold",
        "expired_critical",
        "scripts",
    ),
    observing.TelemetryRule: live(
        "enabled",
        "spans",
        "db_spans",
        "dialect",
        "content",
        "key_hash",
        "fleet_stats",
        "tenants",
        sampling=_NEXT_START,
        otlp=INSIDE,
        resource=_NEXT_START,
    ),
    observing.Otlp: dict.fromkeys(
        (
            "endpoint",
            "protocol",
            "headers",
            "interval",
            "timeout",
        ),
        _NEXT_START,
    ),
    ReloadRule: live("watch", "interval", "sighup"),
    prices.PriceRule: live("input", "output", "cached_input", "cache_write"),
    linting.LintRule: live("ignore"),
    linting.Ignore: live("code", "at", "reason"),
}

REMOVED: Final[Mapping[tuple[type[Rule], str], Verdict]] = {
    (Policy, "namespaces"): cold(f"{_CODE}; what it keeps stays in Redis until its ttl ends"),
    (limits.RateLimitRule, "rules"): cold(f"{_CODE}, and is not limited"),
    (limits.LimitRule, "plans"): cold("calls that name it fail"),
    (metrics.AnalyticsRule, "metrics"): cold("what was counted stays until its retention ends"),
}
"""What follows when what has a name is taken away."""


def line_of(rule: type[Rule], field: str) -> Line:
    """Return what is said of a rule's field: by the rule itself, or by one it is made of.

    Raises:
        LookupError: nothing is; each field of each rule is to be classed.
    """
    for each in rule.__mro__:
        lines = EFFECTS.get(each, {}) if issubclass(each, Rule) else {}
        if field in lines:
            return lines[field]
    raise LookupError(f"{rule.__name__}.{field} is not classed: live, cold or forbidden?")
