"""The kinds of namespaces."""

from __future__ import annotations

from typing import TypeAlias

from cachepolicy.policy.rules.analytics import AnalyticsRule
from cachepolicy.policy.rules.cache import CacheRule
from cachepolicy.policy.rules.limits import RateLimitRule
from cachepolicy.policy.rules.sessions import SessionsRule
from cachepolicy.policy.rules.temp import TempRule

NamespaceRule: TypeAlias = CacheRule | SessionsRule | RateLimitRule | AnalyticsRule | TempRule
"""The rule of a namespace, of whatever kind."""
