"""``lint:`` — which findings of ``cachepolicy check`` are meant as they are."""

from __future__ import annotations

from typing import Literal, TypeAlias

from cachepolicy.policy.rules.base import Rule, Text

LintCode: TypeAlias = Literal[
    "cache-never-evicts",
    "cluster-databases",
    "content-in-spans",
    "deadline-below-connect",
    "empty-environment",
    "eviction-conflict",
    "evicts-what-must-stay",
    "limit-fails-open",
    "limit-in-shadow",
    "local-beyond-ttl",
    "local-budgets",
    "memory-in-production",
    "negative-beyond-ttl",
    "no-jitter",
    "plain-password",
    "secret-in-file",
    "sessions-beside-cache",
    "shared-by-users",
    "shared-database",
    "small-compression",
    "soft-timeout-unused",
    "stale-beyond-max",
    "thresholds-crossed",
    "ttl-beyond-absolute",
    "unverified-tls",
    "window-beyond-ttl",
]
"""What each finds, docs/guide/check.md says."""

LiveCode: TypeAlias = Literal[
    "certificate-ends",
    "clock-skew",
    "databases-not-apart",
    "eviction-differs",
    "eviction-unknown",
    "known-vulnerability",
    "no-maxmemory",
    "not-allowed",
    "not-persisted",
    "not-tried",
    "server-evicts",
]
"""Those that servers are asked for; docs/guide/doctor.md says what each finds."""


class Ignore(Rule):
    """One finding that is meant as it is."""

    code: Literal[LintCode, LiveCode]
    """Which."""
    at: Text | None = None
    """Where: a path such as namespaces.llm, and all below it; without it, everywhere."""
    reason: Text
    """Why it is meant: whoever reads the file next will ask."""


class LintRule(Rule):
    """What ``cachepolicy check`` is not to find."""

    ignore: tuple[Ignore, ...] = ()
    """Findings that are meant as they are."""
