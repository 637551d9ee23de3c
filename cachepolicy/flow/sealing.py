"""How chunks are made out of a source: hashed, compressed where that saves, sealed for their place."""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

from cachepolicy.flow.depot import Depot, Places
from cachepolicy.flow.sources import Source

_SAVES: Final = 0.95  # of its bytes: a chunk that is not made smaller than that stays as it is
_MOST_SKIPPED: Final = 31  # chunks that are not tried, after some that could not be made smaller


class Batch(NamedTuple):
    """Chunks that are ready to be stored.

    Attributes:
        first: the index of the first.
        sealed: their bytes.
        size: how many bytes they hold.
        is_last: nothing comes after them.
    """

    first: int
    sealed: list[bytes]
    size: int
    is_last: bool


class Sealing:
    """The chunks of one file, one after another.

    Args:
        places: of the file.
        first: the index of the first chunk.
    """

    def __init__(self, places: Places, first: int = 0) -> None:
        self._places = places
        self._index = first
        self._depot: Depot = places.depot
        self._sha256 = hashlib.sha256()
        self._skip = 0
        self._skips = 1

    @property
    def sha256(self) -> str:
        """Of all that was sealed, as hex."""
        return self._sha256.hexdigest()

    def read_on(self, source: Source) -> Batch:
        """Read and seal a batch of a source that any thread may read."""
        return self.seal(source.pull(self._depot.batch, self._depot.chunk))

    def seal(self, chunks: list[bytes]) -> Batch:
        """Seal what was read; an end of the source shows by fewer, or shorter, chunks."""
        first, sealed, size = self._index, [], 0
        for chunk in chunks:
            self._sha256.update(chunk)
            sealed.append(self._sealed(chunk))
            self._index += 1
            size += len(chunk)
        depot = self._depot
        return Batch(first, sealed, size, is_last=size < depot.batch * depot.chunk)

    def _sealed(self, chunk: bytes) -> bytes:
        """Seal one; what cannot be compressed is seldom tried again, for most files are of one kind."""
        depot, place = self._depot, self._places.chunk(self._index)
        if self._skip:
            self._skip -= 1
            return depot.plain.seal(chunk, place)
        sealed = depot.sealer.seal(chunk, place)
        if depot.sealer.threshold > len(chunk):
            return sealed
        if len(sealed) < _SAVES * len(chunk):
            self._skips = 1
            return sealed
        self._skip, self._skips = self._skips, min(2 * self._skips, _MOST_SKIPPED)
        return depot.plain.seal(chunk, place)
