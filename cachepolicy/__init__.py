"""cachepolicy: a YAML file declares cache policies, decorators apply them.

How a call flows, and the room that each step lives in::

    decorators → policy → keys → tiers (L1, L2) → codec → your function

with ``flow`` telling the order, ``runtime`` putting the parts together and ``telemetry`` watching.
Names are loaded when they are first used: importing the package loads nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cachepolicy.clock import Clock, ManualClock
    from cachepolicy.decorators.cached import cached, cached_many
    from cachepolicy.decorators.embeddings_cached import embeddings_cached
    from cachepolicy.decorators.embeddings_handle import AsyncEmbeddingsFunction, EmbeddingsFunction
    from cachepolicy.decorators.handle import AsyncCachedFunction, AsyncCachedStream, CachedFunction
    from cachepolicy.decorators.llm_cached import llm_cached
    from cachepolicy.decorators.many_handle import AsyncCachedManyFunction, CachedManyFunction
    from cachepolicy.decorators.rate_limited import rate_limited
    from cachepolicy.decorators.track_metric import track_metric
    from cachepolicy.errors import (
        BlobDamaged,
        BlobError,
        BlobIncomplete,
        BlobMissing,
        CachePolicyError,
        CallDenied,
        CodecError,
        Conflict,
        CorruptValue,
        DecorationError,
        ForeignKey,
        NotCached,
        OriginTimeout,
        PolicyError,
        QuotaExceeded,
        RateLimitExceeded,
        ResultsMismatch,
        SessionError,
        StoreError,
        StoreMisconfigured,
        StoreUnavailable,
        StreamLost,
        TokenReused,
        TooLarge,
        TooManySessions,
        Uncountable,
        UnkeyableArgument,
        UnknownMetric,
        UnknownNamespace,
        UnknownPlan,
        UnknownRule,
        UnreadableToken,
        UnserializableValue,
    )
    from cachepolicy.flow.answer import MISS
    from cachepolicy.flow.blob import Blob
    from cachepolicy.flow.decision import Decision, LimitState
    from cachepolicy.flow.health_report import HealthCheck, HealthReport, HealthState, ServerHealth
    from cachepolicy.flow.session import NewSession, Session, SessionInfo
    from cachepolicy.keys.scope import scope
    from cachepolicy.llm.model_info import ModelInfo, Models, models
    from cachepolicy.managers.analytics import AnalyticsCache
    from cachepolicy.managers.blacklist import TokenBlacklist
    from cachepolicy.managers.client_address import client_address
    from cachepolicy.managers.health import HealthMonitor
    from cachepolicy.managers.limit_arguments import RateLimitResult
    from cachepolicy.managers.limit_headers import HttpRefusal, limit_headers, limit_refusal
    from cachepolicy.managers.limits import RateLimiter
    from cachepolicy.managers.llm import LLMCacheManager
    from cachepolicy.managers.metric_results import GaugeReading, MetricPoint, MetricSeries, MetricTotal
    from cachepolicy.managers.preferences import Preferences
    from cachepolicy.managers.preferring import Preferred
    from cachepolicy.managers.reservations import Reservation
    from cachepolicy.managers.revoking import RefreshToken
    from cachepolicy.managers.session_cookie import clear_session_cookie, session_cookie, session_token
    from cachepolicy.managers.sessions import SessionManager
    from cachepolicy.managers.temp import TempStore
    from cachepolicy.managers.temp_files import AsyncBlobFile, BlobFile
    from cachepolicy.managers.temp_reading import Download
    from cachepolicy.managers.temp_uploads import Upload
    from cachepolicy.runtime.current import aclose, close, configure, observe, reload
    from cachepolicy.runtime.namespaces import Namespace, namespace
    from cachepolicy.runtime.wishes import control
    from cachepolicy.telemetry.names import Outcome, Tier
    from cachepolicy.telemetry.observe import Observation
    from cachepolicy.telemetry.savings import Account, Savings
    from cachepolicy.telemetry.usage import Usage

_ROOMS = {  # of what is no error
    "Account": "telemetry.savings",
    "AnalyticsCache": "managers.analytics",
    "AsyncBlobFile": "managers.temp_files",
    "AsyncCachedFunction": "decorators.handle",
    "AsyncCachedManyFunction": "decorators.many_handle",
    "AsyncCachedStream": "decorators.handle",
    "AsyncEmbeddingsFunction": "decorators.embeddings_handle",
    "Blob": "flow.blob",
    "BlobFile": "managers.temp_files",
    "CachedFunction": "decorators.handle",
    "CachedManyFunction": "decorators.many_handle",
    "Clock": "clock",
    "Decision": "flow.decision",
    "Download": "managers.temp_reading",
    "EmbeddingsFunction": "decorators.embeddings_handle",
    "GaugeReading": "managers.metric_results",
    "HealthCheck": "flow.health_report",
    "HealthMonitor": "managers.health",
    "HealthReport": "flow.health_report",
    "HealthState": "flow.health_report",
    "HttpRefusal": "managers.limit_headers",
    "LLMCacheManager": "managers.llm",
    "LimitState": "flow.decision",
    "MISS": "flow.answer",
    "ManualClock": "clock",
    "MetricPoint": "managers.metric_results",
    "MetricSeries": "managers.metric_results",
    "MetricTotal": "managers.metric_results",
    "ModelInfo": "llm.model_info",
    "Models": "llm.model_info",
    "Namespace": "runtime.namespaces",
    "NewSession": "flow.session",
    "Observation": "telemetry.observe",
    "Outcome": "telemetry.names",
    "Preferences": "managers.preferences",
    "Preferred": "managers.preferring",
    "RateLimitResult": "managers.limit_arguments",
    "RateLimiter": "managers.limits",
    "RefreshToken": "managers.revoking",
    "Reservation": "managers.reservations",
    "Savings": "telemetry.savings",
    "ServerHealth": "flow.health_report",
    "Session": "flow.session",
    "SessionInfo": "flow.session",
    "SessionManager": "managers.sessions",
    "TempStore": "managers.temp",
    "Tier": "telemetry.names",
    "TokenBlacklist": "managers.blacklist",
    "Upload": "managers.temp_uploads",
    "Usage": "telemetry.usage",
    "aclose": "runtime.current",
    "cached": "decorators.cached",
    "cached_many": "decorators.cached",
    "clear_session_cookie": "managers.session_cookie",
    "client_address": "managers.client_address",
    "close": "runtime.current",
    "configure": "runtime.current",
    "control": "runtime.wishes",
    "embeddings_cached": "decorators.embeddings_cached",
    "limit_headers": "managers.limit_headers",
    "limit_refusal": "managers.limit_headers",
    "llm_cached": "decorators.llm_cached",
    "models": "llm.model_info",
    "namespace": "runtime.namespaces",
    "observe": "runtime.current",
    "rate_limited": "decorators.rate_limited",
    "reload": "runtime.current",
    "scope": "keys.scope",
    "session_cookie": "managers.session_cookie",
    "session_token": "managers.session_cookie",
    "track_metric": "decorators.track_metric",
}

__all__ = [
    "MISS",
    "Account",
    "AnalyticsCache",
    "AsyncBlobFile",
    "AsyncCachedFunction",
    "AsyncCachedManyFunction",
    "AsyncCachedStream",
    "AsyncEmbeddingsFunction",
    "Blob",
    "BlobDamaged",
    "BlobError",
    "BlobFile",
    "BlobIncomplete",
    "BlobMissing",
    "CachePolicyError",
    "CachedFunction",
    "CachedManyFunction",
    "CallDenied",
    "Clock",
    "CodecError",
    "Conflict",
    "CorruptValue",
    "Decision",
    "DecorationError",
    "Download",
    "EmbeddingsFunction",
    "ForeignKey",
    "GaugeReading",
    "HealthCheck",
    "HealthMonitor",
    "HealthReport",
    "HealthState",
    "HttpRefusal",
    "LLMCacheManager",
    "LimitState",
    "ManualClock",
    "MetricPoint",
    "MetricSeries",
    "MetricTotal",
    "ModelInfo",
    "Models",
    "Namespace",
    "NewSession",
    "NotCached",
    "Observation",
    "OriginTimeout",
    "Outcome",
    "PolicyError",
    "Preferences",
    "Preferred",
    "QuotaExceeded",
    "RateLimitExceeded",
    "RateLimitResult",
    "RateLimiter",
    "RefreshToken",
    "Reservation",
    "ResultsMismatch",
    "Savings",
    "ServerHealth",
    "Session",
    "SessionError",
    "SessionInfo",
    "SessionManager",
    "StoreError",
    "StoreMisconfigured",
    "StoreUnavailable",
    "StreamLost",
    "TempStore",
    "Tier",
    "TokenBlacklist",
    "TokenReused",
    "TooLarge",
    "TooManySessions",
    "Uncountable",
    "UnkeyableArgument",
    "UnknownMetric",
    "UnknownNamespace",
    "UnknownPlan",
    "UnknownRule",
    "UnreadableToken",
    "UnserializableValue",
    "Upload",
    "Usage",
    "aclose",
    "cached",
    "cached_many",
    "clear_session_cookie",
    "client_address",
    "close",
    "configure",
    "control",
    "embeddings_cached",
    "limit_headers",
    "limit_refusal",
    "llm_cached",
    "models",
    "namespace",
    "observe",
    "rate_limited",
    "reload",
    "scope",
    "session_cookie",
    "session_token",
    "track_metric",
]


def __getattr__(name: str) -> object:
    room = _ROOMS.get(name, "errors" if name in __all__ else None)
    if room is None:
        raise AttributeError(f"module 'cachepolicy' has no attribute {name!r}")
    value = getattr(import_module(f"cachepolicy.{room}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
