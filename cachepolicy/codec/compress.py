"""zstd above a threshold, kept only where it saves; bounded on the way back, whatever the frame claims."""

from __future__ import annotations

import enum
import threading
from typing import Final

import zstandard

from cachepolicy.errors import Corruption, CorruptValue


class Compression(enum.IntEnum):
    """How a payload is compressed; stored in the envelope: never renumber, only append."""

    NONE = 0
    ZSTD = 1


class _Reused(threading.local):
    """Contexts cost more than small payloads do, and are not re-entrant: one set per thread."""

    def __init__(self) -> None:
        self.compressors: dict[int, zstandard.ZstdCompressor] = {}
        self.decompressor = zstandard.ZstdDecompressor()


_REUSED: Final = _Reused()


def compress(payload: bytes, *, threshold: int, level: int) -> tuple[Compression, bytes]:
    """Compress a payload of at least ``threshold`` bytes; one that would not shrink is left as it is."""
    if len(payload) < threshold:
        return Compression.NONE, payload
    compressor = _REUSED.compressors.get(level)
    if compressor is None:
        compressor = _REUSED.compressors[level] = zstandard.ZstdCompressor(
            level=level, write_content_size=True
        )
    packed = compressor.compress(payload)
    if len(packed) >= len(payload):
        return Compression.NONE, payload
    return Compression.ZSTD, packed


def decompress(compression: int, packed: bytes, *, length: int, limit: int) -> bytes:
    """Return a payload of exactly ``length`` bytes.

    The frame must declare that very length before a byte is allocated for it; zstd then fills a buffer of
    that size and fails on a frame that holds less or more.

    Raises:
        CorruptValue: longer than ``limit``, or not a frame of that length.
    """
    if length > limit:
        raise CorruptValue(Corruption.SIZE)
    if compression == Compression.NONE:
        if len(packed) != length:
            raise CorruptValue(Corruption.PAYLOAD)
        return packed
    if compression != Compression.ZSTD:
        raise CorruptValue(Corruption.FORMAT)
    try:
        if zstandard.frame_content_size(packed) != length:
            raise CorruptValue(Corruption.PAYLOAD)
        payload = _REUSED.decompressor.decompress(packed, max_output_size=length, allow_extra_data=False)
    except zstandard.ZstdError:
        raise CorruptValue(Corruption.PAYLOAD) from None
    if len(payload) != length:
        raise CorruptValue(Corruption.PAYLOAD)
    return payload
