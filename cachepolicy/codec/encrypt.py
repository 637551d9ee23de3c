"""AES-256-GCM: who holds no key can neither read a stored value nor make one.

The only file that knows ``cryptography``, which comes with an extra: it is loaded where a policy asks for it.

What is encrypted is bound to all that stands before it in the envelope (times, schema, versions, form,
compression, length) and to the full key: nobody who can write to Redis lengthens a life or swaps two values.
What stands behind the checksum, which scripts set, is bound to nothing.
"""

from __future__ import annotations

import enum
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cachepolicy.codec import envelope
from cachepolicy.codec.envelope import Header
from cachepolicy.errors import Corruption, CorruptValue

_NONCE: Final = 12  # bytes, random: one key is good for 2**32 values
_TAG: Final = 16
_PURPOSE: Final = b"cachepolicy key"


class Encryption(enum.IntEnum):
    """How a payload is encrypted; stored in the envelope: never renumber, only append."""

    NONE = 0
    AES_256_GCM = 1


def key_id(key: bytes) -> bytes:
    """Return the four bytes by which a stored value names its key, so that nobody has to number keys."""
    return hashlib.blake2b(key, digest_size=4, person=_PURPOSE).digest()


@dataclass(frozen=True, slots=True, eq=False)
class Keyring:
    """Keys by their ids: one writes, all read. Made by ``keyring``; shows no key.

    Args:
        writes: id of the key that new values are encrypted with.
    """

    writes: bytes
    _ciphers: Mapping[bytes, AESGCM] = field(repr=False)

    def seal(self, header: Header, key: str, payload: bytes) -> bytes:
        """Lay out a value as bytes, its payload encrypted; ``key``: the full key that it is stored under."""
        header = header._replace(encryption=Encryption.AES_256_GCM, key_id=self.writes)
        head = envelope.head(header, envelope.fingerprint(key))
        return envelope.close(head, self.encrypt(payload, head + key.encode()), expired=header.expired)

    def unseal(self, blob: bytes, key: str) -> tuple[Header, bytes]:
        """Return a value's header and decrypted payload.

        Raises:
            CorruptValue: no value of this key, not encrypted, with a key that is not here, or altered.
        """
        try:
            header, sealed = envelope.unseal(blob, envelope.fingerprint(key))
        except CorruptValue as refused:  # whoever alters a value need not mend its checksum
            reason = Corruption.TAMPERED if refused.reason is Corruption.CHECKSUM else refused.reason
            raise CorruptValue(reason) from None
        if header.encryption == Encryption.NONE:
            raise CorruptValue(Corruption.PLAIN)
        if header.encryption != Encryption.AES_256_GCM:
            raise CorruptValue(Corruption.FORMAT)
        return header, self.decrypt(header.key_id, sealed, envelope.head_of(blob) + key.encode())

    def encrypt(self, payload: bytes, bound: bytes) -> bytes:
        """Return nonce, encrypted payload and tag; it comes back only with the same ``bound``."""
        nonce = os.urandom(_NONCE)
        return nonce + self._ciphers[self.writes].encrypt(nonce, payload, bound)

    def decrypt(self, written_with: bytes, sealed: bytes, bound: bytes) -> bytes:
        """Return what ``encrypt`` was given.

        Args:
            written_with: id of the key.
            sealed: what ``encrypt`` returned.
            bound: what it was bound to.

        Raises:
            CorruptValue: the key is not here, or something was altered.
        """
        cipher = self._ciphers.get(written_with)
        if cipher is None:
            raise CorruptValue(Corruption.LOCKED)
        if len(sealed) < _NONCE + _TAG:
            raise CorruptValue(Corruption.TAMPERED)
        try:
            return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], bound)
        except InvalidTag:
            raise CorruptValue(Corruption.TAMPERED) from None


def keyring(keys: Sequence[bytes]) -> Keyring:
    """Make a keyring of keys of 32 bytes; the first writes, all read.

    Raises:
        ValueError: there is none, one has another length, or two share an id.
    """
    if not keys or any(len(key) != 32 for key in keys):
        raise ValueError("expected keys of 32 bytes, and at least one")
    ciphers = {key_id(key): AESGCM(key) for key in keys}
    if len(ciphers) != len(keys):
        raise ValueError("two of the keys have the same id: replace one of them")
    return Keyring(key_id(keys[0]), ciphers)
