"""What encryption adds to the way of a value into an envelope and back, with no Redis between."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from cryptography.fernet import Fernet

from cachepolicy.codec.codec import Codec, Times
from cachepolicy.codec.encrypt import keyring
from cachepolicy.codec.serialize import ABSENT, serializer_for
from tests.benchmarks.harness import OURS, Row, Table, timed

TITLE = "encrypt and decrypt 1 KB"
WITHOUT = "the same without encryption"
FERNET = "the same within Fernet"

_KEY = "bench:answers:cache:8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92"
_WAY = "unseal(seal(value, key, times), key)"
_WAY_OF_FERNET = "unseal(decrypt(encrypt(seal(value, key, times))), key)"


def tables() -> Iterator[Table]:
    """Compare sealing and unsealing with encryption, without, and with another package's around it."""
    plain, ours = _codec(), _codec(os.urandom(32))
    fernet = Fernet(Fernet.generate_key())
    value = plain.dump(os.urandom(1024))
    names: dict[str, Any] = {"value": value, "key": _KEY, "times": Times(1.7e9, 1.7e9, 1.7e9, 1.0)}
    without: dict[str, Any] = {"seal": plain.seal, "unseal": plain.unseal, **names}
    rows = [
        Row(WITHOUT, timed(_WAY, **without)),
        Row(OURS, timed(_WAY, seal=ours.seal, unseal=ours.unseal, **names)),
        Row(FERNET, timed(_WAY_OF_FERNET, encrypt=fernet.encrypt, decrypt=fernet.decrypt, **without)),
    ]
    yield Table(TITLE, "1024 random bytes into an envelope and out again", rows)


def _codec(*keys: bytes) -> Codec:
    return Codec(serializer_for(ABSENT), 2**20, 3, 2**20, keyring(keys) if keys else None)
