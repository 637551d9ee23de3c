"""The byte layout of what is no cached value: a field of a session, a chunk of a file.

::

    offset  size  field
         0     1  format 1, + 16: compressed by zstd, + 32: encrypted
  plain:
         1     8  hash of where it belongs
         9     4  CRC-32 of all but itself
  encrypted (AES-256-GCM; where it belongs and the bytes before are bound to it):
         1     4  id of the key
  then the payload; a compressed one begins with its length, 4 bytes

Bytes that were altered, cut off, or written for another place are refused, never read.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cachepolicy.codec.compress import Compression, compress, decompress
from cachepolicy.codec.envelope import fingerprint
from cachepolicy.errors import Corruption, CorruptValue

if TYPE_CHECKING:
    from cachepolicy.codec.encrypt import Keyring

_FORMAT: Final = 1
_COMPRESSED: Final = 16
_ENCRYPTED: Final = 32
_KNOWN: Final = frozenset(_FORMAT + more for more in (0, _COMPRESSED, _ENCRYPTED, _COMPRESSED + _ENCRYPTED))
_KEY_ID: Final = slice(1, 5)
_HASH: Final = slice(1, 9)
_CRC: Final = slice(9, 13)
_LENGTH: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class Sealer:
    """How a namespace writes and reads such bytes.

    Attributes:
        threshold: payloads shorter than this many bytes are not compressed.
        level: of zstd.
        limit: how long a payload may be, in bytes.
        keyring: where it is to be encrypted.
    """

    threshold: int
    level: int
    limit: int
    keyring: Keyring | None = None

    def seal(self, payload: bytes, place: str) -> bytes:
        """Lay out a payload as bytes that can be read at ``place`` only, such as its key and field."""
        packed = compress(payload, threshold=self.threshold, level=self.level)
        kind, body = _FORMAT, packed.payload
        if packed.compression is Compression.ZSTD:
            kind, body = kind + _COMPRESSED, len(payload).to_bytes(_LENGTH, "big") + body
        if self.keyring is None:
            head = bytes([kind]) + fingerprint(place)
            return b"".join((head, zlib.crc32(body, zlib.crc32(head)).to_bytes(4, "big"), body))
        head = bytes([kind + _ENCRYPTED]) + self.keyring.writes
        return head + self.keyring.encrypt(body, head + place.encode())

    def unseal(self, sealed: bytes, place: str) -> bytes:
        """Return the payload.

        Raises:
            CorruptValue: it was altered, cut off, or belongs elsewhere; its key is not here; it is not
                encrypted where the policy says so, or longer than it may be.
        """
        if not sealed or sealed[0] not in _KNOWN:
            raise CorruptValue(Corruption.FORMAT)
        body = self._decrypted(sealed, place) if sealed[0] & _ENCRYPTED else self._plain(sealed, place)
        if not sealed[0] & _COMPRESSED:
            return decompress(Compression.NONE, body, len(body), self.limit)
        length = int.from_bytes(body[:_LENGTH], "big")
        return decompress(Compression.ZSTD, body[_LENGTH:], length, self.limit)

    def opener(self, place: str) -> Callable[[bytes], bytes]:
        """Return what unseals all that belongs at one place; errors are as of ``unseal``."""
        if self.keyring is not None:
            return lambda sealed: self.unseal(sealed, place)
        head, limit = bytes([_FORMAT]) + fingerprint(place), self.limit
        crc32 = zlib.crc32
        begun = crc32(head)

        def unsealed(sealed: bytes) -> bytes:
            body = sealed[13:]  # _CRC.stop: a name would be looked up each time
            if sealed[:13] == head + crc32(body, begun).to_bytes(4, "big") and len(body) <= limit:
                return body
            return self.unseal(sealed, place)  # it is compressed, or refused

        return unsealed

    def _plain(self, sealed: bytes, place: str) -> bytes:
        if self.keyring is not None:
            raise CorruptValue(Corruption.PLAIN)
        if sealed[_HASH] != fingerprint(place):
            raise CorruptValue(Corruption.KEY)
        body = sealed[_CRC.stop :]
        if zlib.crc32(body, zlib.crc32(sealed[: _CRC.start])) != int.from_bytes(sealed[_CRC], "big"):
            raise CorruptValue(Corruption.CHECKSUM)
        return body

    def _decrypted(self, sealed: bytes, place: str) -> bytes:
        if self.keyring is None:
            raise CorruptValue(Corruption.LOCKED)
        head = sealed[: _KEY_ID.stop]
        return self.keyring.decrypt(sealed[_KEY_ID], sealed[len(head) :], head + place.encode())
