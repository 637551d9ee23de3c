"""What is known of a temporary file, and how it is written down."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from cachepolicy.codec.sealed import Sealer
from cachepolicy.errors import BlobDamaged, CorruptValue, TooLarge

MOST_WORDS: Final = 32 * 1024
"""How long a file's name, type and owner may be, together, in characters."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A temporary file.

    Attributes:
        id: who knows it can read the file: a secret, as a password is.
        size: in bytes.
        sha256: of all of it, as hex.
        name: as it was uploaded with.
        content_type: such as ``text/csv``.
        owner: who keeps it.
        created_at: when its upload began, seconds since the epoch.
        expires_at: when it ends.
        one_time: whether it can be read once only.
    """

    id: str = field(repr=False)
    size: int
    sha256: str = field(repr=False)
    name: str = field(repr=False)
    content_type: str
    owner: str | int | None = field(repr=False)
    created_at: float
    expires_at: float
    one_time: bool


@dataclass(frozen=True, slots=True)
class Notes:
    """What a manifest says of a file: written when its upload begins, and again when it ends.

    Attributes:
        name: of the file.
        content_type: of it.
        owner: who keeps it.
        once: it can be read once only.
        life: ms that it is kept from the end of its upload on.
        chunk: bytes in a chunk, the last one excepted.
        on_disk: its chunks are in the directory of large files.
        size: bytes; None: not known yet.
        created: ms since the epoch.
        sha256: as hex.
    """

    name: str = field(repr=False)
    content_type: str
    owner: str | int | None = field(repr=False)
    once: bool
    life: int
    chunk: int
    on_disk: bool
    size: int | None = None
    created: int = 0
    sha256: str = ""

    @property
    def chunks(self) -> int:
        """How many there are."""
        return -(-(self.size or 0) // self.chunk)

    def length(self, index: int) -> int:
        """Return how many bytes a chunk has."""
        return min(self.chunk, (self.size or 0) - index * self.chunk)

    def blob(self, blob_id: str, expires: int) -> Blob:
        """Return what is told of the file; ``expires``: ms since the epoch."""
        return Blob(
            id=blob_id,
            size=self.size or 0,
            sha256=self.sha256,
            name=self.name,
            content_type=self.content_type,
            owner=self.owner,
            created_at=self.created / 1000,
            expires_at=expires / 1000,
            one_time=self.once,
        )


_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "name": (str,),
    "content_type": (str,),
    "owner": (str, int, type(None)),
    "once": (bool,),
    "life": (int,),
    "chunk": (int,),
    "on_disk": (bool,),
    "size": (int, type(None)),
    "created": (int,),
    "sha256": (str,),
}


def check_words(name: str, content_type: str, owner: str | int | None) -> None:
    """Refuse what a manifest has no place for.

    Raises:
        TypeError: it is no text, or the owner neither text nor a whole number.
        TooLarge: it is too long.
    """
    if type(name) is not str or type(content_type) is not str:
        raise TypeError("name and content_type: expected text")
    if owner is not None and type(owner) not in {str, int}:
        raise TypeError("owner: expected text or a whole number")
    if len(name) + len(content_type) + len(str(owner)) > MOST_WORDS:
        raise TooLarge(f"expected name, content_type and owner of {MOST_WORDS} characters at most, together")


def write(sealer: Sealer, notes: Notes, key: str) -> bytes:
    """Lay out what is known, to be read at a manifest's key only."""
    return sealer.seal(json.dumps(asdict(notes)).encode(), key)


def read(sealer: Sealer, sealed: bytes, key: str) -> Notes:
    """Read what is known.

    Raises:
        BlobDamaged: it was altered, or this process cannot decrypt it.
    """
    try:
        told = json.loads(sealer.unseal(sealed, key))
    except (CorruptValue, ValueError):
        raise damaged() from None
    if not isinstance(told, dict) or any(type(told.get(name)) not in types for name, types in _TYPES.items()):
        raise damaged()
    known: dict[str, Any] = {item.name: told[item.name] for item in fields(Notes)}
    notes = Notes(**known)
    if notes.chunk < 1 or (notes.size or 0) < 0:
        raise damaged()
    return notes


def damaged() -> BlobDamaged:
    """Return the error of a file that is not what was uploaded."""
    return BlobDamaged("a temporary file is not what was uploaded: a part is gone, or was altered")
