"""What a store can do: carry out commands, in either colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from cachepolicy.errors import StoreError
from cachepolicy.tiers.commands import Command

T = TypeVar("T")


class SyncStore(Protocol):
    """L2 for ``def``. Every operation raises StoreError, and nothing else, when Redis fails."""

    def execute(self, command: Command[T], timeout: float) -> T:
        """Carry out a command; ``timeout`` is the most it may take in all, in seconds."""
        ...

    def execute_all(self, commands: Sequence[Command[Any]], timeout: float) -> list[Any | StoreError]:
        """Carry out several in one round trip; each has a result or an error of its own, in order."""
        ...

    def node(self, key: str) -> str:
        """Name the server that holds a key: what fails together."""
        ...

    def spread(self) -> list[str]:
        """Return keys, one on each server that has any; none while the servers are not known."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class AsyncStore(Protocol):
    """L2 for ``async def``: the same operations, bound to one event loop."""

    async def execute(self, command: Command[T], timeout: float) -> T:
        """Carry out a command; ``timeout`` is the most it may take in all, in seconds."""
        ...

    async def execute_all(self, commands: Sequence[Command[Any]], timeout: float) -> list[Any | StoreError]:
        """Carry out several in one round trip; each has a result or an error of its own, in order."""
        ...

    def node(self, key: str) -> str:
        """Name the server that holds a key: what fails together."""
        ...

    def spread(self) -> list[str]:
        """Return keys, one on each server that has any; none while the servers are not known."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
