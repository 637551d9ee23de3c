"""What the cache is told of calls of language models: the parts of this room, together."""

from __future__ import annotations

from typing import Final

from cachepolicy.runtime.traits import Traits

LLM: Final = Traits(kind="llm_cache")
"""Of a function that answers with what a model said."""
