"""zstd above a threshold, kept only where it saves; bounded on the way back, whatever the frame claims."""

from __future__ import annotations

import enum
import threading
from typing import Any, Final, NamedTuple

import zstandard

from cachepolicy.codec.dictionary import NONE, Dictionaries, Dictionary, suits
from cachepolicy.codec.envelope import NO_ID
from cachepolicy.errors import Corruption, CorruptValue

_declared_length: Final = zstandard.frame_content_size
_MOST_CONTEXTS: Final = 16  # of each kind and thread: dictionaries come and go with the policy


class Compression(enum.IntEnum):
    """How a payload is compressed; stored in the envelope: never renumber, only append."""

    NONE = 0
    ZSTD = 1


_ZSTD: Final = int(Compression.ZSTD)  # an enum's member is slow to name and to compare


class Packed(NamedTuple):
    """A payload on its way out: how it is compressed, with which dictionary, and its bytes."""

    compression: Compression
    dictionary: bytes
    payload: bytes


class _Reused(threading.local):
    """Contexts cost more than small payloads do, and are not re-entrant: one set per thread."""

    def __init__(self) -> None:
        self.decompressor = zstandard.ZstdDecompressor()
        self.decompressors: dict[Dictionary, zstandard.ZstdDecompressor] = {}
        self.compressors: dict[int | Dictionary, zstandard.ZstdCompressor] = {}

    def compressor(self, how: int | Dictionary) -> zstandard.ZstdCompressor:
        """Return this thread's compressor for a level, or for a dictionary and its level."""
        found = self.compressors.get(how)
        if found is None:
            level, data = (how, None) if isinstance(how, int) else (how.level, how.data)
            _make_room(self.compressors)
            found = self.compressors[how] = zstandard.ZstdCompressor(
                level=level, dict_data=data, write_content_size=True
            )
        return found

    def make_decompressor(self, dictionary: Dictionary) -> zstandard.ZstdDecompressor:
        """Make this thread's decompressor for what was compressed with a dictionary."""
        _make_room(self.decompressors)
        made = self.decompressors[dictionary] = zstandard.ZstdDecompressor(dict_data=dictionary.data)
        return made


_REUSED: Final = _Reused()


def as_it_is(payload: bytes) -> Packed:
    """Leave a payload as it is."""
    return Packed(Compression.NONE, NO_ID, payload)


def compress(payload: bytes, *, threshold: int, level: int, dictionaries: Dictionaries = NONE) -> Packed:
    """Compress a payload; one that would not shrink is left as it is.

    Args:
        payload: what is to be stored.
        threshold: without a dictionary, payloads shorter than this many bytes are left as they are.
        level: zstd level.
        dictionaries: where there is one to write with, it is used for payloads of a length that suits it.
    """
    dictionary = dictionaries.writes
    if dictionary is not None and suits(len(payload)):
        packed = _REUSED.compressor(dictionary).compress(payload)
    elif len(payload) < threshold:
        return as_it_is(payload)
    else:
        dictionary = None
        packed = _REUSED.compressor(level).compress(payload)
    if len(packed) >= len(payload):
        return as_it_is(payload)
    return Packed(Compression.ZSTD, NO_ID if dictionary is None else dictionary.id, packed)


def decompress(
    compression: int,
    packed: bytes,
    length: int,
    limit: int,
    dictionary: bytes = NO_ID,
    dictionaries: Dictionaries = NONE,
) -> bytes:
    """Return a payload of exactly ``length`` bytes.

    The frame must declare that very length before a byte is allocated for it; zstd then fills a buffer of
    that size and fails on a frame that holds less or more, or that was made with another dictionary.

    Args:
        compression: how it is compressed.
        packed: its bytes.
        length: how long the payload is said to be.
        limit: how long it may be.
        dictionary: id of the one that it was compressed with.
        dictionaries: those that are known here.

    Raises:
        CorruptValue: longer than ``limit``, not a frame of that length, or made with an unknown dictionary.
    """
    if length > limit:
        raise CorruptValue(Corruption.SIZE)
    if compression != _ZSTD:
        return _as_it_is(compression, packed, length)
    if dictionary == NO_ID:
        decompressor = _REUSED.decompressor
    else:
        known = dictionaries.known.get(dictionary)
        if known is None:
            raise CorruptValue(Corruption.DICTIONARY)
        decompressor = _REUSED.decompressors.get(known) or _REUSED.make_decompressor(known)
    try:
        if _declared_length(packed) != length:
            raise CorruptValue(Corruption.PAYLOAD)
        # Not across frames, and nothing behind this one; by position: keywords cost as much as the rest here.
        payload = decompressor.decompress(packed, length, False, False)  # noqa: FBT003 - see above
    except zstandard.ZstdError:
        raise CorruptValue(Corruption.PAYLOAD) from None
    if len(payload) != length:
        raise CorruptValue(Corruption.PAYLOAD)
    return payload


def _as_it_is(compression: int, payload: bytes, length: int) -> bytes:
    if compression != Compression.NONE:
        raise CorruptValue(Corruption.FORMAT)
    if len(payload) != length:
        raise CorruptValue(Corruption.PAYLOAD)
    return payload


def _make_room(contexts: dict[Any, Any]) -> None:
    """Let the oldest go where there are as many as may be."""
    if len(contexts) >= _MOST_CONTEXTS:
        del contexts[next(iter(contexts))]
