"""What a function returns for many items, where that is more than a list of results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from cachepolicy.codec.serialize import Serializer

Judge = Callable[[object], object]


class Collation(Protocol):
    """How what a function returns for many items is taken apart, and put together again."""

    serializer: Serializer
    """Of what one item has of it."""
    needs_items: bool
    """Only the function knows what it returns for no items at all."""
    takes_one: bool
    """What it returns is for one item, and no sequence of them."""

    def split(self, name: str, result: object, count: int) -> list[object]:
        """Return what each of ``count`` items has of a result. Raises ResultsMismatch."""
        ...

    def agree(self, parts: Sequence[object]) -> bool:
        """Tell whether these parts can stand in one result."""
        ...

    def collate(self, parts: Sequence[object], results: Sequence[object]) -> object:
        """Make one result of parts.

        Args:
            parts: in order; none of them is used again.
            results: what the function returned for some of them, in this call.
        """
        ...

    def judge(self, cache_if: Judge | None) -> Judge:
        """Return what tells whether a part is kept, as the function's user says besides."""
        ...

    def show(self, part: object) -> object:
        """Return what ``peek`` shows of a part."""
        ...
