"""The keys of many items in one go: what all of them have in common is encoded once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from typing import Any, Final

from cachepolicy.errors import UnkeyableArgument
from cachepolicy.keys.canonical import (
    OPTIONS,
    encode,
    encode_arguments,
    encode_around,
    extension,
    is_atom,
    pack,
)
from cachepolicy.keys.layout import digest
from cachepolicy.keys.signature import key_values
from cachepolicy.runtime.decoration import Decoration

_ONLY_TEXT: Final = frozenset({str})


class ItemKeys:
    """The keys of one call's items, each as a call with the item in the place of all would have it.

    Args:
        decoration: of the function.
        seed: of its digests.
        values: the arguments of the call; that of the items is left out of account.
        at: where among them the items are.
        items: the items.

    Raises:
        UnkeyableArgument: an argument, or an item, has no exact encoding.
    """

    def __init__(
        self, decoration: Decoration, seed: bytes, values: Sequence[object], at: int, items: Sequence[object]
    ) -> None:
        self._decoration = decoration
        self._seed = seed
        self._items = items
        self._place = place = decoration.shape.keyed.index(at)
        self._kind = f"{decoration.traits.kind}:"
        self._keyed = keyed = key_values(decoration.shape, values, decoration.name)
        others = [*keyed[:place], *keyed[place + 1 :]]
        self.local = self._local(others)
        """In L1, in order: text by itself where nothing else identifies the call, else with all that does."""

    def name(self, at: int) -> str:
        """Return the part of a key in Redis after the prefix."""
        key = self.local[at]
        if type(key) is not bytes:
            begin, end = self._around
            try:
                key = begin + pack(self._items[at], extension, OPTIONS) + end
            except TypeError:  # ``encode`` tries again, and explains
                key = self._encoded(self._items[at])
        return self._kind + digest(self._seed, key)

    def _local(self, others: list[object]) -> list[Hashable]:
        items = self._items
        if not others and _ONLY_TEXT.issuperset(map(type, items)):
            return list(items)
        if not all(map(is_atom, others)):
            return [self._encoded(item) for item in items]
        rest = (*others, *map(type, others))
        return [(item, type(item), rest) if is_atom(item) else self._encoded(item) for item in items]

    @cached_property
    def _around(self) -> tuple[bytes, bytes]:
        try:
            return encode_around(self._keyed, self._place)
        except UnkeyableArgument:
            self._explain(None)
            raise

    def _encoded(self, item: object) -> bytes:
        begin, end = self._around
        try:
            return begin + encode(item) + end
        except UnkeyableArgument:
            return self._explain(item)

    def _explain(self, item: object) -> bytes:
        """Encode a call as a whole: an error names the parameter."""
        shape, place = self._decoration.shape, self._place
        keyed = [*self._keyed[:place], item, *self._keyed[place + 1 :]]
        return encode_arguments(tuple(shape.names[at] for at in shape.keyed), keyed, self._decoration.name)


def held(find: Callable[[Hashable], Any], keys: Sequence[Hashable], now: float) -> list[Any] | None:
    """Return what L1 holds under all the keys; None where it does not hold all, or an error among them."""
    entries = list(map(find, keys))
    for entry in entries:
        if entry is None or entry.until <= now:
            return None
    try:
        values = [entry.value if entry.load is None else entry.load(entry.value) for entry in entries]
    except Exception:  # noqa: BLE001 - it was kept as one, or is met again, and told, the long way
        return None
    for entry in entries:
        entry.hits += 1
    return values
