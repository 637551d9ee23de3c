"""Every span, metric and attribute name, in one table; the documentation is checked against it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

SCOPE: Final = "cachepolicy"


class Outcome(StrEnum):
    """How a decorated call was answered."""

    __hash__ = str.__hash__  # Enum's own is written in Python, and counting hashes

    HIT = "hit"
    MISS = "miss"
    STALE = "stale"
    COALESCED = "coalesced"
    BYPASS = "bypass"
    FAULT = "fault"


ANSWERED_WITHOUT_ORIGIN: Final = frozenset({Outcome.HIT, Outcome.STALE, Outcome.COALESCED})
"""The outcomes that spared a call of the function."""


class Tier(StrEnum):
    """Where the answer came from."""

    __hash__ = str.__hash__  # as above

    L1 = "l1"
    L2 = "l2"
    ORIGIN = "origin"


class Reason(StrEnum):
    """Why a call went past its cache, or was answered by what is out of date."""

    ASKED = "asked"
    NO_SCOPE = "no_scope"
    UNSERIALIZABLE = "unserializable"
    NOT_ADMITTED = "not_admitted"
    TRUNCATED = "truncated"  # the answer was cut off
    FILTERED = "filtered"  # a content filter changed or withheld it
    REFUSED = "refused"  # the model declined
    EMPTY = "empty"  # it says nothing
    FAILED = "failed"  # the provider, or a tool, says that it failed
    SERVER_STATE = "server_state"  # the call continues what only the provider holds
    SAMPLING = "sampling"  # the call asks for chance, and the policy keeps no such answers
    REVALIDATING = "revalidating"  # an older answer serves while it is computed anew
    ORIGIN_ERROR = "origin_error"  # ... because computing it anew failed
    ORIGIN_TIMEOUT = "origin_timeout"  # ... because computing it anew takes long


SPAN_GET: Final = "cache.get {namespace}"
SPAN_L2: Final = "cache.l2 {namespace}"
SPAN_ORIGIN: Final = "cache.origin {namespace}"
SPAN_WAIT: Final = "cache.wait {namespace}"
SPAN_REFRESH: Final = "cache.refresh {namespace}"
SPAN_LIMIT: Final = "limit.check {namespace}"
SPAN_SESSION: Final = "session.{verb} {namespace}"
SPAN_TEMP: Final = "temp.{verb} {namespace}"
SPAN_FLUSH: Final = "analytics.flush {namespace}"

EVENT_RETRY: Final = "cache.retry"
EVENT_BREAKER: Final = "cache.breaker"

ATTRIBUTE_HIT: Final = "cache.hit"
ATTRIBUTE_SIZE: Final = "cache.item_size"
ATTRIBUTE_NAMESPACE: Final = "cachepolicy.namespace"
ATTRIBUTE_FUNCTION: Final = "cachepolicy.function"
ATTRIBUTE_TIER: Final = "cachepolicy.tier"
ATTRIBUTE_OUTCOME: Final = "cachepolicy.outcome"
ATTRIBUTE_AGE: Final = "cachepolicy.age_s"
ATTRIBUTE_BYPASS_REASON: Final = "cachepolicy.bypass_reason"
ATTRIBUTE_BATCH_SIZE: Final = "cachepolicy.batch.size"
ATTRIBUTE_BATCH_HITS: Final = "cachepolicy.batch.hits"
ATTRIBUTE_RULE: Final = "cachepolicy.rule"
ATTRIBUTE_ERROR: Final = "error.type"
ATTRIBUTE_KEY_HASH: Final = "cachepolicy.key.hash"
ATTRIBUTE_WAITED: Final = "cachepolicy.waited_s"
ATTRIBUTE_ATTEMPT: Final = "cachepolicy.attempt"
ATTRIBUTE_STATE: Final = "cachepolicy.state"
ATTRIBUTE_REASON: Final = "cachepolicy.reason"
ATTRIBUTE_CHECK: Final = "cachepolicy.check"
ATTRIBUTE_ENVIRONMENT: Final = "cachepolicy.environment"
ATTRIBUTE_POLICY: Final = "cachepolicy.policy"
ATTRIBUTE_CELLS: Final = "cachepolicy.cells"

# Stable semantic conventions of database clients.
ATTRIBUTE_DB_SYSTEM: Final = "db.system.name"
ATTRIBUTE_DB_OPERATION: Final = "db.operation.name"
ATTRIBUTE_DB_NAMESPACE: Final = "db.namespace"
ATTRIBUTE_DB_BATCH_SIZE: Final = "db.operation.batch.size"
ATTRIBUTE_DB_PROCEDURE: Final = "db.stored_procedure.name"
ATTRIBUTE_DB_STATUS: Final = "db.response.status_code"
ATTRIBUTE_SERVER: Final = "server.address"
ATTRIBUTE_PORT: Final = "server.port"

# OpenInference, where the policy asks for its dialect.
ATTRIBUTE_SPAN_KIND: Final = "openinference.span.kind"
ATTRIBUTE_INPUT: Final = "input.value"
ATTRIBUTE_OUTPUT: Final = "output.value"

# What an answer spared. No name here is one by which a tracing backend knows a billable call.
ATTRIBUTE_MODEL: Final = "cachepolicy.model"
ATTRIBUTE_TENANT: Final = "cachepolicy.tenant"
ATTRIBUTE_TOKEN_TYPE: Final = "cachepolicy.token.type"  # noqa: S105 - a name, not a secret
ATTRIBUTE_CURRENCY: Final = "cachepolicy.currency"
ATTRIBUTE_SAVED_INPUT: Final = "cachepolicy.saved.input_tokens"
ATTRIBUTE_SAVED_OUTPUT: Final = "cachepolicy.saved.output_tokens"
ATTRIBUTE_SAVED_COST: Final = "cachepolicy.saved.cost"
ATTRIBUTE_SAVED_CURRENCY: Final = "cachepolicy.saved.currency"
ATTRIBUTE_SAVED_SECONDS: Final = "cachepolicy.saved.seconds"

METRIC_REQUESTS: Final = "cachepolicy.requests"
METRIC_ERRORS: Final = "cachepolicy.errors"
METRIC_OPERATION_DURATION: Final = "cachepolicy.operation.duration"
METRIC_ORIGIN_DURATION: Final = "cachepolicy.origin.duration"
METRIC_LEASE_WAIT: Final = "cachepolicy.lease.wait"
METRIC_ITEM_SIZE: Final = "cachepolicy.item.size"
METRIC_COMPRESSION_RATIO: Final = "cachepolicy.compression.ratio"
METRIC_RETRIES: Final = "cachepolicy.retries"
METRIC_BREAKER_STATE: Final = "cachepolicy.breaker.state"
METRIC_BREAKER_TRANSITIONS: Final = "cachepolicy.breaker.transitions"
METRIC_CONNECTIONS: Final = "cachepolicy.pool.connections"
METRIC_EVICTIONS: Final = "cachepolicy.evictions"
METRIC_REFRESHES: Final = "cachepolicy.refreshes"
METRIC_CONFIG_INFO: Final = "cachepolicy.config.info"
METRIC_CONFIG_RELOADS: Final = "cachepolicy.config.reloads"
METRIC_HEALTH_STATUS: Final = "cachepolicy.health.status"
METRIC_HEALTH_CHECK: Final = "cachepolicy.health.check"
METRIC_HEALTH_PING: Final = "cachepolicy.health.ping"
METRIC_HEALTH_SKEW: Final = "cachepolicy.health.clock_skew"
METRIC_REDIS_MEMORY: Final = "redis.memory.used"
METRIC_REDIS_MAXMEMORY: Final = "redis.maxmemory"
METRIC_REDIS_FRAGMENTATION: Final = "redis.memory.fragmentation_ratio"
METRIC_REDIS_CLIENTS: Final = "redis.clients.connected"
METRIC_REDIS_BLOCKED: Final = "redis.clients.blocked"
METRIC_REDIS_REJECTED: Final = "redis.connections.rejected"
METRIC_REDIS_EVICTED: Final = "redis.keys.evicted"
METRIC_REDIS_EXPIRED: Final = "redis.keys.expired"
METRIC_REDIS_COMMANDS: Final = "redis.commands.processed"
METRIC_REDIS_UPTIME: Final = "redis.uptime"
METRIC_SWEEP_LAG: Final = "cachepolicy.sweep.lag"
METRIC_SWEEP_DEADLINES: Final = "cachepolicy.sweep.deadlines"
METRIC_SWEEP_REMOVED: Final = "cachepolicy.sweep.removed"
METRIC_ENTRIES: Final = "cachepolicy.entries.count"
METRIC_MEMORY: Final = "cachepolicy.entries.memory"
METRIC_SAVED_TOKENS: Final = "cachepolicy.saved.tokens"
METRIC_SAVED_COST: Final = "cachepolicy.saved.cost"
METRIC_SAVED_TIME: Final = "cachepolicy.saved.time"
METRIC_LIMIT_DECISIONS: Final = "cachepolicy.limits.decisions"
METRIC_LIMIT_EXCEEDED: Final = "rate_limit_exceeded"
METRIC_ACTIVE_SESSIONS: Final = "active_sessions"
METRIC_SESSION_DURATION: Final = "session_duration_seconds"
METRIC_ANALYTICS_FLUSHED: Final = "cachepolicy.analytics.flushed"
METRIC_ANALYTICS_DROPPED: Final = "cachepolicy.analytics.dropped"
METRIC_ANALYTICS_PENDING: Final = "cachepolicy.analytics.pending"
METRIC_COHERENCE_LIVE: Final = "cachepolicy.coherence.live"
METRIC_COHERENCE_LOSSES: Final = "cachepolicy.coherence.losses"
METRIC_COHERENCE_GAPS: Final = "cachepolicy.coherence.gaps"
METRIC_COHERENCE_LAG: Final = "cachepolicy.coherence.lag"
