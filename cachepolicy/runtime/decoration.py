"""What a decorator was told, before any policy is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cachepolicy.keys.signature import Shape


@dataclass(frozen=True, slots=True)
class Decoration:
    """One decorated function.

    Attributes:
        function: as the user wrote it.
        shape: its signature.
        name: ``module.qualname``, for people.
        identity: what tells its entries from another function's.
        is_async: its colour.
        namespace: the policy's namespace.
        kind: the key segment before the digest: ``cache``, ``llm_cache``.
        version: of its answers.
        ttl: what the decorator asks for; None for the policy's.
        ignore: the parameters that make no part of its keys.
    """

    function: Callable[..., object]
    shape: Shape
    name: str
    identity: str
    is_async: bool
    namespace: str
    kind: str
    version: int
    ttl: str | float | None
    ignore: tuple[str, ...] = ()
