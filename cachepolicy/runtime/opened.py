"""What a policy has made ready, each thing once, and what of it the next policy goes on with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from cachepolicy.runtime.heritage import Heritage

K = TypeVar("K", bound=str | tuple[object, ...])
V = TypeVar("V")


class Opened(Generic[K, V]):
    """Things by the namespace that they belong to; a key is its name, or begins with it.

    Finding one takes no lock; making one does, so that it is made once.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal's handler may open one while its own thread does
        self._all: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """Return one; None where it is not open."""
        return self._all.get(key)

    def of(self, key: K, make: Callable[[], V]) -> V:
        """Return one; where it is not open yet, ``make`` makes it, once. What that raises is raised."""
        found = self._all.get(key)
        if found is None:
            with self._lock:
                found = self._all.get(key)
                if found is None:
                    found = self._all[key] = make()
        return found

    def by_key(self) -> dict[K, V]:
        """Return all that are open."""
        return dict(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[V]:
        return iter(list(self._all.values()))

    def inherit(self, before: Opened[K, V], heritage: Heritage) -> None:
        """Go on with those of namespaces that are kept."""
        self._all.update(heritage.of(before._all))

    def but(self, heir: Opened[K, V] | None) -> list[V]:
        """Return those that no heir goes on with."""
        kept = {} if heir is None else heir.by_key()
        return [one for key, one in list(self._all.items()) if kept.get(key) is not one]

    def after_fork(self) -> None:
        """Leave behind a lock of the parent's threads."""
        self._lock = threading.RLock()
