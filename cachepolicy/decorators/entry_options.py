"""The options that the decorators of LLM functions share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from cachepolicy.runtime.decoration import Key, Ttl


class EntryOptions(TypedDict, total=False):
    """Where entries are, what they are known by, and for how long."""

    namespace: str
    """A namespace of kind ``cache`` in the policy; ``llm`` without it."""
    key: Key | None
    """What identifies a call, if not all its arguments."""
    ttl: Ttl
    """How long an answer is fresh; within the namespace's range."""
    version: int
    """Raise it when the function's answers change meaning."""
    ignore: Sequence[str]
    """Parameters that do not identify a call."""
    tags: Sequence[str]
    """Parameters by whose values entries can be invalidated together, besides those of the policy."""
