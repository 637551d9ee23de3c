"""What the cache is told of calls of language models: the parts of this room, together."""

from __future__ import annotations

from typing import Final

from cachepolicy.llm.admission import judge
from cachepolicy.llm.failures import classify
from cachepolicy.llm.usage import usage_of
from cachepolicy.runtime.traits import Traits

LLM: Final = Traits(kind="llm_cache", usage=usage_of, failures=classify, judge=judge)
"""Of a function that answers with what a model said."""
