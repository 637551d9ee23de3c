"""The whole way of a value: verified payload → compressed → sealed, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from cachepolicy.codec import serialize
from cachepolicy.codec.compress import compress, decompress
from cachepolicy.codec.dictionary import NONE, Dictionaries
from cachepolicy.codec.envelope import Header, seal, unseal
from cachepolicy.codec.serialize import Serialized, Serializer
from cachepolicy.errors import Corruption, CorruptValue, UnserializableValue


class Times(NamedTuple):
    """When a value was made and how long it may serve, in wall-clock seconds; ``cost`` is a duration."""

    created: float
    fresh_until: float
    stale_until: float
    cost: float


@dataclass(frozen=True, slots=True)
class Codec:
    """How one function's results are stored.

    Args:
        serializer: value ↔ payload.
        threshold: payloads shorter than this many bytes are not compressed, unless with a dictionary.
        level: zstd level.
        limit: the longest payload in bytes that is written or read.
        dictionaries: for short payloads.
    """

    serializer: Serializer
    threshold: int
    level: int
    limit: int
    dictionaries: Dictionaries = NONE

    def dump(self, value: object) -> Serialized:
        """Serialize a value.

        Raises:
            UnserializableValue: it would not come back as it was, or is longer than the policy admits.
        """
        serialized = self.serializer.dump(value)
        if len(serialized.payload) > self.limit:
            message = (
                f"a result of {len(serialized.payload)} bytes is over admit.max_value ({self.limit} bytes)"
            )
            raise UnserializableValue(message)
        return serialized

    def seal(self, serialized: Serialized, key_hash: bytes, times: Times, versions: bytes = b"") -> bytes:
        """Lay a payload out as the bytes to store under the key of that hash; ``versions``: of its tags."""
        compression, dictionary, packed = compress(
            serialized.payload, threshold=self.threshold, level=self.level, dictionaries=self.dictionaries
        )
        header = Header(
            *times,
            serializer=serialized.form,
            compression=compression,
            length=len(serialized.payload),
            schema=self.serializer.schema,
            versions=versions,
            dictionary=dictionary,
        )
        return seal(header, key_hash, packed)

    def unseal(self, blob: bytes, key_hash: bytes) -> tuple[Header, Serialized]:
        """Return what ``seal`` laid out.

        Raises:
            CorruptValue: the bytes must not be served; says why.
        """
        header, packed = unseal(blob, key_hash)
        serializer = self.serializer
        if header.schema != serializer.schema:
            raise CorruptValue(Corruption.SCHEMA)
        return header, serialize.load(serializer, header.serializer, self.unpack(header, packed))

    def unpack(self, header: Header, packed: bytes) -> bytes:
        """Return the payload in an envelope's body, whatever type it was written for.

        Raises:
            CorruptValue: the bytes must not be served; says why.
        """
        length = header.length
        if header.encryption:
            raise CorruptValue(Corruption.FORMAT)
        if header.compression or len(packed) != length or length > self.limit:
            return decompress(
                header.compression, packed, length, self.limit, header.dictionary, self.dictionaries
            )
        return packed
