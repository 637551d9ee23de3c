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
    from cachepolicy.errors import (
        CachePolicyError,
        CallDenied,
        CodecError,
        CorruptValue,
        DecorationError,
        ForeignKey,
        NotCached,
        OriginTimeout,
        PolicyError,
        ResultsMismatch,
        StoreError,
        StoreMisconfigured,
        StoreUnavailable,
        StreamLost,
        UnkeyableArgument,
        UnknownNamespace,
        UnserializableValue,
    )
    from cachepolicy.flow.answer import MISS
    from cachepolicy.keys.scope import scope
    from cachepolicy.llm.model_info import ModelInfo, Models, models
    from cachepolicy.managers.llm import LLMCacheManager
    from cachepolicy.runtime.current import aclose, close, configure, control, observe
    from cachepolicy.runtime.namespaces import Namespace, namespace
    from cachepolicy.telemetry.names import Outcome, Tier
    from cachepolicy.telemetry.observe import Observation
    from cachepolicy.telemetry.savings import Account, Savings

_ROOMS = {
    "Account": "telemetry.savings",
    "AsyncCachedFunction": "decorators.handle",
    "AsyncCachedManyFunction": "decorators.many_handle",
    "AsyncCachedStream": "decorators.handle",
    "AsyncEmbeddingsFunction": "decorators.embeddings_handle",
    "CachePolicyError": "errors",
    "CachedFunction": "decorators.handle",
    "CachedManyFunction": "decorators.many_handle",
    "CallDenied": "errors",
    "Clock": "clock",
    "CodecError": "errors",
    "CorruptValue": "errors",
    "DecorationError": "errors",
    "EmbeddingsFunction": "decorators.embeddings_handle",
    "ForeignKey": "errors",
    "LLMCacheManager": "managers.llm",
    "MISS": "flow.answer",
    "ManualClock": "clock",
    "ModelInfo": "llm.model_info",
    "Models": "llm.model_info",
    "Namespace": "runtime.namespaces",
    "NotCached": "errors",
    "Observation": "telemetry.observe",
    "OriginTimeout": "errors",
    "Outcome": "telemetry.names",
    "PolicyError": "errors",
    "ResultsMismatch": "errors",
    "Savings": "telemetry.savings",
    "StoreError": "errors",
    "StoreMisconfigured": "errors",
    "StoreUnavailable": "errors",
    "StreamLost": "errors",
    "Tier": "telemetry.names",
    "UnkeyableArgument": "errors",
    "UnknownNamespace": "errors",
    "UnserializableValue": "errors",
    "aclose": "runtime.current",
    "cached": "decorators.cached",
    "cached_many": "decorators.cached",
    "close": "runtime.current",
    "configure": "runtime.current",
    "control": "runtime.current",
    "embeddings_cached": "decorators.embeddings_cached",
    "llm_cached": "decorators.llm_cached",
    "models": "llm.model_info",
    "namespace": "runtime.namespaces",
    "observe": "runtime.current",
    "scope": "keys.scope",
}

__all__ = [
    "MISS",
    "Account",
    "AsyncCachedFunction",
    "AsyncCachedManyFunction",
    "AsyncCachedStream",
    "AsyncEmbeddingsFunction",
    "CachePolicyError",
    "CachedFunction",
    "CachedManyFunction",
    "CallDenied",
    "Clock",
    "CodecError",
    "CorruptValue",
    "DecorationError",
    "EmbeddingsFunction",
    "ForeignKey",
    "LLMCacheManager",
    "ManualClock",
    "ModelInfo",
    "Models",
    "Namespace",
    "NotCached",
    "Observation",
    "OriginTimeout",
    "Outcome",
    "PolicyError",
    "ResultsMismatch",
    "Savings",
    "StoreError",
    "StoreMisconfigured",
    "StoreUnavailable",
    "StreamLost",
    "Tier",
    "UnkeyableArgument",
    "UnknownNamespace",
    "UnserializableValue",
    "aclose",
    "cached",
    "cached_many",
    "close",
    "configure",
    "control",
    "embeddings_cached",
    "llm_cached",
    "models",
    "namespace",
    "observe",
    "scope",
]


def __getattr__(name: str) -> object:
    room = _ROOMS.get(name)
    if room is None:
        raise AttributeError(f"module 'cachepolicy' has no attribute {name!r}")
    value = getattr(import_module(f"cachepolicy.{room}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
