"""Policies as mappings, for tests that are about something else than the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

PATIENT: Final[Mapping[str, str]] = {"deadline": "10s", "connect_timeout": "10s"}
"""Of tests that are not about time: a busy machine may leave a process alone for a while."""


def cache_policy(
    url: str = "memory://", *, redis: Mapping[str, Any] | None = None, **rule: Any
) -> dict[str, Any]:
    """Return a policy with one cache, ``answers``, that has no jitter; ``rule`` is laid over it."""
    answers = {"kind": "cache", "db": 1, "scope": "global", "ttl": "1h", "jitter": "0%", **rule}
    return {
        "version": 1,
        "app": "test",
        "redis": {"url": url, **PATIENT, **(redis or {})},
        "namespaces": {"answers": answers},
    }
