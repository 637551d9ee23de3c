"""Uploads that anybody who knows the id can go on with: chunk by chunk, in any order, again and again."""

from __future__ import annotations

import hashlib

from cachepolicy.errors import BlobDamaged, BlobIncomplete
from cachepolicy.flow import blob
from cachepolicy.flow.blob import Blob, Notes
from cachepolicy.flow.depot import Places, missing
from cachepolicy.flow.download import Found, Transfer, found
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.sealing import Batch, Sealing
from cachepolicy.flow.upload import Uploading, check_size
from cachepolicy.tiers import temp


class Resumable:
    """An upload of a known size.

    Attributes:
        uploading: what is known of it.
    """

    def __init__(self, uploading: Uploading) -> None:
        self.uploading = uploading
        self._hashed = 0  # chunks that went by in order, and that nobody else stored
        self._sha256 = hashlib.sha256()

    @property
    def notes(self) -> Notes:
        """What is known of the file."""
        return self.uploading.notes

    def put(self, index: int, chunk: bytes) -> Flow[None]:
        """Store a chunk; one that is there already stays.

        Raises:
            BlobMissing: the upload has ended otherwise, or was broken off for too long.
            StoreError: it may be stored, or not: it can be put again.
        """
        uploading, places = self.uploading, self.uploading.places
        depot = places.depot
        yield from uploading.renew()
        batch: Batch = yield from depot.lend(
            lambda: Sealing(places, index).seal([chunk]), len(chunk)
        ).outcome()
        state = yield from depot.ask(temp.renew(places.key, depot.resumable))
        if state is None:
            raise missing()
        if state == b"r":
            return
        (is_new,) = yield from uploading.place(batch)
        if is_new and index == self._hashed and not self.notes.on_disk:
            self._sha256.update(chunk)
            self._hashed += 1

    def missing(self) -> Flow[list[int]]:
        """Return the indices of the chunks that are not there."""
        places, notes = self.uploading.places, self.notes
        indices = range(notes.chunks)
        if (yield from self._is_ready()):
            return []
        if notes.on_disk:
            return (
                yield from places.depot.on_disk(
                    lambda shelf: [at for at in indices if not shelf.holds(places.name, notes.chunk, at)]
                )
            )
        there = yield from places.depot.ask_all([temp.is_there(places.chunk(at)) for at in indices])
        return [at for at, is_there in zip(indices, there, strict=True) if not is_there]

    def finish(self, sha256: str | None) -> Flow[Blob]:
        """Let the file be read; where not all of it went by here in order, it is read once more, to be sure.

        Args:
            sha256: what the whole must have, as hex; None: whatever it has.

        Raises:
            BlobIncomplete: chunks are missing.
            BlobDamaged: the file is not what it was said to be.
            BlobMissing, StoreError: as of ``put``.
        """
        uploading, notes = self.uploading, self.notes
        if (yield from self._is_ready()):
            done = (yield from found(uploading.places)).blob
        else:
            if (yield from self.missing()):
                raise BlobIncomplete("chunks of this upload are missing")
            digest = yield from self._digest()
            _check(sha256, digest)
            committed = yield from uploading.commit(notes.size or 0, digest)
            if committed is None:
                raise missing() if (yield from self._state()) is None else blob.damaged()
            done = committed
        _check(sha256, done.sha256)
        return done

    def abort(self) -> Flow[None]:
        """Remove all that was stored, and give its room back; a file that can be read already stays."""
        if not (yield from self._is_ready()):
            yield from self.uploading.undone()

    def _digest(self) -> Flow[str]:
        notes = self.notes
        if self._hashed == notes.chunks:
            return self._sha256.hexdigest()
        reading = Transfer(Found(self.uploading.places, notes, 0), 0, notes.size or 0, None)
        while (yield from reading.read_on()):
            pass
        return reading.sha256 or ""

    def _is_ready(self) -> Flow[bool]:
        state = yield from self._state()
        if state is None:
            raise missing()
        return state == b"r"

    def _state(self) -> Flow[bytes | None]:
        places = self.uploading.places
        return (yield from places.depot.ask(temp.renew(places.key, places.depot.resumable)))


def begun(places: Places, notes: Notes) -> Flow[Resumable]:
    """Begin an upload.

    Raises:
        TooLarge: the file is larger than may be.
        QuotaExceeded: there is no room for it.
        StoreError: Redis could not be asked.
    """
    check_size(places.depot, notes.size)
    uploading = Uploading(places, notes)
    try:
        yield from uploading.begin(notes.size or 0)
    except Exception:
        yield from uploading.undone()
        raise
    uploading.resume(notes.size or 0)
    return Resumable(uploading)


def resumed(places: Places) -> Flow[Resumable]:
    """Go on with an upload that was begun here or elsewhere.

    Raises:
        BlobMissing: there is none, or no more.
        BlobDamaged: what is known of it was altered.
        StoreError: Redis could not be asked.
    """
    depot = places.depot
    entry = yield from depot.ask(temp.look(places.key))
    if entry is None:
        raise missing()
    notes = blob.read(depot.words, entry.sealed, places.key)
    if notes.size is None:
        raise missing()  # a file that is uploaded in one go: nobody else has its source
    uploading = Uploading(places, notes)
    uploading.resume(notes.size)
    if not entry.is_ready:
        yield from uploading.renew(now=True)
    return Resumable(uploading)


def _check(expected: str | None, digest: str) -> None:
    if expected is not None and expected.lower() != digest:
        raise BlobDamaged("what was uploaded has another SHA-256 than was said")
