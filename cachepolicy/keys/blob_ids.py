"""The ids of temporary files: who knows one can read the file, so Redis is told a hash of it only."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from cachepolicy.keys.ids import new_id

_BYTES: Final = 24  # 192 bits of chance: nobody guesses one, and no two are equal
_ID: Final = re.compile(r"[A-Za-z0-9_-]{32}")
_PERSON: Final = b"cachepolicy blob"


def new_blob_id() -> str:
    """Return an id that nobody has."""
    return new_id(_BYTES)


def blob_name(blob_id: object) -> str | None:
    """Return what a file is called in keys, 128 bits as hex; None where that is no id."""
    if not isinstance(blob_id, str) or _ID.fullmatch(blob_id) is None:
        return None
    return hashlib.blake2b(blob_id.encode(), digest_size=16, person=_PERSON).hexdigest()
