"""Compression dictionaries: what the values of one kind have in common, kept once instead of in each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import zstandard

SHORTEST: Final = 128
"""The shortest payload that a dictionary is used for, in bytes: it saves two fifths of it."""
TOO_LONG: Final = 8 * 1024
"""The payload length from which on a dictionary would cost more time than it saves bytes."""
MOST_BYTES: Final = 1024 * 1024
"""The largest dictionary that is taken."""

_TRIAL: Final = b"a dictionary that compresses this, and gives it back, is whole; " * 2


@dataclass(frozen=True, slots=True, eq=False)
class Dictionary:
    """One dictionary, ready for use at one level by any number of threads.

    Attributes:
        id: four bytes of the hash of the file. The id that zstd gives it is no proof: a file may be made with
            any, and one that was cut short keeps it.
        level: zstd level that it was made ready for.
        data: for zstd.
    """

    id: bytes
    level: int
    data: zstandard.ZstdCompressionDict


@dataclass(frozen=True, slots=True, eq=False)
class Dictionaries:
    """Those of one namespace; values that are written use ``writes``, all of ``known`` are read."""

    writes: Dictionary | None
    known: Mapping[bytes, Dictionary]


NONE: Final = Dictionaries(None, MappingProxyType({}))


def together(dictionaries: Sequence[Dictionary], *, writing: bool) -> Dictionaries:
    """Put dictionaries together: the first is written with, unless nothing is to be; all are read."""
    known = {each.id: each for each in dictionaries}
    return Dictionaries(dictionaries[0] if writing and dictionaries else None, MappingProxyType(known))


def load(raw: bytes, level: int) -> Dictionary:
    """Make a dictionary of a file's bytes.

    Raises:
        ValueError: they are none, or too many.
    """
    if len(raw) > MOST_BYTES:
        raise ValueError("larger than 1 MiB: expected a zstd dictionary")
    try:
        data = zstandard.ZstdCompressionDict(raw, dict_type=zstandard.DICT_TYPE_FULLDICT)
        data.precompute_compress(level=level)
        packed = zstandard.ZstdCompressor(level=level, dict_data=data).compress(_TRIAL)
        zstandard.ZstdDecompressor(dict_data=data).decompress(packed)
    except zstandard.ZstdError:
        raise ValueError("not a zstd dictionary, or a damaged one") from None
    return Dictionary(hashlib.blake2b(raw, digest_size=4).digest(), level, data)


def suits(length: int) -> bool:
    """Tell whether payloads of so many bytes are compressed with a dictionary."""
    return SHORTEST <= length < TOO_LONG


def train(payloads: Sequence[bytes], size: int) -> bytes:
    """Train a dictionary; what it returns holds pieces of the payloads.

    Args:
        payloads: samples, as many as can be had: a hundred times ``size`` in all is plenty.
        size: the most that it may take, in bytes.

    Raises:
        ValueError: the samples are too few, too short or too much alike.
    """
    try:
        return zstandard.train_dictionary(size, list(payloads)).as_bytes()
    except zstandard.ZstdError:
        raise ValueError("no dictionary can be made of these: too few, too short or too much alike") from None
