"""How a file is read: chunks are brought while those before are checked; none that is wrong gets out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import NamedTuple

from cachepolicy.errors import BlobDamaged, BlobIncomplete, CorruptValue, StoreError, StreamLost
from cachepolicy.flow import blob, quota
from cachepolicy.flow.blob import Blob, Notes
from cachepolicy.flow.depot import SLACK, Places, missing
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.hand import Hand
from cachepolicy.tiers import commands, temp


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A file that can be read.

    Attributes:
        places: of it.
        notes: what is known of it.
        expires: ms since the epoch.
    """

    places: Places
    notes: Notes
    expires: int

    @property
    def blob(self) -> Blob:
        """What is told of it."""
        return self.notes.blob(self.places.id, self.expires)

    def removed(self) -> Flow[None]:
        """Remove it: a file that can be read once was."""
        return quota.forget(self.places, self.notes.owner, self.notes.chunks, on_disk=self.notes.on_disk)


def found(places: Places, claim: str | None = None) -> Flow[Found]:
    """Find a file to be read.

    Args:
        places: of it.
        claim: of whoever reads it, as a hash, where it can be read once; None: nothing of it is read.

    Raises:
        BlobMissing: there is none.
        BlobIncomplete: its upload has not ended.
        BlobDamaged: its manifest was altered.
        StoreError: Redis could not be asked.
    """
    depot = places.depot
    entry = yield from depot.ask(temp.look(places.key))
    if entry is None:
        raise missing()
    if not entry.is_ready:
        raise BlobIncomplete("the upload of this temporary file has not ended")
    notes = blob.read(depot.words, entry.sealed, places.key)
    found = Found(places, notes, entry.expires)
    if not notes.once:
        return found
    if entry.holder is not None and (claim is None or entry.holder != claim.encode()):
        raise missing()
    if claim is not None and not (yield from depot.ask(temp.claim(places.key, claim, depot.lease))):
        raise missing()
    if claim is not None and entry.holder is None:
        yield from _shortened(found)
    return found


def deleted(places: Places) -> Flow[bool]:
    """Remove a file, or what of it was uploaded; tells whether there was one."""
    depot = places.depot
    entry = yield from depot.ask(temp.look(places.key))
    if entry is None:
        return False
    try:
        notes = blob.read(depot.words, entry.sealed, places.key)
    except BlobDamaged:  # its chunks, which nobody knows of, end by themselves
        notes = None
    was_there = yield from depot.ask(temp.unlink_all([places.key]))
    if notes is not None:
        chunks = notes.chunks if notes.size is not None else -(-depot.most // notes.chunk)
        yield from quota.forget(places, notes.owner, chunks, on_disk=notes.on_disk)
    return was_there


def cut(found: Found, start: int | None, stop: int | None) -> Transfer:
    """Return what brings a range of a file; ``start`` and ``stop`` are as of a slice of its bytes."""
    first, last, _ = slice(start, stop).indices(found.notes.size or 0)
    return Transfer(found, first, max(first, last), found.notes.sha256)


def whole(transfer: Transfer) -> Flow[bytes]:
    """Return all that a transfer brings; a file that can be read once is removed once its end was read."""
    parts: list[bytes] = []
    while pieces := (yield from transfer.read_on()):
        parts += pieces
    yield from transfer.ended()
    return parts[0] if len(parts) == 1 else b"".join(parts)


class _Brought(NamedTuple):
    first: int
    end: int
    sealed: list[bytes] | None


class Transfer:
    """A range of a file on its way to a reader.

    Args:
        found: the file.
        start: the first byte, within it.
        stop: the byte behind the last.
        sha256: what the whole must have; None: it is to be found out.
    """

    def __init__(self, found: Found, start: int, stop: int, sha256: str | None) -> None:
        self.found = found
        self.start = start
        self._stop = stop
        self._next = start // found.notes.chunk  # the chunk to be brought
        self._end = -(-stop // found.notes.chunk) if stop > start else self._next
        is_whole = start == 0 and stop == found.notes.size
        self._sha256 = hashlib.sha256() if is_whole else None
        self._expected = sha256 if is_whole else None
        self._hand: Hand[list[bytes]] | None = None
        self._is_begun = False
        self._is_busy = False  # for good, where a step failed: going on would look like the end

    @property
    def sha256(self) -> str | None:
        """Of what was read, as hex, where that is all of the file."""
        return None if self._sha256 is None else self._sha256.hexdigest()

    def read_on(self) -> Flow[list[bytes]]:
        """Return what comes next, a few pieces; none: that was all.

        Raises:
            BlobDamaged: a chunk is gone, or is not what was uploaded.
            BlobMissing: the file has ended, or was removed.
            StoreError: Redis could not be asked.
            StreamLost: it was interrupted before: what comes next is not known.
        """
        if self._is_busy:
            raise StreamLost("reading this temporary file was broken off: begin again where it was")
        self._is_busy = True
        pieces = yield from self._read_on()
        self._is_busy = False
        return pieces

    def _read_on(self) -> Flow[list[bytes]]:
        if not self._is_begun:
            self._is_begun = True
            self._hand = self._checking((yield from self._brought()))
        hand, self._hand = self._hand, None
        if hand is None:
            return []
        following = yield from self._brought()
        pieces = yield from hand.outcome()
        self._hand = self._checking(following)
        return pieces

    def ended(self) -> Flow[None]:
        """Remove a file that can be read once, where its end was read."""
        if self.found.notes.once and self._stop == self.found.notes.size:
            yield from self.found.removed()

    def _brought(self) -> Flow[_Brought | None]:
        """Bring the next batch; one that is on disk is read where it is checked."""
        places, notes = self.found.places, self.found.notes
        first, self._next = self._next, min(self._next + places.depot.batch, self._end)
        if first == self._next:
            return None
        if notes.on_disk:
            return _Brought(first, self._next, None)
        sealed = yield from places.depot.ask_all(
            [commands.get(places.chunk(index)) for index in range(first, self._next)],
            (self._next - first) * notes.chunk,
        )
        if None in sealed:
            yield from _explain(places)
        return _Brought(first, self._next, sealed)

    def _checking(self, brought: _Brought | None) -> Hand[list[bytes]] | None:
        if brought is None:
            return None
        depot = self.found.places.depot
        if brought.sealed is None and depot.shelf is None:
            raise StoreError("the policy names no directory of large files any more (offload)")
        size = (brought.end - brought.first) * self.found.notes.chunk
        return depot.lend(lambda: self._checked(brought), size)

    def _checked(self, brought: _Brought) -> list[bytes]:
        pieces = []
        for index in range(brought.first, brought.end):
            chunk = self._unsealed(index, brought)
            at = index * self.found.notes.chunk
            if self._sha256 is not None:
                self._sha256.update(chunk)
            if at < self.start or at + len(chunk) > self._stop:
                chunk = chunk[max(0, self.start - at) : self._stop - at]
            pieces.append(chunk)
        if brought.end == self._end and self._expected not in {None, self.sha256}:
            raise blob.damaged()
        return pieces

    def _unsealed(self, index: int, brought: _Brought) -> bytes:
        places, shelf = self.found.places, self.found.places.depot.shelf
        if brought.sealed is not None:
            sealed: bytes | None = brought.sealed[index - brought.first]
        else:
            sealed = None if shelf is None else shelf.read(places.name, self.found.notes.chunk, index)
        if sealed is None:
            raise blob.damaged()
        return unsealed(places, self.found.notes, index, sealed)


def unsealed(places: Places, notes: Notes, index: int, sealed: bytes) -> bytes:
    """Return what a chunk holds.

    Raises:
        BlobDamaged: it is not what was stored there.
    """
    sealer = places.depot.sealer
    try:
        chunk = (sealer if notes.chunk <= sealer.limit else replace(sealer, limit=notes.chunk)).unseal(
            sealed, places.chunk(index)
        )
    except CorruptValue:
        raise blob.damaged() from None
    if len(chunk) != notes.length(index):
        raise blob.damaged()
    return chunk


def _explain(places: Places) -> Flow[None]:
    """Say why a chunk is not there: because the file is not, or because the chunk alone is gone."""
    if (yield from places.depot.ask(temp.look(places.key))) is None:
        raise missing()
    raise blob.damaged()


def _shortened(found: Found) -> Flow[None]:
    """Keep a file that somebody reads, and that nobody else will, no longer than they may take."""
    places, notes = found.places, found.notes
    lease = places.depot.lease
    groups = [] if notes.on_disk else places.groups(notes.chunks)
    keeping = [temp.expire(group, lease + SLACK, "at_most") for group in groups]
    reserving = places.reserve(notes.owner, notes.size or 0, lease)
    try:
        yield from places.depot.ask_all([*keeping, *reserving])
    except StoreError as fault:  # it ends when it would have ended anyway
        places.depot.told(fault)
