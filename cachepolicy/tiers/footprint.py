"""How much memory an entry of L1 takes: its value, its key, and its place."""

from __future__ import annotations

import enum
import gc
import types
from collections.abc import Hashable
from sys import getsizeof
from typing import Final

# The entry and its numbers; its place in the tables of the function and of the eviction policy; a ghost.
# Measured: dicts double as they grow, so it is 530 to 780 bytes, by how full they happen to be.
_PLACE: Final = 630
_NAMED: Final = 110  # a place in the index of names
_TAGGED: Final = 70  # a place in the set of a tag
USED: Final = 160
"""Bytes that the usage of an entry takes: five parts, of which the model's name is not shared."""

_FLAT: Final = frozenset({str, bytes, float, complex})
_SHARED: Final = (bool, type(None), type, enum.Enum, types.ModuleType, types.FunctionType)
_SAMPLE: Final = 64
_SAMPLE_INSIDE: Final = 8
_DEEPEST: Final = 8
_ALIGNMENT: Final = 16  # of Python's allocator: in a container of numbers it is a sixth of all


def footprint(
    key: Hashable, value: object, serialized: int, name: str = "", tags: tuple[bytes, ...] = ()
) -> int:
    """Estimate the bytes that an entry takes.

    Args:
        key: what it is found by in its table.
        value: what is kept.
        serialized: bytes of the value's serialized form, which it takes at the least.
        name: its key in Redis.
        tags: what it depends on; the tags themselves are shared by many.
    """
    size = _PLACE + max(_reach(value), serialized) + _of_key(key)
    if name:
        size += _NAMED + getsizeof(name)
    return size + _TAGGED * len(tags)


def _of_key(key: Hashable) -> int:
    if type(key) is not tuple:
        return getsizeof(key)
    return getsizeof(key) + sum([getsizeof(part) for part in key if not isinstance(part, type)])


def _reach(thing: object) -> int:
    """Return the bytes of an object and of what it holds, the content of large containers by a sample."""
    if type(thing) in _FLAT:
        return getsizeof(thing)
    return round(_walk(thing, set(), 0))


def _walk(thing: object, seen: set[int], depth: int) -> float:
    if type(thing) in _FLAT:
        return _allocated(thing) if _is_new(thing, seen) else 0
    if isinstance(thing, _SHARED) or not _is_new(thing, seen):
        return 0
    size = _allocated(thing)
    parts = gc.get_referents(thing) if depth < _DEEPEST else []
    most = _SAMPLE_INSIDE if depth else _SAMPLE
    sample = parts if len(parts) <= most else parts[:: -(-len(parts) // most)]
    if not sample:
        return size
    inside = sum([_walk(part, seen, depth + 1) for part in sample])
    return size + inside * len(parts) / len(sample)


def _allocated(thing: object) -> int:
    return -(-getsizeof(thing) // _ALIGNMENT) * _ALIGNMENT


def _is_new(thing: object, seen: set[int]) -> bool:
    before = len(seen)
    seen.add(id(thing))
    return len(seen) > before
