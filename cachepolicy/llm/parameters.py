"""What the parameters of providers' requests have to do with their answers: three classes.

Whatever is not named here shapes the answer and is part of every key, so that a parameter which a provider
adds tomorrow cannot make two requests one. A test has every parameter of the installed SDKs in a class.
"""

from __future__ import annotations

from typing import Final

HEADERS: Final = "extra_headers"
"""Some of them shape the answer: see ``SHAPING_HEADERS``."""

_CLEARLY_VOLATILE: Final = frozenset(
    {
        # how the request is carried
        "timeout",
        "request_timeout",
        "max_retries",
        "num_retries",
        "idempotency_key",
        # who asks and who pays
        "api_key",
        "safety_identifier",
        "fallback_credit_token",
        # where and how fast it is worked on
        "service_tier",
        "inference_geo",
        # what the provider keeps or notes of it
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "litellm_metadata",
        "litellm_call_id",
        "litellm_trace_id",
    }
)
_WORDS: Final = frozenset(
    {
        "shared_session",
        "user",
        "user_profile_id",
        "workspace_id",
        "billing_policy",
        "speed",
        "metadata",
        "store",
        "diagnostics",
        "cache_control",
    }
)
VOLATILE: Final = _CLEARLY_VOLATILE | _WORDS
"""They change nothing about what the model says."""

SERVER_STATE: Final = frozenset(
    {
        "previous_response_id",
        "response_id",
        "starting_after",
        "conversation",
        "thread",
        "background",
        "background_options",
        "container",
        "context_management",
        "access_programs",
    }
)
"""They continue, or start, what only the provider holds: the same request is not the same question."""

UNMISTAKABLE: Final = _CLEARLY_VOLATILE | {"previous_response_id"}
"""Names that mean the same as a parameter of somebody's own function; it may well put its ``user`` into a
prompt."""

SECRET: Final = frozenset({"api_key"})
"""What is part of no key, whatever is asked for."""

SECRET_HEADERS: Final = frozenset({"authorization", "api-key", "x-api-key", "proxy-authorization", "cookie"})
"""The same among headers."""

NULLABLE: Final = frozenset(
    {
        "audio",
        "best_of",
        "compaction",
        "echo",
        "extra_body",
        "extra_query",
        "fallbacks",
        "frequency_penalty",
        "include",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_output_tokens",
        "max_tool_calls",
        "modalities",
        "moderation",
        "n",
        "output_format",
        "prediction",
        "presence_penalty",
        "reasoning",
        "reasoning_effort",
        "seed",
        "stop",
        "stream_options",
        "suffix",
        "temperature",
        "top_logprobs",
        "top_p",
        "truncation",
        "verbosity",
    }
)
"""Parameters that shape the answer, and for which every SDK that has them takes None for not passed."""

CONTINUOUS: Final = frozenset({"temperature", "top_p", "frequency_penalty", "presence_penalty"})
"""Numbers for which 0 and 0.0 are one wish: the wire has them as JSON, and callers write either."""
