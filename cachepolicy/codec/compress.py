"""zstd above a threshold, kept only where it saves; bounded on the way back, whatever the frame claims."""

from __future__ import annotations

import enum
import threading
from typing import Any, Final, NamedTuple

import zstandard

from cachepolicy.codec.dictionary import NONE, Dictionaries, Dictionary, suits
from cachepolicy.codec.envelope import NO_ID
from cachepolicy.errors import Corruption, CorruptValue

_MOST_CONTEXTS: Final = 16  # of each kind and thread: dictionaries come and go with the policy


class Compression(enum.IntEnum):
    """How a payload is compressed; stored in the envelope: never renumber, only append."""

    NONE = 0
    ZSTD = 1


class Packed(NamedTuple):
    """A payload on its way out: how it is compressed, with which dictionary, and its bytes."""

    compression: Compression
    dictionary: bytes
    payload: bytes


class _Reused(threading.local):
    """Contexts cost more than small payloads do, and are not re-entrant: one set per thread."""

    def __init__(self) -> None:
        self.decompressor = zstandard.ZstdDecompressor()
        self._compressors: dict[int | Dictionary, zstandard.ZstdCompressor] = {}
        self._decompressors: dict[Dictionary, zstandard.ZstdDecompressor] = {}

    def compressor(self, how: int | Dictionary) -> zstandard.ZstdCompressor:
        """Return this thread's compressor for a level, or for a dictionary and its level."""
        found = self._compressors.get(how)
        if found is None:
            level, data = (how, None) if isinstance(how, int) else (how.level, how.data)
            _make_room(self._compressors)
            found = self._compressors[how] = zstandard.ZstdCompressor(
                level=level, dict_data=data, write_content_size=True
            )
        return found

    def with_dictionary(self, dictionary: Dictionary) -> zstandard.ZstdDecompressor:
        """Return this thread's decompressor for what was compressed with a dictionary."""
        found = self._decompressors.get(dictionary)
        if found is None:
            _make_room(self._decompressors)
            found = self._decompressors[dictionary] = zstandard.ZstdDecompressor(dict_data=dictionary.data)
        return found


_REUSED: Final = _Reused()


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
        return Packed(Compression.NONE, NO_ID, payload)
    else:
        dictionary = None
        packed = _REUSED.compressor(level).compress(payload)
    if len(packed) >= len(payload):
        return Packed(Compression.NONE, NO_ID, payload)
    return Packed(Compression.ZSTD, NO_ID if dictionary is None else dictionary.id, packed)


def decompress(
    compression: int,
    packed: bytes,
    *,
    length: int,
    limit: int,
    dictionary: bytes = NO_ID,
    dictionaries: Dictionaries = NONE,
) -> bytes:
    """Return a payload of exactly ``length`` bytes.

    The frame must declare that very length before a byte is allocated for it; zstd then fills a buffer of
    that size and fails on a frame that holds less or more, or that was made with another dictionary.

    Raises:
        CorruptValue: longer than ``limit``, not a frame of that length, or made with an unknown dictionary.
    """
    if length > limit:
        raise CorruptValue(Corruption.SIZE)
    if compression == Compression.NONE:
        if len(packed) != length:
            raise CorruptValue(Corruption.PAYLOAD)
        return packed
    if compression != Compression.ZSTD:
        raise CorruptValue(Corruption.FORMAT)
    decompressor = _REUSED.decompressor
    if dictionary != NO_ID:
        known = dictionaries.known.get(dictionary)
        if known is None:
            raise CorruptValue(Corruption.DICTIONARY)
        decompressor = _REUSED.with_dictionary(known)
    try:
        if zstandard.frame_content_size(packed) != length:
            raise CorruptValue(Corruption.PAYLOAD)
        payload = decompressor.decompress(packed, max_output_size=length, allow_extra_data=False)
    except zstandard.ZstdError:
        raise CorruptValue(Corruption.PAYLOAD) from None
    if len(payload) != length:
        raise CorruptValue(Corruption.PAYLOAD)
    return payload


def _make_room(contexts: dict[Any, Any]) -> None:
    """Let the oldest go where there are as many as may be."""
    if len(contexts) >= _MOST_CONTEXTS:
        del contexts[next(iter(contexts))]
