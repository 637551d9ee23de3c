"""Which entries of L1 a change concerns: found by their key in Redis, and by their tags.

And tokens, for fills that are under way: what L1 does not hold yet cannot be found, and must not come either.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Final, Generic, Protocol, TypeVar


class Addressed(Protocol):
    """What an entry is found by; that does not change while it is held.

    Attributes:
        name: its key in Redis; empty where it has none.
        tags: what it depends on.
    """

    name: str
    tags: tuple[bytes, ...]


E = TypeVar("E", bound=Addressed)


class Index(Generic[E]):
    """The entries held, by name and by tag. Functions may share a name, so it may have several."""

    def __init__(self) -> None:
        self._by_name: dict[str, tuple[E, ...]] = {}
        self._by_tag: dict[bytes, set[E]] = {}

    def add(self, entry: E) -> None:
        """Take an entry in."""
        if entry.name:
            self._by_name[entry.name] = (*self._by_name.get(entry.name, ()), entry)
        for tag in entry.tags:
            self._by_tag.setdefault(tag, set()).add(entry)

    def remove(self, entry: E) -> None:
        """Take an entry out that is in."""
        if entry.name:
            others = tuple(other for other in self._by_name[entry.name] if other is not entry)
            if others:
                self._by_name[entry.name] = others
            else:
                del self._by_name[entry.name]
        for tag in set(entry.tags):
            tagged = self._by_tag[tag]
            tagged.remove(entry)
            if not tagged:
                del self._by_tag[tag]

    def named(self, name: str) -> tuple[E, ...]:
        """Return the entries of a key."""
        return self._by_name.get(name, ())

    def tagged(self, tag: bytes) -> tuple[E, ...]:
        """Return the entries that depend on a tag."""
        return tuple(self._by_tag.get(tag, ()))

    def __iter__(self) -> Iterator[E]:
        for entries in self._by_name.values():
            yield from entries


class Tokens:
    """A number for each key that moves whenever the key changes; keys that share a slot move together.

    A change that was heard of may be the echo of one's own write: it moves the token by a small step, all
    else by a large one. Reading takes no lock: a token that moved for another key only costs a fill.
    """

    _SLOTS: Final = 4096  # at 100 changes during a fill, one fill in forty is left out for another key
    _LARGE: Final = 2**32
    _MOST: Final = 2**63

    def __init__(self) -> None:
        self._moves = array("Q", bytes(8 * self._SLOTS))
        self._moves_of_all = 0

    def of(self, name: str) -> int:
        """Return the token of a key."""
        return self._moves[hash(name) % self._SLOTS] + self._moves_of_all

    def heard(self, name: str) -> None:
        """Move the token of a key: somebody changed it, perhaps oneself."""
        self._move(name, 1)

    def move(self, name: str) -> None:
        """Move the token of a key: no value that is on its way may come."""
        self._move(name, self._LARGE)

    def move_all(self) -> None:
        """Move every token."""
        self._moves_of_all += self._LARGE

    def are_echoes_apart(self, before: int, now: int) -> bool:
        """Tell whether nothing but what was heard of lies between two tokens of a key."""
        return before // self._LARGE == now // self._LARGE

    def _move(self, name: str, step: int) -> None:
        slot = hash(name) % self._SLOTS
        self._moves[slot] = (self._moves[slot] + step) % self._MOST
