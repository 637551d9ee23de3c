"""Faults of Redis that a namespace met, by name: plain integers, read at collection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

_ERRORS: Final[dict[str, Counter[str]]] = {}  # for the process: metrics outlive a policy


def errors(namespace: str) -> Counter[str]:
    """Return the faults that a namespace met in this process."""
    return _ERRORS.setdefault(namespace, Counter())


def all_errors() -> Iterator[tuple[tuple[str, str], int]]:
    """Return all of them, by namespace and name."""
    for namespace, faults in list(_ERRORS.items()):
        yield from (((namespace, name), count) for name, count in list(faults.items()))
