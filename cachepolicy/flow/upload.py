"""How a file is uploaded: room is taken, chunks are stored while the next are made, then it can be read.

::

    read ─▶ hash, compress, seal (a thread) ─▶ store (a window) ─▶ commit
             the next batch                     this batch

Until the commit nobody reads anything of it; whatever ends an upload before gives its room back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cachepolicy.errors import Fault, QuotaExceeded, StoreError, StoreUnavailable, TooLarge
from cachepolicy.flow import blob, quota
from cachepolicy.flow.blob import Blob, Notes
from cachepolicy.flow.depot import SLACK, Depot, Places
from cachepolicy.flow.detaching import detach
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.hand import Hand
from cachepolicy.flow.sealing import Batch, Sealing
from cachepolicy.flow.sources import Source, pulled
from cachepolicy.tiers import temp
from cachepolicy.tiers.commands import Command

Progress = Callable[[int, int | None], object]
"""Is told how many bytes are stored, and of how many, where that is known."""


def put(places: Places, notes: Notes, source: Source, progress: Progress | None) -> Flow[Blob]:
    """Upload a file.

    Args:
        places: of the file, which nobody else knows.
        notes: what is known of it.
        source: its content.
        progress: is told how far it is.

    Raises:
        TooLarge: the file is larger than may be; nothing of it is kept.
        QuotaExceeded: there is no room for it; nothing of it is kept.
        StoreError: Redis could not be asked, or lost what was stored.
        BaseException: what the source raised; nothing of the file is kept.
    """
    try:
        check_size(places.depot, source.size)
        uploading = Uploading(places, notes)
        try:
            return (yield from _uploaded(uploading, source, progress))
        except GeneratorExit:  # whoever drove this is gone: what it stored ends by itself
            raise
        except StoreError:  # the caller has waited long enough
            yield from detach(uploading.undone(), _nothing, behind=True)
            raise
        except Exception:
            yield from uploading.undone()
            raise
        except BaseException:  # cancelled, interrupted
            yield from detach(uploading.undone(), _nothing, behind=True)
            raise
    finally:
        source.close()


def check_size(depot: Depot, size: int | None) -> None:
    """Refuse a file that is larger than may be.

    Raises:
        TooLarge: it is.
    """
    if size is not None and size > depot.most:
        raise TooLarge(f"a temporary file may have {depot.most} bytes (max_file)")


class Uploading:
    """An upload: what was stored so far, and for whom.

    Args:
        places: of the file.
        notes: what is known of it, its size as far as that is known.
    """

    def __init__(self, places: Places, notes: Notes) -> None:
        self.places = places
        self.depot = places.depot
        self.notes = notes
        self.count = 0  # chunks that may be there
        self.stored = 0  # bytes
        self._room = 0
        self._renewed = self.depot.site.clock.monotonic()

    def begin(self, room: int) -> Flow[None]:
        """Take room for so many bytes, and write the manifest."""
        depot, notes = self.depot, self.notes
        if depot.shelf is not None:
            yield from self._sweep()
        sealed = blob.write(depot.words, notes, self.places.key)
        beginning = temp.begin(self.places.key, sealed, depot.resumable)
        (now,) = yield from quota.take(self.places, notes.owner, room, depot.resumable, [beginning])
        self.notes = replace(notes, created=now)
        self._room = room

    def resume(self, size: int) -> None:
        """Take it up where somebody else left it."""
        self._room, self.count = size, self.notes.chunks

    def store(self, batch: Batch) -> Flow[list[bool]]:
        """Store chunks; tells of each whether it was not there before."""
        depot, size = self.depot, self.stored + batch.size
        check_size(depot, size)
        if size > self._room:
            yield from self._grow(size)
        yield from self.renew()
        stored = yield from self.place(batch)
        self.stored = size
        return stored

    def place(self, batch: Batch) -> Flow[list[bool]]:
        """Store chunks for which room was taken; tells of each whether it was not there before."""
        depot, notes = self.depot, self.notes
        end = batch.first + len(batch.sealed)
        self.count = max(self.count, end)
        if notes.on_disk:
            until = depot.site.clock.wall() + (depot.resumable + SLACK) / 1000
            yield from depot.on_disk(
                lambda shelf: shelf.write(self.places.name, notes.chunk, batch.first, batch.sealed, until)
            )
            return [True] * len(batch.sealed)
        commands = [
            temp.store(self.places.chunk(index), sealed, depot.resumable)
            for index, sealed in enumerate(batch.sealed, batch.first)
        ]
        return (yield from depot.ask_all(commands, sum(map(len, batch.sealed))))

    def renew(self, *, now: bool = False) -> Flow[None]:
        """Keep what was stored, where that is due: an upload may take longer than one can be resumed."""
        depot = self.depot
        clock = depot.site.clock
        if not now and clock.monotonic() - self._renewed < depot.resumable / 3000:
            return
        self._renewed = clock.monotonic()
        groups = [] if self.notes.on_disk else self.places.groups(self.count)
        keeping = [temp.expire(group, depot.resumable, "at_least") for group in groups]
        renewing: list[Command[Any]] = [temp.renew(self.places.key, depot.resumable), *keeping]
        yield from quota.take(self.places, self.notes.owner, self._room, depot.resumable, renewing)

    def commit(self, size: int, sha256: str) -> Flow[Blob | None]:
        """Let the file be read; None where chunks of it, or its manifest, are gone."""
        depot, places = self.depot, self.places
        notes = self.notes = replace(self.notes, size=size, sha256=sha256)
        life = notes.life
        own: list[str] = []
        more: list[Command[Any]] = []
        if notes.on_disk:
            until = depot.site.clock.wall() + (life + SLACK) / 1000
            if notes.chunks and not (
                yield from depot.on_disk(lambda shelf: shelf.finish(places.name, until))
            ):
                return None
        else:
            own, *others = places.groups(notes.chunks) or [[]]
            more = [temp.expire(group, life + SLACK, "exactly") for group in others]
        there = yield from quota.take(places, notes.owner, size, life, more)
        if sum(there) != notes.chunks - len(own) and not notes.on_disk:
            return None
        sealed = blob.write(depot.words, notes, places.key)
        done = yield from depot.ask(temp.commit(places.key, own, sealed, life, SLACK))
        return notes.blob(places.id, done.expires) if done.outcome == 1 else None

    def undone(self) -> Flow[None]:
        """Remove all that was stored."""
        return quota.forget(self.places, self.notes.owner, self.count, on_disk=self.notes.on_disk)

    def _sweep(self) -> Flow[None]:
        """Remove large files that have ended; where that fails, it is tried again another time."""
        depot = self.depot
        clock = depot.site.clock
        try:
            yield from depot.on_disk(lambda shelf: shelf.sweep(clock.monotonic(), clock.wall()))
        except StoreError as fault:
            depot.told(fault)

    def _grow(self, size: int) -> Flow[None]:
        """Take more room for a file that does not tell its size: twice as much, else as much as it needs."""
        for room in (min(2 * size, self.depot.most), size):
            try:
                yield from quota.take(self.places, self.notes.owner, room, self.depot.resumable, [])
            except QuotaExceeded:
                if room == size:
                    raise
            else:
                self._room = room
                return


def _uploaded(uploading: Uploading, source: Source, progress: Progress | None) -> Flow[Blob]:
    places, depot = uploading.places, uploading.depot
    sealing = Sealing(places)
    hand = yield from _next(depot, sealing, source)
    batch = yield from hand.outcome()
    size = batch.size if batch.is_last else source.size
    shelved = depot.shelf is not None and (size is None or size >= depot.large)
    uploading.notes = replace(uploading.notes, on_disk=shelved)
    yield from uploading.begin(batch.size if size is None else size)
    while True:
        following = None if batch.is_last else (yield from _next(depot, sealing, source))
        yield from uploading.store(batch)
        if progress is not None:
            progress(uploading.stored, size)
        if following is None:
            break
        batch = yield from following.outcome()
    done = yield from uploading.commit(uploading.stored, sealing.sha256)
    if done is None:
        raise StoreUnavailable("Redis lost what was uploaded before all of it was", Fault.LOST)
    return done


def _next(depot: Depot, sealing: Sealing, source: Source) -> Flow[Hand[Batch]]:
    """Have the next batch made: read in a thread where any may, else here."""
    size = depot.batch * depot.chunk
    if source.in_thread:
        known = size if source.size is None else min(size, source.size)
        return depot.lend(lambda: sealing.read_on(source), known)
    chunks = yield from pulled(source, depot.batch, depot.chunk)
    return depot.lend(lambda: sealing.seal(chunks), sum(map(len, chunks)))


def _nothing() -> None:
    """Do nothing when it has ended."""
