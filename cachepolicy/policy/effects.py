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
from enum import Enum
from typing import Final, TypeAlias

from cachepolicy.policy import judges
from cachepolicy.policy.judges import LIVE, Effect, Judge, Verdict
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


class Inside(Enum):
    """The field is a rule, or holds rules by name: what changes in it is judged there."""

    INSIDE = "inside"


INSIDE: Final = Inside.INSIDE
Line: TypeAlias = Verdict | Judge | Inside


def _cold(why: str) -> Verdict:
    return Verdict(Effect.COLD, why)


def _all(rule: type[Rule], line: Line = LIVE, **others: Line) -> Mapping[str, Line]:
    """Say the same of each field that a rule declares itself, but for some."""
    own = [name for name in rule.model_fields if name in rule.__annotations__]
    return {**dict.fromkeys(own, line), **others}


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
    connection.RedisRule: _all(
        connection.RedisRule,
        url=judges.url,
        tls=INSIDE,
        databases=_cold("entries may lie in another database: here everything begins anew"),
        retry=INSIDE,
        breaker=INSIDE,
        pipeline=INSIDE,
    ),
    connection.Retry: _all(connection.Retry),
    connection.Breaker: _all(connection.Breaker),
    connection.Pipeline: _all(connection.Pipeline),
    connection.Tls: _all(connection.Tls, enabled=judges.tls, verify=judges.verify),
    Kept: {
        "db": _ELSEWHERE,
        "url": judges.url,
        "guarantee": judges.guarantee,
    },
    TtlRange: _all(TtlRange, Verdict(Effect.LIVE, "what is written from now on; entries keep theirs")),
    Compression: _all(Compression, dictionary=judges.dictionaries),
    Encryption: {"enabled": judges.encryption, "keys": judges.keys},
    cache.CacheRule: _all(
        cache.CacheRule,
        INSIDE,
        kind=judges.KIND,
        scope=judges.scope,
        jitter=LIVE,
        on_fault=LIVE,
        tags=judges.tags,
    ),
    cache.Eviction: {"l1": _L1, "redis": LIVE},
    cache.Local: _all(cache.Local, enabled=_L1, max_bytes=_L1, coherence=_L1, share=_L1),
    cache.Stale: _all(cache.Stale),
    cache.Timeouts: _all(cache.Timeouts),
    cache.Negative: _all(cache.Negative),
    cache.Stampede: _all(cache.Stampede),
    cache.Admit: _all(cache.Admit),
    cache.Sampling: {"temperature_above_zero": INSIDE},
    cache.Temperature: _all(cache.Temperature),
    cache.Replay: _all(cache.Replay),
    limits.RateLimitRule: _all(
        limits.RateLimitRule,
        kind=judges.KIND,
        ttl=INSIDE,
        rules=INSIDE,
        ipv6_prefix=_cold("IPv6 addresses are other subjects: they are counted anew"),
    ),
    limits.Limits: _all(limits.Limits),
    limits.Plan: {},
    limits.LimitRule: _all(
        limits.LimitRule,
        by=_cold("subjects are others: they are counted anew"),
        plans=INSIDE,
        algorithm=_cold("what subjects have used is counted anew"),
        buckets=_cold("windows are cut anew"),
    ),
    limits.Concurrency: _all(limits.Concurrency),
    sessions.SessionsRule: _all(
        sessions.SessionsRule,
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
    sessions.Rotation: _all(sessions.Rotation),
    sessions.Anonymous: _all(sessions.Anonymous),
    sessions.Blacklist: _all(sessions.Blacklist),
    sessions.Preferences: _all(sessions.Preferences),
    metrics.AnalyticsRule: _all(
        metrics.AnalyticsRule, kind=judges.KIND, ttl=INSIDE, retention=INSIDE, metrics=INSIDE, flush=INSIDE
    ),
    metrics.Retention: _all(metrics.Retention),
    metrics.Flush: _all(metrics.Flush),
    metrics.Metric: _all(
        metrics.Metric,
        kind=_cold("what was counted means something else: the metric begins anew"),
        labels=_cold("series of before have other labels"),
        retention=INSIDE,
    ),
    temp.TempRule: _all(
        temp.TempRule,
        kind=judges.KIND,
        ttl=INSIDE,
        quotas=INSIDE,
        offload=INSIDE,
        compression=INSIDE,
        encryption=INSIDE,
    ),
    temp.Quotas: _all(temp.Quotas),
    temp.Offload: _all(temp.Offload, directory=_cold("large files of before are looked for here")),
    HealthRule: _all(HealthRule),
    observing.TelemetryRule: _all(
        observing.TelemetryRule, sampling=_NEXT_START, otlp=INSIDE, resource=_NEXT_START
    ),
    observing.Otlp: _all(observing.Otlp, _NEXT_START),
    prices.PriceRule: _all(prices.PriceRule),
    linting.LintRule: _all(linting.LintRule),
    linting.Ignore: _all(linting.Ignore),
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
