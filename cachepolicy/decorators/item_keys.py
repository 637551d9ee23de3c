"""The keys of many items in one go: what all calls have in common is encoded once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from cachepolicy.errors import UnkeyableArgument
from cachepolicy.keys.canonical import ATOMS, encode, encode_arguments, encode_around, is_atom
from cachepolicy.keys.layout import digest
from cachepolicy.keys.signature import key_values
from cachepolicy.runtime.decoration import Decoration


class Keys(NamedTuple):
    """The items' keys in L1, in order, and what makes the part of each key in Redis after the prefix."""

    local: list[Hashable]
    name: Callable[[int], str]


class ItemKeys:
    """Makes the keys of one function's items, as a call with each in the place of all would have them."""

    def __init__(self, decoration: Decoration, seed: bytes, at: int) -> None:
        self._decoration = decoration
        self._seed = seed
        self._place = decoration.shape.keyed.index(at)

    def of(self, values: Sequence[object], items: Sequence[object]) -> Keys:
        """Return the keys.

        Args:
            values: the arguments of the call; that of the items is left out of account.
            items: the items.

        Raises:
            UnkeyableArgument: an argument, or an item, has no exact encoding.
        """
        place, seed, kind = self._place, self._seed, self._decoration.kind
        shape, function = self._decoration.shape, self._decoration.name
        keyed = key_values(shape, values, function)
        others = [*keyed[:place], *keyed[place + 1 :]]

        def explained(item: object) -> bytes:
            whole = [*keyed[:place], item, *keyed[place + 1 :]]
            return encode_arguments(tuple(shape.names[at] for at in shape.keyed), whole, function)

        try:
            begin, end = encode_around(keyed, place)
        except UnkeyableArgument:
            explained(None)
            raise

        def encoded(item: object) -> bytes:
            try:
                return begin + encode(item) + end
            except UnkeyableArgument:
                return explained(item)

        local: list[Hashable] = []
        if all(map(is_atom, others)):
            rest = (*others, *map(type, others))
            for item in items:
                if type(item) in ATOMS or is_atom(item):
                    local.append((item, type(item), rest))
                else:
                    local.append(encoded(item))
        else:
            local = [encoded(item) for item in items]

        def name(at: int) -> str:
            key = local[at]
            return f"{kind}:{digest(seed, key if type(key) is bytes else encoded(items[at]))}"

        return Keys(local, name)
