"""Which Redis a namespace lies in, and whose changes are to be heard there."""

from __future__ import annotations

import math

from cachepolicy.flow.breaker import BreakerRule
from cachepolicy.flow.repeating import RetryRule
from cachepolicy.flow.stores import Listening
from cachepolicy.keys.layout import prefix
from cachepolicy.policy import Policy
from cachepolicy.policy.rules.base import Kept
from cachepolicy.policy.rules.cache import CacheRule
from cachepolicy.tiers.coherence import Mode
from cachepolicy.tiers.endpoint import Endpoint, Tls


def endpoint_of(policy: Policy, rule: Kept) -> Endpoint:
    """Return the Redis of a namespace: its own, or that of all."""
    redis, own = policy.redis, rule.url
    shares = own is None  # the user and the password are those of redis.url
    tls = redis.tls
    return Endpoint(
        url=(own or redis.url).get_secret_value(),
        username=redis.username if shares else None,
        password=redis.password.get_secret_value() if redis.password is not None and shares else None,
        tls=Tls(tls.ca, tls.cert, tls.key, tls.verify) if tls.enabled else None,
        max_connections=redis.max_connections,
        deadline=deadline_of(policy, rule),
        connect_timeout=redis.connect_timeout,
        client_name=f"cachepolicy:{policy.app}",
        databases=redis.databases,
        pipelined=redis.pipeline.enabled,
        pipeline_size=redis.pipeline.size,
    )


def rules_of(policy: Policy) -> tuple[RetryRule, BreakerRule]:
    """Return how often commands are tried, and when a server is left alone."""
    retry, breaker = policy.redis.retry, policy.redis.breaker
    return (
        RetryRule(retry.attempts, retry.on_timeout, retry.budget),
        BreakerRule(breaker.failures, breaker.window, breaker.open_for),
    )


def deadline_of(policy: Policy, rule: Kept) -> float:
    """Return the most, in seconds, that a namespace's Redis may add to a call.

    ``memory://`` is part of the process: busy when the process is, and nothing is gained by turning from it.
    """
    url = (rule.url or policy.redis.url).get_secret_value()
    return math.inf if url.startswith("memory:") else policy.redis.deadline


def listening(policy: Policy, endpoint: Endpoint, db: int) -> Listening:
    """Say whose changes are to be heard at a database."""
    rules = {
        name: rule
        for name, rule in policy.namespaces.items()
        if isinstance(rule, CacheRule)
        and rule.local.coherence != "off"
        and (endpoint_of(policy, rule), rule.db) == (endpoint, db)
    }
    modes = {rule.local.coherence for rule in rules.values()}
    mode: Mode = "tracking" if "tracking" in modes else "pubsub" if "pubsub" in modes else "auto"
    return Listening(policy.app, tuple(prefix(policy.app, name) for name in rules), mode)
