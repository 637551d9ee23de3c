"""``TempStore``: exports and uploads that end by themselves."""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import AsyncIterable, Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from cachepolicy.keys.blob_ids import blob_name, new_blob_id
from cachepolicy.managers.limit_arguments import Span, seconds_of
from cachepolicy.managers.temp_files import Opening
from cachepolicy.managers.temp_reading import Download, Reading
from cachepolicy.managers.temp_uploads import Upload
from cachepolicy.runtime import current
from cachepolicy.runtime.manage import Known, Work, verb

if TYPE_CHECKING:
    from cachepolicy.flow.blob import Blob, Notes
    from cachepolicy.flow.depot import Depot
    from cachepolicy.flow.effects import Flow
    from cachepolicy.flow.resumable import Resumable
    from cachepolicy.flow.upload import Progress
    from cachepolicy.policy.rules import TempRule
    from cachepolicy.runtime.compose import Runtime
    from cachepolicy.runtime.records import Records

Uploaded = (
    bytes
    | bytearray
    | memoryview
    | Path
    | IO[bytes]
    | Iterable[bytes | bytearray | memoryview]
    | AsyncIterable[bytes | bytearray | memoryview]
)
"""What can be uploaded; an async iterator only where ``put`` is awaited."""


class TempStore:
    """Files for a while: what is uploaded comes back whole and unaltered, or as a clear error.

    Each verb is awaited, or run in this thread by ``.sync``. An id is all that it takes to read a file.

    Every verb raises:
        UnknownNamespace: the policy does not declare it.
        PolicyError: it is of another kind than ``temp``.
        StoreError: Redis could not be asked; ``CallDenied`` where the policy says ``on_fault: deny``.
    Those that take an id raise:
        BlobMissing: there is no such file: it never was, has ended, or could be read once and was.
        BlobDamaged: what is stored is not what was uploaded.
    """

    def __init__(self, namespace: str = "temp") -> None:
        self.namespace: Final = namespace
        self._last: tuple[Records[TempRule], Depot] | None = None

    def __repr__(self) -> str:
        return f"TempStore({self.namespace!r})"

    @verb
    def put(
        self,
        source: Uploaded,
        *,
        owner: str | int | None = None,
        name: str = "",
        content_type: str = "",
        ttl: Span | None = None,
        one_time: bool | None = None,
        progress: Progress | None = None,
    ) -> Work[Blob]:
        """Upload a file.

        What is not in memory is read a few chunks at a time. Whatever ends an upload before its end leaves
        nothing behind.

        Args:
            source: bytes, a ``Path``, a binary file, or an iterator of bytes, an async one if awaited.
            owner: who keeps it, for ``quotas.per_owner``.
            name: of the file, for whoever offers it for download.
            content_type: of it.
            ttl: for how long, from the end of the upload on; None: the namespace's.
            one_time: whether it can be read once only; None: as the namespace says.
            progress: is told how many bytes are stored, and of how many, where that is known.

        Raises:
            TooLarge: it is larger than ``max_file``.
            QuotaExceeded: its owner, or all, keep as much as may be.
        """
        from cachepolicy.flow import depot as where  # loaded with the first policy
        from cachepolicy.flow import sources, upload

        runtime, records, depot = self._opened()
        notes = self._notes(
            records, depot, ttl, one_time=one_time, owner=owner, name=name, content_type=content_type
        )
        places = where.places(depot, new_blob_id())
        flow = upload.put(places, notes, sources.source_of(source), progress)
        return Work(runtime, records.site, records.watched("put", flow))

    @verb
    def info(self, blob_id: str) -> Work[Blob]:
        """Return what is known of a file; nothing of it is read.

        Raises:
            BlobIncomplete: its upload has not ended.
        """
        from cachepolicy.flow import depot as where
        from cachepolicy.flow import download

        runtime, records, depot = self._opened()
        places = where.places(depot, blob_id)

        def flow() -> Flow[Blob]:
            return (yield from download.found(places)).blob

        return Work(runtime, records.site, records.watched("info", flow()))

    @verb
    def read(
        self, blob_id: str, start: int | None = 0, stop: int | None = None, *, claim: str | None = None
    ) -> Work[bytes]:
        """Return a file, or a part of it, as a slice of its bytes would.

        Args:
            blob_id: of the file.
            start: the first byte.
            stop: the byte behind the last.
            claim: of a file that can be read once: who says the same may try again (``claim`` in the policy);
                None: nobody may.

        Raises:
            BlobIncomplete: its upload has not ended.
        """
        from cachepolicy.flow import download

        reading = self._reading(blob_id, claim)

        def flow() -> Flow[bytes]:
            found = yield from download.found(reading.places, reading.claimed)
            return (yield from download.whole(download.cut(found, start, stop)))

        return reading.work("read", flow())

    def stream(
        self, blob_id: str, start: int | None = 0, stop: int | None = None, *, claim: str | None = None
    ) -> Download:
        """Return an iterator over a file, or a part of it, to be used with ``for`` or ``async for``.

        Arguments are as of ``read``. Pieces are given out once they are checked, the last one once the whole
        is; the next are brought while those before are used. Errors come with the first step.
        """
        return Download(
            lambda held: self._reading(blob_id, held), start, stop, claim or secrets.token_urlsafe(16)
        )

    def open(self, blob_id: str, *, claim: str | None = None) -> Opening:
        """Open a file for reading, with ``with`` or ``async with``; arguments are as of ``read``.

        >>> with store.open(blob_id) as file:
        ...     table = read_table(file)

        A file that can be read once is removed at the end of the block, unless that fails.
        """
        return Opening(lambda: self._reading(blob_id, claim))

    @verb
    def delete(self, blob_id: str) -> Work[bool] | Known[bool]:
        """Remove a file, or what of it was uploaded; tell whether there was one."""
        from cachepolicy.flow import depot as where
        from cachepolicy.flow import download

        runtime, records, depot = self._opened()
        if blob_name(blob_id) is None:
            return Known(result=False)
        flow = download.deleted(where.places(depot, blob_id))
        return Work(runtime, records.site, records.watched("delete", flow))

    @verb
    def usage(self, owner: str | int | None = None) -> Work[int]:
        """Return how many bytes an owner keeps, uploads that go on among them; without one, all together."""
        from cachepolicy.flow import quota

        runtime, records, depot = self._opened()
        return Work(runtime, records.site, records.watched("usage", quota.usage(depot, owner)))

    @verb
    def begin_upload(
        self,
        size: int,
        *,
        owner: str | int | None = None,
        name: str = "",
        content_type: str = "",
        ttl: Span | None = None,
        one_time: bool | None = None,
    ) -> Work[Upload]:
        """Begin an upload that goes on chunk by chunk, in whatever process; the rest is as of ``put``.

        Args:
            size: of the file, in bytes.
            owner: see ``put``; so are the others.
            name: see there.
            content_type: see there.
            ttl: see there.
            one_time: see there.
        """
        from dataclasses import replace

        from cachepolicy.flow import depot as where
        from cachepolicy.flow import resumable

        if type(size) is not int or size < 0:
            raise ValueError(f"{self!r}.begin_upload: size: expected a whole number of bytes")
        runtime, records, depot = self._opened()
        notes = self._notes(
            records, depot, ttl, one_time=one_time, owner=owner, name=name, content_type=content_type
        )
        notes = replace(notes, size=size, on_disk=depot.shelf is not None and size >= depot.large)
        begun = resumable.begun(where.places(depot, new_blob_id()), notes)
        return Work(runtime, records.site, records.watched("begin_upload", _upload(runtime, records, begun)))

    @verb
    def resume_upload(self, blob_id: str) -> Work[Upload]:
        """Go on with an upload that was begun here or in another process, by its id."""
        from cachepolicy.flow import depot as where
        from cachepolicy.flow import resumable

        runtime, records, depot = self._opened()
        resumed = resumable.resumed(where.places(depot, blob_id))
        return Work(
            runtime, records.site, records.watched("resume_upload", _upload(runtime, records, resumed))
        )

    def _opened(self) -> tuple[Runtime, Records[TempRule], Depot]:
        from cachepolicy.policy.rules import TempRule
        from cachepolicy.runtime.depots import depot_of

        runtime = current.current()
        records = runtime.archive.records(self.namespace, TempRule, self)
        last = self._last
        if last is None or last[0] is not records:
            last = self._last = records, depot_of(records)
        return runtime, *last

    def _reading(self, blob_id: str, claim: str | None) -> Reading:
        from cachepolicy.flow import depot as where

        runtime, records, depot = self._opened()
        claimed = hashlib.sha256((claim or secrets.token_urlsafe(16)).encode()).hexdigest()
        return Reading(runtime, records, where.places(depot, blob_id), claimed)

    def _notes(
        self,
        records: Records[TempRule],
        depot: Depot,
        ttl: Span | None,
        *,
        one_time: bool | None,
        owner: str | int | None,
        name: str,
        content_type: str,
    ) -> Notes:
        from cachepolicy.flow import incidents
        from cachepolicy.flow.blob import Notes, check_words

        check_words(name, content_type, owner)
        allowed = records.rule.ttl
        seconds = allowed.default
        if ttl is not None:
            asked = seconds_of(ttl, f"{self!r}: ttl")
            seconds = min(max(asked, allowed.min or 0.0), allowed.max or math.inf)
            if seconds != asked:
                incidents.shortened(records, "a file's ttl")
        return Notes(
            name=name,
            content_type=content_type,
            owner=owner,
            once=records.rule.one_time if one_time is None else bool(one_time),
            life=max(1, math.ceil(seconds * 1000)),
            chunk=depot.chunk,
            on_disk=False,
        )


def _upload(runtime: Any, records: Any, begun: Flow[Resumable]) -> Flow[Upload]:
    return Upload(runtime, records, (yield from begun))
