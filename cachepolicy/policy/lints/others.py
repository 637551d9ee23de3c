"""Findings about limits and sessions, about what is told, and about secrets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cachepolicy.policy.lints.finding import Lint, Look, Severity
from cachepolicy.policy.rules import RateLimitRule, SessionsRule
from cachepolicy.policy.units import format_duration


def window_beyond_ttl(look: Look) -> Iterator[Lint]:
    """A limit counts over a longer time than the namespace lets anything be kept."""
    for _, path, rule in look.of_kind(RateLimitRule):
        for name, limit in rule.rules.items():
            sets = [("", limit), *((f".plans.{plan}", each) for plan, each in limit.plans.items())]
            for below, limits in sets:
                longest = max((rate.window for rate in limits.rates()), default=0.0)
                if rule.ttl.max is not None and longest > rule.ttl.max:
                    yield look.lint(
                        "window-beyond-ttl",
                        f"{path}.rules.{name}{below}",
                        f"counts over {format_duration(longest)}, so subjects are remembered for longer than "
                        f"ttl.max says: {format_duration(rule.ttl.max)}",
                        "a ttl.max that is not below the longest window, or shorter windows",
                    )


def limit_fails_open(look: Look) -> Iterator[Lint]:
    """When Redis is out, money is not limited."""
    for _, path, rule in look.of_kind(RateLimitRule):
        for name, limit in rule.rules.items():
            money = limit.money or any(plan.money for plan in limit.plans.values())
            if money and (limit.on_fault or rule.on_fault) == "allow":
                where = f"{path}.rules.{name}" if limit.on_fault else path
                yield look.lint(
                    "limit-fails-open",
                    f"{where}.on_fault",
                    f"{name} limits money, and when Redis is out nothing does",
                    "on_fault: local, which counts in each process, or deny",
                )


def limit_in_shadow(look: Look) -> Iterator[Lint]:
    """A limit is only reported."""
    for _, path, rule in look.of_kind(RateLimitRule):
        for name, limit in rule.rules.items():
            if limit.shadow:
                yield look.lint(
                    "limit-in-shadow",
                    f"{path}.rules.{name}.shadow",
                    f"{name} is only reported: every call passes",
                    "take shadow away when the limit is to hold",
                    severity=Severity.INFO,
                )


def ttl_beyond_absolute(look: Look) -> Iterator[Lint]:
    """A session ends before it can be idle for so long."""
    for _, path, rule in look.of_kind(SessionsRule):
        if rule.ttl.default > rule.absolute:
            yield look.lint(
                "ttl-beyond-absolute",
                f"{path}.ttl",
                f"a session ends after {format_duration(rule.absolute)} (absolute), idle or not",
                "a ttl below absolute",
            )


def content_in_spans(look: Look) -> Iterator[Lint]:
    """Prompts and answers leave the process."""
    if look.policy.telemetry.enabled and look.policy.telemetry.content:
        yield look.lint(
            "content-in-spans",
            "telemetry.content",
            "prompts and answers stand in spans: whoever sees the traces reads them",
            "content: false, except where nobody's data is used",
        )


def thresholds_crossed(look: Look) -> Iterator[Lint]:
    """What is worse is reached first."""
    health = look.policy.health
    pairs = (
        ("memory_threshold", health.memory_threshold, "memory_critical", health.memory_critical),
        ("clients_threshold", health.clients_threshold, "clients_critical", health.clients_critical),
        ("ping_slow", health.ping_slow, "ping_critical", health.ping_critical),
        ("clock_skew", health.clock_skew, "clock_critical", health.clock_critical),
    )
    for low, mild, high, grave in pairs:
        if mild >= grave:
            yield look.lint(
                "thresholds-crossed",
                f"health.{low}",
                f"is not below {high}: Redis is unhealthy before it is degraded",
                f"a {low} below {high}",
            )


def secret_in_file(look: Look) -> Iterator[Lint]:
    """A secret can be read by whoever can read the file."""
    policy = look.policy
    paths = ["redis.password"] if policy.redis.password is not None else []
    paths += [f"telemetry.otlp.headers.{name}" for name in policy.telemetry.otlp.headers]
    urls = {"redis.url": policy.redis.url}
    for _, path, rule in look.namespaces():
        encryption = getattr(rule, "encryption", None)
        paths += [
            f"{path}.encryption.keys[{number}]" for number in range(len(getattr(encryption, "keys", ())))
        ]
        if rule.url is not None:
            urls[f"{path}.url"] = rule.url
    paths += [
        path
        for path, url in urls.items()
        if ":" in url.get_secret_value().partition("://")[2].rpartition("@")[0]
    ]
    places = set()
    for path in paths:
        at = look.loaded.provenance.get(path)
        if at is None or not at.line or at.variables or at in places:
            continue
        places.add(at)  # what namespaces inherit is one secret
        yield look.lint(
            "secret-in-file",
            path,
            "a secret stands in the file: whoever can read it, or its history, has it",
            "${NAME}, or ${file:/run/secrets/name}",
        )


LINTS: Final = (
    window_beyond_ttl,
    limit_fails_open,
    limit_in_shadow,
    ttl_beyond_absolute,
    content_in_spans,
    thresholds_crossed,
    secret_in_file,
)
