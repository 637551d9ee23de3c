"""The only file that knows the byte layout of a stored value.

::

    offset  size  field (big-endian)
         0     2  magic  CA 0C
         2     1  format version
         3     1  serializer
         4     1  compression
         5     1  encryption
         6     2  header length, versions and metadata included: where the payload begins
         8     8  hash of the full key
        16     8  created       ms since the epoch
        24     8  fresh until   ms since the epoch
        32     8  stale until   ms since the epoch, never extended
        40     4  cost          ms the origin took
        44     4  length of the payload before compression
        48     8  schema fingerprint
        56     4  id of the compression dictionary, or zeros
        60     4  id of the encryption key, or zeros
        64     2  n: how many versions follow
        66   24n  versions: 8 bytes id of a tag, 16 bytes its version when the load began
   66+24n     m  metadata      MessagePack mapping, may be absent
 66+24n+m     p  payload
               4  CRC-32 of all before it
     last      1  state: F, or E once somebody said that it is out of date; no part of the checksum

The key hash is what keeps a reply that crossed connections from being served under another key.

What an invalidation leaves under a key is no value, but as long as its moment needs: magic, a version of 0,
zeros, four bytes at random, and at the offset of "created" when it happened. The clock alone does not tell
two invalidations of a millisecond apart, where a value came between.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import ormsgpack

from cachepolicy.errors import Corruption, CorruptValue

VERSION: Final = 2
CREATED_AT: Final = 16
"""Where the time of creation stands, for scripts that compare it."""
TOMBSTONE_SIZE: Final = CREATED_AT + 8
TAIL: Final = 12
"""How many bytes at the end tell one stored form from any other under the same key."""
TAG_ID: Final = 8
TAG_SIZE: Final = 24
"""A tag's id, and its version: 8 bytes that a purge changes, 8 that an expiry changes."""

_MAGIC: Final = b"\xca\x0c"
_HEADER: Final = struct.Struct(">2sBBBBH8sQQQII8s4s4sH")
_TRAILER: Final = struct.Struct(">IQ")
_STATE: Final = 8  # the last bytes: when somebody said that it is out of date
_COMPRESSION: Final = 4  # the byte that says how the payload is compressed
_BEGIN: Final = slice(6, 8)  # where the header length stands
_SMALLEST: Final = _HEADER.size + _TRAILER.size
_SHORT: Final = 4 * 1024  # below it, to copy bytes costs less than not to
_LONGEST_COST: Final = 2**32 - 1
NO_SCHEMA: Final = bytes(8)
NO_ID: Final = bytes(4)
_TOMBSTONE: Final = _MAGIC + b"\0"
NO_METADATA: Final[Mapping[str, object]] = MappingProxyType({})


class Header(NamedTuple):
    """What is known of a stored value besides its bytes; times are wall-clock seconds.

    Attributes:
        created: when its load began.
        fresh_until: when its TTL ends.
        stale_until: when it is of no more use.
        cost: how long the origin took, a duration.
        serializer: how the payload is written.
        compression: how it is compressed.
        length: of the payload before compression, in bytes.
        schema: fingerprint of the type that it was written for.
        metadata: small facts.
        versions: of the tags that it depends on, 24 bytes each.
        encryption: how the payload is encrypted.
        dictionary: id of the compression dictionary.
        key_id: of the encryption key.
        expired: when somebody said that it is out of date, on the server's clock; 0: nobody did.
    """

    created: float
    fresh_until: float
    stale_until: float
    cost: float
    serializer: int
    compression: int
    length: int
    schema: bytes = NO_SCHEMA
    metadata: Mapping[str, object] = NO_METADATA
    versions: bytes = b""
    encryption: int = 0
    dictionary: bytes = NO_ID
    key_id: bytes = NO_ID
    expired: float = 0.0


def fingerprint(key: str) -> bytes:
    """Return the 8-byte hash that an envelope carries of its full key."""
    return hashlib.blake2b(key.encode(), digest_size=8).digest()


def seal(header: Header, key_hash: bytes, payload: bytes) -> bytes:
    """Lay out a value as bytes."""
    return close(head(header, key_hash), payload, expired=header.expired)


def head(header: Header, key_hash: bytes) -> bytes:
    """Lay out all that stands before the payload."""
    versions = header.versions
    metadata = ormsgpack.packb(dict(header.metadata)) if header.metadata else b""
    fixed = _HEADER.pack(
        _MAGIC,
        VERSION,
        header.serializer,
        header.compression,
        header.encryption,
        _HEADER.size + len(versions) + len(metadata),
        key_hash,
        round(header.created * 1000),
        round(header.fresh_until * 1000),
        round(header.stale_until * 1000),
        min(round(header.cost * 1000), _LONGEST_COST),
        header.length,
        header.schema,
        header.dictionary,
        header.key_id,
        len(versions) // TAG_SIZE,
    )
    return fixed + versions + metadata


def close(head: bytes, payload: bytes, *, expired: float) -> bytes:
    """Lay out a value of which all that stands before the payload is laid out already."""
    body = head + payload
    return body + _TRAILER.pack(zlib.crc32(body), round(expired * 1000))


def head_of(blob: bytes) -> bytes:
    """Return all that stands before the payload of an intact value."""
    return blob[: int.from_bytes(blob[_BEGIN])]


def compression_of(blob: bytes, length: int) -> float | None:
    """Return how many times as many bytes a payload had before it was compressed; None where it was not.

    Args:
        blob: an intact value.
        length: of its payload before compression.
    """
    if not blob[_COMPRESSION]:
        return None
    return length / (len(blob) - int.from_bytes(blob[_BEGIN]) - _TRAILER.size)


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
        form,
        compression,
        encryption,
        begin,
        stored_hash,
        created,
        fresh,
        stale,
        cost,
        length,
        schema,
        dictionary,
        key_id,
        tags,
    ) = fields
    if magic != _MAGIC or version != VERSION:
        raise CorruptValue(Corruption.FORMAT)
    checksum, expired = _TRAILER.unpack_from(blob, end)
    if zlib.crc32(blob[:end] if end < _SHORT else memoryview(blob)[:end]) != checksum:
        raise CorruptValue(Corruption.CHECKSUM)
    if stored_hash != key_hash:
        raise CorruptValue(Corruption.KEY)
    middle = _HEADER.size + TAG_SIZE * tags
    if not middle <= begin <= end:
        raise CorruptValue(Corruption.FORMAT)
    values = (
        created / 1000,
        fresh / 1000,
        stale / 1000,
        cost / 1000,
        form,
        compression,
        length,
        schema,
        NO_METADATA if begin == middle else _metadata(memoryview(blob)[middle:begin]),
        blob[_HEADER.size : middle],
        encryption,
        dictionary,
        key_id,
        expired / 1000,
    )
    return tuple.__new__(Header, values), blob[begin:end]  # twice as fast as to call it: once for each hit


def carried(begin: bytes) -> bytes | None:
    """Return the versions of tags that stand in the beginning of a value; None: it is none, or is too short.

    Nothing is verified by it: it is for counting, not for serving.
    """
    if len(begin) < _HEADER.size or begin[:2] != _MAGIC or begin[2] != VERSION:
        return None
    end = _HEADER.size + TAG_SIZE * int.from_bytes(begin[_HEADER.size - 2 : _HEADER.size])
    return begin[_HEADER.size : end] if len(begin) >= end else None


def stamp(blob: bytes | None) -> bytes:
    """Return what tells whether what is stored is still the same: when it came to be, and how it ends.

    Empty where nothing is.
    """
    return b"" if blob is None else blob[CREATED_AT:TOMBSTONE_SIZE] + blob[-TAIL:]


def is_tombstone(blob: bytes) -> bool:
    """Tell whether this is what an invalidation leaves."""
    return len(blob) == TOMBSTONE_SIZE and blob[:3] == _TOMBSTONE


def _metadata(packed: memoryview) -> dict[str, object]:
    try:
        metadata = ormsgpack.unpackb(packed)
    except ValueError:  # ormsgpack.MsgpackDecodeError is one
        raise CorruptValue(Corruption.FORMAT) from None
    if not isinstance(metadata, dict):
        raise CorruptValue(Corruption.FORMAT)
    return metadata
