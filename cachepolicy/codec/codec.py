"""The whole way of a value: verified payload → compressed → encrypted, where asked → sealed, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from cachepolicy.codec import serialize
from cachepolicy.codec.compress import compress, decompress
from cachepolicy.codec.envelope import Header, fingerprint, seal, unseal
from cachepolicy.codec.serialize import Serialized, Serializer
from cachepolicy.errors import Corruption, CorruptValue, UnserializableValue

if TYPE_CHECKING:
    from cachepolicy.codec.encrypt import Keyring


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
        threshold: payloads shorter than this many bytes are not compressed.
        level: zstd level.
        limit: the longest payload in bytes that is written or read.
        keyring: what payloads are encrypted with; None: not at all.
    """

    serializer: Serializer
    threshold: int
    level: int
    limit: int
    keyring: Keyring | None = None

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

    def seal(self, serialized: Serialized, key: str, times: Times, versions: bytes = b"") -> bytes:
        """Lay a payload out as the bytes to store under the full key; ``versions``: of its tags."""
        compression, packed = compress(serialized.payload, threshold=self.threshold, level=self.level)
        header = Header(
            *times,
            serializer=serialized.form,
            compression=compression,
            length=len(serialized.payload),
            schema=self.serializer.schema,
            versions=versions,
        )
        if self.keyring is not None:
            return self.keyring.seal(header, key, packed)
        return seal(header, fingerprint(key), packed)

    def unseal(self, blob: bytes, key: str) -> tuple[Header, Serialized]:
        """Return what ``seal`` laid out.

        Raises:
            CorruptValue: the bytes must not be served; says why.
        """
        if self.keyring is not None:
            header, packed = self.keyring.unseal(blob, key)
        else:
            header, packed = unseal(blob, fingerprint(key))
            if header.encryption:
                raise CorruptValue(Corruption.LOCKED)
        serializer, length = self.serializer, header.length
        if header.schema != serializer.schema:
            raise CorruptValue(Corruption.SCHEMA)
        if header.compression or len(packed) != length or length > self.limit:
            packed = decompress(header.compression, packed, length=length, limit=self.limit)
        return header, serialize.load(serializer, header.serializer, packed)
