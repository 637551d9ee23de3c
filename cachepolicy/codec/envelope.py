"""The only file that knows the byte layout of a stored value.

::

    offset  size  field (big-endian)
         0     2  magic  CA 0C
         2     1  format version
         3     1  flags (reserved, 0)
         4     1  serializer
         5     1  compression
         6     2  header length, metadata included: where the payload begins
         8     8  hash of the full key
        16     8  created       ms since the epoch
        24     8  fresh until   ms since the epoch
        32     8  stale until   ms since the epoch, never extended
        40     4  cost          ms the origin took
        44     4  length of the payload before compression
        48     8  schema fingerprint
        56     m  metadata      MessagePack mapping, may be absent
    56 + m     n  payload
     last      4  CRC-32 of all before it

The key hash is what keeps a reply that crossed connections from being served under another key.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import ormsgpack

from cachepolicy.errors import Corruption, CorruptValue

VERSION: Final = 1
CREATED_AT: Final = 16
"""Where the time of creation stands, for scripts that compare it."""

_MAGIC: Final = b"\xca\x0c"
_HEADER: Final = struct.Struct(">2sBBBBH8sQQQII8s")
_TRAILER: Final = struct.Struct(">I")
_SMALLEST: Final = _HEADER.size + _TRAILER.size
_LONGEST_COST: Final = 2**32 - 1
NO_SCHEMA: Final = bytes(8)
NO_METADATA: Final[Mapping[str, object]] = MappingProxyType({})


class Header(NamedTuple):
    """What is known of a stored value besides its bytes; times are wall-clock seconds."""

    created: float
    fresh_until: float
    stale_until: float
    cost: float
    serializer: int
    compression: int
    length: int
    schema: bytes = NO_SCHEMA
    metadata: Mapping[str, object] = NO_METADATA


def seal(header: Header, key_hash: bytes, payload: bytes) -> bytes:
    """Lay out a value as bytes."""
    metadata = ormsgpack.packb(dict(header.metadata)) if header.metadata else b""
    fixed = _HEADER.pack(
        _MAGIC,
        VERSION,
        0,
        header.serializer,
        header.compression,
        _HEADER.size + len(metadata),
        key_hash,
        round(header.created * 1000),
        round(header.fresh_until * 1000),
        round(header.stale_until * 1000),
        min(round(header.cost * 1000), _LONGEST_COST),
        header.length,
        header.schema,
    )
    body = b"".join((fixed, metadata, payload))
    return body + _TRAILER.pack(zlib.crc32(body))


def unseal(blob: bytes, key_hash: bytes) -> tuple[Header, bytes]:
    """Return a value's header and payload.

    Raises:
        CorruptValue: the bytes are no intact envelope of this format, or of another key.
    """
    end = len(blob) - _TRAILER.size
    if end < _HEADER.size:
        raise CorruptValue(Corruption.FORMAT)
    fields = _HEADER.unpack_from(blob)
    (
        magic,
        version,
        flags,
        form,
        compression,
        begin,
        stored_hash,
        created,
        fresh,
        stale,
        cost,
        length,
        schema,
    ) = fields
    if magic != _MAGIC or version != VERSION:
        raise CorruptValue(Corruption.FORMAT)
    if zlib.crc32(memoryview(blob)[:end]) != int.from_bytes(blob[end:], "big"):
        raise CorruptValue(Corruption.CHECKSUM)
    if stored_hash != key_hash:
        raise CorruptValue(Corruption.KEY)
    if flags or not _HEADER.size <= begin <= end:
        raise CorruptValue(Corruption.FORMAT)
    metadata = _metadata(memoryview(blob)[_HEADER.size : begin]) if begin > _HEADER.size else NO_METADATA
    header = Header(
        created / 1000, fresh / 1000, stale / 1000, cost / 1000, form, compression, length, schema, metadata
    )
    return header, blob[begin:end]


def _metadata(packed: memoryview) -> dict[str, object]:
    try:
        metadata = ormsgpack.unpackb(packed)
    except ValueError:  # ormsgpack.MsgpackDecodeError is one
        raise CorruptValue(Corruption.FORMAT) from None
    if not isinstance(metadata, dict):
        raise CorruptValue(Corruption.FORMAT)
    return metadata
