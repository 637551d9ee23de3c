"""The whole way of a value: verified payload → compressed → encrypted, where asked → sealed, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from cachepolicy.codec import serialize
from cachepolicy.codec.compress import as_it_is, compress, decompress
from cachepolicy.codec.dictionary import NONE, Dictionaries
from cachepolicy.codec.envelope import NO_METADATA, Header, fingerprint, seal, unseal
from cachepolicy.codec.serialize import INCOMPRESSIBLE, Serialized, Serializer
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
        threshold: payloads shorter than this many bytes are not compressed, unless with a dictionary.
        level: zstd level.
        limit: the longest payload in bytes that is written or read.
        keyring: what payloads are encrypted with; None: not at all.
        dictionaries: for short payloads.
    """

    serializer: Serializer
    threshold: int
    level: int
    limit: int
    keyring: Keyring | None = None
    dictionaries: Dictionaries = NONE

    def dump(self, value: object) -> Serialized:
        """Serialize a value.

        Raises:
            UnserializableValue: it would not come back as it was, or is longer than the policy admits.
        """
        return self.admitted(self.serializer.dump(value))

    def admitted(self, serialized: Serialized) -> Serialized:
        """Return a payload that is no longer than the policy admits.

        Raises:
            UnserializableValue: it is.
        """
        if len(serialized.payload) > self.limit:
            message = (
                f"a result of {len(serialized.payload)} bytes is over admit.max_value ({self.limit} bytes)"
            )
            raise UnserializableValue(message)
        return serialized

    def seal(
        self,
        serialized: Serialized,
        key: str,
        times: Times,
        versions: bytes = b"",
        metadata: Mapping[str, object] = NO_METADATA,
    ) -> bytes:
        """Lay a payload out as the bytes to store under the full key.

        Args:
            serialized: the payload.
            key: the full key.
            times: when it was made, and how long it may serve.
            versions: of its tags.
            metadata: small facts, which are not encrypted.
        """
        payload = serialized.payload
        compression, dictionary, packed = (
            as_it_is(payload)
            if serialized.form in INCOMPRESSIBLE
            else compress(payload, threshold=self.threshold, level=self.level, dictionaries=self.dictionaries)
        )
        header = Header(
            *times,
            serializer=serialized.form,
            compression=compression,
            length=len(serialized.payload),
            schema=self.serializer.schema,
            metadata=metadata,
            versions=versions,
            dictionary=dictionary,
        )
        if self.keyring is not None:
            return self.keyring.seal(header, key, packed)
        return seal(header, fingerprint(key), packed)

    def unseal(self, blob: bytes, key: str) -> tuple[Header, Serialized]:
        """Return what ``seal`` laid out.

        Raises:
            CorruptValue: the bytes must not be served; says why.
        """
        header, packed = self._opened(blob, key)
        serializer = self.serializer
        if header.schema != serializer.schema:
            raise CorruptValue(Corruption.SCHEMA)
        return header, serialize.load(serializer, header.serializer, self.unpack(header, packed))

    def payload(self, blob: bytes, key: str) -> bytes:
        """Return the payload of what ``seal`` laid out, whatever type it was written for.

        Raises:
            CorruptValue: the bytes must not be served; says why.
        """
        return self.unpack(*self._opened(blob, key))

    def _opened(self, blob: bytes, key: str) -> tuple[Header, bytes]:
        if self.keyring is not None:
            return self.keyring.unseal(blob, key)
        header, packed = unseal(blob, fingerprint(key))
        if header.encryption:
            raise CorruptValue(Corruption.LOCKED)
        return header, packed

    def unpack(self, header: Header, packed: bytes) -> bytes:
        """Return the payload in an opened envelope's body.

        Raises:
            CorruptValue: the bytes must not be served; says why.
        """
        length = header.length
        if header.compression or len(packed) != length or length > self.limit:
            return decompress(
                header.compression, packed, length, self.limit, header.dictionary, self.dictionaries
            )
        return packed
