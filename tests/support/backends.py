"""How tracing backends tell a model's call, and its cost, from any other span: their rules, by attributes.

Written from their documented mappings (OpenInference as Phoenix reads it, Langfuse's OTLP mapping, Logfire's
LLM panels), so that what a span would look like there can be tested without them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

Attributes = Mapping[str, Any]

_MODEL_KINDS: Final = frozenset({"LLM", "EMBEDDING"})
_MODEL_OPERATIONS: Final = frozenset({"chat", "text_completion", "generate_content", "embeddings"})
_MODELS: Final = (
    "langfuse.observation.model.name",
    "gen_ai.request.model",
    "gen_ai.response.model",
    "llm.model_name",
    "llm.request.model",
    "ai.model.id",
    "model",
)
_COSTS: Final = ("langfuse.observation.cost_details", "gen_ai.usage.cost", "llm.cost.total", "llm.usage.cost")


def phoenix(attributes: Attributes) -> bool:
    """Tell whether Phoenix shows a model's call, or adds up tokens or a cost."""
    if attributes.get("openinference.span.kind") in _MODEL_KINDS:
        return True
    return _any(attributes, "llm.", "embedding.", "gen_ai.")


def langfuse(attributes: Attributes) -> bool:
    """Tell whether Langfuse makes a generation or an embedding of a span, or reads usage or a cost off it."""
    kind = attributes.get("langfuse.observation.type") or attributes.get("openinference.span.kind", "")
    if str(kind).upper() in _MODEL_KINDS | {"GENERATION"}:
        return True
    if attributes.get("gen_ai.operation.name") in _MODEL_OPERATIONS:
        return True
    if any(name in attributes for name in (*_MODELS, *_COSTS)):  # its last resort: whatever names a model
        return True
    return _any(attributes, "gen_ai.usage.", "llm.token_count.", "langfuse.observation.usage")


def logfire(attributes: Attributes) -> bool:
    """Tell whether Logfire lists a span among the calls of models, or gives it a cost."""
    names_model = "gen_ai.request.model" in attributes or "gen_ai.response.model" in attributes
    return names_model or "operation.cost" in attributes or _any(attributes, "gen_ai.usage.")


BACKENDS: Final[Mapping[str, Callable[[Attributes], bool]]] = {
    "phoenix": phoenix,
    "langfuse": langfuse,
    "logfire": logfire,
}

BILLABLE: Final[Mapping[str, Attributes]] = {
    "phoenix": {"openinference.span.kind": "LLM", "llm.token_count.prompt": 100},
    "langfuse": {"gen_ai.response.model": "gpt-4o"},
    "logfire": {"gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o", "operation.cost": 0.1},
}
"""What each would bill."""


def _any(attributes: Attributes, *beginnings: str) -> bool:
    return any(name.startswith(beginnings) for name in attributes)
