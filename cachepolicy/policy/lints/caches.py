"""Findings about caches: times that do not fit together, answers that are shared, waste."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from cachepolicy.policy.lints.finding import Lint, Look, Severity
from cachepolicy.policy.rules import CacheRule, Compression
from cachepolicy.policy.units import format_duration, format_size

_WORTH_JITTER: Final = 60.0
_WORTH_COMPRESSING: Final = 1024
_LARGE: Final = 2**30
_SOMEBODY: Final = re.compile(
    r"(^|_|\.)(users?|tenants?|customers?|accounts?|members?|owners?|emails?|sessions?|org(anization)?s?)(_|\.|$)"
)


def no_jitter(look: Look) -> Iterator[Lint]:
    """Entries of one moment end in one moment."""
    for _, path, rule in look.of_kind(CacheRule):
        if rule.jitter == 0 and rule.ttl.default >= _WORTH_JITTER:
            yield look.lint(
                "no-jitter",
                f"{path}.jitter",
                "entries that were made in one moment end in one, and are all computed anew then",
                "jitter: 10%",
            )


def shared_by_users(look: Look) -> Iterator[Lint]:
    """Entries belong to somebody, and everybody shares them."""
    for _, path, rule in look.of_kind(CacheRule):
        named = [tag for tag in rule.tags if _SOMEBODY.search(tag)]
        if rule.scope == "global" and named:
            yield look.lint(
                "shared-by-users",
                f"{path}.scope",
                f"entries are tagged by {named[0]}, so they are somebody's, and scope: global shares them",
                "scope: user or tenant, where an answer must not be shown to another",
            )


def local_beyond_ttl(look: Look) -> Iterator[Lint]:
    """The process's tier is told to keep entries for longer than they live."""
    for _, path, rule in look.of_kind(CacheRule):
        if rule.local.enabled and look.is_said(f"{path}.local.ttl") and rule.local.ttl > rule.ttl.default:
            yield look.lint(
                "local-beyond-ttl",
                f"{path}.local.ttl",
                f"entries live for {format_duration(rule.ttl.default)} (ttl): they are not served for longer",
                "a local.ttl below ttl: it bounds how long a process may not hear of a change",
            )


def negative_beyond_ttl(look: Look) -> Iterator[Lint]:
    """An error is kept for longer than an answer."""
    for _, path, rule in look.of_kind(CacheRule):
        used = bool(rule.negative.errors) or rule.negative.bad_requests
        if used and rule.negative.ttl > rule.ttl.default:
            yield look.lint(
                "negative-beyond-ttl",
                f"{path}.negative.ttl",
                f"errors are kept for longer than answers, and those for {format_duration(rule.ttl.default)}",
                "a shorter negative.ttl: what failed may work again soon",
            )


def stale_beyond_max(look: Look) -> Iterator[Lint]:
    """An entry may answer at an age that the namespace forbids."""
    for _, path, rule in look.of_kind(CacheRule):
        oldest = rule.ttl.default + rule.stale.while_revalidate
        if rule.stale.while_revalidate and rule.ttl.max is not None and oldest > rule.ttl.max:
            yield look.lint(
                "stale-beyond-max",
                f"{path}.stale.while_revalidate",
                f"an entry may answer at the age of {format_duration(oldest)}, and ttl.max, which bounds "
                f"what code may ask for, is {format_duration(rule.ttl.max)}",
                "a ttl that leaves room for it, if ttl.max is the oldest that an answer may be",
                severity=Severity.INFO,
            )


def soft_timeout_unused(look: Look) -> Iterator[Lint]:
    """After the soft timeout an old answer is served, and none is kept."""
    for _, path, rule in look.of_kind(CacheRule):
        soft, hard = rule.timeouts.soft, rule.timeouts.hard
        stale = rule.stale.if_error or rule.stale.while_revalidate
        if soft and (not stale or 0 < hard <= soft):
            yield look.lint(
                "soft-timeout-unused",
                f"{path}.timeouts.soft",
                f"the call fails before, after {format_duration(hard)} (timeouts.hard)"
                if stale
                else "no entry is kept past its ttl, so there is no old answer to give after it",
                "a soft timeout below the hard one" if stale else "stale: {if_error: 1d}",
            )


def small_compression(look: Look) -> Iterator[Lint]:
    """Values are compressed that are too short to become smaller."""
    for _, path, rule in look.namespaces():
        how = getattr(rule, "compression", None)
        if not isinstance(how, Compression) or not how.enabled or how.codec == "none" or how.dictionary:
            continue
        if how.threshold < _WORTH_COMPRESSING:
            yield look.lint(
                "small-compression",
                f"{path}.compression.threshold",
                f"values from {format_size(how.threshold)} on are compressed: below 1KiB that saves little",
                "threshold: 1KiB, or a dictionary (cachepolicy dictionary train)",
            )


def local_budgets(look: Look) -> Iterator[Lint]:
    """All tiers of a process together may take more than it has."""
    budgets = [
        (path, rule.local.max_bytes) for _, path, rule in look.of_kind(CacheRule) if rule.local.enabled
    ]
    total = sum(budget for _, budget in budgets)
    if total > _LARGE:
        path = max(budgets, key=lambda each: each[1])[0]
        yield look.lint(
            "local-budgets",
            f"{path}.local.max_bytes",
            f"the tiers inside each process may take {format_size(total)} together",
            "smaller budgets, unless each process of a machine has that much to spare",
        )


LINTS: Final = (
    no_jitter,
    shared_by_users,
    local_beyond_ttl,
    negative_beyond_ttl,
    stale_beyond_max,
    soft_timeout_unused,
    small_compression,
    local_budgets,
)
