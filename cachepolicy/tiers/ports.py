"""What a store can do: the few operations that the two Redis leaves have in common."""

from __future__ import annotations

from typing import Protocol


class SyncStore(Protocol):
    """L2 for ``def``. Every operation raises StoreError, and nothing else, when Redis fails."""

    def get(self, key: str, timeout: float) -> bytes | None:
        """Return the bytes under ``key``; ``timeout`` is in seconds."""
        ...

    def set(self, key: str, value: bytes, ttl: float, timeout: float) -> None:
        """Store ``value`` for ``ttl`` seconds."""
        ...

    def delete(self, key: str, timeout: float) -> bool:
        """Remove ``key``; tell whether it was there."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class AsyncStore(Protocol):
    """L2 for ``async def``: the same operations, bound to one event loop."""

    async def get(self, key: str, timeout: float) -> bytes | None:
        """Return the bytes under ``key``; ``timeout`` is in seconds."""
        ...

    async def set(self, key: str, value: bytes, ttl: float, timeout: float) -> None:
        """Store ``value`` for ``ttl`` seconds."""
        ...

    async def delete(self, key: str, timeout: float) -> bool:
        """Remove ``key``; tell whether it was there."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
