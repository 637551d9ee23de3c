"""How a key is spelled in Redis: ``{app}:{namespace}:{kind}:{digest}``, written here and nowhere else."""

from __future__ import annotations

import hashlib
from typing import Final

_FORMAT: Final = b"cachepolicy/1"  # a change of the canonical encoding is a new format, never a silent one


def prefix(app: str, namespace: str) -> str:
    """Return what every key of a namespace begins with."""
    return f"{app}:{namespace}:"


def digest_seed(*identity: str) -> bytes:
    """Return the bytes that tell one function's (or one scope's) digests from all others'; length-framed."""
    parts = [part.encode() for part in identity]
    return _FORMAT + b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def digest(seed: bytes, arguments: bytes) -> str:
    """Return the 256-bit digest of a call as hex."""
    return hashlib.sha256(seed + arguments).hexdigest()
