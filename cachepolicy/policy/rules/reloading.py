"""``reload:`` — when a running process reads its policy again."""

from __future__ import annotations

from cachepolicy.policy.rules.base import Duration, Flag, Rule


class ReloadRule(Rule):
    """When a running process reads its policy again."""

    watch: Flag = True
    """Look whether its files have changed: it, what it extends, those of ``${file:…}``."""
    interval: Duration = 0.5
    """How often (seconds)."""
    sighup: Flag = True
    """Read it again on SIGHUP, unless the application handles it, or a terminal could have sent it."""
