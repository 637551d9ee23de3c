"""The request functions of the installed SDKs, and how each of their parameters is classed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import anthropic
import openai
from openai import omit

_OPENAI: Final = openai.OpenAI(api_key="none", base_url="https://provider.test/v1")
_ANTHROPIC: Final = anthropic.Anthropic(api_key="none", base_url="https://provider.test")
_RESOURCES: Final[Mapping[str, Any]] = {
    "openai chat": _OPENAI.chat.completions,
    "openai responses": _OPENAI.responses,
    "openai embeddings": _OPENAI.embeddings,
    "openai completions": _OPENAI.completions,
    "anthropic messages": _ANTHROPIC.messages,
    "anthropic beta messages": _ANTHROPIC.beta.messages,
}

FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    f"{name} {verb}": getattr(resource, verb)
    for name, resource in _RESOURCES.items()
    for verb in ("create", "parse", "stream")
    if hasattr(resource, verb)
}

_SHAPING: Final = """
    audio best_of betas compaction dimensions echo encoding_format extra_body extra_headers extra_query
    fallbacks frequency_penalty function_call functions image include input instructions logit_bias logprobs
    max_completion_tokens max_output_tokens max_tokens max_tool_calls mcp_servers messages modalities model
    moderation n output_config output_format parallel_tool_calls parse_as prediction presence_penalty prompt
    reasoning reasoning_effort response_format seed stop stop_sequences stream stream_options suffix system
    temperature text text_format thinking tool_choice tools top_k top_logprobs top_p truncation verbosity
    web_search_options"""
SHAPING: Final = frozenset(_SHAPING.split())
"""The parameters that shape an answer: by hand, a new one is put here or in a class of ``llm.parameters``."""


def provider_function(**annotations: Any) -> Callable[..., Any]:
    """Return a function as an SDK writes them, whose results are text; ``seen`` lists what it was passed."""
    seen: list[dict[str, Any]] = []

    def create(
        *,
        model: str,
        messages: Any,
        temperature: Any = omit,
        top_p: Any = omit,
        user: Any = omit,
        metadata: Any = omit,
        previous_response_id: Any = omit,
        extra_headers: Any = None,
        extra_body: Any = None,
        timeout: Any = omit,
    ) -> str:
        seen.append({"model": model, "messages": messages, "temperature": temperature, "user": user})
        return f"{model} {len(seen)}"

    create.__module__ = "openai.resources.stand_in"
    create.__annotations__.update(annotations)
    cast("Any", create).seen = seen
    return create
