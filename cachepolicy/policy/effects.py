"""What follows when a setting of a running process changes: one line for each field of each rule.

========= ==================================================================================================
live      in force with the next call; nothing that is kept is lost
cold      in force too, and something begins anew: entries are not found, or counts, or this process's tier
forbidden not in a running process: it would show data to those it was not kept for, or lose what must not be
========= ==================================================================================================

Judges, for what depends on the values, are in ``judges.py``. A field without a line here fails a test.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cachepolicy.policy import judges
from cachepolicy.policy.judges import INSIDE, LIVE, Effect, Line, Verdict
from cachepolicy.policy.rules import (
    Compression,
    Defaults,
    Encryption,
    HealthRule,
    Policy,
    cache,
    connection,
    limits,
    linting,
    observing,
    prices,
    sessions,
    temp,
)
from cachepolicy.policy.rules import analytics as metrics
from cachepolicy.policy.rules.base import Kept, Rule, TtlRange


def _cold(why: str) -> Verdict:
    return Verdict(Effect.COLD, why)


def _live(*fields: str, **others: Line) -> Mapping[str, Line]:
    return {**dict.fromkeys(fields, LIVE), **others}


def _inside(*fields: str, **others: Line) -> Mapping[str, Line]:
    return {**dict.fromkeys(fields, INSIDE), **others}


_ELSEWHERE: Final = _cold("what is kept stays where it was: here everything begins anew")
_L1: Final = _cold("this process's own tier begins empty; what is in Redis stays")
_SEEN_BELOW: Final = Verdict(Effect.LIVE, "namespaces inherit it: what follows is said of each")
_CODE: Final = "code that names it fails"
_NEXT_START: Final = _cold("the SDK is set up once: in force when the process starts again")

EFFECTS: Final[Mapping[type[Rule], Mapping[str, Line]]] = {
    Policy: {
        "version": LIVE,
        "app": judges.app,
        "redis": INSIDE,
        "defaults": INSIDE,
        "namespaces": INSIDE,
        "health": INSIDE,
        "telemetry": INSIDE,
        "currency": _cold("amounts that were counted are in another currency"),
        "prices": INSIDE,
        "lint": INSIDE,
    },
    Defaults: {"compression": _SEEN_BELOW, "encryption": _SEEN_BELOW, "jitter": _SEEN_BELOW},
    connection.RedisRule: _live(
        "username",
        "password",
        "max_connections",
        "deadline",
        "connect_timeout",
        url=judges.url,
        tls=INSIDE,
        databases=_cold("entries may lie in another database: here everything begins anew"),
        retry=INSIDE,
        breaker=INSIDE,
        pipeline=INSIDE,
    ),
    connection.Retry: _live("on_timeout", "attempts", "budget"),
    connection.Breaker: _live("failures", "window", "open_for"),
    connection.Pipeline: _live("enabled", "size"),
    connection.Tls: _live("ca", "cert", "key", enabled=judges.tls, verify=judges.verify),
    Kept: {
        "db": _ELSEWHERE,
        "url": judges.url,
        "guarantee": judges.guarantee,
    },
    TtlRange: dict.fromkeys(
        (
            "default",
            "min",
            "max",
        ),
        Verdict(Effect.LIVE, "what is written from now on; entries keep theirs"),
    ),
    Compression: _live("enabled", "threshold", "codec", "level", dictionary=judges.dictionaries),
    Encryption: {"enabled": judges.encryption, "keys": judges.keys},
    cache.CacheRule: _inside(
        "ttl",
        "eviction",
        "local",
        "stale",
        "timeouts",
        "negative",
        "stampede",
        "admit",
        "sampling",
        "replay",
        "compression",
        "encryption",
        kind=judges.KIND,
        scope=judges.scope,
        jitter=LIVE,
        on_fault=LIVE,
        tags=judges.tags,
    ),
    cache.Eviction: {"l1": _L1, "redis": LIVE},
    cache.Local: _live("max_value", "ttl", "blind_ttl", enabled=_L1, max_bytes=_L1, coherence=_L1, share=_L1),
    cache.Stale: _live("if_error", "while_revalidate", "throttle"),
    cache.Timeouts: _live("soft", "hard"),
    cache.Negative: _live("errors", "bad_requests", "ttl"),
    cache.Stampede: _live("lease", "wait", "early"),
    cache.Admit: _live("truncated", "filtered", "refused", "empty", "failed", "none", "max_value"),
    cache.Sampling: {"temperature_above_zero": INSIDE},
    cache.Temperature: _live("mode", "variants"),
    cache.Replay: _live("pace", "longest"),
    limits.RateLimitRule: _live(
        "on_fault",
        "replicas",
        "denied",
        "trusted_proxies",
        kind=judges.KIND,
        ttl=INSIDE,
        rules=INSIDE,
        ipv6_prefix=_cold("IPv6 addresses are other subjects: they are counted anew"),
    ),
    limits.Limits: _live(
        "requests", "tokens", "input_tokens", "output_tokens", "money", "concurrency", "unlimited"
    ),
    limits.Plan: {},
    limits.LimitRule: _live(
        "default_plan",
        "burst",
        "shadow",
        "on_fault",
        "batch",
        "wait",
        "overrides",
        "held",
        "refund",
        by=_cold("subjects are others: they are counted anew"),
        plans=INSIDE,
        algorithm=_cold("what subjects have used is counted anew"),
        buckets=_cold("windows are cut anew"),
    ),
    limits.Concurrency: _live("limit", "lease"),
    sessions.SessionsRule: _live(
        "absolute",
        "touch",
        "max_per_user",
        "when_full",
        "max_bytes",
        "on_fault",
        kind=judges.KIND,
        ttl=INSIDE,
        rotate=INSIDE,
        anonymous=INSIDE,
        layout=_cold("sessions of the other layout are not found: their users log in again"),
        blacklist=INSIDE,
        preferences=INSIDE,
        compression=INSIDE,
        encryption=INSIDE,
    ),
    sessions.Rotation: _live("every", "grace"),
    sessions.Anonymous: _live("enabled", "ttl"),
    sessions.Blacklist: _live("longest", "leeway", "remembered"),
    sessions.Preferences: _live("ttl", "max_fields", "max_bytes", "defaults"),
    metrics.AnalyticsRule: _live(
        "undeclared",
        "max_series",
        "max_label",
        "mode",
        "on_fault",
        kind=judges.KIND,
        ttl=INSIDE,
        retention=INSIDE,
        metrics=INSIDE,
        flush=INSIDE,
    ),
    metrics.Retention: _live("hour", "day", "month"),
    metrics.Flush: _live("interval", "max_cells", "max_pending"),
    metrics.Metric: _live(
        "values",
        "max_series",
        "mode",
        "accuracy",
        kind=_cold("what was counted means something else: the metric begins anew"),
        labels=_cold("series of before have other labels"),
        retention=INSIDE,
    ),
    temp.TempRule: _live(
        "chunk",
        "window",
        "max_file",
        "one_time",
        "claim",
        "incomplete",
        "on_fault",
        kind=judges.KIND,
        ttl=INSIDE,
        quotas=INSIDE,
        offload=INSIDE,
        compression=INSIDE,
        encryption=INSIDE,
    ),
    temp.Quotas: _live("per_owner", "total"),
    temp.Offload: _live("above", directory=_cold("large files of before are looked for here")),
    HealthRule: _live(
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
    observing.TelemetryRule: _live(
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
    prices.PriceRule: _live("input", "output", "cached_input", "cache_write"),
    linting.LintRule: _live("ignore"),
    linting.Ignore: _live("code", "at", "reason"),
}

REMOVED: Final[Mapping[tuple[type[Rule], str], Verdict]] = {
    (Policy, "namespaces"): _cold(f"{_CODE}; what it keeps stays in Redis until its ttl ends"),
    (limits.RateLimitRule, "rules"): _cold(f"{_CODE}, and is not limited"),
    (limits.LimitRule, "plans"): _cold("calls that name it fail"),
    (metrics.AnalyticsRule, "metrics"): _cold("what was counted stays until its retention ends"),
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
